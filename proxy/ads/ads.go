// SPDX-License-Identifier: Apache-2.0

// Package ads is a client of the delta aggregated discovery service.
//
// It keeps one stream open, tells the control plane which names are wanted, hands each resource that arrives to a
// [Handler], and answers with ACK or a NACK that says which resource was refused and why. When the stream breaks it comes
// back with the versions that it already holds, so that a control plane which restarts sends only what has changed. It
// knows nothing about what the resources mean.
package ads

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// Type is the type URL of a resource.
type Type string

// The types that a proxy asks for.
const (
	Listener = Type("type.googleapis.com/envoy.config.listener.v3.Listener")
	Routes   = Type("type.googleapis.com/envoy.config.route.v3.RouteConfiguration")
	Cluster  = Type("type.googleapis.com/envoy.config.cluster.v3.Cluster")
	Endpoint = Type("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment")
)

// order is the order in which a new stream asks: what others point at comes first.
var order = [...]Type{Cluster, Endpoint, Listener, Routes}

// Back-off between two streams.
const (
	minWait = 50 * time.Millisecond
	maxWait = 5 * time.Second
)

// Handler takes what the control plane says. Calls come one at a time. A handler may call Subscribe and Unsubscribe.
type Handler interface {
	// Update takes a resource. An error refuses it: the control plane gets a NACK with its text.
	Update(t Type, name string, body *anypb.Any) error
	// Remove says that a resource is gone, or that a name asked for does not exist.
	Remove(t Type, name string)
}

// Client is one delta ADS client.
type Client struct {
	conn      grpc.ClientConnInterface
	node      *corev3.Node
	handler   Handler
	log       *slog.Logger
	connected atomic.Bool
	wake      chan struct{} // something to send

	mu      sync.Mutex
	names   map[Type]map[string]*name
	answers []*discoveryv3.DeltaDiscoveryRequest // ACKs and NACKs to send
}

// name is one resource name that is, or until just now was, of interest.
type name struct {
	wanted  bool
	said    bool   // the running stream was told to subscribe
	again   bool   // dropped and wanted again: ask anew although the stream still carries it
	version string // last version accepted; empty: none
}

// New returns a client that waits for Run.
func New(conn grpc.ClientConnInterface, node *corev3.Node, h Handler, log *slog.Logger) *Client {
	c := &Client{conn: conn, node: node, handler: h, log: log, wake: make(chan struct{}, 1), names: map[Type]map[string]*name{}}
	for _, t := range order {
		c.names[t] = map[string]*name{}
	}
	return c
}

// Connected tells whether a stream is up.
func (c *Client) Connected() bool { return c.connected.Load() }

// Subscribe asks for names. A name that was dropped and is wanted again is sent anew by the control plane.
func (c *Client) Subscribe(t Type, names ...string) {
	c.mu.Lock()
	for _, s := range names {
		n := c.names[t][s]
		if n == nil {
			n = &name{}
			c.names[t][s] = n
		}
		if !n.wanted {
			n.wanted, n.again = true, n.said
		}
	}
	c.mu.Unlock()
	c.kick()
}

// Unsubscribe drops names, and with them the memory of their versions.
func (c *Client) Unsubscribe(t Type, names ...string) {
	c.mu.Lock()
	for _, s := range names {
		if n := c.names[t][s]; n != nil {
			n.wanted, n.version = false, ""
		}
	}
	c.mu.Unlock()
	c.kick()
}

func (c *Client) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run keeps a stream up until ctx ends. It returns the cause of ctx's end.
func (c *Client) Run(ctx context.Context) error {
	wait := minWait
	for {
		heard, err := c.stream(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if heard {
			wait = minWait
		}
		c.log.Warn("the control plane's stream ended; what is known keeps serving", "err", err, "retry", wait)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, maxWait)
	}
}

// stream runs one stream to its end. heard: the control plane said something on it.
func (c *Client) stream(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	c.reset()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		cancel(c.send(ctx, s))
	}()
	defer func() {
		c.connected.Store(false)
		cancel(errors.New("the stream ended"))
		<-sent
	}()
	c.connected.Store(true)
	for {
		r, err := s.Recv()
		if err != nil {
			return heard, err
		}
		heard = true
		c.receive(r)
	}
}

// reset forgets what the last stream was told, not what it taught us.
func (c *Client) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = nil
	for _, names := range c.names {
		for s, n := range names {
			if !n.wanted {
				delete(names, s)
			}
			n.said, n.again = false, false
		}
	}
}

func (c *Client) send(ctx context.Context, s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient) error {
	opened := map[Type]bool{}
	node := c.node
	for {
		for _, r := range c.due(opened) {
			r.Node, node = node, nil // the first request of a stream carries the node
			if err := s.Send(r); err != nil {
				return err // the cause is what Recv returns
			}
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// due collects the requests that bring the control plane up to date: answers first, then one for each type with news.
func (c *Client) due(opened map[Type]bool) []*discoveryv3.DeltaDiscoveryRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.answers
	c.answers = nil
	for _, t := range order {
		r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(t)}
		for s, n := range c.names[t] {
			switch {
			case n.wanted && (!n.said || n.again):
				n.said, n.again = true, false
				r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, s)
				if !opened[t] && n.version != "" {
					if r.InitialResourceVersions == nil {
						r.InitialResourceVersions = map[string]string{}
					}
					r.InitialResourceVersions[s] = n.version
				}
			case !n.wanted:
				if n.said {
					r.ResourceNamesUnsubscribe = append(r.ResourceNamesUnsubscribe, s)
				}
				delete(c.names[t], s)
			}
		}
		// A first request without names would ask for everything.
		if len(r.ResourceNamesSubscribe)+len(r.ResourceNamesUnsubscribe) > 0 {
			opened[t] = true
			out = append(out, r)
		}
	}
	return out
}
