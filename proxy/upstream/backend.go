// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/balance"
	"github.com/anymesh/anymesh/proxy/policy"
)

// ErrNoEndpoint says that a cluster has no healthy endpoint.
var ErrNoEndpoint = errors.New("no healthy endpoint")

// idleTimeout is how long an unused connection is kept. The inbound side keeps its end open for longer, so that a request
// does not meet a connection that is just being closed.
const idleTimeout = 90 * time.Second

// Backend is one cluster. It is safe for concurrent use.
type Backend struct {
	Name string
	d    *Dialer
	mu   sync.Mutex // Apply, Renew and Close
	now  atomic.Pointer[known]
	gate balance.Gate // before requests, where the cluster has limits
	// conns counts connections of bytes, and ward watches over the endpoints.
	conns atomic.Int64
	ward  balance.Ward
}

// known is what is known of a cluster at a time. It never changes.
type known struct {
	spec  *policy.Cluster
	ends  []*endpoint
	picks *balance.Picker
	pools *pools
	lines map[*endpoint]*Lines // of pools, found once
}

type endpoint struct {
	addr   netip.AddrPort
	host   string // addr as text
	active atomic.Int64
	health balance.Health
}

// pools hold the HTTP connections made under one spec and one certificate.
type pools struct {
	h1, h2 *http.Transport
	links  sync.Map // *endpoint → *link.Links: HTTP/2 by frames
	book   book
	leaf   string // own certificate's serial number at the time
}

// New returns a cluster about which nothing is known yet.
func New(name string, d *Dialer) *Backend {
	return &Backend{Name: name, d: d}
}

// Apply puts a new state into force. Endpoints that stay keep their counts, connections are kept while the identities of
// the cluster stay the same.
func (b *Backend) Apply(spec *policy.Cluster, ends *policy.Endpoints) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.now.Load()
	was := map[netip.AddrPort]*endpoint{}
	k := &known{spec: spec}
	if old != nil {
		for _, e := range old.ends {
			was[e.addr] = e
		}
		if spec.Same(old.spec) {
			k.pools = old.pools
		}
	}
	if k.pools == nil {
		k.pools = b.pools(spec)
	}
	for _, a := range ends.Addrs {
		e := was[a]
		if e == nil {
			e = &endpoint{addr: a, host: a.String()}
		}
		k.ends = append(k.ends, e)
	}
	k.find()
	if old != nil && old.spec.Balance == spec.Balance && slices.Equal(old.ends, k.ends) {
		k.picks = old.picks
	} else {
		k.picks = balance.New(spec.Balance, k.names())
	}
	b.gate.Set(spec.Limits)
	b.now.Store(k)
	if old != nil && old.pools != k.pools {
		old.pools.close()
	} else if old != nil {
		k.pools.forget(old.ends, k.ends)
		k.pools.book.keep(func(a netip.AddrPort) bool { return slices.Contains(ends.Addrs, a) })
	}
}

// find looks up the lines to each endpoint.
func (k *known) find() {
	k.lines = make(map[*endpoint]*Lines, len(k.ends))
	for _, e := range k.ends {
		k.lines[e] = k.pools.book.at(e.addr)
	}
}

// Renew closes what was not used for long, and starts new pools when the workload's own certificate has changed: connections show the
// certificate that they were made with for as long as they live.
func (b *Backend) Renew() {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.now.Load()
	if old == nil {
		return
	}
	if old.pools.leaf == b.leaf() {
		old.pools.book.sweep(time.Now().Add(-idleTimeout))
		return
	}
	k := *old
	k.pools = b.pools(k.spec)
	k.find()
	b.now.Store(&k)
	old.pools.close()
}

// Close drops idle connections. Requests under way finish.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.now.Load(); k != nil {
		k.pools.close()
	}
}

func (b *Backend) leaf() string {
	v, err := b.d.SVID.GetX509SVID()
	if err != nil {
		return ""
	}
	return v.Certificates[0].SerialNumber.String()
}

func (b *Backend) pools(spec *policy.Cluster) *pools {
	p := &pools{h1: &http.Transport{}, h2: &http.Transport{}, leaf: b.leaf()}
	for alpn, t := range map[string]*http.Transport{"http/1.1": p.h1, "h2": p.h2} {
		t.DialTLSContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, &dialError{err}
			}
			c, err := b.d.Dial(ctx, spec, to, alpn)
			if err != nil {
				return nil, err // not c: a nil *tls.Conn is not a nil net.Conn
			}
			return c, nil
		}
		Tune(t)
		t.Protocols.SetHTTP1(alpn == "http/1.1")
		t.Protocols.SetHTTP2(alpn == "h2")
	}
	return p
}

// Tune gives a transport what all of a proxy's transports share: nothing is added to a request, and enough connections
// are kept.
func Tune(t *http.Transport) {
	t.DisableCompression = true
	t.MaxIdleConnsPerHost = 1024
	t.IdleConnTimeout = idleTimeout
	t.WriteBufferSize, t.ReadBufferSize = 8<<10, 8<<10
	t.Protocols = new(http.Protocols)
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
}

func (p *pools) close() {
	p.h1.CloseIdleConnections()
	p.h2.CloseIdleConnections()
	p.retire(func(*endpoint) bool { return true })
	p.book.keep(func(netip.AddrPort) bool { return false })
}

// Dial opens a connection of bytes to one endpoint. done must be called when it is finished.
func (b *Backend) Dial(ctx context.Context) (conn *tls.Conn, done func(), err error) {
	k := b.now.Load()
	if k == nil || len(k.ends) == 0 {
		return nil, nil, fmt.Errorf("%s: %w", b.Name, ErrNoEndpoint)
	}
	if n := b.conns.Add(1); k.spec.Conns > 0 && n > int64(k.spec.Conns) {
		b.conns.Add(-1)
		return nil, nil, fmt.Errorf("%s: %w", b.Name, balance.ErrFull)
	}
	var last *endpoint
	for try := 0; try < min(2, len(k.ends)); try++ {
		e := k.pick(last)
		conn, err = b.d.Dial(ctx, k.spec, e.addr, "")
		b.report(k, e, err != nil)
		if err == nil {
			e.active.Add(1)
			return conn, func() { e.active.Add(-1); b.conns.Add(-1) }, nil
		}
		last = e
	}
	b.conns.Add(-1)
	return nil, nil, fmt.Errorf("%s: %w", b.Name, err)
}
