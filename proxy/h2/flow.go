// SPDX-License-Identifier: Apache-2.0

package h2

import "golang.org/x/net/http2"

// sent is what Handler.Sent is to be told.
type sent struct {
	s *Stream
	n int
}

func tell(t *Turn, gone []sent) {
	for _, g := range gone {
		g.s.h.Sent(t, g.n)
	}
}

// room is how many of n bytes may go out on a stream now.
func (c *Conn) room(s *Stream, n int) int {
	if len(c.out) >= highWater {
		return 0
	}
	return int(max(0, min(int64(n), s.sendWindow, c.sendWindow)))
}

// wait puts a stream with a queue in the line for the connection's window.
func (c *Conn) wait(s *Stream) {
	if !s.waiting && s.sendWindow > 0 {
		s.waiting = true
		c.waiting = append(c.waiting, s)
	}
}

// drain sends what waits, a frame of each stream in turn, as far as there is room. It adds to gone what the handlers are to be told, once
// the lock is given up.
func (c *Conn) drain(gone []sent) []sent {
	for len(c.waiting) > 0 && c.sendWindow > 0 && len(c.out) < highWater {
		s := c.waiting[0]
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		s.waiting = false
		if s.closed {
			continue
		}
		n := c.room(s, min(len(s.queue)-s.first, maxFrame))
		if n == 0 {
			continue // WINDOW_UPDATE puts it in the line again
		}
		p := s.queue[s.first : s.first+n]
		s.first += n
		last := s.first == len(s.queue)
		c.putData(s, p, last && s.endQueued && s.trailers == nil)
		gone = append(gone, sent{s, n})
		switch {
		case !last:
			c.wait(s)
			continue
		case s.trailers != nil:
			c.putTrailers(s, s.trailers)
		case s.endQueued:
			c.ended(s)
		}
		s.queue, s.first = nil, 0
	}
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	return gone
}

// received takes n bytes off the windows that the peer has for a stream; s is nil for one that is gone.
func (c *Conn) received(s *Stream, n int64) error {
	if c.recvWindow -= n; c.recvWindow < 0 {
		return fault(http2.ErrCodeFlowControl, "more DATA than the connection's window")
	}
	c.owed += n
	if s == nil {
		c.freed(0)
		return nil
	}
	if s.recvWindow -= n; s.recvWindow < 0 {
		return fault(http2.ErrCodeFlowControl, "more DATA than the stream's window")
	}
	s.held += n
	c.held += n
	c.freed(0)
	return nil
}

// took notes that n received bytes of a stream are taken.
func (c *Conn) took(s *Stream, n int64) {
	s.held -= n
	if s.held < 0 {
		panic("h2: more was granted than was received")
	}
	if s.owed += n; s.owed >= streamWindow/2 && !s.gotEnd {
		c.put32(http2.FrameWindowUpdate, s.ID, uint32(s.owed))
		s.recvWindow += s.owed
		s.owed = 0
	}
	c.freed(n)
}

// freed renews the connection's window, unless too much of what came is still held.
func (c *Conn) freed(n int64) {
	c.held -= n
	if c.owed >= connWindow/2 && c.held <= heldLimit && !c.closing {
		c.put32(http2.FrameWindowUpdate, 0, uint32(c.owed))
		c.recvWindow += c.owed
		c.owed = 0
	}
}
