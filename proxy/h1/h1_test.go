// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http/httpguts"

	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
)

// bytesConn is a connection of which bytes are read.
type bytesConn struct {
	net.Conn
	io.Reader
}

func (c bytesConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func over(r io.Reader) *Conn { return NewConn(bytesConn{Reader: r}, nil) }

// hop are the headers that a proxy takes out, or that stand elsewhere in a Head.
var hop = []string{"Host", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Transfer-Encoding",
	"Http2-Settings"}

// same compares the fields of a head with what net/http read.
func same(fields []message.Field, h http.Header) error {
	want := h.Clone()
	for _, n := range hop {
		delete(want, n)
	}
	if host := h["Host"]; host != nil { // of a response: nothing special
		want["Host"] = host
	}
	got := http.Header{}
	for _, f := range fields {
		if f.Name != strings.ToLower(f.Name) {
			return fmt.Errorf("name %q", f.Name)
		}
		got.Add(f.Name, f.Value)
	}
	if len(got) != len(want) {
		return fmt.Errorf("%q, net/http %q", got, want)
	}
	for k, v := range want {
		if !slices.Equal(got[k], v) {
			return fmt.Errorf("%s: %q, net/http %q", k, got[k], v)
		}
	}
	return nil
}

func all(b *Body, trailers *message.Head) (out []byte, err error) {
	for {
		p, err := b.Next(trailers)
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return out, err
		}
		out = append(out, p...)
	}
}

var requests = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a/b?c=d HTTP/1.1\r\nhost:\ta.b:80 \r\nX-Y:  z \r\nx-y:\r\nUser-Agent: u\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /%41 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: Close\r\n\r\nhelloGET ",
	"PUT /? HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nrest",
	"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: v\r\n\r\n",
	"GET http://a:1/x HTTP/1.1\r\nHost: a:1\r\nPragma: no-cache\r\nCookie: a\r\nCookie: b\r\n\r\n",
	"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nProxy-Connection: keep-alive\r\n\r\n",
}

// odd are requests that this package leaves to net/http, whatever that makes of them.
var odd = []string{
	"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: 1\x002\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: \r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"GET / HTTP/1.1\r\n\r\n",
	"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
	"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
	"get / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nx",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	"POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-role\r\nX-Role: admin\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", MaxHead) + "\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"\x16\x03\x01\x02\x00",
	"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
}

func TestOdd(t *testing.T) {
	for _, s := range odd {
		c := over(strings.NewReader(s))
		var h message.Head
		if _, err := c.ReadRequest(&h); err != ErrOdd {
			t.Errorf("%.80q: %v, target %.80q", s, err, h.Path)
		}
		rest, err := io.ReadAll(io.MultiReader(bytes.NewReader(c.Unread()), c.Conn))
		if err != nil || !strings.EqualFold(string(rest), s) { // names may have become lower case
			t.Errorf("%.80q: left %.80q", s, rest)
		}
	}
}

// FuzzRequest holds that what is taken, net/http takes with the same meaning, up to the same byte.
func FuzzRequest(f *testing.F) {
	for _, s := range append(slices.Clone(requests), odd...) {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, slow bool) {
		var src io.Reader = bytes.NewReader(in)
		if slow {
			src = iotest.OneByteReader(src)
		}
		c := over(src)
		var h message.Head
		r, err := c.ReadRequest(&h)
		if err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(in))
		want, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("taken: %+v, net/http: %v", h, err)
		}
		target := strings.TrimPrefix(want.RequestURI, "http://"+want.Host)
		if h.Method != want.Method || h.Path+h.Query != target || h.Authority != want.Host || r.Close != want.Close ||
			h.Length != want.ContentLength || (h.Length < 0) != slices.Equal(want.TransferEncoding, []string{"chunked"}) || want.ProtoMinor != 1 {
			t.Fatalf("%+v, net/http %+v", h, want)
		}
		if p, _, _ := strings.Cut(want.RequestURI, "?"); !strings.HasSuffix(p, h.Path) || want.URL.EscapedPath() == "" {
			t.Fatalf("path %q of %q", h.Path, want.RequestURI)
		}
		want.Header.Del("X-Forwarded-Client-Cert")
		if err := same(h.Fields, want.Header); err != nil {
			t.Fatal(err)
		}
		for _, fd := range h.Fields {
			if !httpguts.ValidHeaderFieldValue(fd.Value) || !httpguts.ValidHeaderFieldName(fd.Name) {
				t.Fatalf("a field that a server refuses: %+v", fd)
			}
			canonical := textproto.CanonicalMIMEHeaderKey(fd.Name)
			a, okA := h.Value(policy.Name{Lower: fd.Name, Canonical: canonical})
			b, okB := policy.HTTP(want.Header).Value(policy.Name{Lower: fd.Name, Canonical: canonical})
			if a != b || okA != okB {
				t.Fatalf("policy sees %s as %q, of net/http %q", fd.Name, a, b)
			}
		}
		before := fmt.Sprintf("%+v", h)
		body := c.Body(h.Length)
		got, err := all(&body, nil)
		wanted, errWanted := io.ReadAll(want.Body)
		if err == nil && errWanted != nil {
			t.Fatalf("body %q, net/http: %v", got, errWanted)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(got, wanted) {
			t.Fatalf("body %q, net/http %q", got, wanted)
		}
		if after := fmt.Sprintf("%+v", h); after != before {
			t.Fatalf("reading the body changed the head: %s, was %s", after, before)
		}
		left, _ := io.ReadAll(io.MultiReader(bytes.NewReader(c.Unread()), c.Conn))
		leftWanted, _ := io.ReadAll(br)
		if !bytes.EqualFold(left, leftWanted) {
			t.Fatalf("next comes %q, with net/http %q", left, leftWanted)
		}
	})
}

var responses = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok",
	"HTTP/1.1 204 \r\nX: y\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: v\r\n\r\n",
	"HTTP/1.1 500 \xe4\r\nConnection: close\r\n\r\nto the end",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nPragma: no-cache\r\nContent-Length: 0\r\nHost: x\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\nold",
	"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
}

// FuzzResponse holds the same of responses.
func FuzzResponse(f *testing.F) {
	for _, s := range responses {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		c := over(bytes.NewReader(in))
		var h, trailers message.Head
		r, err := c.ReadResponse(&h, method)
		if err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(in))
		want, err := http.ReadResponse(br, &http.Request{Method: method})
		for err == nil && want.StatusCode < 200 && want.StatusCode != 101 {
			want, err = http.ReadResponse(br, &http.Request{Method: method})
		}
		if err != nil {
			t.Fatalf("taken: %+v, net/http: %v", h, err)
		}
		if h.Status != want.StatusCode || want.ProtoMinor != 1 || h.Length != want.ContentLength && !head && bodied(h.Status) {
			t.Fatalf("%+v, net/http %+v", h, want)
		}
		if err := same(h.Fields, want.Header); err != nil {
			t.Fatal(err)
		}
		got, err := all(&r.Body, &trailers)
		wanted, errWanted := io.ReadAll(want.Body)
		if err == nil && errWanted != nil {
			t.Fatalf("body %q, net/http: %v", got, errWanted)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(got, wanted) {
			t.Fatalf("body %q, net/http %q", got, wanted)
		}
		if want.Close && !r.Close {
			t.Fatal("net/http would not use the connection again")
		}
		left, _ := io.ReadAll(io.MultiReader(bytes.NewReader(c.Unread()), c.Conn))
		leftWanted, _ := io.ReadAll(br)
		if !bytes.Equal(left, leftWanted) {
			t.Fatalf("next comes %q, with net/http %q", left, leftWanted)
		}
	})
}

func bodied(status int) bool { return status >= 200 && status != 204 && status != 304 }

// FuzzWrite holds that what is written is read as the same again, here and by net/http.
func FuzzWrite(f *testing.F) {
	for _, s := range requests {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := over(bytes.NewReader(in))
		var h, again message.Head
		if _, err := c.ReadRequest(&h); err != nil {
			return
		}
		if h.Length > 0 {
			h.Length = 0
		}
		out := AppendRequest(nil, &h)
		if h.Length < 0 {
			out = AppendLastChunk(AppendChunk(out, []byte("body")), &message.Head{Fields: []message.Field{{Name: "x-t", Value: "v"}}})
		}
		d := over(bytes.NewReader(out))
		if _, err := d.ReadRequest(&again); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if again.Method != h.Method || again.Path != h.Path || again.Query != h.Query || again.Authority != h.Authority || again.Length != h.Length {
			t.Fatalf("%+v, was %+v", again, h)
		}
		length := func(f message.Field) bool { return f.Name == "content-length" }
		if a, b := slices.DeleteFunc(again.Fields, length), slices.DeleteFunc(h.Fields, length); !slices.Equal(a, b) {
			t.Fatalf("%q, was %q", a, b)
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
		if err != nil {
			t.Fatalf("%q: net/http: %v", out, err)
		}
		if b, err := io.ReadAll(want.Body); err != nil || h.Length < 0 && (string(b) != "body" || want.Trailer.Get("X-T") != "v") {
			t.Fatalf("%q: net/http reads the body as %q %v %v", out, b, want.Trailer, err)
		}
	})
}

// TestIdle holds that a connection gives its large buffer back when a message ends, and keeps what belongs to the next one.
func TestIdle(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	first := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	c := over(strings.NewReader(first + "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"))
	var h message.Head
	if _, err := c.ReadRequest(&h); err != nil {
		t.Fatal(err)
	}
	b := c.Body(h.Length)
	got, err := all(&b, nil)
	if err != nil || string(got) != body || c.big == nil {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	c.Release()
	if c.big != nil {
		t.Error("the buffer was kept")
	}
	h.Reset()
	if _, err := c.ReadRequest(&h); err != nil || h.Path != "/2" || h.Authority != "b" {
		t.Errorf("%+v %v", h, err)
	}
	c.Release()
	if _, err := c.ReadRequest(&h); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

// TestAllocs holds that reading and writing heads allocates nothing.
func TestAllocs(t *testing.T) {
	req, res := []byte(requests[1]), []byte(responses[0])
	var h message.Head
	out := make([]byte, 0, 4096)
	r := bytes.NewReader(nil)
	c := over(r)
	n := testing.AllocsPerRun(100, func() {
		r.Reset(req)
		if _, err := c.ReadRequest(&h); err != nil {
			t.Fatal(err)
		}
		out = AppendRequest(out[:0], &h)
		c.r, c.w = 0, 0
		c.Release()
		r.Reset(res)
		a, err := c.ReadResponse(&h, "GET")
		if err != nil {
			t.Fatal(err)
		}
		out = AppendResponse(out[:0], &h, false, false)
		if p, err := a.Body.Next(nil); err != nil || string(p) != "ok" {
			t.Fatal(err)
		}
		c.Release()
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHead(b *testing.B) {
	req := []byte("GET /api/v1/products/17?x=y HTTP/1.1\r\nHost: catalog.shop:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip\r\nX-Request-Id: 0123456789abcdef\r\n\r\n")
	r := bytes.NewReader(nil)
	c := over(r)
	var h message.Head
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(req)
		if _, err := c.ReadRequest(&h); err != nil {
			b.Fatal(err)
		}
		out = AppendRequest(out[:0], &h)
		c.Release()
	}
}
