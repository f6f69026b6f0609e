// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/anymesh/anymesh/proxy"
)

// answers are what a process says, byte for byte. SEEN is what it was asked, and LEN how long that is.
var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: LEN\r\nContent-Type: text/x\r\nX-Two: a\r\nX-Two: b\r\n\r\nSEEN",
	"HTTP/1.1 200 OK\r\nContent-Length: LEN\r\n\r\nSEEN",
	"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nHEXLEN\r\nSEEN\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
	"HTTP/1.1 404 Not Found\r\nContent-Length: LEN\r\nConnection: close\r\n\r\nSEEN",
	"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nContent-Length: LEN\r\nConnection: keep-alive\r\n\r\nSEEN",
	"HTTP/1.1 200 OK\r\n\r\nto the end SEEN",
	"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nold SEEN",
	"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: LEN\r\n\r\nSEEN",
	"HTTP/1.1 200 OK\r\nContent-Length: LEN\r\nX-Fold: a\r\n b\r\n\r\nSEEN",
	"HTTP/1.1 200 OK\nContent-Length: LEN\n\nSEEN",
	"HTTP/1.1 599 Whatever\r\nContent-Length: LEN\r\nContent-Length: LEN\r\n\r\nSEEN",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\nHEXLEN\r\nSEEN\r\n0\r\nX-T: v\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nHEXLEN\r\nSEEN\r\n0\r\nX-U: w\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n",
	"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nX-Anymesh-Denied: access\r\nX-Anymesh-Error: forged\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: application/grpc\r\nGrpc-Status: 13\r\n\r\n",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: LEN\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nSEEN",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\ncut SEEN", // and the end
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncu",
	"HTTP/1.1 2x0 OK\r\n\r\n",
	"",
}

// seen is a request as a process sees it.
func seen(r *http.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s length %d %q\n", r.Method, r.RequestURI, r.Host, r.ContentLength, r.TransferEncoding)
	var lines []string
	for k, v := range r.Header {
		lines = append(lines, fmt.Sprintf("%s: %q", k, v))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, "\n"))
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(&b, "\nbody of %d, %x %v", len(body), body[:min(len(body), 20)], err)
	return b.String()
}

// rawApp answers as the header X-Answer says.
func (w *world) rawApp(d *pod, port uint16) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(d.ip, port).String())
	check(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			n, _ := strconv.Atoi(req.Header.Get("X-Answer"))
			text := seen(req)
			out := strings.NewReplacer("HEXLEN", fmt.Sprintf("%x", len(text)), "LEN", fmt.Sprint(len(text)), "SEEN", text).Replace(answers[n])
			head, body, _ := strings.Cut(out, "\n\n")
			if strings.Contains(out, "\r\n\r\n") {
				head, body, _ = strings.Cut(out, "\r\n\r\n")
				head += "\r\n\r\n"
			} else if head != "" {
				head += "\n\n"
			}
			if req.Method == "HEAD" {
				body = ""
				if strings.Contains(head, " 103 ") {
					body = strings.SplitAfter(out, "\r\n\r\n")[1]
				}
			}
			io.WriteString(c, head+body)
			if a := answers[n]; strings.Contains(a, "close") || strings.Contains(a, "cut ") || !strings.Contains(a, "Length: ") && !strings.Contains(a, "HEXLEN") && !strings.Contains(a, " 204 ") && !strings.Contains(a, " 304 ") {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}

// question makes a random valid request. It is plain: nothing in it is odd.
func question(r *rand.Rand) []byte {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var b bytes.Buffer
	method := pick("GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
	path := pick("/", "/a/b", "/secret", "/%2e%2e/x;y=z", "/v1/items/17", "/~u/'()*") + pick("", "", "?", "?a=b&c=%zz", "?q=http://x/")
	host := pick("api:8080", "api.shop:8080", "API.shop.svc.cluster.local:8080")
	if r.IntN(2) == 0 {
		path = "http://" + host + path
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Answer: %d\r\n", method, path, host, r.IntN(len(answers)))
	b.WriteString(pick("", "USER-AGENT: me\r\n"))
	for range r.IntN(5) {
		b.WriteString(pick("Cookie: a=b", "cookie:c=d", "X-Role:\t admin ", "Accept: */*", "Pragma: no-cache", "Cache-Control: no-store",
			"Keep-Alive: timeout=3", "Proxy-Connection: keep-alive", "Connection: keep-alive", "X-Forwarded-Client-Cert: URI=spiffe://forged", "X-Empty:",
			"Proxy-Authorization: Basic eA==", "X-Utf: \xc3\xa4", "X-Anymesh-Denied: me", "Content-Type: text/plain", "X-Forwarded-For: 1.2.3.4") + "\r\n")
	}
	body := bytes.Repeat([]byte("0123456789"), []int{0, 1, 100, 1000, 20_000}[r.IntN(5)])
	switch {
	case method == "GET" || method == "HEAD" || method == "OPTIONS" || len(body) == 0 || r.IntN(5) == 0:
		b.WriteString("\r\n")
	case r.IntN(2) == 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(len(body), 1+r.IntN(9000))
			fmt.Fprintf(&b, "%X\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\n\r\n")
	}
	return b.Bytes()
}

// heard is all that can be told of a response, and what the proxies made of the exchange.
type heard struct {
	text   string
	access []proxy.Access
}

// listening collects what proxies tell of requests.
type listening struct {
	mu  sync.Mutex
	all []proxy.Access
}

func (l *listening) hear(c *proxy.Config) {
	c.Access = func(a proxy.Access) {
		a.Duration = 0
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, a)
	}
}

func (l *listening) take(t *testing.T, n int) []proxy.Access {
	var out []proxy.Access
	eventually(t, "all is told", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.all) < n {
			return false
		}
		out, l.all = l.all, nil
		return true
	})
	slices.SortFunc(out, func(a, b proxy.Access) int { return strings.Compare(string(a.Side), string(b.Side)) })
	return out
}

// exchange sends one request over a new connection. Slow: after an odd one, so that net/http serves it.
func exchange(t *testing.T, dial func() net.Conn, request []byte, slow bool, told *listening, sides int) heard {
	c := dial()
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	r := bufio.NewReader(c)
	if slow {
		io.WriteString(c, "GET /secret HTTP/1.1\r\nHost: api:8080\r\nX-Fold: a\r\n b\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		check(t, err)
		_, err = io.ReadAll(res.Body)
		check(t, err)
		told.take(t, sides)
	}
	go c.Write(request) // an answer may come before the question ends
	method, _, _ := strings.Cut(string(request), " ")
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return heard{text: "cut off", access: told.take(t, sides)}
	}
	body, err := io.ReadAll(res.Body)
	if err != nil { // how much of it came is a matter of buffers
		return heard{text: "cut off", access: told.take(t, sides)}
	}
	if res.StatusCode == 503 || res.StatusCode == 502 {
		body, res.ContentLength = nil, 0 // the reason has other words
		for _, k := range []string{"X-Anymesh-Error", "Content-Length"} {
			if res.Header[k] != nil {
				res.Header[k] = []string{"one"}
			}
		}
	}
	if res.Header.Get("X-Anymesh-Error") != "" || res.Header.Get("X-Anymesh-Denied") != "" {
		delete(res.Header, "Date")
	}
	var lines []string
	for k, v := range res.Header {
		lines = append(lines, fmt.Sprintf("%s: %q", k, v))
	}
	slices.Sort(lines)
	text := fmt.Sprintf("%s length %d %q close %v trailer %v\n%s\n\n%s", res.Status, res.ContentLength, res.TransferEncoding, res.Close, res.Trailer,
		strings.Join(lines, "\n"), body)
	return heard{text: text, access: told.take(t, sides)}
}

// TestAlike holds that both codecs answer alike: what the client gets, what the process sees, what is counted and told.
func TestAlike(t *testing.T) {
	w := newWorld(t)
	var told listening
	rules := grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{
		"TrafficTarget/shop/all": {onPath("/|/a.*|/%2e.*|/v1/.*|/~.*")}})
	w.setInbound("shop/api", []door{{port: 8080, http: true, rules: rules}})
	d := w.pod("shop/api", told.hear).ready(t)
	w.rawApp(d, 8080)
	w.cluster(api, 8080, "shop/api", d)
	w.setRoutes(api, to("split", nil, arm{api, 1}))
	w.setListener(api, "http")
	web := w.client("shop/web", told.hear)
	svid := w.ca.issue(t, "shop/web")
	for name, side := range map[string]struct {
		dial  func() net.Conn
		sides int
	}{
		"outbound": {func() net.Conn {
			c, err := net.Dial("tcp", web.OutboundAddr().String())
			check(t, err)
			return c
		}, 2},
		"inbound": {func() net.Conn {
			c, err := w.dialPeer(d, svid, "8080.x", "http/1.1")
			check(t, err)
			return c
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 0))
			for i := range 150 {
				q := question(r)
				quick := exchange(t, side.dial, q, false, &told, side.sides)
				slow := exchange(t, side.dial, q, true, &told, side.sides)
				if quick.text != slow.text {
					t.Errorf("seed %d, request %d %.300q\nquick: %.900s\nslow:  %.900s", seed, i, q, quick.text, slow.text)
				}
				if fmt.Sprintf("%+v", quick.access) != fmt.Sprintf("%+v", slow.access) {
					t.Errorf("seed %d, request %d %.300q\nquick: %+v\nslow:  %+v", seed, i, q, quick.access, slow.access)
				}
				if t.Failed() && i > 3 {
					return
				}
			}
		})
	}
}
