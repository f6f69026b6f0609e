// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/anymesh/anymesh/proxy"
)

// TestRetry holds that a pooled connection which died is made good for a GET and never doubles a POST. The process
// answers one request on each connection and hangs up on the second.
func TestRetry(t *testing.T) {
	w, d := guarded(t, nil)
	const name = "api.shop.svc.cluster.local:8090"
	w.setInbound("shop/api", open(8090))
	l, err := net.Listen("tcp", netip.AddrPortFrom(d.ip, 8090).String())
	check(t, err)
	t.Cleanup(func() { l.Close() })
	var posts atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for i := range 2 {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if req.Method == "POST" {
						posts.Add(1)
					}
					if i == 0 {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				}
			}()
		}
	}()
	w.cluster(name, 8090, "shop/api", d)
	w.setRoutes(name, to("", nil, arm{name, 1}))
	w.setListener(name, "http")
	c := w.client("shop/web").http1(t)
	wantBody(t, c, "http://api:8090/", "ok")
	for i := range 6 {
		if a := get(t, c, "http://api:8090/"); a.code != 200 {
			t.Fatalf("GET %d: %+v", i, a)
		}
	}
	for sent := int64(1); sent <= 6; sent++ {
		req, err := http.NewRequest("POST", "http://api:8090/", strings.NewReader("once"))
		check(t, err)
		a := ask(t, c, req)
		if a.code != 200 && a.code != 503 {
			t.Errorf("POST: %+v", a)
		}
		if posts.Load() != sent {
			t.Fatalf("after %d POSTs the process saw %d", sent, posts.Load())
		}
	}
}

// rotating is a certificate source that changes.
type rotating struct{ now atomic.Pointer[x509svid.SVID] }

func (r *rotating) GetX509SVID() (*x509svid.SVID, error) { return r.now.Load(), nil }

// TestRotation holds that a new certificate is used by the next connection, on both sides.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	w.setInbound("shop/api", open(8080))
	var serial atomic.Pointer[string]
	source := &rotating{}
	source.now.Store(w.ca.issue(t, "shop/api"))
	d := w.serve("shop/api", 8080, says("hi"), func(c *proxy.Config) { c.SVID = source })
	for range 3 {
		conn, err := w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x", "http/1.1")
		check(t, err)
		s := conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
		conn.Close()
		if want := source.now.Load().Certificates[0].SerialNumber.String(); s != want {
			t.Errorf("served with certificate %s, want %s", s, want)
		}
		if old := serial.Swap(&s); old != nil && *old == s {
			t.Error("the certificate did not change")
		}
		source.now.Store(w.ca.issue(t, "shop/api"))
	}
}
