// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Link is the caller's end of a link. It is safe for concurrent use.
type Link struct {
	conn    net.Conn
	out     *sender
	done    chan struct{} // closed when it has ended
	leaving atomic.Bool   // the server is about to go

	mu    sync.Mutex
	next  uint32
	flows map[uint32]*Stream
	empty time.Time // since when there is no flow
}

// Stream is one flow on a link.
type Stream struct {
	link   *Link
	number uint32
	take   func([]byte)
	refuse func()
}

// NewLink makes a link of a connection, which it owns from then on.
func NewLink(c net.Conn) *Link {
	l := &Link{conn: c, out: newSender(), done: make(chan struct{}), flows: map[uint32]*Stream{}, empty: time.Now()}
	go l.out.run(c, l.done)
	go func() {
		_ = receive(c, l.deliver) // whatever ended it: its flows are opened anew
		c.Close()
		close(l.done)
	}()
	return l
}

func (l *Link) deliver(flow uint32, k kind, b []byte) {
	if k == leaving {
		l.leaving.Store(true)
		return
	}
	l.mu.Lock()
	s := l.flows[flow]
	l.mu.Unlock()
	switch {
	case s == nil:
	case k == datagram:
		s.take(b)
	case k == refused:
		s.refuse()
	case k == ended:
		l.forget(s)
	}
}

// Open starts a flow. take is given what comes back, and refuse is called when the server says that the flow is not permitted.
func (l *Link) Open(take func([]byte), refuse func()) *Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	s := &Stream{l, l.next, take, refuse}
	l.flows[s.number] = s
	return s
}

func (l *Link) forget(s *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flows, s.number)
	if len(l.flows) == 0 {
		l.empty = time.Now()
	}
}

// usable says whether flows may be opened on it.
func (l *Link) usable() bool {
	select {
	case <-l.done:
		return false
	default:
		return !l.leaving.Load()
	}
}

// idle says whether it has had no flow since a time.
func (l *Link) idle(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flows) == 0 && l.empty.Before(since)
}

// Send sends a datagram; false: it was dropped.
func (s *Stream) Send(b []byte) bool { return s.link.out.send(s.number, datagram, b) }

// Usable says whether the flow may go on here.
func (s *Stream) Usable() bool { return s.link.usable() }

// Close ends the flow.
func (s *Stream) Close() {
	s.link.forget(s)
	s.link.out.send(s.number, ended, nil)
}

// Pool holds the links of a proxy by what they lead to. The zero value is ready.
type Pool struct {
	mu    sync.Mutex
	links map[any]*entry
	shut  bool
}

type entry struct {
	tried  chan struct{} // closed when there is a link, or none could be had
	link   *Link
	err    error
	failed time.Time
}

// pause is how long nobody tries again after a failure: each datagram would otherwise be an attempt.
const pause = 250 * time.Millisecond

var errShut = errors.New("the proxy ends")

// Get returns the link of a key, and dials where there is none. However many ask, one dials.
func (p *Pool) Get(ctx context.Context, key any, dial func(context.Context) (net.Conn, error)) (*Link, error) {
	p.mu.Lock()
	if p.shut {
		p.mu.Unlock()
		return nil, errShut
	}
	e := p.links[key]
	if e == nil || e.over() {
		e = &entry{tried: make(chan struct{})}
		if p.links == nil {
			p.links = map[any]*entry{}
		}
		p.links[key] = e
		go p.dial(e, dial)
	}
	p.mu.Unlock()
	select {
	case <-e.tried:
		return e.link, e.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// over says whether another attempt is due.
func (e *entry) over() bool {
	select {
	case <-e.tried:
	default:
		return false
	}
	return e.err != nil && time.Since(e.failed) > pause || e.err == nil && !e.link.usable()
}

func (p *Pool) dial(e *entry, dial func(context.Context) (net.Conn, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := dial(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		e.err, e.failed = err, time.Now()
	case p.shut:
		c.Close()
		e.err = errShut
	default:
		e.link = NewLink(c)
	}
	close(e.tried)
}

// Sweep closes links that have had no flow since a time, and forgets those that have ended.
func (p *Pool) Sweep(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, e := range p.links {
		switch {
		case e.over():
			delete(p.links, key)
		case e.link != nil && e.link.idle(since):
			e.link.conn.Close()
			delete(p.links, key)
		}
	}
}

// Close ends all links.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for _, e := range p.links {
		select {
		case <-e.tried:
			if e.link != nil {
				e.link.conn.Close()
			}
		default:
		}
	}
}
