// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/sniff"
	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/wire"
)

// tunnel is a connection of which something was read already: most came in through CONNECT.
type tunnel struct {
	net.Conn
	r    *bufio.Reader
	name string // service port that CONNECT asked for
}

func (t *tunnel) Read(b []byte) (int, error) { return t.r.Read(b) }

// NetConn returns the connection below.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

// CloseWrite ends the direction to the client.
func (t *tunnel) CloseWrite() error {
	if w, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return t.Close()
}

type tunnelKey struct{}

func tunnelContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tunnel); ok && t.name != "" {
		return context.WithValue(ctx, tunnelKey{}, t.name)
	}
	return ctx
}

// tunnelled tells which service port the connection of a request is for, when CONNECT said so.
func tunnelled(ctx context.Context) (string, bool) {
	s, ok := ctx.Value(tunnelKey{}).(string)
	return s, ok
}

// connect takes CONNECT host:port: bytes through the mesh, or HTTP where the port can carry it and the client speaks it.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, start: time.Now()}
	x.access.Method = r.Method
	refuse := func(code int, reason string) { p.finish(x, x.fail(code, reason)) }
	if _, inside := tunnelled(r.Context()); inside || r.ProtoMajor != 1 {
		refuse(http.StatusNotImplemented, "CONNECT is understood once, and over HTTP/1.1")
		return
	}
	if a, err := netip.ParseAddrPort(r.Host); err == nil {
		p.passThrough(w, r, a)
		return
	}
	name, err := p.cfg.Node.service(r.Host)
	if err != nil {
		refuse(http.StatusBadGateway, err.Error())
		return
	}
	h, err := p.book.Host(r.Context(), name)
	if err != nil {
		refuse(unresolved(err), err.Error())
		return
	}
	var up *upward
	if !h.HTTP {
		// Dialled before the answer, so that the client learns of a failure in words.
		if up, err = p.dial(r.Context(), h); err != nil {
			refuse(http.StatusServiceUnavailable, err.Error())
			return
		}
	}
	t, err := hijack(w, name)
	if err != nil {
		up.drop()
		p.log.Debug("outbound: CONNECT", "name", name, "err", err)
		return
	}
	if !p.track(func() { p.carry(t, h, up) }) {
		up.drop()
		t.Close()
	}
}

// passThrough takes a CONNECT to an address, which a client makes that has looked up the name itself: TLS says the name once more (SNI), and
// what is no TLS is cut. The TLS is the workload's own and stays closed.
func (p *Proxy) passThrough(w http.ResponseWriter, r *http.Request, to netip.AddrPort) {
	t, err := hijack(w, r.Host)
	if err != nil {
		p.log.Debug("outbound: CONNECT", "name", r.Host, "err", err)
		return
	}
	carry := func() {
		var h *state.Host
		host, err := sniff.ServerName(t, t.r)
		if err == nil {
			t.name, err = p.cfg.Node.service(net.JoinHostPort(host, strconv.Itoa(int(to.Port()))))
		}
		if err == nil {
			h, err = p.book.Host(context.Background(), t.name)
		}
		if err == nil && h.TCP == nil {
			err = errors.New("carries no bytes")
		}
		if err != nil {
			p.log.Debug("outbound: no way for TLS to an address", "address", to, "name", t.name, "err", err)
			wire.Reset(t)
			return
		}
		p.carry(t, h, nil)
	}
	if !p.track(carry) {
		t.Close()
	}
}

func hijack(w http.ResponseWriter, name string) (*tunnel, error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		c.Close()
		return nil, err
	}
	return &tunnel{Conn: c, r: rw.Reader, name: name}, nil
}

// carry serves an established tunnel. up is nil where the protocol is still to be found out.
func (p *Proxy) carry(t *tunnel, h *state.Host, up *upward) {
	if up == nil && (h.TCP == nil || speaksHTTP(t, h)) {
		if !p.tunnels.Push(t) {
			t.Close()
		}
		return
	}
	defer t.Close()
	if up == nil {
		var err error
		if up, err = p.dial(context.Background(), h); err != nil {
			p.log.Debug("outbound: no connection", "name", t.name, "err", err)
			wire.Reset(t)
			return
		}
	}
	defer up.drop()
	wire.Pipe(t, up.conn, &up.edge.Sent, &up.edge.Received)
	p.finishTCP(up.edge, "", up.start, stats.Outcome{Code: http.StatusOK})
}

// upward is a connection of bytes to an endpoint.
type upward struct {
	conn  net.Conn
	done  func()
	edge  *stats.Edge
	start time.Time
}

func (u *upward) drop() {
	if u != nil {
		u.conn.Close()
		u.done()
	}
}

func (p *Proxy) dial(ctx context.Context, h *state.Host) (*upward, error) {
	cluster, b := route(h)
	u := &upward{edge: p.clientEdge(h.Name, cluster), start: time.Now()}
	c, done, err := b.Dial(ctx)
	if err != nil {
		p.finishTCP(u.edge, "", u.start, stats.Outcome{})
		return nil, err
	}
	u.conn, u.done = c, done
	return u, nil
}

// speaksHTTP looks at the first bytes of a connection without taking them. What stopped where it could still become a request is
// one wherever requests do not all go the same way: its codec waits for the rest.
func speaksHTTP(t *tunnel, h *state.Host) bool {
	switch sniff.Sniff(t, t.r) {
	case sniff.HTTP:
		return true
	case sniff.Unclear:
		return !h.Routes.Plain()
	}
	return false
}

// tunnel carries a switched protocol, WebSocket, until either end is done.
func (x *exchange) tunnel(ctx context.Context, res *http.Response) stats.Outcome {
	up, ok := res.Body.(io.ReadWriteCloser)
	if !ok || x.upgrade == "" || !strings.EqualFold(res.Header.Get("Upgrade"), x.upgrade) {
		res.Body.Close()
		return x.fail(http.StatusBadGateway, "the server switched to a protocol that was not asked for")
	}
	h := x.w.Header()
	h1.Strip(res.Header)
	for k, v := range res.Header {
		h[k] = v
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{x.upgrade}
	x.w.WriteHeader(http.StatusSwitchingProtocols)
	c, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		up.Close()
		return stats.Outcome{Code: 0, GRPC: -1}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { // revoked, or out of time
		wire.Reset(c)
		up.Close()
	})
	defer stop()
	var n atomic.Uint64
	wire.Pipe(&tunnel{Conn: c, r: rw.Reader}, &switched{Conn: c, b: up}, &n, &n)
	return stats.Outcome{Code: http.StatusSwitchingProtocols, GRPC: -1}
}

// switched lets the body of a 101 response be piped. It knows no half-close: an end of either side ends both, as
// WebSocket wants it.
type switched struct {
	net.Conn // addresses and deadlines only
	b        io.ReadWriteCloser
}

func (s *switched) Read(b []byte) (int, error)  { return s.b.Read(b) }
func (s *switched) Write(b []byte) (int, error) { return s.b.Write(b) }
func (s *switched) Close() error                { return s.b.Close() }
