// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"time"

	"github.com/anymesh/anymesh/proxy/ads"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// How long an unused name is kept, in sweeps: one that the mesh does not have is dropped at once, so that a client which
// asks for random names cannot fill the memory.
const keepSweeps = 6

// warm takes e's newest listener and routes into force if everything that they name is there, and asks for what is not.
func (b *Book) warm(e *entry) {
	if e.listener == nil || e.listener.HTTP && e.routes == nil {
		return
	}
	want := map[string]bool{}
	for _, s := range e.listener.Clusters() {
		want[s] = true
	}
	if e.listener.HTTP {
		for _, s := range e.routes.Clusters() {
			want[s] = true
		}
	}
	ready := true
	h := &Host{Listener: e.listener, Backends: map[string]*upstream.Backend{}}
	for s := range want {
		c := b.hold(e, s)
		h.Backends[s] = c.backend
		h.Careful = h.Careful || c.spec != nil && c.spec.Careful()
		// A cluster that does not exist holds up a change, since the old state serves better. There is no old state at
		// the start: then its share fails and the rest works.
		ready = ready && (c.spec != nil && c.ends != nil || c.absent && e.live.Load() == nil)
	}
	if !ready {
		return
	}
	if e.listener.HTTP {
		h.Routes = e.routes
		h.Careful = h.Careful || e.routes.Careful()
	}
	e.live.Store(h)
	e.gone.Store(false)
	e.answered()
	for s := range e.holds {
		if !want[s] {
			b.release(e, s)
		}
	}
	if !e.listener.HTTP && e.asked {
		b.dropRoutes(e)
	}
}

func (e *entry) answered() {
	select {
	case <-e.ready:
	default:
		close(e.ready)
	}
}

func (b *Book) hold(e *entry, name string) *cluster {
	c := b.clusters[name]
	if c == nil {
		c = &cluster{backend: b.opts.Backend(name), users: map[*entry]bool{}}
		b.clusters[name] = c
		b.feed.Subscribe(ads.Cluster, name)
		b.feed.Subscribe(ads.Endpoint, name)
	}
	c.users[e], e.holds[name] = true, true
	return c
}

func (b *Book) release(e *entry, name string) {
	delete(e.holds, name)
	c := b.clusters[name]
	delete(c.users, e)
	if len(c.users) > 0 {
		return
	}
	delete(b.clusters, name)
	b.feed.Unsubscribe(ads.Cluster, name)
	b.feed.Unsubscribe(ads.Endpoint, name)
	c.backend.Close()
}

// renew brings news of a cluster into force and wakes those who waited for it.
func (b *Book) renew(c *cluster) {
	if c.spec != nil && c.ends != nil {
		c.backend.Apply(c.spec, c.ends)
	}
	for e := range c.users {
		b.warm(e)
	}
}

// lose takes e out of force; the name stays asked for, since the service may come back.
func (b *Book) lose(e *entry) {
	e.gone.Store(true)
	e.live.Store(nil)
	e.answered()
	e.listener = nil
	b.dropRoutes(e)
	for s := range e.holds {
		b.release(e, s)
	}
}

func (b *Book) dropRoutes(e *entry) {
	e.routes = nil
	if e.asked {
		e.asked = false
		b.feed.Unsubscribe(ads.Routes, e.name)
	}
}

// Sweep drops names that nobody has used for a while and renews connections that have grown old, each period until ctx
// ends.
func (b *Book) Sweep(ctx context.Context, period time.Duration) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			b.sweep()
		}
	}
}

func (b *Book) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, e := range b.entries {
		if e.used.Swap(false) {
			e.unused = 0
			continue
		}
		e.unused++
		if e.live.Load() != nil && e.unused < keepSweeps {
			continue
		}
		b.hosts.Delete(name)
		delete(b.entries, name)
		b.feed.Unsubscribe(ads.Listener, name)
		b.lose(e)
	}
	for _, c := range b.clusters {
		c.backend.Renew()
	}
}
