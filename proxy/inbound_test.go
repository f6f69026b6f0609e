// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/ads"
)

const api = "api.shop.svc.cluster.local:8080"

// guarded is a mesh with one server under rules; its process echoes what it was asked.
func guarded(t testing.TB, rules *rbacv3.RBAC) (*world, *pod) {
	w := newWorld(t)
	w.setInbound("shop/api", []door{{port: 8080, http: true, rules: rules}})
	d := w.serve("shop/api", 8080, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Anymesh-Denied", "forged")
		fmt.Fprintf(w, "%s|%s", r.RequestURI, strings.Join(r.Header["X-Forwarded-Client-Cert"], ";;"))
	}))
	w.cluster(api, 8080, "shop/api", d)
	w.setRoutes(api, to("", nil, arm{api, 1}))
	w.setListener(api, "http")
	return w, d
}

func TestAdmission(t *testing.T) {
	w := newWorld(t)
	web, job := w.ca.id("shop/web"), w.ca.id("shop/job")
	rules := grants([]string{web}, map[string][]*rbacv3.Permission{
		"TrafficTarget/shop/read":  {and(onPath("/read.*"), withHeader(":method", "GET|HEAD"), onPort(8080))},
		"TrafficTarget/shop/write": {and(onPath("/write"), withHeader("X-Role", "admin"))},
		"TrafficTarget/shop/other": {and(onPath("/port"), onPort(9090))}})
	rules.Policies["TrafficTarget/shop/job"] = grants([]string{job}, map[string][]*rbacv3.Permission{"x": {onPath("/job")}}).Policies["x"]
	w, _ = guarded(t, rules)
	// The same authority must have issued the identities that the rules name: IDs hold no keys, so names suffice.
	clients := map[string]*http.Client{}
	for _, name := range []string{"web", "job", "eve"} {
		clients[name] = w.client("shop/" + name).http1(t)
	}
	for _, x := range []struct {
		who, method, path, header string
		want                      int
	}{
		{"web", "GET", "/read/1", "", 200},
		{"web", "GET", "/read", "", 200},
		{"web", "POST", "/read", "", 403},
		{"web", "GET", "/", "", 403},
		{"web", "POST", "/write", "", 403},
		{"web", "POST", "/write", "user", 403},
		{"web", "POST", "/write", "admin", 200},
		{"web", "POST", "/write", "admin|user", 403},
		{"web", "GET", "/port", "", 403},
		{"web", "GET", "/job", "", 403},
		{"job", "DELETE", "/job", "", 200},
		{"job", "GET", "/read", "", 403},
		{"eve", "GET", "/read", "", 403},
	} {
		req, err := http.NewRequest(x.method, "http://api:8080"+x.path, nil)
		check(t, err)
		for v := range strings.SplitSeq(x.header, "|") {
			if v != "" {
				req.Header.Add("x-role", v)
			}
		}
		a := ask(t, clients[x.who], req)
		if a.code != x.want {
			t.Errorf("%+v: %d %s", x, a.code, a.body)
		}
		if denied := a.header.Get("X-Anymesh-Denied"); (a.code == 403) != (denied == "access") {
			t.Errorf("%+v: denied header %q", x, denied)
		}
	}
}

func TestEmptyRulesDenyAll(t *testing.T) {
	w, _ := guarded(t, &rbacv3.RBAC{})
	if a := get(t, w.client("shop/web").http1(t), "http://api:8080/"); a.code != 403 {
		t.Errorf("%+v", a)
	}
	if a := get(t, w.client("shop/web2").http2(t), "http://api:8080/"); a.code != 403 {
		t.Errorf("h2: %+v", a)
	}
}

// TestPathAsSent holds that what is judged is what the process gets: no spelling of a path gets around a rule.
func TestPathAsSent(t *testing.T) {
	w := newWorld(t)
	w, d := guarded(t, grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {onPath("/public(/.*)?")}}))
	conn, err := w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.api.shop.svc.cluster.local", "http/1.1")
	check(t, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for target, want := range map[string]int{
		"/public":                             200,
		"/public/a?x=1":                       200,
		"/public?":                            200,
		"/public/../admin":                    200, // as sent: the process sees the same and has to know
		"/public/%2e%2e/admin":                200,
		"/public//admin":                      200,
		"/public/a;b=c":                       200,
		"/public;x":                           403,
		"/admin":                              403,
		"//public":                            403,
		"/%70ublic":                           403,
		"/./public":                           403,
		"/admin?/public":                      403,
		"/publicx":                            403,
		"/PUBLIC":                             403,
		"/admin#/public":                      400,
		"/public#/../admin":                   400,
		"http://api/admin":                    403,
		"http://api/public":                   200,
		"http://api?x":                        403,
		"*":                                   403,
		"//evil/public":                       403,
		"/public/%zz":                         400,
		"/public/" + strings.Repeat("a", 100): 200,
	} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: api\r\n\r\n", target)
		res, err := http.ReadResponse(r, nil)
		check(t, err)
		b, err := io.ReadAll(res.Body)
		check(t, err)
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, res.StatusCode, want)
		}
		if seen, _, _ := strings.Cut(string(b), "|"); want == 200 && seen != strings.TrimPrefix(target, "http://api") {
			t.Errorf("%s: the process saw %q", target, seen)
		}
		if res.Close { // net/http closes after a request that it could not read
			conn.Close()
			conn, err = w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.api.shop.svc.cluster.local", "http/1.1")
			check(t, err)
			r.Reset(conn)
		}
	}
}

func TestIdentityCannotBeForged(t *testing.T) {
	w, _ := guarded(t, nil)
	c := w.client("shop/web").http1(t)
	a := get(t, c, "http://api:8080/", "X-Forwarded-Client-Cert", "URI=spiffe://mesh.test/ns/shop/sa/admin",
		"Connection", "x-forwarded-client-cert")
	want := "/|By=" + w.ca.id("shop/api") + ";URI=" + w.ca.id("shop/web")
	if a.body != want {
		t.Errorf("%s\nwant %s", a.body, want)
	}
	if v := a.header.Get("X-Anymesh-Denied"); v != "" {
		t.Errorf("the process's own denied header came through: %q", v)
	}
}

// TestHopHeadersCannotHideARule holds that a header which the client has removed on the way is not judged as present.
func TestHopHeadersCannotHideARule(t *testing.T) {
	w := newWorld(t)
	w, d := guarded(t, grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {withHeader("x-role", "admin")}}))
	conn, err := w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x", "http/1.1")
	check(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: api\r\nX-Role: admin\r\nConnection: x-role\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(t, err)
	if res.StatusCode != 403 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestHandshake(t *testing.T) {
	w, d := guarded(t, nil)
	strange := newCA(t, "other.test")
	fake := newCA(t, "mesh.test") // the right name, the wrong key
	for what, try := range map[string]func() error{
		"a trust domain that nobody knows": func() error {
			return firstByte(w.dialPeer(d, strange.issue(t, "shop/web"), "8080.x", "http/1.1"))
		},
		"a forged authority": func() error {
			return firstByte(w.dialPeer(d, fake.issue(t, "shop/web"), "8080.x", "http/1.1"))
		},
		"a port without a chain": func() error {
			return firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "8081.x", "http/1.1"))
		},
		"no port":   func() error { return firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "api.x", "http/1.1")) },
		"port 0":    func() error { return firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "0.x", "http/1.1")) },
		"bytes":     func() error { return firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x")) },
		"plaintext": func() error { return plaintext(d) },
	} {
		if err := try(); err == nil {
			t.Errorf("%s: let in", what)
		}
	}
	if err := firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x", "http/1.1")); err != nil {
		t.Errorf("a good peer: %v", err)
	}
}

// firstByte asks for something, since TLS 1.3 lets the client find out about a refusal only then.
func firstByte(c net.Conn, err error) error {
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, err = c.Read(make([]byte, 1))
	return err
}

func plaintext(d *pod) error {
	c, err := net.Dial("tcp", netip.AddrPortFrom(d.ip, proxy.DefaultInboundPort).String())
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	b, err := io.ReadAll(c)
	if strings.HasPrefix(string(b), "HTTP/1.1 200") {
		return nil
	}
	return fmt.Errorf("%q %v", b, err)
}

// TestFederatedPeer admits an identity of another trust domain whose roots are known, under its full name.
func TestFederatedPeer(t *testing.T) {
	far := newCA(t, "far.test")
	w := newWorld(t)
	w.setInbound("shop/api", []door{{port: 8080, http: true,
		rules: grants([]string{far.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {anyRequest()}})}})
	d := w.serve("shop/api", 8080, says("hello"), func(c *proxy.Config) {
		c.Bundles = x509bundle.NewSet(w.ca.bundle(), far.bundle())
	})
	check(t, firstByte(w.dialPeer(d, far.issue(t, "shop/web"), "8080.x", "http/1.1")))
	for _, e := range w.stats.Snapshot() {
		if e.Source != far.id("shop/web") || e.Allowed != 1 {
			t.Errorf("edge %+v", e)
		}
	}
}

func TestInboundClosedUntilTold(t *testing.T) {
	w := newWorld(t)
	d := w.pod("shop/api")
	addr := netip.AddrPortFrom(d.ip, proxy.DefaultInboundPort).String()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Fatal("the inbound port is open before anybody said who may come in")
	}
	w.setInbound("shop/api", open(8080))
	d.ready(t)
	w.app(d, 8080, says("hi"))
	check(t, firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x", "http/1.1")))
	w.remove(ads.Listener, "inbound/shop/api")
	eventually(t, "the door shuts again", func() bool {
		return firstByte(w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x", "http/1.1")) != nil
	})
}

// TestRevocation takes access away from a response that is on its way.
func TestRevocation(t *testing.T) {
	w := newWorld(t)
	web := []string{w.ca.id("shop/web")}
	w.setInbound("shop/api", []door{{port: 8080, http: true, rules: grants(web, map[string][]*rbacv3.Permission{"p": {anyRequest()}})}})
	d := w.serve("shop/api", 8080, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	w.cluster(api, 8080, "shop/api", d)
	w.setRoutes(api, to("", nil, arm{api, 1}))
	w.setListener(api, "http")
	c := w.client("shop/web").http1(t)
	res, err := c.Get("http://api:8080/")
	check(t, err)
	defer res.Body.Close()
	start := time.Now()
	w.setInbound("shop/api", []door{{port: 8080, http: true, rules: &rbacv3.RBAC{}}})
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the response ended as if it were complete")
	}
	t.Logf("revoked after %s", time.Since(start))
	wantCode(t, c, "http://api:8080/", 403)
}
