// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestRareVerbIsARequest holds that a method which nobody has heard of is routed as a request, and so is one that is typed slowly.
func TestRareVerbIsARequest(t *testing.T) {
	w := newWorld(t)
	const any, other = "any.shop.svc.cluster.local:7000", "other.shop.svc.cluster.local:7000"
	w.setInbound("shop/any", []door{{port: 7000, http: true, bytes: true}})
	d := w.serve("shop/any", 7000, says("root"))
	w.cluster(any, 7000, "shop/any", d)
	w.setInbound("shop/other", open(7000))
	o := w.serve("shop/other", 7000, says("split"))
	w.cluster(other, 7000, "shop/other", o)
	w.setRoutes(any, to("", pathRegex("/new"), arm{other, 1}), to("", nil, arm{any, 1}))
	w.setListener(any, "auto")
	web := w.client("shop/web")
	for _, pieces := range [][]string{
		{"GET /new HTTP/1.1\r\nHost: any\r\n\r\n"},
		{"X-RARE /new HTTP/1.1\r\nHost: any\r\n\r\n"},
		{"GE", "T /new HT", "TP/1.1\r\nHost: any\r\n\r\n"},
		{"G", "", "", "", "", "", "ET /new HTTP/1.1\r\nHost: any\r\n\r\n"}, // slower than the patience
	} {
		c, r, code := web.connect(t, "any:7000")
		if code != 200 {
			t.Fatal(code)
		}
		for i, p := range pieces {
			if i > 0 {
				time.Sleep(250 * time.Millisecond)
			}
			io.WriteString(c, p)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%q: %v", pieces, err)
			continue
		}
		if b, _ := io.ReadAll(res.Body); string(b) != "split" {
			t.Errorf("%q was answered by %q: it went past the split", pieces, b)
		}
		c.Close()
	}
}

// TestServerSpeaksFirst holds that clients which wait for a greeting get it, on a port of which nothing is said.
func TestServerSpeaksFirst(t *testing.T) {
	w := newWorld(t)
	const mail = "mail.shop.svc.cluster.local:25"
	w.setInbound("shop/mail", []door{{port: 2525, http: true, bytes: true}})
	d := w.pod("shop/mail").ready(t)
	w.tcpApp(d, 2525, "220 mail.example ESMTP")
	w.cluster(mail, 2525, "shop/mail", d)
	w.setRoutes(mail, to("", pathRegex("/x"), arm{mail, 1}), to("", nil, arm{mail, 1}))
	w.setListener(mail, "auto")
	c, r, _ := w.client("shop/web").connect(t, "mail:25")
	if s, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(s, "220 ") {
		t.Fatalf("the greeting: %q %v", s, err)
	}
	fmt.Fprint(c, "EHLO web\r\n")
	if s, err := r.ReadString('\n'); err != nil || s != "EHLO web\r\n" {
		t.Errorf("the echo: %q %v", s, err)
	}
}

// TestOwnTLS holds that the TLS of a workload passes closed, and that the name in it leads the way where only an address was asked for.
func TestOwnTLS(t *testing.T) {
	w := newWorld(t)
	const shop = "secure.shop.svc.cluster.local:443"
	w.setInbound("shop/secure", []door{{port: 8443, bytes: true}})
	d := w.pod("shop/secure").ready(t)
	svid := w.ca.issue(t, "shop/secure")
	own := tls.Certificate{PrivateKey: svid.PrivateKey, Certificate: [][]byte{svid.Certificates[0].Raw}}
	l, err := tls.Listen("tcp", netip.AddrPortFrom(d.ip, 8443).String(), &tls.Config{Certificates: []tls.Certificate{own}})
	check(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "for ", r.TLS.ServerName) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	w.cluster(shop, 8443, "shop/secure", d)
	w.setListener(shop, "tcp")
	web := w.client("shop/web")
	for _, c := range []struct {
		connect, name string
		ok            bool
	}{
		{"secure:443", "secure.shop", true},
		{"10.1.2.3:443", "secure.shop.svc.cluster.local", true},
		{"10.1.2.3:443", "secure", true},
		{"10.1.2.3:443", "nobody.shop", false},
		{"10.1.2.3:444", "secure", false},
		{"10.1.2.3:443", "", false},
	} {
		raw, r, code := web.connect(t, c.connect)
		if code != 200 {
			t.Fatalf("%s: %d", c.connect, code)
		}
		conn := tls.Client(&joined{raw, r}, &tls.Config{ServerName: c.name, InsecureSkipVerify: true})
		if err := conn.Handshake(); (err == nil) != c.ok || isTimeout(err) {
			t.Errorf("%s with %q: %v", c.connect, c.name, err)
		} else if err == nil {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 200 {
				t.Errorf("%s with %q: %v %v", c.connect, c.name, res, err)
			}
		}
		raw.Close()
	}
	raw, r, _ := web.connect(t, "10.1.2.3:443")
	fmt.Fprint(raw, "GET / HTTP/1.1\r\nHost: secure\r\n\r\n")
	if b, err := r.ReadByte(); err == nil || isTimeout(err) {
		t.Errorf("HTTP to an address is answered: %q %v", b, err)
	}
}

// joined is a connection of which some was read ahead.
type joined struct {
	net.Conn
	r *bufio.Reader
}

func (j *joined) Read(b []byte) (int, error) { return j.r.Read(b) }
