// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"golang.org/x/net/http2"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/message"
)

// Call is one request on a link and its response, for who may block: the codec of HTTP/1. One goroutine sends and one reads, which may be
// the same; Cancel may come from any.
type Call struct {
	s *h2.Stream
	l *Links

	mu      sync.Mutex
	moved   sync.Cond // something below has changed
	head    message.Head
	came    bool // the response's head did
	body    []byte
	read    []byte // the piece that Next handed out
	tail    []message.Field
	end     bool // nothing follows body and tail
	waiting int  // of what was sent, in the stream's queue
	err     error
}

// sendAhead is how much of a request may wait for the server's window.
const sendAhead = 64 << 10

// Call sends a request; body is the whole of it where end says so. It waits for a connection where none has room, until ctx ends.
func (l *Links) Call(ctx context.Context, head *message.Head, body []byte, end bool) (*Call, error) {
	c := &Call{l: l}
	c.moved.L = &c.mu
	for {
		c.mu.Lock() // its response may come before the stream is known
		s, err := l.Open(nil, c, head, end && len(body) == 0)
		c.s = s
		c.mu.Unlock()
		if err == nil {
			break
		}
		if err := l.Ready(ctx); err != nil {
			return nil, err
		}
	}
	l.Busy.Add(1)
	if len(body) > 0 {
		if err := c.Write(body, end); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Write sends a part of the request's body. It waits while the server does not take it.
func (c *Call) Write(p []byte, end bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting >= sendAhead && c.err == nil {
		c.moved.Wait()
	}
	if c.err != nil {
		return c.err
	}
	n, err := c.s.Send(nil, p, end)
	c.waiting += n
	return err
}

// End ends the request's body with trailers.
func (c *Call) End(trailers []message.Field) error { return c.s.SendTrailers(nil, trailers) }

// Response waits for the response's head and copies it into h.
func (c *Call) Response(h *message.Head) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.came && c.err == nil {
		c.moved.Wait()
	}
	if !c.came {
		return c.err
	}
	fields := append(h.Fields[:0], c.head.Fields...)
	*h = c.head
	h.Fields = fields
	return nil
}

// Ready tells whether Next has something to say without waiting.
func (c *Call) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.body) > 0 || c.end || c.err != nil
}

// Next returns the next piece of the response's body, which holds until the next call. io.EOF comes alone, at the end; trailers, where
// they are given, receive what followed then.
func (c *Call) Next(trailers *message.Head) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.body) == 0 && !c.end && c.err == nil {
		c.moved.Wait()
	}
	if n := len(c.body); n > 0 {
		c.read, c.body = c.body, c.read[:0]
		c.s.Grant(nil, n)
		return c.read, nil
	}
	if !c.end {
		return nil, c.err
	}
	if trailers != nil {
		trailers.Fields = append(trailers.Fields, c.tail...)
	}
	return nil, io.EOF
}

// Cancel ends the call; who waits is told why.
func (c *Call) Cancel(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop(why)
	c.s.Reset(nil, http2.ErrCodeCancel)
}

var errDone = errors.New("the call is done")

// Close ends the use of the call. What is not complete is reset.
func (c *Call) Close() {
	c.Cancel(errDone)
	c.l.Busy.Add(-1)
}

func (c *Call) stop(why error) {
	if c.err == nil {
		c.err = why
	}
	c.moved.Broadcast()
}

// Head implements h2.Handler.
func (c *Call) Head(_ *h2.Turn, h *message.Head, end bool) {
	if h.Status < 200 {
		return // who speaks HTTP/1 behind us has not asked
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = *h
	c.head.Fields = slices.Clone(h.Fields)
	c.came, c.end = true, end
	if end || h.Length < 0 { // otherwise the body is close behind: one waking is enough for both
		c.moved.Broadcast()
	}
}

// Data implements h2.Handler.
func (c *Call) Data(_ *h2.Turn, p []byte, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.body = append(c.body, p...)
	c.end = end
	c.moved.Broadcast()
}

// Trailers implements h2.Handler.
func (c *Call) Trailers(_ *h2.Turn, fields []message.Field) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tail, c.end = slices.Clone(fields), true
	c.moved.Broadcast()
}

// Sent implements h2.Handler.
func (c *Call) Sent(_ *h2.Turn, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting -= n
	c.moved.Broadcast()
}

// Closed implements h2.Handler.
func (c *Call) Closed(_ *h2.Turn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop(err)
}
