// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
	"github.com/anymesh/anymesh/proxy/wire"
)

const handshakeTimeout = 10 * time.Second

// accept greets inbound connections until l is closed.
func (p *Proxy) accept(l net.Listener) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("inbound: accept", "err", err)
			time.Sleep(10 * time.Millisecond) // out of files: let some be closed
			continue
		}
		go p.greet(raw)
	}
}

// greet does the handshake and hands the connection to its codec.
func (p *Proxy) greet(raw net.Conn) {
	c := &inConn{Conn: raw, p: p, live: map[*call]struct{}{}}
	t := tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: c.choose})
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	err := t.HandshakeContext(ctx)
	cancel()
	if err != nil {
		p.log.Debug("inbound: handshake refused", "from", raw.RemoteAddr(), "err", err)
		raw.Close()
		return
	}
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	taken := false
	switch {
	case c.chain == policy.ForBytes:
		taken = p.track(func() { p.serveBytes(t, c) })
	case c.chain == policy.ForDatagrams:
		taken = p.track(func() { p.serveDatagrams(t, c) })
	case t.ConnectionState().NegotiatedProtocol == "h2":
		p.in2.Serve(t, c, idleTimeout)
		taken = true
	case t.ConnectionState().NegotiatedProtocol == "http/1.1":
		go p.quickInbound.Take(t, p.quickIn(c)) // on a small stack: the handshake's is large
		return
	default:
		taken = p.greeted.Push(t)
	}
	if !taken {
		t.Close()
	}
}

// choose picks the filter chain by destination port and offered protocols, and with it the protocols to agree on. The
// port from the server name is what the client claims: it only selects which policy the client is judged by, and where
// its bytes go is that same port.
func (c *inConn) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	port, err := c.p.destination(c.Conn, hello.ServerName)
	if err != nil {
		return nil, err
	}
	c.port = port
	chain, alpn := c.p.inbound.Load().Chain(port, hello.SupportedProtos)
	if chain == policy.None {
		return nil, fmt.Errorf("port %d with protocols %q has no filter chain", port, hello.SupportedProtos)
	}
	c.chain = chain
	cert, err := upstream.Certificate(c.p.cfg.SVID)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{*cert},
		NextProtos:             alpn,
		ClientAuth:             tls.RequireAnyClientCert, // verified below, by SPIFFE ID
		SessionTicketsDisabled: true,                     // a ticket would outlive its certificate
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := upstream.Peer(s, c.p.cfg.Bundles)
			if err != nil {
				return err
			}
			return c.identify(id, cert)
		},
	}, nil
}

func (c *inConn) identify(id spiffeid.ID, own *tls.Certificate) error {
	if len(own.Leaf.URIs) == 0 {
		return errors.New("own certificate has no SPIFFE ID")
	}
	self, err := spiffeid.FromURI(own.Leaf.URIs[0])
	if err != nil {
		return err
	}
	c.peer = id.String()
	c.xfcc = []string{"By=" + self.String() + ";URI=" + id.String()}
	c.edge = c.p.serverEdge(account(id, self.TrustDomain()))
	return nil
}

// destination tells which port of the workload a connection is for.
func (p *Proxy) destination(c net.Conn, sni string) (uint16, error) {
	if p.cfg.Direct {
		first, _, _ := strings.Cut(sni, ".")
		n, err := strconv.ParseUint(first, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("server name %q does not begin with a port", sni)
		}
		return uint16(n), nil
	}
	if f := p.cfg.OriginalDst; f != nil {
		a, err := f(c)
		return a.Port(), err
	}
	a, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%s is not a TCP address", c.LocalAddr())
	}
	return uint16(a.Port), nil
}

// serveInbound takes one request of a peer.
func (p *Proxy) serveInbound(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(inConnKey{}).(*inConn)
	x, err := newExchange(w, r)
	x.edge = c.edge
	if err != nil {
		p.finish(x, x.fail(http.StatusBadRequest, err.Error()))
		return
	}
	if r.Method == http.MethodConnect {
		p.finish(x, x.fail(http.StatusMethodNotAllowed, "CONNECT is not for the inbound side"))
		return
	}
	r.Header["X-Forwarded-Client-Cert"] = c.xfcc
	x.req.Peer, x.req.Port = c.peer, c.port
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	k := &call{req: &x.req, cancel: func() { cancel(errRevoked) }}
	c.begin(k)
	defer c.end(k)
	v := p.inbound.Load().Admit(&x.req)
	if !v.Allowed {
		p.finish(x, x.deny())
		return
	}
	x.access.Rule = v.Policy
	p.finish(x, p.handOver(ctx, x))
}

// handOver passes an admitted request to the local process.
func (p *Proxy) handOver(ctx context.Context, x *exchange) stats.Outcome {
	x.url.Scheme = "http"
	x.url.Host = p.process(x.req.Port)
	res, err := p.local1.RoundTrip(x.request(ctx))
	if err != nil {
		return x.broke(ctx, "the workload behind this proxy", err)
	}
	delete(res.Header, headerDenied)
	delete(res.Header, headerError)
	return x.respond(ctx, res)
}

func (p *Proxy) process(port uint16) string {
	return netip.AddrPortFrom(p.cfg.Node.IP, port).String()
}

// serveBytes takes one connection of bytes.
func (p *Proxy) serveBytes(t *tls.Conn, c *inConn) {
	start := time.Now()
	defer t.Close()
	k := &call{bytes: true, req: &policy.Request{Peer: c.peer, Port: c.port}, cancel: c.abort}
	c.begin(k)
	defer c.end(k)
	v := p.inbound.Load().AdmitTCP(k.req)
	if !v.Allowed {
		p.finishTCP(c.edge, "", start, stats.Outcome{Denied: true}) // before the peer can know: who counts both sides sees the cause first
		c.abort()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	app, err := p.local1.DialContext(ctx, "tcp", p.process(c.port))
	cancel()
	if err != nil {
		c.abort()
		p.log.Debug("inbound: the local process does not answer", "port", c.port, "err", err)
		p.finishTCP(c.edge, v.Policy, start, stats.Outcome{})
		return
	}
	wire.Pipe(t, app, &c.edge.Sent, &c.edge.Received)
	p.finishTCP(c.edge, v.Policy, start, stats.Outcome{Code: http.StatusOK})
}
