// SPDX-License-Identifier: Apache-2.0

// Package link keeps HTTP/2 connections to one address for all who send requests there.
package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/message"
)

// Links are the connections to one address. Another is made when all that there are have no room.
type Links struct {
	Dial func(context.Context) (net.Conn, error)
	Idle time.Duration // how long an unused connection is kept
	Busy *atomic.Int64 // requests under way; the caller's to count

	mu     sync.Mutex
	conns  []*h2.Conn
	dial   *dial // under way; nil: none
	closed bool
}

type dial struct {
	done chan struct{}
	err  error
}

// ErrRetired says that the links take no more requests: others have taken their place.
var ErrRetired = errors.New("the connections are retired")

// Open begins a stream on a connection that is there. h2.ErrFull: none has room; Ready makes one.
func (l *Links) Open(t *h2.Turn, h h2.Handler, head *message.Head, end bool) (*h2.Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if s, err := c.Open(t, h, head, end); err == nil {
			return s, nil
		}
	}
	return nil, h2.ErrFull
}

// Ready waits until a connection has room, and makes one where none has. Its error is of the dial, or of ctx.
func (l *Links) Ready(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return ErrRetired
		}
		if l.room() {
			l.mu.Unlock()
			return nil
		}
		d := l.dial
		if d == nil {
			d = &dial{done: make(chan struct{})}
			l.dial = d
			go l.make(context.WithoutCancel(ctx), d) // others may wait for it too
		}
		l.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return d.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// room tells whether a connection has room, and forgets those that never will again.
func (l *Links) room() bool {
	kept, some := l.conns[:0], false
	for _, c := range l.conns {
		now, ever := c.Room()
		some = some || now
		if ever {
			kept = append(kept, c)
		}
	}
	clear(l.conns[len(kept):])
	l.conns = kept
	return some
}

func (l *Links) make(ctx context.Context, d *dial) {
	var c *h2.Conn
	nc, err := l.Dial(ctx)
	if err == nil {
		c = h2.Client(nc, h2.Options{Idle: l.Idle})
		select {
		case <-c.Met():
		case <-c.Done():
			err = c.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dial, d.err = nil, err
	if err == nil {
		l.conns = append(l.conns, c)
		if l.closed {
			c.Leave()
		}
	}
	close(d.done)
}

// Retire takes no more requests. Those under way finish.
func (l *Links) Retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.conns {
		c.Leave()
	}
	l.conns = nil
}
