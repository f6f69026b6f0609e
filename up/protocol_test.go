// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// chat answers each message and ends with a trailer and a status.
var chat = &grpc.StreamDesc{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
	n := 0
	for {
		var v wrapperspb.StringValue
		if err := s.RecvMsg(&v); errors.Is(err, io.EOF) {
			s.SetTrailer(metadata.Pairs("x-count", fmt.Sprint(n)))
			return status.Error(codes.AlreadyExists, "that was all")
		} else if err != nil {
			return err
		}
		n++
		if err := s.SendMsg(wrapperspb.String("re: " + v.Value)); err != nil {
			return err
		}
	}
}}

// TestGRPC streams both ways through the whole mesh, by CONNECT and by authority, and ends with trailers.
func TestGRPC(t *testing.T) {
	t.Parallel()
	m := start(t, func(m *mesh) {
		m.edit("access.yaml", "    matches: [products]", "    matches: [products, chat]")
		m.edit("access.yaml", "  - name: admin\n", "  - name: chat\n    pathRegex: /shop.Catalog/Chat$\n    methods: [POST]\n  - name: admin\n")
	})
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Catalog", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{*chat}}, nil)
	t.Cleanup(s.Stop)
	m.app(11, 8080, s)
	m.app(12, 8080, s)
	for name, dial := range map[string]func(context.Context, string) (net.Conn, error){
		"CONNECT": func(context.Context, string) (net.Conn, error) {
			c, _, err := m.dial(1, "catalog:8080")
			if err == nil {
				err = c.SetDeadline(time.Time{})
			}
			return c, err
		},
		"authority": func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", m.proxy(1))
		},
	} {
		conn, err := grpc.NewClient("passthrough:///catalog:8080", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
		check(t, err)
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		st, err := conn.NewStream(ctx, chat, "/shop.Catalog/Chat")
		check(t, err)
		for i := range 10 {
			check(t, st.SendMsg(wrapperspb.String(fmt.Sprint(i))))
			var v wrapperspb.StringValue
			check(t, st.RecvMsg(&v))
			if v.Value != fmt.Sprint("re: ", i) {
				t.Errorf("%s: %q", name, v.Value)
			}
		}
		check(t, st.CloseSend())
		err = st.RecvMsg(new(wrapperspb.StringValue))
		if status.Code(err) != codes.AlreadyExists || strings.Join(st.Trailer()["x-count"], "") != "10" {
			t.Errorf("%s: %v %v", name, err, st.Trailer())
		}
		err = conn.Invoke(ctx, "/shop.Catalog/Other", wrapperspb.String(""), new(wrapperspb.StringValue))
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: another method: %v", name, err)
		}
	}
}

// TestWebSocket switches protocols through the whole mesh, and ends with its permission.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	m := start(t)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "not an upgrade", http.StatusBadRequest)
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, rw)
	})
	m.app(11, 8080, h)
	m.app(12, 8080, h)
	c, err := net.Dial("tcp", m.proxy(1))
	check(t, err)
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(patience)))
	fmt.Fprint(c, "GET http://catalog:8080/products/live HTTP/1.1\r\nHost: catalog:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", res, err)
	}
	for i := range 5 {
		fmt.Fprintf(c, "frame %d\n", i)
		if s, err := r.ReadString('\n'); err != nil || s != fmt.Sprintf("frame %d\n", i) {
			t.Fatalf("%q %v", s, err)
		}
	}
	m.edit("access.yaml", "matches: [products]", "matches: [admin]")
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("it outlived its permission: %d %v", n, err)
	}
}
