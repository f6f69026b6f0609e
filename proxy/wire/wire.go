// SPDX-License-Identifier: Apache-2.0

// Package wire moves bytes between connections, and connections between listeners.
package wire

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Buffer is what is copied at a time.
type Buffer [32 << 10]byte

// Buffers pools *Buffer.
var Buffers = sync.Pool{New: func() any { return new(Buffer) }}

// Pipe copies both ways until both are done, counting as it goes, and closes b. An end of one direction is passed on as
// such; a failure cuts both. a is the caller's to close.
func Pipe(a, b net.Conn, sent, received *atomic.Uint64) {
	var both sync.WaitGroup
	both.Go(func() { flow(b, a, sent) })
	flow(a, b, received)
	both.Wait()
	b.Close()
}

func flow(dst, src net.Conn, count *atomic.Uint64) {
	buf := Buffers.Get().(*Buffer)
	defer Buffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				break
			}
			count.Add(uint64(n))
		}
		if err == io.EOF {
			if w, ok := dst.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
				return
			}
			break
		}
		if err != nil {
			break
		}
	}
	Reset(dst)
	Reset(src)
}

// Reset closes a connection, whatever it is wrapped in, so that the other side sees a failure and not an end.
func Reset(c net.Conn) {
	c = inner(c)
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only on a connection that is closed already
	}
	c.Close()
}

// Near is a listener that takes connections from its own machine only. Who may use the outbound side speaks in the
// workload's name; that must not be everybody who can reach its address.
type Near struct {
	net.Listener
	Own netip.Addr
}

// ListenNear opens a Near at a port of the own address; 0 picks a free one. Its connections do without keep-alive probes and multipath: they
// do not leave the machine, and setting that up costs each of them as much as a request does.
func ListenNear(own netip.Addr, port uint16) (*Near, error) {
	c := net.ListenConfig{KeepAlive: -1}
	c.SetMultipathTCP(false)
	l, err := c.Listen(context.Background(), "tcp", netip.AddrPortFrom(own, port).String())
	if err != nil {
		return nil, err
	}
	return &Near{Listener: l, Own: own}, nil
}

// Accept implements net.Listener.
func (l *Near) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && isNear(a.AddrPort().Addr(), l.Own) {
			return c, nil
		}
		Reset(c)
	}
}

func isNear(from, own netip.Addr) bool {
	from = from.Unmap()
	return from == own.Unmap() || from.IsLoopback()
}

// Handoff is a listener for connections that come from elsewhere.
type Handoff struct {
	addr net.Addr
	ch   chan net.Conn
	done chan struct{}
	once sync.Once
}

// NewHandoff returns an empty Handoff that says a is its address.
func NewHandoff(a net.Addr) *Handoff {
	return &Handoff{addr: a, ch: make(chan net.Conn), done: make(chan struct{})}
}

// Push hands a connection over; false: nobody takes any more.
func (h *Handoff) Push(c net.Conn) bool {
	select {
	case h.ch <- c:
		return true
	case <-h.done:
		return false
	}
}

// Accept implements net.Listener.
func (h *Handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.ch:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *Handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *Handoff) Addr() net.Addr { return h.addr }
