// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/wire"
)

// maxIdle is how many unused connections to one address are kept.
const maxIdle = 1024

// lookAfter is how long a connection may lie unused before it is looked at: whether the other side closed it, or said something that
// nobody asked for, which must not be taken for the next answer.
const lookAfter = 20 * time.Millisecond

// Line is an HTTP/1.1 connection to an endpoint or to the local process. One exchange uses it at a time, from Idle or Dial to Done.
type Line struct {
	*h1.Conn
	Used   bool // it has carried a request before: it may turn out to be dead
	lines  *Lines
	active *atomic.Int64 // requests under way at the endpoint; nil: not counted
	since  time.Time     // unused since then
	until  time.Time     // its deadline
}

// Until sets the deadline of what is done next; the zero value: none.
func (l *Line) Until(t time.Time) {
	if l.until != t {
		l.until = t
		_ = l.SetDeadline(t) // fails only where it is closed, which the next use says
	}
}

// Done ends the use of a line. again: it is in order, and the next request may use it. now is the time.
func (l *Line) Done(again bool, now time.Time) {
	if l.active != nil {
		l.active.Add(-1)
	}
	if !again || l.Buffered() > 0 || !l.lines.put(l, now) {
		l.Close()
	}
}

// Lines are the unused connections to one address, made under one certificate.
type Lines struct {
	mu   sync.Mutex
	idle []*Line // the one last used at the end
	shut bool
}

func (p *Lines) take(now time.Time, sure bool) *Line {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		l := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if !sure && now.Sub(l.since) < lookAfter || wire.Quiet(l.Conn.Conn) {
			l.Used = true
			return l
		}
		l.Close()
	}
}

func (p *Lines) put(l *Line, now time.Time) bool {
	l.Release()
	l.since = now
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, l)
	return true
}

// sweep closes what lay unused since before.
func (p *Lines) sweep(before time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && p.idle[n].since.Before(before) {
		n++
	}
	old := p.idle[:n:n]
	p.idle = append([]*Line(nil), p.idle[n:]...)
	p.mu.Unlock()
	for _, l := range old {
		l.Close()
	}
}

// close closes what is unused, and what becomes so.
func (p *Lines) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.shut = nil, true
	p.mu.Unlock()
	for _, l := range idle {
		l.Close()
	}
}

// book holds the lines of one generation of a cluster.
type book struct {
	mu    sync.Mutex
	lines map[netip.AddrPort]*Lines
}

// at returns the lines to an address.
func (b *book) at(a netip.AddrPort) *Lines {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines == nil {
		b.lines = map[netip.AddrPort]*Lines{}
	}
	p := b.lines[a]
	if p == nil {
		p = &Lines{}
		b.lines[a] = p
	}
	return p
}

// keep closes the lines to all addresses but those that stays says.
func (b *book) keep(stays func(netip.AddrPort) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for a, p := range b.lines {
		if !stays(a) {
			delete(b.lines, a)
			p.close()
		}
	}
}

func (b *book) sweep(before time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.lines {
		p.sweep(before)
	}
}

// Idle returns a line that waits for a request to one endpoint of the cluster; nil: there is none, see DialLine. sure: look at it first,
// even if it was used a moment ago.
func (b *Backend) Idle(now time.Time, sure bool) *Line {
	k := b.now.Load()
	if k == nil {
		return nil
	}
	e := k.pick(nil)
	if e == nil {
		return nil
	}
	l := k.lines[e].take(now, sure)
	if l != nil {
		e.active.Add(1)
	}
	return l
}

// DialLine makes a new line. Where an endpoint cannot be reached, one other is tried.
func (b *Backend) DialLine(ctx context.Context) (*Line, error) {
	k := b.now.Load()
	if k == nil || len(k.ends) == 0 {
		return nil, fmt.Errorf("%s: %w", b.Name, ErrNoEndpoint)
	}
	var last *endpoint
	var err error
	for try := 0; try < min(2, len(k.ends)); try++ {
		e := k.pick(last)
		e.active.Add(1)
		c, failed := b.d.Dial(ctx, k.spec, e.addr, "http/1.1")
		if failed == nil {
			return &Line{Conn: h1.NewConn(c, nil), lines: k.lines[e], active: &e.active}, nil
		}
		e.active.Add(-1)
		last, err = e, failed
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("%s: %w", b.Name, err)
}

// Process is the local process at one address, spoken to in the clear.
type Process struct {
	Addr  string
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	lines Lines
}

// Idle returns a line that waits for a request; nil: there is none.
func (p *Process) Idle(now time.Time, sure bool) *Line { return p.lines.take(now, sure) }

// DialLine makes a new line.
func (p *Process) DialLine(ctx context.Context) (*Line, error) {
	c, err := p.Dial(ctx, "tcp", p.Addr)
	if err != nil {
		return nil, err
	}
	return &Line{Conn: h1.NewConn(c, nil), lines: &p.lines}, nil
}

// Sweep closes what was not used for long.
func (p *Process) Sweep(now time.Time) { p.lines.sweep(now.Add(-idleTimeout)) }

// Close closes what is unused.
func (p *Process) Close() { p.lines.close() }
