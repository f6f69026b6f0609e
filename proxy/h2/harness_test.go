// SPDX-License-Identifier: Apache-2.0

package h2_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/message"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// echo answers a request with its own body and trailers.
type echo struct{ s *h2.Stream }

func (e *echo) Head(t *h2.Turn, h *message.Head, end bool) {
	if h.Path == "/hang" {
		return
	}
	_ = e.s.SendHead(t, &message.Head{Status: 200, Fields: []message.Field{{Name: "x-path", Value: h.Path}, {Name: "x-query", Value: h.Query},
		{Name: "x-authority", Value: h.Authority}}}, end)
}

func (e *echo) Data(t *h2.Turn, p []byte, end bool) {
	waits, _ := e.s.Send(t, p, end)
	e.s.Grant(t, len(p)-waits)
}
func (e *echo) Trailers(t *h2.Turn, f []message.Field) { _ = e.s.SendTrailers(t, f) }
func (e *echo) Sent(t *h2.Turn, n int)                 { e.s.Grant(t, n) }
func (e *echo) Closed(*h2.Turn, error)                 {}

// listen serves connections with handlers made by accept, and returns the address and each connection as it comes.
func listen(t testing.TB, accept func(*h2.Stream) h2.Handler) (string, chan *h2.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	conns := make(chan *h2.Conn, 1) // the first one; net/http dials more than it needs
	var open []*h2.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			c := h2.Server(nc, h2.Options{Accept: accept})
			open = append(open, c)
			select {
			case conns <- c:
			default:
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
		for _, c := range open {
			c.Close()
		}
	})
	return l.Addr().String(), conns
}

func echoes(s *h2.Stream) h2.Handler { return &echo{s} }

// raw is a client that says what it likes.
type raw struct {
	t  testing.TB
	nc net.Conn
	*http2.Framer
	enc  *hpack.Encoder
	buf  bytes.Buffer
	next uint32
}

func dialRaw(t testing.TB, addr string) *raw {
	nc, err := net.Dial("tcp", addr)
	check(t, err)
	t.Cleanup(func() { nc.Close() })
	check(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	r := &raw{t: t, nc: nc, Framer: http2.NewFramer(nc, nc), next: 1}
	r.enc = hpack.NewEncoder(&r.buf)
	_, err = io.WriteString(nc, http2.ClientPreface)
	check(t, err)
	check(t, r.WriteSettings())
	return r
}

var good = []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"}

// block encodes names and values.
func (r *raw) block(nv ...string) []byte {
	r.buf.Reset()
	for i := 0; i < len(nv); i += 2 {
		check(r.t, r.enc.WriteField(hpack.HeaderField{Name: nv[i], Value: nv[i+1]}))
	}
	return r.buf.Bytes()
}

// open sends a request.
func (r *raw) open(end bool, nv ...string) uint32 {
	id := r.next
	r.next += 2
	check(r.t, r.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block(nv...), EndStream: end, EndHeaders: true}))
	return id
}

// until reads frames until ok says so; a connection that ends before fails the test.
func (r *raw) until(what string, ok func(http2.Frame) bool) {
	r.t.Helper()
	for {
		f, err := r.ReadFrame()
		if err != nil {
			r.t.Fatalf("before %s: %v", what, err)
		}
		if ok(f) {
			return
		}
	}
}

// goAway reads until the end of the connection and returns the code that it was told.
func (r *raw) goAway() (http2.ErrCode, bool) {
	code, told := http2.ErrCodeNo, false
	for {
		f, err := r.ReadFrame()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || told {
				return code, told
			}
			return code, told
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code, told = g.ErrCode, true
		}
	}
}

// alive tells whether the connection still answers a ping.
func (r *raw) alive() {
	r.t.Helper()
	check(r.t, r.WritePing(false, [8]byte{9}))
	r.until("a ping's answer", func(f http2.Frame) bool {
		p, ok := f.(*http2.PingFrame)
		return ok && p.IsAck() && p.Data == [8]byte{9}
	})
}
