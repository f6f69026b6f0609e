// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Place is an endpoint of a cluster at a time. Two are equal where one connection is good for both: the same address, reached under
// the same own certificate and with the same identities expected.
type Place struct {
	b    *Backend
	era  *pools
	addr netip.AddrPort
}

// Choose picks the place for something that lasts; done must be called when it has ended. Another than not is chosen where there is one.
func (b *Backend) Choose(not Place) (p Place, done func(), err error) {
	k := b.now.Load()
	if k == nil || len(k.ends) == 0 {
		return p, nil, fmt.Errorf("%s: %w", b.Name, ErrNoEndpoint)
	}
	var avoid *endpoint
	for _, e := range k.ends {
		if e.addr == not.addr {
			avoid = e
		}
	}
	e := k.pick(avoid)
	e.active.Add(1)
	return Place{b, k.pools, e.addr}, func() { e.active.Add(-1) }, nil
}

// Open connects to the place, offering one protocol.
func (p Place) Open(ctx context.Context, alpn string) (net.Conn, error) {
	c, err := p.b.d.Dial(ctx, p.b.now.Load().spec, p.addr, alpn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.b.Name, err)
	}
	return c, nil
}
