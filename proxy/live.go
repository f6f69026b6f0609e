// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/wire"
)

// errRevoked ends what was admitted and is not any more.
var errRevoked = errors.New("access was taken away")

// inConn is an inbound connection under its TLS, and all that is under way on it.
type inConn struct {
	net.Conn
	p     *Proxy
	port  uint16 // destination
	chain policy.Chain
	peer  string // verified SPIFFE ID
	xfcc  []string
	edge  *stats.Edge

	mu   sync.Mutex
	live map[*call]struct{}
}

// call is one admitted request or connection of bytes.
type call struct {
	bytes  bool
	req    *policy.Request
	cancel func()
}

// begin enters a call before it is judged. So either the judgement sees a new policy, or the new policy's recheck sees
// the call; none slips through between the two.
func (c *inConn) begin(k *call) {
	c.mu.Lock()
	c.live[k] = struct{}{}
	c.mu.Unlock()
}

func (c *inConn) end(k *call) {
	c.mu.Lock()
	delete(c.live, k)
	c.mu.Unlock()
}

// recheck cuts what in does not admit.
func (c *inConn) recheck(in *policy.Inbound) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.live {
		judge := in.Admit
		if k.bytes {
			judge = in.AdmitTCP
		}
		if !judge(k.req).Allowed {
			k.cancel()
		}
	}
}

// Close closes the connection and forgets it.
func (c *inConn) Close() error {
	c.p.mu.Lock()
	delete(c.p.conns, c)
	c.p.mu.Unlock()
	return c.Conn.Close()
}

// NetConn returns the connection below.
func (c *inConn) NetConn() net.Conn { return c.Conn }

// abort closes with a reset, so that the peer does not take it for an orderly end.
func (c *inConn) abort() { wire.Reset(c.Conn) }

// open lists the inbound connections.
func (p *Proxy) open() []*inConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*inConn, 0, len(p.conns))
	for c := range p.conns {
		out = append(out, c)
	}
	return out
}

type inConnKey struct{}

func inConnContext(ctx context.Context, c net.Conn) context.Context {
	if r, ok := c.(*wire.Resumed); ok {
		c = r.Conn
	}
	return context.WithValue(ctx, inConnKey{}, c.(*tls.Conn).NetConn().(*inConn))
}
