// SPDX-License-Identifier: Apache-2.0

package h2

import (
	"errors"
	"io"

	"golang.org/x/net/http2"

	"github.com/anymesh/anymesh/proxy/message"
)

// serve is the reader.
func (c *Conn) serve() {
	err := c.Err()
	for err == nil {
		if !c.whole() {
			c.turn.end()
			c.reads.Add(1)
		}
		if err = c.step(); err != nil {
			if lone := (http2.StreamError{}); errors.As(err, &lone) {
				err = c.malformed(lone.StreamID, lone.Code)
			}
		}
	}
	c.turn.end()
	if errors.Is(err, http2.ErrFrameTooLarge) {
		err = fault(http2.ErrCodeFrameSize, "a frame is larger than allowed")
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	c.fail(err)
	// Until the peer has read why, or a moment has passed: to close over unread input would throw our last words away.
	_, _ = io.Copy(io.Discard, c.br)
	c.nc.Close()
}

// step reads a frame.
func (c *Conn) step() error {
	h, err := c.fr.ReadFrameHeader()
	if err != nil {
		return err
	}
	f, err := c.fr.ReadFrameForHeader(h)
	if err == nil {
		return c.take(f)
	}
	if lone := (http2.StreamError{}); errors.As(err, &lone) && h.Type == http2.FrameHeaders {
		return fault(lone.Code, "a header block was not read") // and so the table is lost
	}
	return err
}

// whole tells whether the next frame can be read without waiting.
func (c *Conn) whole() bool {
	n := c.br.Buffered()
	if n < 9 {
		return false
	}
	h, _ := c.br.Peek(9)
	return n >= 9+int(h[0])<<16+int(h[1])<<8+int(h[2])
}

// take is given each frame. Its error ends the connection, unless it is an http2.StreamError.
func (c *Conn) take(f http2.Frame) error {
	if _, ok := f.(*http2.SettingsFrame); !ok && !c.said {
		return fault(http2.ErrCodeProtocol, "the first frame is not SETTINGS")
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		return c.takeData(f)
	case *http2.HeadersFrame:
		return c.takeHeaders(f)
	case *http2.ContinuationFrame:
		return c.takeBlock(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.WindowUpdateFrame:
		return c.takeWindow(f)
	case *http2.RSTStreamFrame:
		return c.takeReset(f)
	case *http2.SettingsFrame:
		return c.takeSettings(f)
	case *http2.PingFrame:
		return c.takePing(f)
	case *http2.GoAwayFrame:
		return c.takeGoAway(f)
	case *http2.PushPromiseFrame:
		return fault(http2.ErrCodeProtocol, "nobody asked for a push")
	}
	return c.idle(1) // PRIORITY and what we do not know
}

var errNoise = fault(http2.ErrCodeEnhanceYourCalm, "too many frames that say nothing")

// idle pays for frames that say nothing.
func (c *Conn) idle(n int) error {
	if !c.noise.spend(n) {
		return errNoise
	}
	return nil
}

func (c *Conn) takeData(f *http2.DataFrame) error {
	size, p := int64(f.Length), f.Data()
	c.mu.Lock()
	s := c.streams[f.StreamID]
	err := c.received(s, size)
	if err == nil && s == nil && c.unborn(f.StreamID) {
		err = fault(http2.ErrCodeProtocol, "DATA on a stream that was never opened")
	}
	if err != nil || s == nil {
		c.unlock(&c.turn)
		if err == nil {
			err = c.idle(1) // a stream that is gone: it was under way when we reset it
		}
		return err
	}
	if s.gotEnd || !s.gotHead || s.bodiless && len(p) > 0 {
		c.unlock(&c.turn)
		return http2.StreamError{StreamID: s.ID, Code: http2.ErrCodeStreamClosed}
	}
	if pad := size - int64(len(p)); pad > 0 {
		c.took(s, pad)
	}
	end := f.StreamEnded()
	if s.left >= 0 {
		s.left -= int64(len(p))
		if s.left < 0 || end && s.left > 0 {
			c.unlock(&c.turn)
			return http2.StreamError{StreamID: s.ID, Code: http2.ErrCodeProtocol}
		}
	}
	c.finish(s, end)
	c.unlock(&c.turn)
	if len(p) == 0 && !end {
		return c.idle(1)
	}
	s.h.Data(&c.turn, p, end)
	return nil
}

// finish notes that the peer's direction of a stream has ended.
func (c *Conn) finish(s *Stream, end bool) {
	if end {
		s.gotEnd = true
		if s.sentEnd {
			c.remove(s)
			c.useful++
		}
	}
}

// unborn tells whether a stream was never opened by either side.
func (c *Conn) unborn(id uint32) bool {
	if c.opts.Accept != nil {
		return id%2 == 0 || id > c.last
	}
	return id%2 == 0 || id >= c.next
}

func (c *Conn) takeHeaders(f *http2.HeadersFrame) error {
	c.block.Begin(f.StreamID, f.StreamEnded())
	return c.takeBlock(f.HeaderBlockFragment(), f.HeadersEnded())
}

// takeBlock reads a part of a header block. That parts follow each other the framer has checked.
func (c *Conn) takeBlock(p []byte, last bool) error {
	b := c.block
	if b.Frames == blockFrames || b.Bytes+len(p) > blockLimit {
		return fault(http2.ErrCodeEnhanceYourCalm, "a header block does not end")
	}
	if err := b.Write(p, last); err != nil {
		return fault(http2.ErrCodeCompression, err.Error())
	}
	if !last {
		if len(p) == 0 {
			return c.idle(1)
		}
		return nil
	}
	c.mu.Lock()
	s := c.streams[b.ID]
	if s == nil && c.opts.Accept != nil {
		return c.accept() // unlocks
	}
	if s == nil {
		unborn := c.unborn(b.ID)
		c.mu.Unlock()
		if unborn {
			return fault(http2.ErrCodeProtocol, "a response to nothing")
		}
		return c.idle(1) // we have reset it
	}
	if s.gotEnd {
		c.mu.Unlock()
		return http2.StreamError{StreamID: s.ID, Code: http2.ErrCodeStreamClosed}
	}
	if s.gotHead {
		return c.takeTrailers(s) // unlocks
	}
	return c.takeResponse(s) // unlocks
}

// accept begins a stream that the client opened. It is called with the lock and gives it up.
func (c *Conn) accept() error {
	id := c.block.ID
	if id%2 == 0 {
		c.mu.Unlock()
		return fault(http2.ErrCodeProtocol, "clients open streams with odd ids")
	}
	if id <= c.last {
		c.mu.Unlock()
		return c.idle(1) // trailers of a stream that we have reset
	}
	if c.leaving == 2 || c.closing {
		c.mu.Unlock()
		return c.idle(1) // it was told that nothing more is taken
	}
	c.last = id
	if len(c.streams) >= MaxStreams {
		c.unlock(&c.turn)
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeRefusedStream}
	}
	if c.block.TooLarge() {
		c.putTooLarge(id)
		c.unlock(&c.turn)
		return c.wasted()
	}
	if err := c.block.Request(&c.head); err != nil {
		c.unlock(&c.turn)
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	s := c.stream(id, nil)
	s.gotHead = true
	end := c.block.End
	if err := s.expect(&c.head, end); err != nil {
		c.unlock(&c.turn)
		return err
	}
	c.finish(s, end)
	s.h = c.opts.Accept(s)
	c.unlock(&c.turn)
	s.h.Head(&c.turn, &c.head, end)
	return nil
}

// putTooLarge answers a request whose head is beyond the limit, without a stream.
func (c *Conn) putTooLarge(id uint32) {
	c.encodeHead(&message.Head{Status: 431})
	c.putBlock(id, true)
	if !c.block.End {
		c.putReset(id, http2.ErrCodeNo)
	}
}

// expect notes how long the body is to be.
func (s *Stream) expect(h *message.Head, end bool) error {
	if s.bodiless || h.Status == 304 {
		return nil
	}
	for i := range h.Fields {
		if h.Fields[i].Name == "content-length" {
			s.left = h.Length
		}
	}
	if end && s.left > 0 {
		return http2.StreamError{StreamID: s.ID, Code: http2.ErrCodeProtocol}
	}
	return nil
}

// takeTrailers is called with the lock and gives it up.
func (c *Conn) takeTrailers(s *Stream) error {
	b := c.block
	if !b.End || s.left > 0 || b.TooLarge() || b.Trailers(&c.head) != nil {
		c.mu.Unlock()
		return http2.StreamError{StreamID: s.ID, Code: http2.ErrCodeProtocol}
	}
	c.finish(s, true)
	c.unlock(&c.turn)
	s.h.Trailers(&c.turn, c.head.Fields)
	return nil
}

// takeResponse is called with the lock and gives it up.
func (c *Conn) takeResponse(s *Stream) error {
	b := c.block
	lone := http2.StreamError{StreamID: s.ID, Code: http2.ErrCodeProtocol}
	if b.TooLarge() || b.Response(&c.head) != nil || c.head.Status < 200 && b.End {
		c.mu.Unlock()
		return lone
	}
	if c.head.Status < 200 {
		c.mu.Unlock()
		if err := c.idle(1); err != nil {
			return err
		}
		s.h.Head(&c.turn, &c.head, false)
		return nil
	}
	s.gotHead = true
	end := b.End
	if err := s.expect(&c.head, end); err != nil {
		c.mu.Unlock()
		return err
	}
	c.finish(s, end)
	c.unlock(&c.turn)
	s.h.Head(&c.turn, &c.head, end)
	return nil
}
