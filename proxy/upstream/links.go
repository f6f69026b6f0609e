// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/anymesh/anymesh/proxy/link"
)

// Pick chooses an endpoint and returns the HTTP/2 connections to it, made under the certificate and the identities of now. not is avoided
// where there is another.
func (b *Backend) Pick(not *link.Links) (*link.Links, error) {
	k := b.now.Load()
	if k == nil || len(k.ends) == 0 {
		return nil, fmt.Errorf("%s: %w", b.Name, ErrNoEndpoint)
	}
	var avoid *endpoint
	if not != nil {
		for _, e := range k.ends {
			if &e.active == not.Busy {
				avoid = e
			}
		}
	}
	e := k.pick(avoid)
	if l, ok := k.pools.links.Load(e); ok {
		return l.(*link.Links), nil
	}
	l := &link.Links{Idle: idleTimeout, Busy: &e.active, Dial: func(ctx context.Context) (net.Conn, error) {
		c, err := b.d.Dial(ctx, k.spec, e.addr, "h2")
		if err != nil {
			return nil, err // not c: a nil *tls.Conn is not a nil net.Conn
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
			c.Close()
			return nil, fmt.Errorf("%s speaks %q and not HTTP/2", e.host, got)
		}
		return c, nil
	}}
	v, _ := k.pools.links.LoadOrStore(e, l)
	return v.(*link.Links), nil
}

// retire ends the links to those endpoints that which says, in order.
func (p *pools) retire(which func(*endpoint) bool) {
	p.links.Range(func(e, l any) bool {
		if which(e.(*endpoint)) {
			p.links.Delete(e)
			l.(*link.Links).Retire()
		}
		return true
	})
}

// forget retires the links to endpoints that are no more.
func (p *pools) forget(old, now []*endpoint) {
	if slices.Equal(old, now) {
		return
	}
	p.retire(func(e *endpoint) bool { return !slices.Contains(now, e) })
}
