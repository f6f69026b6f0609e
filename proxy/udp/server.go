// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anymesh/anymesh/proxy/stats"
)

// leaveWait is how long a server that is about to go still brings answers.
const leaveWait = 250 * time.Millisecond

// MaxSessions bounds the sockets towards the process that all links of one proxy have together.
const MaxSessions = 16384

// Server is the receiving end of one link, all of whose flows are of one caller to one port.
type Server struct {
	Conn     net.Conn
	Admit    func() bool              // asked for each datagram, both ways, so that a change of policy holds at once
	Dial     func() (net.Conn, error) // a new socket towards the process
	Edge     *stats.Edge
	Idle     time.Duration // 0: DefaultIdle
	Flows    int           // 0: DefaultFlows
	Sessions *atomic.Int64 // how many there are in the whole proxy

	out *sender
	mu  sync.Mutex
	all *table[uint32, *session]
}

// session is a flow at its server. One that was never admitted has no socket.
type session struct {
	s      *Server
	flow   uint32
	conn   net.Conn // guarded by the server's lock where it is not the link's reader that looks
	gone   bool     // so is this
	denied atomic.Bool
	last   atomic.Int64 // of the process's answers, in Unix nanoseconds
}

// Serve carries the flows of the link until it ends. When ctx ends it opens no more flows, and ends a moment later.
func (s *Server) Serve(ctx context.Context) error {
	if s.Idle == 0 {
		s.Idle = DefaultIdle
	}
	if s.Flows == 0 {
		s.Flows = DefaultFlows
	}
	s.out, s.all = newSender(), newTable[uint32, *session](s.Flows)
	done := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() { s.out.run(s.Conn, done) })
	both.Go(func() { s.sweep(done) })
	stop := context.AfterFunc(ctx, func() {
		s.out.send(0, leaving, nil)
		time.AfterFunc(leaveWait, func() { s.Conn.Close() })
	})
	err := receive(s.Conn, s.take)
	stop()
	close(done)
	s.Conn.Close()
	both.Wait()
	s.mu.Lock()
	gone := s.all.all()
	s.mu.Unlock()
	s.end(gone)
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// take is called for each frame, one after the other.
func (s *Server) take(flow uint32, k kind, b []byte) {
	switch k {
	case ended:
		s.mu.Lock()
		x, ok := s.all.get(flow, time.Now())
		s.all.remove(flow)
		s.mu.Unlock()
		if ok {
			s.end([]*session{x})
		}
	case datagram:
		s.judge(s.session(flow), b)
	}
}

func (s *Server) session(flow uint32) *session {
	now := time.Now()
	s.mu.Lock()
	x, ok := s.all.get(flow, now)
	var gone *session
	var gave bool
	if !ok {
		x = &session{s: s, flow: flow}
		gone, gave = s.all.put(flow, x, now)
	}
	s.mu.Unlock()
	if gave {
		s.end([]*session{gone})
		s.out.send(gone.flow, ended, nil)
	}
	return x
}

// judge hands a datagram to the process where the caller may send it, and drops it otherwise.
func (s *Server) judge(x *session, b []byte) {
	c := &s.Edge.Datagrams
	if !s.Admit() {
		c.Dropped.Add(1)
		if !x.denied.Swap(true) {
			c.Flows[1].Add(1)
			s.out.send(x.flow, refused, nil)
		}
		return
	}
	x.denied.Store(false)
	if x.conn == nil && !x.open() {
		c.Dropped.Add(1)
		return
	}
	if _, err := x.conn.Write(b); err != nil {
		c.Dropped.Add(1)
		return
	}
	c.Sent.Add(1)
}

// open makes the socket towards the process.
func (x *session) open() bool {
	s := x.s
	if s.Sessions.Add(1) > MaxSessions {
		s.Sessions.Add(-1)
		return false
	}
	conn, err := s.Dial()
	if err != nil {
		s.Sessions.Add(-1)
		s.Edge.Datagrams.Failed.Add(1)
		return false
	}
	s.mu.Lock()
	gone := x.gone
	if !gone {
		x.conn = conn
	}
	s.mu.Unlock()
	if gone {
		conn.Close()
		s.Sessions.Add(-1)
		return false
	}
	s.Edge.Datagrams.Flows[0].Add(1)
	go x.answers(conn)
	return true
}

// answers brings back what the process sends, until the session ends.
func (x *session) answers(conn net.Conn) {
	c := &x.s.Edge.Datagrams
	buf := make([]byte, 65535)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			continue // the process does not listen: it may later
		}
		if err != nil {
			return
		}
		x.last.Store(time.Now().UnixNano())
		if !x.s.Admit() || !x.s.out.send(x.flow, datagram, buf[:n]) {
			c.Dropped.Add(1)
			continue
		}
		c.Received.Add(1)
	}
}

func (s *Server) sweep(done <-chan struct{}) {
	t := time.NewTicker(s.Idle / 4)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
		}
		now := time.Now()
		var gone []*session
		s.mu.Lock()
		for _, x := range s.all.silent(now.Add(-s.Idle)) {
			if now.UnixNano()-x.last.Load() < int64(s.Idle) {
				s.all.put(x.flow, x, time.Unix(0, x.last.Load())) // the process still speaks
				continue
			}
			gone = append(gone, x)
		}
		s.mu.Unlock()
		s.end(gone)
		for _, x := range gone {
			s.out.send(x.flow, ended, nil)
		}
	}
}

// end closes sessions that are out of the table.
func (s *Server) end(gone []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range gone {
		x.gone = true
		if x.conn != nil {
			x.conn.Close()
			s.Sessions.Add(-1)
		}
	}
}
