// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/link"
	"github.com/anymesh/anymesh/proxy/stats"
)

// Next is where a request goes, or why it does not.
type Next struct {
	To      Place
	Name    string        // of the other end, for errors
	Timeout time.Duration // for the whole exchange; 0: none
	Denied  bool          // the request is answered as one that is not admitted
	Code    int           // of the answer where the request cannot be served; 0: it can
	Reason  string        // goes with Code
}

// Place is a set of endpoints.
type Place interface {
	// Pick chooses one. not is avoided where there is another.
	Pick(not *link.Links) (*link.Links, error)
}

// Judge decides about the requests of one connection.
type Judge interface {
	// Judge says where x goes. wait: it may block until ctx ends; otherwise it says false where it would have to.
	Judge(ctx context.Context, x *Exchange, wait bool) (Next, bool)
	// Done is told how x ended.
	Done(x *Exchange, o stats.Outcome)
	// Final: responses come from the process itself. What proxies say of themselves is taken out of them.
	Final() bool
}

// Server holds the clients' connections of one side. The zero value is ready.
type Server struct {
	mu     sync.Mutex
	conns  map[*h2.Conn]bool
	closed bool
}

// Serve takes a connection over; an unused one is kept for idle. It does not wait for its end.
func (s *Server) Serve(nc net.Conn, j Judge, idle time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		nc.Close()
		return
	}
	if s.conns == nil {
		s.conns = map[*h2.Conn]bool{}
	}
	c := h2.Server(nc, h2.Options{Idle: idle, Ended: s.forget, Accept: func(s *h2.Stream) h2.Handler {
		return (*fromClient)(&Exchange{judge: j, down: s, Start: time.Now()})
	}})
	s.conns[c] = true
}

func (s *Server) forget(c *h2.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown takes nothing new and waits until ctx ends for what is under way.
func (s *Server) Shutdown(ctx context.Context) {
	for _, c := range s.close() {
		c.Leave()
	}
	for _, c := range s.close() {
		select {
		case <-c.Done():
		case <-ctx.Done():
			return
		}
	}
}

// Close cuts what is left.
func (s *Server) Close() {
	for _, c := range s.close() {
		c.Close()
	}
}

func (s *Server) close() []*h2.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	out := make([]*h2.Conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}
