// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestGRPCLarge sends large messages both ways on many streams of one connection.
func TestGRPCLarge(t *testing.T) {
	_, c := chatty(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			text := strings.Repeat(string(rune('a'+i)), 1<<20)
			out := &wrapperspb.StringValue{}
			var trailer metadata.MD
			if err := c.Invoke(ctx, "/test.Echo/One", wrapperspb.String(text), out); err != nil || out.Value != "echo "+text {
				t.Errorf("%d: %d bytes, %v %v", i, len(out.Value), err, trailer)
			}
		})
	}
	all.Wait()
}

// TestGRPCEnds holds that a deadline and a cancellation of the client reach the server, and that other streams do not notice.
func TestGRPCEnds(t *testing.T) {
	_, c := chatty(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out := &wrapperspb.StringValue{}
	other, err := c.NewStream(ctx, &echo.Streams[0], "/test.Echo/Chat")
	check(t, err)
	turn := func() {
		t.Helper()
		check(t, other.SendMsg(wrapperspb.String("x")))
		check(t, other.RecvMsg(out))
	}
	turn()
	short, end := context.WithTimeout(ctx, 50*time.Millisecond)
	defer end()
	s, err := c.NewStream(short, &echo.Streams[0], "/test.Echo/Chat")
	check(t, err)
	if err := s.RecvMsg(out); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a deadline: %v", err)
	}
	turn()
	gone, leave := context.WithCancel(ctx)
	s, err = c.NewStream(gone, &echo.Streams[0], "/test.Echo/Chat")
	check(t, err)
	check(t, s.SendMsg(wrapperspb.String("x")))
	check(t, s.RecvMsg(out))
	leave()
	if err := s.RecvMsg(out); status.Code(err) != codes.Canceled {
		t.Errorf("a cancellation: %v", err)
	}
	turn()
}

// TestSlowReader holds that who does not read its response holds up nobody else on the connection.
func TestSlowReader(t *testing.T) {
	w, d := guarded(t, nil)
	w.setInbound("shop/api", open(8084))
	left := make(chan struct{})
	w.app(d, 8084, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/much" {
			io.WriteString(w, "little")
			return
		}
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				close(left)
				return
			}
		}
	}))
	const name = "api.shop.svc.cluster.local:8084"
	w.cluster(name, 8084, "shop/api", d)
	w.setRoutes(name, to("", nil, arm{name, 1}))
	w.setListener(name, "http")
	c := w.client("shop/web").http2(t)
	wantBody(t, c, "http://api.shop:8084/", "little")
	res, err := c.Get("http://api.shop:8084/much")
	check(t, err)
	for range 200 {
		if a := get(t, c, "http://api.shop:8084/"); a.body != "little" {
			t.Fatalf("beside a slow reader: %+v", a)
		}
	}
	res.Body.Close()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the server does not learn that the client left")
	}
}
