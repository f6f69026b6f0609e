// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// links leads to net/http's server, and counts dials.
func links(t testing.TB, h http.HandlerFunc) (*Links, *atomic.Int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 50}}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	dials := new(atomic.Int64)
	k := &Links{Busy: new(atomic.Int64), Dial: func(ctx context.Context) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(k.Retire)
	return k, dials
}

func ask(path string) *message.Head {
	return &message.Head{Method: "POST", Scheme: "http", Path: path, Authority: "a", Length: -1}
}

// whole reads the rest of a response.
func whole(c *Call) (string, *message.Head, error) {
	var body []byte
	tail := &message.Head{}
	for {
		p, err := c.Next(tail)
		if err == io.EOF {
			return string(body), tail, nil
		}
		if err != nil {
			return string(body), tail, err
		}
		body = append(body, p...)
	}
}

// TestCall sends many requests at a time to net/http's server: bodies of all sizes there and back, over as few connections as it allows.
func TestCall(t *testing.T) {
	l, dials := links(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Last")
		w.Header().Set("X-Path", r.RequestURI)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Last", "word")
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			body := bytes.Repeat([]byte{byte(i)}, []int{0, 1, 5000, 200_000, 600_000}[i%5])
			c, err := l.Call(ctx, ask(fmt.Sprintf("/%d", i)), nil, false)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			sent := make(chan error, 1)
			go func() {
				for p := body; len(p) > 0; {
					n := min(len(p), 32<<10)
					if err := c.Write(p[:n], false); err != nil {
						sent <- err
						return
					}
					p = p[n:]
				}
				sent <- c.Write(nil, true)
			}()
			var h message.Head
			if err := c.Response(&h); err != nil {
				t.Error(err)
				return
			}
			got, tail, err := whole(c)
			if path, _ := h.Value(policy.Name{Lower: "x-path"}); err != nil || got != string(body) || h.Status != 200 || path != fmt.Sprintf("/%d", i) {
				t.Errorf("%d: %d of %d bytes, %+v, %v", i, len(got), len(body), h, err)
			}
			if last, _ := tail.Value(policy.Name{Lower: "x-last"}); last != "word" {
				t.Errorf("%d: trailers %v", i, tail.Fields)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := dials.Load(); n > 40 {
		t.Errorf("%d connections for 200 requests, 50 on each", n)
	}
	if n := l.Busy.Load(); n != 0 {
		t.Errorf("%d requests seem to be under way", n)
	}
}

// TestCancel holds that a call which is given up ends at once, on both sides, and that a dead link is replaced.
func TestCancel(t *testing.T) {
	left := make(chan struct{}, 1)
	l, dials := links(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
			left <- struct{}{}
		case "/cut":
			w.WriteHeader(200)
			panic(http.ErrAbortHandler)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := l.Call(ctx, ask("/hang"), nil, true)
	check(t, err)
	why := errors.New("enough")
	time.AfterFunc(time.Millisecond, func() { c.Cancel(why) })
	var h message.Head
	if err := c.Response(&h); err != why {
		t.Errorf("%v", err)
	}
	c.Close()
	<-left
	if c, err = l.Call(ctx, ask("/cut"), nil, true); err == nil {
		if err = c.Response(&h); err == nil {
			_, _, err = whole(c)
		}
		c.Close()
	}
	if err == nil {
		t.Error("a response that was cut off looks complete")
	}
	l.conns[0].Close()
	c, err = l.Call(ctx, ask("/"), nil, true)
	check(t, err)
	check(t, c.Response(&h))
	c.Close()
	if dials.Load() != 2 {
		t.Errorf("%d dials", dials.Load())
	}
	l.Retire()
	if _, err := l.Call(ctx, ask("/"), nil, true); err != ErrRetired {
		t.Errorf("after the end: %v", err)
	}
}
