// SPDX-License-Identifier: Apache-2.0

package h2

import (
	"errors"

	"golang.org/x/net/http2"

	"github.com/anymesh/anymesh/proxy/message"
)

// Errors of streams and connections. Others are the peer's: an http2.StreamError or http2.ConnectionError, or of the socket.
var (
	ErrClosed  = errors.New("the stream is closed")
	ErrRefused = errors.New("the server did not begin with this request") // it is safe to send it again
	ErrFull    = errors.New("the connection takes no more streams")
)

// Handler is told what arrives on one stream. Except for Sent and Closed, its methods are called by the connection's reader, one after the
// other. None may block. Turns are for what is written meanwhile.
type Handler interface {
	// Head is a request, or a response; interim ones (1xx) come before it. end: no body follows. h holds until Head returns.
	Head(t *Turn, h *message.Head, end bool)
	// Data is a part of the body. p holds until Data returns; its room is given back by Stream.Grant. end: it was the last part.
	Data(t *Turn, p []byte, end bool)
	// Trailers end the body. fields hold until Trailers returns.
	Trailers(t *Turn, fields []message.Field)
	// Sent tells that n bytes have gone out which Stream.Send had to let wait. It may be called by any goroutine.
	Sent(t *Turn, n int)
	// Closed tells that the stream ended before both directions did, by the peer or with the connection. Nothing else follows.
	// It may be called by any goroutine.
	Closed(t *Turn, err error)
}

// Stream is one request and its response. Its methods are safe for concurrent use and do not block.
type Stream struct {
	ID   uint32
	conn *Conn
	h    Handler

	// Guarded by Conn.mu.
	sendWindow, recvWindow int64
	owed                   int64 // taken and not yet granted to the peer
	held                   int64 // received and not taken
	queue                  []byte
	first                  int             // of queue
	trailers               []message.Field // go out after the queue
	endQueued              bool
	waiting                bool // in Conn.waiting
	gotHead, gotEnd        bool
	sentHead, sentEnd      bool
	closed                 bool
	bodiless               bool  // a request HEAD: content-length says nothing of the body
	left                   int64 // of the content-length that was announced; -1: none was
}

// Conn is the connection of the stream.
func (s *Stream) Conn() *Conn { return s.conn }

// SendHead sends a response's head, an interim one where h.Status is below 200.
func (s *Stream) SendHead(t *Turn, h *message.Head, end bool) error {
	c := s.conn
	c.mu.Lock()
	defer c.unlock(t)
	if s.closed || s.sentHead {
		return ErrClosed
	}
	s.sentHead = h.Status >= 200
	c.encodeHead(h)
	c.putBlock(s.ID, end)
	if end {
		c.ended(s)
	}
	return nil
}

// Send sends a part of the body and tells how many bytes of it have to wait for the peer; p is free again in any case.
func (s *Stream) Send(t *Turn, p []byte, end bool) (waiting int, err error) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock(t)
	if s.closed || s.sentEnd || s.endQueued {
		return 0, ErrClosed
	}
	n := 0
	if s.first == len(s.queue) {
		n = c.room(s, len(p))
		for at := 0; at < n || at == 0 && len(p) == 0 && end; at += maxFrame {
			to := min(at+maxFrame, n)
			c.putData(s, p[at:to], end && to == len(p))
		}
	}
	if n == len(p) {
		if end && s.first == len(s.queue) {
			c.ended(s)
		}
		s.endQueued = end && s.first < len(s.queue)
		return 0, nil
	}
	if s.first > len(s.queue)/2 {
		s.queue = s.queue[:copy(s.queue, s.queue[s.first:])]
		s.first = 0
	}
	s.queue = append(s.queue, p[n:]...)
	s.endQueued = end
	c.wait(s)
	return len(p) - n, nil
}

// SendTrailers ends the body with trailers.
func (s *Stream) SendTrailers(t *Turn, fields []message.Field) error {
	c := s.conn
	c.mu.Lock()
	defer c.unlock(t)
	if s.closed || s.sentEnd || s.endQueued {
		return ErrClosed
	}
	if s.first < len(s.queue) {
		s.endQueued, s.trailers = true, append([]message.Field{}, fields...)
		return nil
	}
	c.putTrailers(s, fields)
	return nil
}

// Reset ends the stream at once, in both directions. Its handler is told nothing more.
func (s *Stream) Reset(t *Turn, code http2.ErrCode) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock(t)
	if !s.closed {
		c.putReset(s.ID, code)
		c.remove(s)
	}
}

// Grant gives back the room of n bytes that Data brought: they are on their way.
func (s *Stream) Grant(t *Turn, n int) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock(t)
	if !s.closed {
		c.took(s, int64(n))
	}
}
