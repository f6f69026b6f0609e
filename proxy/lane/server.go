// SPDX-License-Identifier: Apache-2.0

package lane

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/wire"
)

// beat is how often connections are looked at: for clients that left while their request is under way, and for silence. So no request
// pays for a timer or a second reader.
const beat = 250 * time.Millisecond

// Handler answers the requests of one connection, one after the other.
type Handler func(*Exchange)

// Server serves connections.
type Server struct {
	// Slow takes a connection whose next request is odd; false: nobody takes it.
	Slow func(net.Conn) bool
	// Idle is how long a connection may wait for a request, Header how long for its first one, and for the rest of a head.
	Idle, Header time.Duration
	// Log is told of a handler's panic, which ends its connection and no other. Nil: it ends the program.
	Log *slog.Logger

	beats   atomic.Uint64
	closing atomic.Bool

	mu        sync.Mutex
	open      map[*Exchange]struct{}
	listeners map[net.Listener]struct{}
}

// Serve takes connections from l until the server is shut down. attend makes the handler of each. The error is nil then.
func (s *Server) Serve(l net.Listener, attend func(net.Conn) Handler) error {
	s.mu.Lock()
	if s.listeners == nil {
		s.listeners = map[net.Listener]struct{}{}
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	if s.closing.Load() {
		l.Close()
	}
	for {
		c, err := l.Accept()
		switch {
		case err != nil && s.closing.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			time.Sleep(10 * time.Millisecond) // out of files: let some be closed
			continue
		}
		go s.Take(c, attend(c))
	}
}

// Take serves one connection to its end.
func (s *Server) Take(c net.Conn, h Handler) {
	x := &Exchange{server: s, client: h1.NewConn(c, nil)}
	x.client.Patience = s.Header
	x.state.Store(s.beats.Load() << stateBits)
	s.mu.Lock()
	if s.open == nil {
		s.open = map[*Exchange]struct{}{}
	}
	s.open[x] = struct{}{}
	s.mu.Unlock()
	if s.closing.Load() {
		c.Close()
	}
	odd := s.guard(x, h)
	s.mu.Lock()
	delete(s.open, x)
	s.mu.Unlock()
	if !odd || !s.Slow(&wire.Resumed{Conn: c, Rest: x.client.Unread()}) {
		c.Close()
	}
}

func (s *Server) guard(x *Exchange, h Handler) (odd bool) {
	if s.Log != nil {
		defer func() {
			if r := recover(); r != nil {
				s.Log.Error("a request failed for a fault of ours", "panic", r, "stack", string(debug.Stack()))
				odd = false
			}
		}()
	}
	return x.serve(h)
}

// Watch looks after connections until ctx ends.
func (s *Server) Watch(ctx context.Context) {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			now := s.beats.Add(1)
			for _, x := range s.all() {
				x.look(now)
			}
		}
	}
}

func (s *Server) all() []*Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Exchange, 0, len(s.open))
	for x := range s.open {
		out = append(out, x)
	}
	return out
}

// Shutdown takes nothing new and waits for what is under way, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) {
	s.closing.Store(true)
	s.mu.Lock()
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	for {
		left := s.all()
		for _, x := range left {
			x.closeIdle()
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Close cuts all connections.
func (s *Server) Close() {
	s.closing.Store(true)
	s.mu.Lock()
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	for _, x := range s.all() {
		x.Stop(ErrGone)
		x.client.Close()
	}
}
