// SPDX-License-Identifier: Apache-2.0

package h2

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anymesh/anymesh/proxy/message"
)

// mirror answers with what it gets, and counts.
type mirror struct{ s *Stream }

func (m mirror) Head(t *Turn, h *message.Head, end bool) {
	_ = m.s.SendHead(t, &message.Head{Status: 200, Fields: h.Fields}, end)
}

func (m mirror) Data(t *Turn, p []byte, end bool) {
	n, _ := m.s.Send(t, p, end)
	m.s.Grant(t, len(p)-n)
}
func (m mirror) Trailers(t *Turn, f []message.Field) { _ = m.s.SendTrailers(t, f) }
func (m mirror) Sent(t *Turn, n int)                 { m.s.Grant(t, n) }
func (m mirror) Closed(*Turn, error)                 {}

// FuzzFrames holds that no bytes make a server panic, and that its books stay within their bounds.
func FuzzFrames(f *testing.F) {
	var wire, block bytes.Buffer
	fr, enc := http2.NewFramer(&wire, nil), hpack.NewEncoder(&block)
	for _, p := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: p[0], Value: p[1]})
	}
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = fr.WriteData(1, false, []byte("hello"))
	_ = fr.WriteWindowUpdate(1, 10)
	_ = fr.WriteDataPadded(1, true, []byte("more"), make([]byte, 7))
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block.Bytes()[:2]})
	_ = fr.WriteContinuation(3, true, block.Bytes()[2:])
	_ = fr.WriteRSTStream(3, http2.ErrCodeCancel)
	_ = fr.WritePing(false, [8]byte{1})
	_ = fr.WriteGoAway(0, 0, nil)
	f.Add(wire.Bytes())
	f.Add(wire.Bytes()[:40])
	f.Fuzz(func(t *testing.T, p []byte) {
		near, far := net.Pipe()
		c := Server(far, Options{Accept: func(s *Stream) Handler { return mirror{s} }})
		go func() { _, _ = io.Copy(io.Discard, near) }()
		_, _ = io.WriteString(near, http2.ClientPreface)
		_, _ = near.Write(p)
		c.mu.Lock()
		var held int64
		for _, s := range c.streams {
			held += s.held
			if s.held < 0 || s.held > streamWindow || len(s.queue)-s.first > streamWindow {
				t.Errorf("stream %d holds %d and queues %d", s.ID, s.held, len(s.queue)-s.first)
			}
		}
		if c.held != held || len(c.streams) > MaxStreams || len(c.out) > hardLimit+MaxHead {
			t.Errorf("held %d for %d, %d streams, %d to go out", c.held, held, len(c.streams), len(c.out))
		}
		c.mu.Unlock()
		near.Close()
		<-c.Done()
	})
}
