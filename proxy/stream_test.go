// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echo is a gRPC service written by hand: One answers once, Chat answers each message until the client is done.
var echo = grpc.ServiceDesc{
	ServiceName: "test.Echo", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "One", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.StringValue{}
		if err := dec(in); err != nil {
			return nil, err
		}
		grpc.SetTrailer(ctx, metadata.Pairs("last", "word"))
		if in.Value == "fail" {
			return nil, status.Error(codes.DataLoss, "as asked")
		}
		return wrapperspb.String("echo " + in.Value), nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			in := &wrapperspb.StringValue{}
			if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
				s.SetTrailer(metadata.Pairs("last", "word"))
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(wrapperspb.String("echo " + in.Value)); err != nil {
				return err
			}
		}
	}}},
}

// chatty is a mesh with a gRPC server that lets shop/web call it, and a client connection of shop/web.
func chatty(t *testing.T) (*world, *grpc.ClientConn) {
	w := newWorld(t)
	const name = "echo.shop.svc.cluster.local:9000"
	w.setInbound("shop/echo", []door{{port: 9000, http: true, rules: grants([]string{w.ca.id("shop/web")},
		map[string][]*rbacv3.Permission{"p": {onPath("/test.Echo/(One|Chat)")}})}})
	d := w.pod("shop/echo").ready(t)
	l, err := net.Listen("tcp", d.ip.String()+":9000")
	check(t, err)
	s := grpc.NewServer()
	s.RegisterService(&echo, nil)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	w.cluster(name, 9000, "shop/echo", d)
	w.setRoutes(name, to("", nil, arm{name, 1}))
	w.setListener(name, "http2")
	return w, dialGRPC(t, w.client("shop/web"), "echo.shop:9000")
}

func dialGRPC(t *testing.T, d *pod, authority string) *grpc.ClientConn {
	c, err := grpc.NewClient("passthrough:///"+d.OutboundAddr().String(), grpc.WithAuthority(authority),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGRPC(t *testing.T) {
	w, c := chatty(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var trailer metadata.MD
	out := &wrapperspb.StringValue{}
	check(t, c.Invoke(ctx, "/test.Echo/One", wrapperspb.String("hi"), out, grpc.Trailer(&trailer)))
	if out.Value != "echo hi" || trailer.Get("last")[0] != "word" {
		t.Errorf("%q %v", out.Value, trailer)
	}
	err := c.Invoke(ctx, "/test.Echo/One", wrapperspb.String("fail"), out, grpc.Trailer(&trailer))
	if status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "as asked" {
		t.Errorf("the server's own error: %v", err)
	}
	if err := c.Invoke(ctx, "/test.Echo/Secret", wrapperspb.String("hi"), out); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method that is not granted: %v", err)
	}
	eve := dialGRPC(t, w.client("shop/eve"), "echo.shop:9000")
	if err := eve.Invoke(ctx, "/test.Echo/One", wrapperspb.String("hi"), out); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a caller that is not granted: %v", err)
	}
	lost := dialGRPC(t, w.client("shop/lost"), "nowhere.shop:9000")
	if err := lost.Invoke(ctx, "/test.Echo/One", wrapperspb.String("hi"), out); status.Code(err) != codes.Unavailable {
		t.Errorf("a service that does not exist: %v", err)
	}
}

func TestGRPCBidirectional(t *testing.T) {
	w, c := chatty(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := c.NewStream(ctx, &echo.Streams[0], "/test.Echo/Chat")
	check(t, err)
	turn := func(i int) error {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
			return err
		}
		out := &wrapperspb.StringValue{}
		err := s.RecvMsg(out) // comes before the next is sent: nothing is held back
		if err == nil && out.Value != fmt.Sprint("echo ", i) {
			t.Errorf("turn %d: %q", i, out.Value)
		}
		return err
	}
	for i := range 100 {
		check(t, turn(i))
	}
	check(t, s.CloseSend())
	if err := s.RecvMsg(&wrapperspb.StringValue{}); err != io.EOF || len(s.Trailer().Get("last")) != 1 {
		t.Errorf("end: %v %v", err, s.Trailer())
	}
	// Revocation reaches an open stream, and says what it is.
	s, err = c.NewStream(ctx, &echo.Streams[0], "/test.Echo/Chat")
	check(t, err)
	check(t, turn(0))
	w.setInbound("shop/echo", []door{{port: 9000, http: true, rules: &rbacv3.RBAC{}}})
	if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a stream whose permission was taken away: %v", err)
	}
}

// echoSocket switches to WebSocket and echoes the bytes that follow.
func echoSocket(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-Websocket-Key") != "k" {
			w.WriteHeader(418)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n")
		io.Copy(c, rw)
	})
}

func TestWebSocket(t *testing.T) {
	w, d := guarded(t, nil)
	w.app(d, 8081, echoSocket(t))
	const ws = "api.shop.svc.cluster.local:8081"
	rules := grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {onPath("/ws")}})
	w.setInbound("shop/api", []door{{port: 8081, http: true, rules: rules}})
	w.cluster(ws, 8081, "shop/api", d)
	w.setRoutes(ws, to("", nil, arm{ws, 1}))
	w.setListener(ws, "http")
	web := w.client("shop/web")

	open := func(path, protocol string) (net.Conn, *bufio.Reader, *http.Response) {
		c, err := net.Dial("tcp", web.OutboundAddr().String())
		check(t, err)
		t.Cleanup(func() { c.Close() })
		check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: api:8081\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: k\r\n\r\nearly", path, protocol)
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		check(t, err)
		return c, r, res
	}
	var c net.Conn
	var r *bufio.Reader
	eventually(t, "the upgrade", func() bool {
		var res *http.Response
		c, r, res = open("/ws", "websocket")
		return res.StatusCode == 101 && res.Header.Get("Sec-Websocket-Accept") == "a"
	})
	want := "early"
	for i := range 50 {
		msg := fmt.Sprintf("message %d;", i)
		fmt.Fprint(c, msg)
		want += msg
		got := make([]byte, len(want))
		_, err := io.ReadFull(r, got)
		check(t, err)
		if string(got) != want {
			t.Fatalf("echo %q, want %q", got, want)
		}
		want = ""
	}
	if _, _, res := open("/ws", "h2c"); res.StatusCode != 418 {
		t.Errorf("an upgrade to h2c, a way around the policy, got %d", res.StatusCode)
	}
	if _, _, res := open("/other", "websocket"); res.StatusCode != 403 {
		t.Errorf("a path that is not granted: %d", res.StatusCode)
	}
	w.setInbound("shop/api", []door{{port: 8081, http: true, rules: &rbacv3.RBAC{}}})
	if _, err := r.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Errorf("a WebSocket whose permission was taken away: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// TestBulk streams more than anybody would hold in memory, both ways, and compares digests.
func TestBulk(t *testing.T) {
	w, d := guarded(t, nil)
	const size = 64 << 20
	w.setInbound("shop/api", open(8082))
	w.app(d, 8082, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 needs none
		w.Header().Set("Trailer", "X-Sum")
		_, err := io.Copy(io.MultiWriter(w, h), r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%x", h.Sum(nil)))
		if got := r.Trailer.Get("X-Mine"); got != fmt.Sprintf("%x", h.Sum(nil)) {
			w.Header().Set(http.TrailerPrefix+"X-Wrong", got)
		}
	}))
	const bulk = "api.shop.svc.cluster.local:8082"
	w.cluster(bulk, 8082, "shop/api", d)
	w.setRoutes(bulk, to("", nil, arm{bulk, 1}))
	w.setListener(bulk, "http")
	web := w.client("shop/web")
	for proto, c := range map[string]*http.Client{"h1": web.http1(t), "h2c": web.http2(t)} {
		wantCode(t, c, "http://api.shop:8082/", 200)
		req, err := http.NewRequest("POST", "http://api.shop:8082/", nil)
		check(t, err)
		sent := sha256.New()
		req.Trailer = http.Header{"X-Mine": nil}
		req.Body = &summed{r: io.TeeReader(io.LimitReader(mrand.NewChaCha8([32]byte{1}), size), sent), sum: sent, into: req.Trailer}
		req.ContentLength = -1
		start := time.Now()
		res, err := c.Do(req)
		check(t, err)
		back := sha256.New()
		n, err := io.Copy(back, res.Body)
		check(t, err)
		res.Body.Close()
		got := fmt.Sprintf("%x", back.Sum(nil))
		if n != size || got != fmt.Sprintf("%x", sent.Sum(nil)) || got != res.Trailer.Get("X-Sum") {
			t.Errorf("%s: %d bytes, digests differ: %v", proto, n, res.Trailer)
		}
		if res.Trailer.Get("X-Wrong") != "" {
			t.Errorf("%s: the request's trailer arrived as %q", proto, res.Trailer.Get("X-Wrong"))
		}
		t.Logf("%s: 64 MiB there and back in %s", proto, time.Since(start))
	}
}

// summed sets a trailer when its body ends.
type summed struct {
	r    io.Reader
	sum  hash.Hash
	into http.Header
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err == io.EOF {
		s.into.Set("X-Mine", fmt.Sprintf("%x", s.sum.Sum(nil)))
	}
	return n, err
}

func (s *summed) Close() error { return nil }

// TestBrokenResponse holds that a response which was cut off does not look complete.
func TestBrokenResponse(t *testing.T) {
	w, d := guarded(t, nil)
	w.setInbound("shop/api", open(8083))
	w.app(d, 8083, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 100))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	const cut = "api.shop.svc.cluster.local:8083"
	w.cluster(cut, 8083, "shop/api", d)
	w.setRoutes(cut, to("", nil, arm{cut, 1}))
	w.setListener(cut, "http")
	web := w.client("shop/web")
	for proto, c := range map[string]*http.Client{"h1": web.http1(t), "h2c": web.http2(t)} {
		var res *http.Response
		eventually(t, "the port to be open", func() bool {
			var err error
			res, err = c.Get("http://api.shop:8083/")
			check(t, err)
			if res.StatusCode != http.StatusOK {
				res.Body.Close()
			}
			return res.StatusCode == http.StatusOK
		})
		if text, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: a cut response looks complete: %s %q %v", proto, res.Status, text, res.Header)
		}
		res.Body.Close()
	}
}
