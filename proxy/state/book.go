// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/anymesh/anymesh/proxy/ads"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// Errors of [Book.Host].
var (
	ErrNoService = errors.New("the mesh has no such service port")
	ErrNoAnswer  = errors.New("the control plane has not answered yet")
	ErrOffline   = errors.New("the control plane cannot be reached and this service port was not known before")
)

// Feed is where a Book asks for names; an ads.Client is one.
type Feed interface {
	Subscribe(t ads.Type, names ...string)
	Unsubscribe(t ads.Type, names ...string)
	Connected() bool
}

// Options of a Book.
type Options struct {
	Inbound string                              // name of the workload's own inbound Listener
	Wait    time.Duration                       // how long a request waits for a name that is not known yet
	Backend func(name string) *upstream.Backend // makes the pool of one cluster
	Admit   func(*policy.Inbound)               // told each change of what is admitted; nil when nothing is any more
}

// Book is the state of one proxy. It is an ads.Handler.
type Book struct {
	opts  Options
	feed  Feed
	hosts sync.Map // service port → *entry, for requests

	mu       sync.Mutex
	compiler policy.Compiler
	entries  map[string]*entry
	clusters map[string]*cluster
	inbound  *policy.Inbound // as said, in force once the hand-over cluster is there
	handOver bool
}

// Host is one service port in force. It never changes; a newer one takes its place.
type Host struct {
	*policy.Listener
	Routes   *policy.Routes
	Backends map[string]*upstream.Backend
	Careful  bool // requests are to be tried again, go by a key, or are bounded: the quick codecs do not know how
}

// entry is one service port that somebody asked for.
type entry struct {
	name  string
	live  atomic.Pointer[Host]
	gone  atomic.Bool   // the control plane knows no such name
	ready chan struct{} // closed at the first answer
	used  atomic.Bool   // since the last sweep

	// Guarded by Book.mu.
	listener *policy.Listener
	routes   *policy.Routes
	asked    bool // for routes
	unused   int  // sweeps without a request
	holds    map[string]bool
}

// cluster is one cluster that some entry holds.
type cluster struct {
	backend *upstream.Backend
	spec    *policy.Cluster
	ends    *policy.Endpoints
	absent  bool // the control plane said that there is none
	users   map[*entry]bool
}

// New returns an empty Book. Start gives it its feed.
func New(o Options) *Book {
	return &Book{opts: o, entries: map[string]*entry{}, clusters: map[string]*cluster{}}
}

// Start asks for the workload's own resources.
func (b *Book) Start(f Feed) {
	b.feed = f
	f.Subscribe(ads.Cluster, policy.Own)
	f.Subscribe(ads.Listener, b.opts.Inbound)
}

// Known returns the service port called name where it is in force already; nil: [Book.Host] may have to wait for it.
func (b *Book) Known(name string) *Host {
	v, ok := b.hosts.Load(name)
	if !ok {
		return nil
	}
	e := v.(*entry)
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.live.Load()
}

// Host returns the service port called name ("host:port") and waits a bounded time where it is not known yet.
func (b *Book) Host(ctx context.Context, name string) (*Host, error) {
	v, ok := b.hosts.Load(name)
	if !ok {
		v = b.ask(name)
	}
	e := v.(*entry)
	if !e.used.Load() {
		e.used.Store(true)
	}
	if h := e.live.Load(); h != nil {
		return h, nil
	}
	t := time.NewTimer(b.opts.Wait)
	defer t.Stop()
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.C:
	}
	switch h := e.live.Load(); {
	case h != nil:
		return h, nil
	case e.gone.Load():
		if now, _ := b.hosts.Load(name); now != v {
			return b.Host(ctx, name) // swept away in this very moment
		}
		return nil, fmt.Errorf("%s: %w", name, ErrNoService)
	case !b.feed.Connected():
		return nil, fmt.Errorf("%s: %w", name, ErrOffline)
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNoAnswer)
}

func (b *Book) ask(name string) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[name]; e != nil {
		return e
	}
	e := &entry{name: name, ready: make(chan struct{}), holds: map[string]bool{}}
	b.entries[name] = e
	b.hosts.Store(name, e)
	b.feed.Subscribe(ads.Listener, name)
	return e
}

// Update implements ads.Handler.
func (b *Book) Update(t ads.Type, name string, body *anypb.Any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch t {
	case ads.Listener:
		return b.updateListener(name, body)
	case ads.Routes:
		return b.updateRoutes(name, body)
	case ads.Cluster:
		return b.updateCluster(name, body)
	case ads.Endpoint:
		return b.updateEndpoints(name, body)
	}
	return fmt.Errorf("type %q is not understood", t)
}

func (b *Book) updateListener(name string, body *anypb.Any) error {
	m := &listenerv3.Listener{}
	if err := decode(body, m, name, m.GetName); err != nil {
		return err
	}
	if name == b.opts.Inbound {
		in, err := b.compiler.Inbound(m)
		if err != nil {
			return err
		}
		b.inbound = in
		b.admit()
		return nil
	}
	l, err := b.compiler.Listener(m)
	e := b.entries[name]
	if err != nil || e == nil {
		return err
	}
	e.listener = l
	if l.HTTP && !e.asked {
		e.asked = true
		b.feed.Subscribe(ads.Routes, name)
	}
	b.warm(e)
	return nil
}

func (b *Book) updateRoutes(name string, body *anypb.Any) error {
	m := &routev3.RouteConfiguration{}
	if err := decode(body, m, name, m.GetName); err != nil {
		return err
	}
	r, err := b.compiler.Routes(m)
	e := b.entries[name]
	if err != nil || e == nil {
		return err
	}
	e.routes = r
	b.warm(e)
	return nil
}

func (b *Book) updateCluster(name string, body *anypb.Any) error {
	m := &clusterv3.Cluster{}
	if err := decode(body, m, name, m.GetName); err != nil {
		return err
	}
	if name == policy.Own {
		if err := b.compiler.OwnCluster(m); err != nil {
			return err
		}
		b.handOver = true
		b.admit()
		return nil
	}
	spec, err := b.compiler.Cluster(m)
	c := b.clusters[name]
	if err != nil || c == nil {
		return err
	}
	c.spec, c.absent = spec, false
	b.renew(c)
	return nil
}

func (b *Book) updateEndpoints(name string, body *anypb.Any) error {
	m := &endpointv3.ClusterLoadAssignment{}
	if err := decode(body, m, name, m.GetClusterName); err != nil {
		return err
	}
	ends, err := b.compiler.Endpoints(m)
	c := b.clusters[name]
	if err != nil || c == nil {
		return err
	}
	c.ends, c.absent = ends, false
	b.renew(c)
	return nil
}

// decode unpacks a resource and checks that it bears the name that it was sent under.
func decode(body *anypb.Any, m proto.Message, want string, name func() string) error {
	if err := body.UnmarshalTo(m); err != nil {
		return err
	}
	if got := name(); got != want {
		return fmt.Errorf("the resource calls itself %q", got)
	}
	return nil
}

// Remove implements ads.Handler.
func (b *Book) Remove(t ads.Type, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch t {
	case ads.Listener:
		if name == b.opts.Inbound {
			b.inbound = nil
			b.admit()
		} else if e := b.entries[name]; e != nil {
			b.lose(e)
		}
	case ads.Cluster, ads.Endpoint:
		// A cluster that routes still name keeps what it had: the routes that leave it out are on their way.
		if c := b.clusters[name]; c != nil && (c.spec == nil || c.ends == nil) {
			c.absent = true
			b.renew(c)
		}
	case ads.Routes: // served on until the listener goes, for the same reason
	}
}

// admit brings the inbound side into force, or takes it back. The loss of the hand-over cluster alone changes nothing.
func (b *Book) admit() {
	if b.inbound == nil {
		b.opts.Admit(nil)
	} else if b.handOver {
		b.opts.Admit(b.inbound)
	}
}
