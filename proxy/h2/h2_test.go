// SPDX-License-Identifier: Apache-2.0

package h2_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/message"
)

func asConnError(err error, into *http2.ConnectionError) bool { return errors.As(err, into) }

func client(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestEcho is our server's side against net/http's client: bodies of all sizes, many at a time, trailers.
func TestEcho(t *testing.T) {
	addr, _ := listen(t, echoes)
	c := client(t)
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			size := []int{0, 1, 100, 16 << 10, 16<<10 + 1, 300 << 10, 3 << 20}[i%7]
			body := make([]byte, size)
			_, _ = mrand.NewChaCha8([32]byte{byte(i)}).Read(body)
			req, err := http.NewRequestWithContext(context.Background(), "POST", fmt.Sprintf("http://%s/p%d?q", addr, i), bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 1 && size > 0 { // net/http sends no trailers after no body, nor an end
				req.Trailer = http.Header{"X-Last": {"word"}}
				req.ContentLength = -1
			}
			res, err := c.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
				t.Errorf("%d: %d bytes for %d: %v", i, len(got), size, err)
			}
			if res.Header.Get("X-Path") != fmt.Sprintf("/p%d", i) || res.Header.Get("X-Query") != "?q" || res.Header.Get("X-Authority") != addr {
				t.Errorf("%d: %v", i, res.Header)
			}
			if i%2 == 1 && size > 0 && res.Trailer.Get("X-Last") != "word" {
				t.Errorf("%d: trailers %v", i, res.Trailer)
			}
		})
	}
	all.Wait()
}

// TestMalformed holds that a malformed request is reset, alone, and never reaches a handler.
func TestMalformed(t *testing.T) {
	addr, _ := listen(t, func(s *h2.Stream) h2.Handler { return &echo{s} })
	with := func(nv ...string) []string { return append(append([]string{}, good...), nv...) }
	for what, nv := range map[string][]string{
		"no method":               {":scheme", "http", ":path", "/", ":authority", "a"},
		"no scheme":               {":method", "GET", ":path", "/", ":authority", "a"},
		"another scheme":          {":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "a"},
		"no path":                 {":method", "GET", ":scheme", "http", ":authority", "a"},
		"an empty path":           {":method", "GET", ":scheme", "http", ":path", "", ":authority", "a"},
		"a relative path":         {":method", "GET", ":scheme", "http", ":path", "a", ":authority", "a"},
		"a URL":                   {":method", "GET", ":scheme", "http", ":path", "http://a/", ":authority", "a"},
		"a blank in the path":     {":method", "GET", ":scheme", "http", ":path", "/a b", ":authority", "a"},
		"a method with a blank":   {":method", "GET /", ":scheme", "http", ":path", "/", ":authority", "a"},
		"a double path":           {":method", "GET", ":scheme", "http", ":path", "/", ":path", "/x", ":authority", "a"},
		"a late pseudo header":    {":method", "GET", ":scheme", "http", "x", "y", ":path", "/", ":authority", "a"},
		"an unknown one":          {":method", "GET", ":scheme", "http", ":path", "/", ":protocol", "websocket", ":authority", "a"},
		"a status":                {":method", "GET", ":scheme", "http", ":path", "/", ":status", "200"},
		"CONNECT with a path":     {":method", "CONNECT", ":scheme", "http", ":path", "/", ":authority", "a"},
		"upper case":              with("X-A", "b"),
		"a name that is none":     with("a b", "c"),
		"an empty name":           with("", "c"),
		"a colon within":          with("a:b", "c"),
		"a newline":               with("a", "b\r\nc: d"),
		"a zero":                  with("a", "b\x00"),
		"blanks around":           with("a", " b"),
		"connection":              with("connection", "close"),
		"keep-alive":              with("keep-alive", "1"),
		"proxy-connection":        with("proxy-connection", "close"),
		"transfer-encoding":       with("transfer-encoding", "chunked"),
		"upgrade":                 with("upgrade", "h2c"),
		"te gzip":                 with("te", "gzip"),
		"another host":            with("host", "b"),
		"two hosts":               with("host", "a", "host", "a"),
		"a length that is none":   with("content-length", "x"),
		"a length with a sign":    with("content-length", "+1"),
		"two lengths":             with("content-length", "1", "content-length", "1"),
		"a length without a body": with("content-length", "1"),
	} {
		r := dialRaw(t, addr)
		id := r.open(true, nv...)
		r.until(what+" to be reset", func(f http2.Frame) bool {
			if h, ok := f.(*http2.HeadersFrame); ok && h.StreamID == id {
				t.Errorf("%s was answered", what)
				return true
			}
			x, ok := f.(*http2.RSTStreamFrame)
			return ok && x.StreamID == id && x.ErrCode == http2.ErrCodeProtocol
		})
		r.alive()
	}
	r := dialRaw(t, addr)
	r.open(true, append(append([]string{}, good[:6]...), "host", "b", "te", "trailers", "cookie", "a=1", "cookie", "b=2")...)
	r.until("a host alone to be taken", func(f http2.Frame) bool { h, ok := f.(*http2.HeadersFrame); return ok && h.StreamEnded() })
}

// TestBodies holds the rules of bodies and windows.
func TestBodies(t *testing.T) {
	addr, _ := listen(t, func(s *h2.Stream) h2.Handler { return hoard{s} })
	lone := func(what string, say func(r *raw, id uint32), code http2.ErrCode, nv ...string) {
		r := dialRaw(t, addr)
		id := r.open(false, append(append([]string{}, good...), nv...)...)
		say(r, id)
		r.until(what, func(f http2.Frame) bool {
			x, ok := f.(*http2.RSTStreamFrame)
			return ok && x.StreamID == id && x.ErrCode == code
		})
		r.alive()
	}
	lone("more than announced", func(r *raw, id uint32) { check(t, r.WriteData(id, false, []byte("abc"))) }, http2.ErrCodeProtocol, "content-length", "2")
	lone("less than announced", func(r *raw, id uint32) { check(t, r.WriteData(id, true, []byte("a"))) }, http2.ErrCodeProtocol, "content-length", "2")
	lone("data after the end", func(r *raw, id uint32) {
		check(t, r.WriteData(id, true, nil))
		check(t, r.WriteData(id, true, nil))
	}, http2.ErrCodeStreamClosed)
	lone("a second head that does not end the stream", func(r *raw, id uint32) {
		check(t, r.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block("x", "y"), EndHeaders: true}))
	}, http2.ErrCodeProtocol)
	lone("a pseudo header in trailers", func(r *raw, id uint32) {
		check(t, r.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.block(":path", "/"), EndHeaders: true, EndStream: true}))
	}, http2.ErrCodeProtocol)

	whole := func(what string, say func(r *raw) error, code http2.ErrCode) {
		r := dialRaw(t, addr)
		_ = say(r) // it may be cut off before it is done
		if got, told := r.goAway(); !told || got != code {
			t.Errorf("%s: %v %v", what, got, told)
		}
	}
	whole("more than the stream's window", func(r *raw) error {
		id := r.open(false, good...)
		for range 17 {
			if err := r.WriteData(id, false, make([]byte, 16<<10)); err != nil {
				return err
			}
		}
		return nil
	}, http2.ErrCodeFlowControl)
	whole("a frame that is too large", func(r *raw) error { return r.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 16<<10+1)) }, http2.ErrCodeFrameSize)
	whole("data on no stream", func(r *raw) error { return r.WriteData(5, false, []byte("x")) }, http2.ErrCodeProtocol)
	whole("an even id", func(r *raw) error { r.next = 2; r.open(true, good...); return nil }, http2.ErrCodeProtocol)
	whole("a push", func(r *raw) error {
		return r.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
	}, http2.ErrCodeProtocol)
	whole("HPACK that is none", func(r *raw) error {
		return r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
	}, http2.ErrCodeCompression)
	whole("a window beyond all", func(r *raw) error { return r.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl)
	whole("a table of push", func(r *raw) error { return r.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 2}) }, http2.ErrCodeProtocol)
	whole("a continuation of nothing", func(r *raw) error { return r.WriteContinuation(1, true, nil) }, http2.ErrCodeProtocol)
	whole("interleaved heads", func(r *raw) error {
		check(t, r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(good...)}))
		return r.WritePing(false, [8]byte{})
	}, http2.ErrCodeProtocol)
}

// hoard takes everything and gives back no room.
type hoard struct{ *h2.Stream }

func (hoard) Head(*h2.Turn, *message.Head, bool) {}
func (hoard) Data(*h2.Turn, []byte, bool)        {}
func (hoard) Trailers(*h2.Turn, []message.Field) {}
func (hoard) Sent(*h2.Turn, int)                 {}
func (hoard) Closed(*h2.Turn, error)             {}

// TestManyHoarders holds that what nobody takes is bounded for a connection too: its window closes.
func TestManyHoarders(t *testing.T) {
	addr, _ := listen(t, func(s *h2.Stream) h2.Handler { return hoard{s} })
	r := dialRaw(t, addr)
	var mu sync.Mutex
	room := int64(65535)
	more := make(chan struct{}, 1)
	go func() {
		for {
			f, err := r.ReadFrame()
			if err != nil {
				return
			}
			if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 0 {
				mu.Lock()
				room += int64(w.Increment)
				mu.Unlock()
			}
			if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
				more <- struct{}{}
			}
		}
	}()
	total := int64(0)
	for {
		check(t, r.WritePing(false, [8]byte{})) // its windows have come
		<-more
		id := r.open(false, good...)
		for range 16 {
			mu.Lock()
			ok := room >= 16<<10
			room -= 16 << 10
			mu.Unlock()
			if !ok {
				t.Logf("the window closed after %d KB on %d streams", total>>10, id/2+1)
				if total > 6<<20 || total < 4<<20 {
					t.Errorf("%d bytes are held", total)
				}
				return
			}
			check(t, r.WriteData(id, false, make([]byte, 16<<10)))
			total += 16 << 10
		}
	}
}

// TestLargeHead holds that a request with too large a head is answered, and the connection lives on.
func TestLargeHead(t *testing.T) {
	addr, _ := listen(t, echoes)
	r := dialRaw(t, addr)
	block := append([]byte{}, r.block(append(append([]string{}, good...), "x", strings.Repeat("x", 70<<10))...)...)
	check(t, r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16<<10], EndStream: true}))
	for block = block[16<<10:]; ; {
		n := min(len(block), 16<<10)
		check(t, r.WriteContinuation(1, n == len(block), block[:n]))
		if block = block[n:]; len(block) == 0 {
			break
		}
	}
	r.until("431", func(f http2.Frame) bool { h, ok := f.(*http2.HeadersFrame); return ok && h.StreamEnded() })
	r.alive()
}

// TestLeave holds that a connection which leaves finishes what is under way, takes what was sent before the client knew, and nothing after.
func TestLeave(t *testing.T) {
	addr, conns := listen(t, echoes)
	r := dialRaw(t, addr)
	c := <-conns
	one := r.open(false, good...)
	r.alive()
	c.Leave()
	var ping [8]byte
	r.until("the first GOAWAY", func(f http2.Frame) bool { g, ok := f.(*http2.GoAwayFrame); return ok && g.LastStreamID == 1<<31-1 })
	r.until("the ping", func(f http2.Frame) bool {
		p, ok := f.(*http2.PingFrame)
		if ok {
			ping = p.Data
		}
		return ok && !p.IsAck()
	})
	late := r.open(true, good...)
	check(t, r.WritePing(true, ping))
	r.until("the last GOAWAY", func(f http2.Frame) bool { g, ok := f.(*http2.GoAwayFrame); return ok && g.LastStreamID == late })
	check(t, r.WriteData(one, true, []byte("end")))
	r.until("the end of the stream under way", func(f http2.Frame) bool {
		d, ok := f.(*http2.DataFrame)
		return ok && d.StreamID == one && d.StreamEnded()
	})
	<-c.Done()
}

// faulty panics at each request.
type faulty struct{ hoard }

func (faulty) Head(*h2.Turn, *message.Head, bool) { panic("a fault, as the test wants it") }

// TestFault holds that a panic of ours ends the connection that met it, and no other.
func TestFault(t *testing.T) {
	bad, _ := listen(t, func(s *h2.Stream) h2.Handler { return faulty{hoard{s}} })
	good1, _ := listen(t, echoes)
	other := dialRaw(t, good1)
	other.alive()
	r := dialRaw(t, bad)
	r.open(true, good...)
	for {
		if _, err := r.ReadFrame(); err != nil {
			break
		}
	}
	other.alive()
}
