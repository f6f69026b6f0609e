// SPDX-License-Identifier: Apache-2.0

package lane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/upstream"
)

const question = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"

// start runs a server with a handler for each request, and returns how to reach it.
func start(t *testing.T, s *Server, h Handler) (dial func() net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Slow == nil {
		s.Slow = func(net.Conn) bool { return false }
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l, func(net.Conn) Handler { return h }) }()
	ctx, stop := context.WithCancel(context.Background())
	go s.Watch(ctx)
	t.Cleanup(func() {
		s.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func hello(x *Exchange) { _ = x.Answer(200, message.Field{Name: "x-own", Value: "1"}, "hello") }

func answered(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hello" {
		t.Fatalf("%q %v", b, err)
	}
	return res
}

// ends waits for the other side to close a connection in an orderly way.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("%q %v", b, err)
	}
}

// locked is a buffer that a log writes into.
type locked struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

// TestPanic holds that a fault of ours ends one connection, is told, and leaves the others alone.
func TestPanic(t *testing.T) {
	var log locked
	dial := start(t, &Server{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(x *Exchange) {
		if x.Request.Path == "/bad" {
			panic("as asked")
		}
		hello(x)
	})
	good, bad := dial(), dial()
	io.WriteString(good, question)
	answered(t, good)
	io.WriteString(bad, strings.Replace(question, "/a", "/bad", 1))
	ends(t, bad)
	io.WriteString(good, question)
	answered(t, good)
	log.mu.Lock()
	defer log.mu.Unlock()
	if !strings.Contains(log.String(), "as asked") {
		t.Errorf("log: %s", log.String())
	}
}

// TestShutdown holds that what waits is closed, and what is under way is answered first.
func TestShutdown(t *testing.T) {
	arrived, leave := make(chan struct{}), make(chan struct{})
	s := &Server{}
	dial := start(t, s, func(x *Exchange) {
		if x.Request.Path == "/slow" {
			close(arrived)
			<-leave
		}
		hello(x)
	})
	idle, busy := dial(), dial()
	io.WriteString(idle, question)
	if answered(t, idle).Close {
		t.Error("a connection is not kept")
	}
	io.WriteString(busy, strings.Replace(question, "/a", "/slow", 1))
	<-arrived
	short, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(short) // has no time to wait
	ends(t, idle)
	done := make(chan struct{})
	go func() {
		s.Shutdown(context.Background())
		close(done)
	}()
	close(leave)
	answered(t, busy)
	ends(t, busy)
	<-done
}

// TestPatience holds that a head which does not come to its end ends the connection, and so does silence.
func TestPatience(t *testing.T) {
	dial := start(t, &Server{Header: 50 * time.Millisecond, Idle: time.Hour}, hello)
	slow := dial()
	io.WriteString(slow, question[:20])
	ends(t, slow)
	dial = start(t, &Server{Header: time.Hour, Idle: 50 * time.Millisecond}, hello)
	silent := dial()
	io.WriteString(silent, question)
	answered(t, silent)
	ends(t, silent)
}

// TestOdd holds that an odd request goes on elsewhere with every byte, and so does one that the handler does not want.
func TestOdd(t *testing.T) {
	got := make(chan string, 1)
	dial := start(t, &Server{Slow: func(c net.Conn) bool {
		go func() {
			defer c.Close()
			b, err := io.ReadAll(c)
			if err != nil {
				b = []byte(err.Error())
			}
			got <- string(b)
		}()
		return true
	}}, func(x *Exchange) {
		if x.Request.Path == "/other" {
			x.Odd = true
			return
		}
		hello(x)
	})
	for _, q := range []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST /other HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc" + question} {
		c := dial()
		io.WriteString(c, question)
		answered(t, c)
		io.WriteString(c, q)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != q {
			t.Errorf("%q, want %q", s, q)
		}
	}
}

// TestStop holds that a stopped exchange says why, whatever it was doing.
func TestStop(t *testing.T) {
	why := errors.New("because")
	got := make(chan error, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := start(t, &Server{}, func(x *Exchange) {
		if x.Request.Path == "/before" {
			x.Stop(why)
		} else {
			time.AfterFunc(20*time.Millisecond, func() { x.Stop(why) })
		}
		_, err := x.Forward(Way{To: &upstream.Process{Addr: l.Addr().String(), Dial: new(net.Dialer).DialContext}})
		got <- err
		hello(x)
	})
	for _, path := range []string{"/before", "/while"} {
		c := dial()
		io.WriteString(c, strings.Replace(question, "/a", path, 1))
		if err := <-got; !errors.Is(err, why) {
			t.Errorf("%s: %v", path, err)
		}
		answered(t, c)
	}
}
