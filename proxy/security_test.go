// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/anymesh/anymesh/proxy"
)

// odd makes a certificate of the authority, changed.
func (c *ca) odd(t testing.TB, change func(*x509.Certificate)) *x509svid.SVID {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	id := spiffeid.RequireFromString(c.id("shop/web"))
	m := &x509.Certificate{SerialNumber: big.NewInt(mrand.Int64()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{id.URL()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	change(m)
	der, err := x509.CreateCertificate(rand.Reader, m, c.cert, key.Public(), c.key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &x509svid.SVID{ID: id, Certificates: []*x509.Certificate{cert}, PrivateKey: key}
}

// TestOddCertificates holds that only a certificate which names exactly one workload, now, is let in.
func TestOddCertificates(t *testing.T) {
	w, d := guarded(t, nil)
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		check(t, err)
		return u
	}
	for what, change := range map[string]func(*x509.Certificate){
		"expired":                  func(m *x509.Certificate) { m.NotAfter = time.Now().Add(-time.Second) },
		"not yet valid":            func(m *x509.Certificate) { m.NotBefore = time.Now().Add(30 * time.Minute) },
		"two SPIFFE IDs":           func(m *x509.Certificate) { m.URIs = append(m.URIs, uri("spiffe://mesh.test/ns/shop/sa/admin")) },
		"a SPIFFE ID and a URI":    func(m *x509.Certificate) { m.URIs = append(m.URIs, uri("https://mesh.test/ns/shop/sa/admin")) },
		"a name and no ID":         func(m *x509.Certificate) { m.URIs, m.DNSNames = nil, []string{"web.shop"} },
		"no name at all":           func(m *x509.Certificate) { m.URIs = nil },
		"an ID of another scheme":  func(m *x509.Certificate) { m.URIs = []*url.URL{uri("https://mesh.test/ns/shop/sa/web")} },
		"an ID with a query":       func(m *x509.Certificate) { m.URIs = []*url.URL{uri("spiffe://mesh.test/ns/shop/sa/web?x")} },
		"an ID with a port":        func(m *x509.Certificate) { m.URIs = []*url.URL{uri("spiffe://mesh.test:1/ns/shop/sa/web")} },
		"an ID with dots":          func(m *x509.Certificate) { m.URIs = []*url.URL{uri("spiffe://mesh.test/ns/shop/../shop/sa/web")} },
		"an ID with an escape":     func(m *x509.Certificate) { m.URIs = []*url.URL{uri("spiffe://mesh.test/ns/shop/sa/%77eb")} },
		"another trust domain":     func(m *x509.Certificate) { m.URIs = []*url.URL{uri("spiffe://other.test/ns/shop/sa/web")} },
		"an authority":             func(m *x509.Certificate) { m.IsCA, m.BasicConstraintsValid = true, true },
		"one that may sign others": func(m *x509.Certificate) { m.KeyUsage |= x509.KeyUsageCertSign },
	} {
		if err := firstByte(w.dialPeer(d, w.ca.odd(t, change), "8080.x", "http/1.1")); err == nil || isTimeout(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c, err := tls.Dial("tcp", netip.AddrPortFrom(d.ip, proxy.DefaultInboundPort).String(), &tls.Config{InsecureSkipVerify: true, ServerName: "8080.x", NextProtos: []string{"http/1.1"}})
	if err == nil {
		err = firstByte(c, nil)
	}
	if err == nil || isTimeout(err) {
		t.Errorf("no certificate: %v", err)
	}
	if err := firstByte(w.dialPeer(d, w.ca.odd(t, func(*x509.Certificate) {}), "8080.x", "http/1.1")); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// recorder is a process that takes down all that it is sent, and answers each head.
type recorder struct {
	mu   sync.Mutex
	sent [][]byte // by connection
}

func (w *world) recorder(d *pod, port uint16) *recorder {
	l, err := net.Listen("tcp", netip.AddrPortFrom(d.ip, port).String())
	check(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	rec := &recorder{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			rec.mu.Lock()
			n := len(rec.sent)
			rec.sent = append(rec.sent, nil)
			rec.mu.Unlock()
			go rec.serve(c, n)
		}
	}()
	return rec
}

func (rec *recorder) serve(c net.Conn, n int) {
	defer c.Close()
	buf := make([]byte, 4096)
	answered := 0
	var all []byte
	for {
		k, err := c.Read(buf)
		if err != nil {
			return
		}
		rec.mu.Lock()
		rec.sent[n] = append(rec.sent[n], buf[:k]...)
		rec.mu.Unlock()
		all = append(all, buf[:k]...)
		heads := bytes.Count(all, []byte(" HTTP/1.1\r\n"))
		for ; answered < heads; answered++ {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

// requests reads what was recorded since the last call as a strict server would, and complains of what no proxy may write.
func (rec *recorder) requests(t *testing.T, title string) (targets []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i, sent := range rec.sent {
		rec.sent[i] = nil
		r := bufio.NewReaderSize(bytes.NewReader(sent), len(sent)+16)
		for {
			if _, err := r.Peek(1); err != nil {
				break
			}
			rest, _ := r.Peek(r.Buffered())
			head, _, _ := strings.Cut(string(rest), "\r\n\r\n")
			q, err := http.ReadRequest(r)
			if err != nil {
				break
			}
			low := strings.ToLower(head)
			if strings.Contains(head, "\n ") || strings.Contains(head, "\n\t") || strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") ||
				strings.Contains(low, "\ncontent-length:") && strings.Contains(low, "\ntransfer-encoding:") || strings.Count(low, "\ncontent-length:") > 1 || strings.Count(low, "\nhost:") != 1 {
				t.Errorf("%s: the process was sent\n%q", title, head)
			}
			targets = append(targets, q.RequestURI)
			if _, err := io.Copy(io.Discard, q.Body); err != nil {
				break // cut off
			}
		}
	}
	return targets
}

const hidden = "GET /smuggled HTTP/1.1\r\nHost: api\r\n\r\n"

// smuggling are requests of which two readers may see different ends.
var smuggling = map[string]string{
	"CL.TE":                      "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 46\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE.CL":                      "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n29\r\n" + hidden + "\r\n0\r\n\r\n",
	"TE unknown":                 "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE twice":                   "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
	"TE list":                    "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
	"TE blank before colon":      "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
	"TE tab":                     "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE vertical tab":            "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE folded":                  "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE after bare LF":           "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE after bare CR":           "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\nX: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE in HTTP/1.0":             "POST /ok HTTP/1.0\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"two lengths":                "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\nContent-Length: 41\r\n\r\n" + hidden,
	"length list":                "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 0, 41\r\n\r\n" + hidden,
	"length with sign":           "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: +0\r\n\r\n" + hidden,
	"length in hex":              "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 0x29\r\n\r\n" + hidden,
	"length below zero":          "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: -1\r\n\r\n" + hidden,
	"length too great":           "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 99999999999999999999\r\n\r\n" + hidden,
	"length blank before colon":  "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length : 41\r\n\r\n" + hidden,
	"length of a GET":            "GET /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 41\r\n\r\n" + hidden,
	"chunk size too great":       "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + hidden,
	"chunk size with sign":       "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + hidden,
	"chunk extension with LF":    "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n" + hidden,
	"chunk without its end":      "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n" + hidden,
	"chunk lines ended by LF":    "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n" + hidden,
	"trailer that frames":        "POST /ok HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 41\r\n\r\n" + hidden,
	"header folded":              "GET /ok HTTP/1.1\r\nHost: api\r\nX: a\r\n b\r\n\r\n",
	"header without colon":       "GET /ok HTTP/1.1\r\nHost: api\r\nX\r\n\r\n" + hidden,
	"header without name":        "GET /ok HTTP/1.1\r\nHost: api\r\n: x\r\n\r\n" + hidden,
	"header with NUL":            "GET /ok HTTP/1.1\r\nHost: api\r\nX: a\x00b\r\n\r\n",
	"first header begins blank":  "GET /ok HTTP/1.1\r\n Host: api\r\n\r\n" + hidden,
	"two hosts":                  "GET /ok HTTP/1.1\r\nHost: api\r\nHost: other\r\n\r\n",
	"no host":                    "GET /ok HTTP/1.1\r\n\r\n" + hidden,
	"two requests":               "GET /ok HTTP/1.1\r\nHost: api\r\n\r\n" + hidden,
	"upgrade to h2c":             "GET /ok HTTP/1.1\r\nHost: api\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + hidden,
	"websocket that is not":      "GET /ok HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + hidden,
	"expectation":                "POST /ok HTTP/1.1\r\nHost: api\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n" + hidden,
	"blank in the target":        "GET /ok /x HTTP/1.1\r\nHost: api\r\n\r\n" + hidden,
	"version of tomorrow":        "GET /ok HTTP/1.9\r\nHost: api\r\n\r\n" + hidden,
	"length hidden by a hop":     "POST /ok HTTP/1.1\r\nHost: api\r\nConnection: content-length\r\nContent-Length: 41\r\n\r\n" + hidden,
	"encoding hidden by a hop":   "POST /ok HTTP/1.1\r\nHost: api\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"host hidden by a hop":       "GET /ok HTTP/1.1\r\nHost: api\r\nConnection: host\r\n\r\n" + hidden,
	"absolute form, other host":  "GET http://api:8090/ok HTTP/1.1\r\nHost: other\r\n\r\n" + hidden,
	"length with a blank inside": "POST /ok HTTP/1.1\r\nHost: api\r\nContent-Length: 4 1\r\n\r\n" + hidden,
}

// TestSmuggling sends each of them to both sides of a proxy: what a rule does not let through does not come to the process inside of
// something else.
func TestSmuggling(t *testing.T) {
	w := newWorld(t)
	const name = "api.shop.svc.cluster.local:8090"
	rules := grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {onPath("/ok")}})
	w.setInbound("shop/api", []door{{port: 8090, http: true, rules: rules}})
	d := w.pod("shop/api").ready(t)
	rec := w.recorder(d, 8090)
	w.cluster(name, 8090, "shop/api", d)
	w.setRoutes(name, to("", nil, arm{name, 1}))
	w.setListener(name, "http")
	web := w.client("shop/web")
	wantBody(t, web.http1(t), "http://api:8090/ok", "ok")
	svid := w.ca.issue(t, "shop/web")
	for title, text := range smuggling {
		for side, dial := range map[string]func() (net.Conn, error){
			"outbound": func() (net.Conn, error) { return net.Dial("tcp", web.OutboundAddr().String()) },
			"inbound":  func() (net.Conn, error) { return w.dialPeer(d, svid, "8090.api.shop", "http/1.1") },
		} {
			c, err := dial()
			check(t, err)
			send := strings.ReplaceAll(text, "Host: api\r\n", "Host: api:8090\r\n")
			check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
			io.WriteString(c, send)
			// A request of our own behind it ends the exchange on whatever terms the proxy keeps.
			io.WriteString(c, "GET /end HTTP/1.1\r\nHost: api:8090\r\nConnection: close\r\n\r\n")
			if w, ok := c.(interface{ CloseWrite() error }); ok {
				w.CloseWrite()
			}
			if _, err := io.Copy(io.Discard, c); isTimeout(err) {
				t.Errorf("%s, %s: the connection hangs", title, side)
			}
			c.Close()
			for _, target := range rec.requests(t, title+", "+side) {
				if target != "/ok" {
					t.Fatalf("%s, %s: the process was asked for %s", title, side, target)
				}
			}
		}
	}
}

// TestHeaderTricks holds that neither case nor repetition nor sheer size gets a header around a rule.
func TestHeaderTricks(t *testing.T) {
	w := newWorld(t)
	w, d := guarded(t, grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {withHeader("x-role", "admin")}}))
	for head, want := range map[string]int{
		"X-Role: admin":                                     200,
		"x-ROLE: admin":                                     200,
		"X-Role:   admin  ":                                 200,
		"X-Role: admin\r\nX-Role: evil":                     403,
		"X-Role: evil\r\nx-role: admin":                     403,
		"X-Role: admin\r\nX-ROLE: admin":                    403,
		"X-Role: Admin":                                     403,
		"X-Role: admin,":                                    403,
		"X_Role: admin":                                     403,
		"X-Role\t: admin":                                   400,
		"X-Role: adm\r\n in":                                0, // refused, or one value with a blank: no admin
		"X-Role: admin\r\nConnection: X-ROLE":               403,
		"X-Role: admin\r\nX: " + strings.Repeat("a", 3<<20): 431,
	} {
		c, err := w.dialPeer(d, w.ca.issue(t, "shop/web"), "8080.x", "http/1.1")
		check(t, err)
		check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		go fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: api\r\n%s\r\n\r\n", head)
		code := 0
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			code = res.StatusCode
		}
		if code != want && (want != 0 || code == 200) && (want != 431 || code == 200) {
			t.Errorf("%.60q: %d, want %d", head, code, want)
		}
		c.Close()
	}
}

// TestSlowHead holds that a client which does not finish its head is cut, on both sides, while others are served.
func TestSlowHead(t *testing.T) {
	w := newWorld(t)
	w.setInbound("shop/api", open(8080))
	quick := func(c *proxy.Config) { c.HeadTimeout = 300 * time.Millisecond }
	d := w.serve("shop/api", 8080, says("ok"), quick)
	w.cluster(api, 8080, "shop/api", d)
	w.setRoutes(api, to("", nil, arm{api, 1}))
	w.setListener(api, "http")
	web := w.client("shop/web", quick)
	svid := w.ca.issue(t, "shop/web")
	var all sync.WaitGroup
	for i := range 40 {
		var c net.Conn
		var err error
		if i%2 == 0 {
			c, err = net.Dial("tcp", web.OutboundAddr().String())
		} else {
			c, err = w.dialPeer(d, svid, "8080.api", "http/1.1")
		}
		check(t, err)
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: api:8080\r\nX: ")
		check(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		all.Go(func() {
			b, err := io.ReadAll(c)
			if isTimeout(err) || bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
				t.Errorf("a half head: %q %v", b, err)
			}
		})
	}
	wantBody(t, web.http1(t), "http://api:8080/", "ok")
	all.Wait()
}
