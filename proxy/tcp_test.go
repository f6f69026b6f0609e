// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
)

const db = "db.shop.svc.cluster.local:5432"

// tcpApp greets with a word and then echoes.
func (w *world) tcpApp(d *pod, port uint16, word string) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(d.ip, port).String())
	check(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, word+"\n")
				io.Copy(c, c)
			}()
		}
	}()
}

// connect opens a tunnel through a pod's proxy.
func (d *pod) connect(t testing.TB, to string) (net.Conn, *bufio.Reader, int) {
	t.Helper()
	c, err := net.Dial("tcp", d.OutboundAddr().String())
	check(t, err)
	t.Cleanup(func() { c.Close() })
	check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", to)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	check(t, err)
	return c, r, res.StatusCode
}

// databases is a mesh with two versions of a TCP service; byteRules hold for both.
func databases(t testing.TB, byteRules *rbacv3.RBAC) (*world, *pod) {
	w := newWorld(t)
	var arms []arm
	for i, word := range []string{"one", "two"} {
		workload := fmt.Sprintf("shop/db-v%d", i+1)
		cluster := fmt.Sprintf("db-v%d.shop.svc.cluster.local:5432", i+1)
		w.setInbound(workload, []door{{port: 5432, bytes: true, byteRules: byteRules}})
		d := w.pod(workload).ready(t)
		w.tcpApp(d, 5432, word)
		w.cluster(cluster, 5432, workload, d)
		arms = append(arms, arm{cluster, uint32(3 - 2*i)})
	}
	w.setListener(db, "tcp", arms...)
	return w, w.client("shop/web")
}

func TestTCPSplit(t *testing.T) {
	_, web := databases(t, nil)
	const n = 300
	two := 0
	for range n {
		c, r, code := web.connect(t, "db:5432")
		if code != 200 {
			t.Fatalf("CONNECT: %d", code)
		}
		word, err := r.ReadString('\n')
		check(t, err)
		if word == "two\n" {
			two++
		}
		io.WriteString(c, "hello")
		check(t, c.(*net.TCPConn).CloseWrite())
		if b, err := io.ReadAll(r); err != nil || string(b) != "hello" {
			t.Fatalf("echo after half-close: %q %v", b, err)
		}
		c.Close()
	}
	if sigma := math.Sqrt(n * 0.25 * 0.75); math.Abs(float64(two)-n*0.25) > 3*sigma {
		t.Errorf("%d of %d connections went to the 25 %% arm", two, n)
	}
}

func TestTCPAccess(t *testing.T) {
	ca := newCA(t, "mesh.test")
	rules := grants([]string{ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {onPort(5432)}})
	w, web := databases(t, rules)
	c, r, _ := web.connect(t, "db:5432")
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatalf("a granted connection: %v", err)
	}
	_, er, _ := w.client("shop/eve").connect(t, "db:5432")
	if s, err := er.ReadString('\n'); err == nil || isTimeout(err) {
		t.Errorf("a connection that is not granted: %q %v", s, err)
	}
	for _, v := range []string{"shop/db-v1", "shop/db-v2"} {
		w.setInbound(v, []door{{port: 5432, bytes: true, byteRules: &rbacv3.RBAC{}}})
	}
	if _, err := r.ReadByte(); err == nil || isTimeout(err) || errors.Is(err, io.EOF) {
		t.Errorf("a connection whose permission was taken away must be reset: %v", err)
	}
	c.Close()
	eventually(t, "both are counted", func() bool {
		var denied, allowed uint64
		for _, e := range w.stats.Snapshot() {
			if e.Side == "server" {
				denied, allowed = denied+e.Denied, allowed+e.Allowed
			}
		}
		return denied == 1 && allowed == 1
	})
}

// TestAutoPort holds that a port of unknown protocol is read by its first bytes.
func TestAutoPort(t *testing.T) {
	w := newWorld(t)
	const name = "any.shop.svc.cluster.local:7000"
	w.setInbound("shop/any", []door{{port: 7000, http: true, bytes: true}})
	d := w.pod("shop/any").ready(t)
	w.cluster(name, 7000, "shop/any", d)
	w.setRoutes(name, to("", nil, arm{name, 1}))
	w.setListener(name, "auto")
	web := w.client("shop/web")
	w.tcpApp(d, 7000, "tcp")

	_, r, _ := web.connect(t, "any:7000") // the server speaks first
	if s, err := r.ReadString('\n'); err != nil || s != "tcp\n" {
		t.Errorf("a silent client: %q %v", s, err)
	}
	for _, first := range []string{"\x16\x03\x01", "GET a key\r\n", "GETX", "hello\n", "P", strings.Repeat("A", 5000)} {
		c, r, _ := web.connect(t, "any:7000")
		io.WriteString(c, first)
		got := make([]byte, len("tcp\n"+first))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "tcp\n"+first {
			t.Errorf("%.10q: %.20q %v", first, got, err)
		}
	}
	// HTTP inside of CONNECT is routed as HTTP, whatever its Host says.
	const web2 = "web.shop.svc.cluster.local:7001"
	w.setInbound("shop/web2", open(7001))
	d2 := w.serve("shop/web2", 7001, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.RequestURI)
	}))
	w.cluster(web2, 7001, "shop/web2", d2)
	w.setRoutes(web2, to("", pathRegex("/(a|b)"), arm{web2, 1}))
	w.setListener(web2, "auto")
	c, r, _ := web.connect(t, "web:7001")
	for _, p := range []string{"/a", "/b"} {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: else.where\r\n\r\n", p)
		res, err := http.ReadResponse(r, nil)
		check(t, err)
		b, err := io.ReadAll(res.Body)
		check(t, err)
		if want := "HTTP/1.1 else.where " + p; string(b) != want {
			t.Errorf("%q, want %q", b, want)
		}
	}
	fmt.Fprint(c, "GET /c HTTP/1.1\r\nHost: else.where\r\n\r\n")
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 404 {
		t.Errorf("no route: %v %v", res, err)
	}
}

func TestConnectFailures(t *testing.T) {
	w, web := databases(t, nil)
	if _, _, code := web.connect(t, "nowhere:1"); code != 503 {
		t.Errorf("unknown: %d", code)
	}
	w.setEndpoints("db-v1.shop.svc.cluster.local:5432", 5432)
	w.setEndpoints("db-v2.shop.svc.cluster.local:5432", 5432)
	eventually(t, "no endpoints", func() bool { _, _, code := web.connect(t, "db:5432"); return code == 503 })
	if a := get(t, web.http1(t), "http://db:5432/"); a.code != 502 {
		t.Errorf("HTTP to a port of bytes: %+v", a)
	}
}
