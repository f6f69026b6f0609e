// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/anymesh/anymesh/proxy/wire"
)

// process is a Process, and the server's ends of the connections to it.
func process(t *testing.T) (*Process, chan net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ends := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			ends <- c
		}
	}()
	return &Process{Addr: l.Addr().String(), Dial: new(net.Dialer).DialContext}, ends
}

func line(t *testing.T, p *Process) *Line {
	t.Helper()
	l, err := p.DialLine(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLines holds what becomes of a line that was used.
func TestLines(t *testing.T) {
	now := time.Now()
	later := now.Add(lookAfter)
	for what, x := range map[string]struct {
		then  func(t *testing.T, l *Line, end net.Conn, p *Process)
		again bool // it is used again
	}{
		"nothing": {func(*testing.T, *Line, net.Conn, *Process) {}, true},
		"the server closes it": {func(t *testing.T, l *Line, end net.Conn, _ *Process) {
			end.Close()
			waitFor(t, l)
		}, false},
		"the server says something unasked": {func(t *testing.T, l *Line, end net.Conn, _ *Process) {
			io.WriteString(end, "HTTP/1.1 408 Request Timeout\r\n\r\n")
			waitFor(t, l)
		}, false},
		"the workload's certificate changes": {func(_ *testing.T, _ *Line, _ net.Conn, p *Process) { p.Close() }, false},
		"a long time":                        {func(_ *testing.T, _ *Line, _ net.Conn, p *Process) { p.Sweep(now.Add(idleTimeout + time.Second)) }, false},
		"a while":                            {func(_ *testing.T, _ *Line, _ net.Conn, p *Process) { p.Sweep(now.Add(idleTimeout / 2)) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			p, ends := process(t)
			if p.Idle(now, true) != nil {
				t.Fatal("a line from nowhere")
			}
			l := line(t, p)
			end := <-ends
			defer end.Close()
			l.Done(true, now)
			x.then(t, l, end, p)
			again := p.Idle(later, false)
			if (again == l) != x.again {
				t.Fatalf("used again: %v", again == l)
			}
			if again != nil {
				if !again.Used {
					t.Error("nobody can tell that it may be dead")
				}
				again.Done(false, later)
			}
			if _, err := l.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("it is still open: %v", err)
			}
		})
	}
}

// waitFor waits until something has come, or the end, without taking it.
func waitFor(t *testing.T, l *Line) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); wire.Quiet(l.Conn.Conn); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing came")
		}
	}
}

// TestLineBroken holds that a line which is not in order is not used again.
func TestLineBroken(t *testing.T) {
	p, ends := process(t)
	line(t, p).Done(false, time.Now())
	(<-ends).Close()
	if p.Idle(time.Now(), false) != nil {
		t.Error("a broken line is used again")
	}
	p.Close()
	line(t, p).Done(true, time.Now())
	if p.Idle(time.Now(), false) != nil {
		t.Error("a line is kept after the end")
	}
}
