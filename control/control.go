// SPDX-License-Identifier: Apache-2.0

// Package control is the control plane of the built-in mesh for proxies that run elsewhere: on other hosts, or in the pods of a cluster.
//
// On one port it tells proxies what to do and gives workloads their certificates. A proxy is whoever shows the certificate of the account of the
// pod that it says it stands beside; it is told of its own workload's permissions, and of services that it asks for by name. Any number of
// planes that are fed the same can serve any proxy: none keeps anything about one that another would need.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/identity/issue/api"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/xds"
)

// DefaultPort is where control planes serve.
const DefaultPort = 15010

// Authority is the CA of the mesh, as the plane and its workloads need it.
type Authority interface {
	identity.Authority
	issue.Signer
}

// Options say what a Plane is made of.
type Options struct {
	Authority     Authority
	ClusterDomain string
	Attestors     map[string]issue.Attestor
	// Pod finds what is known of a pod; nil, without an error, where there is none of that name.
	Pod    func(context.Context, model.Name) (*model.Pod, error)
	NACK   func(xds.NACK) // told of each refusal by a proxy; may be nil
	Logger *slog.Logger   // slog.Default if nil
}

// Plane is a control plane. It is an engine.Sink.
type Plane struct {
	o      Options
	xds    *xds.Server
	issue  *issue.Server
	once   sync.Once
	filled chan struct{} // closed when the whole mesh has been told
}

// New is a plane that serves once it has been told what there is.
func New(o Options) *Plane {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Plane{o: o, filled: make(chan struct{})}
	p.issue = issue.NewServer(issue.Options{Signer: o.Authority, Attestors: o.Attestors, Reserved: []spiffeid.ID{p.id()}, Peer: xds.PeerID, Describe: p.describe,
		Logger: o.Logger.With("audit", "certificates")})
	p.xds = xds.New(xds.Options{Logger: o.Logger, Authorize: p.authorize, Visible: visible, Listed: listed, OnNACK: p.refused, Beside: p.issue.Register})
	return p
}

// Statuses is how all proxies stand.
func (p *Plane) Statuses() []xds.NodeStatus { return p.xds.Statuses() }

func (p *Plane) id() spiffeid.ID { return identity.ControlPlane(p.o.Authority.TrustDomain()) }

// Apply implements engine.Sink. The first call holds the whole mesh.
func (p *Plane) Apply(_ context.Context, changes []mesh.Change) error {
	first, then, last := xds.Steps(changes)
	for _, step := range [][]xds.Change{first, then, last} {
		if err := p.xds.Apply(step); err != nil {
			return err
		}
	}
	p.once.Do(func() { close(p.filled) })
	return nil
}

// oldest is how long one connection lasts. A proxy comes back with what it knows, and with the certificate that it has by then: so nobody
// stays longer than that by one that he would not get any more.
const oldest = 30 * time.Minute

// Serve serves proxies on l, and on a Unix socket whom the attestor unix knows, if there is one; it begins when the plane has been told what
// there is, and ends with ctx, which is no error.
func (p *Plane) Serve(ctx context.Context, l net.Listener, socket net.Listener) error {
	defer l.Close()
	if socket != nil {
		defer socket.Close()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-p.filled:
	}
	own, err := identity.NewSource(context.WithoutCancel(ctx), p.o.Authority, p.id(), identity.SourceOptions{Logger: p.o.Logger})
	if err != nil {
		return fmt.Errorf("the control plane's own certificate: %w", err)
	}
	defer own.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return p.xds.Serve(ctx, l, identity.OpenTLS(own, identity.Member(p.o.Authority.TrustDomain())), grpc.MaxConcurrentStreams(100),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, MaxConnectionAge: oldest, MaxConnectionAgeGrace: 10 * time.Second}))
	})
	if socket != nil {
		g.Go(func() error { return p.serveSocket(ctx, socket) })
	}
	return g.Wait()
}

func (p *Plane) serveSocket(ctx context.Context, l net.Listener) error {
	s := grpc.NewServer(grpc.Creds(issue.UnixCredentials()), grpc.MaxConcurrentStreams(10))
	p.issue.Register(ctx, s)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	if err := s.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

func (p *Plane) refused(n xds.NACK) {
	p.o.Logger.Error("a proxy refused what it was told and keeps what it had", "node", n.Node, "type", n.TypeURL, "error", n.Message)
	if p.o.NACK != nil {
		p.o.NACK(n)
	}
}

// node is what a proxy says of itself: namespace/workload/pod, and the workload's kind.
type node struct{ namespace, kind, workload, pod string }

func nodeOf(n *core.Node) (node, bool) {
	parts := strings.Split(n.GetId(), "/")
	if len(parts) != 3 {
		return node{}, false
	}
	return node{parts[0], n.GetMetadata().GetFields()["kind"].GetStringValue(), parts[1], parts[2]}, true
}

// errOther is told to who asks for a pod that is not there, or not his: which of the two is nobody's business.
var errOther = errors.New("the mesh knows no such pod with the account of this certificate")

// find is the pod of a name, if its account is the peer's.
func (p *Plane) find(ctx context.Context, peer spiffeid.ID, n model.Name) (*model.Pod, error) {
	pod, err := p.o.Pod(ctx, n)
	if err != nil {
		return nil, err
	}
	if pod == nil || pod.Identity().SPIFFE(p.o.Authority.TrustDomain().Name()) != peer.String() {
		return nil, errOther
	}
	return pod, nil
}

// authorize lets a proxy be beside a pod only with the certificate of that pod's account, and of no other workload than the pod is of.
func (p *Plane) authorize(ctx context.Context, n *core.Node) error {
	peer, err := xds.PeerID(ctx)
	if err != nil {
		return err
	}
	is, ok := nodeOf(n)
	if !ok {
		return fmt.Errorf("%q is not of the form namespace/workload/pod", n.GetId())
	}
	pod, err := p.find(ctx, peer, model.Name{Namespace: is.namespace, Name: is.pod})
	if err != nil {
		return err
	}
	if pod.Workload.Name.Name != is.workload || string(pod.Workload.Kind) != is.kind {
		return fmt.Errorf("pod %s is of %s, not of %s %s", pod.Name, pod.Workload, is.kind, is.workload)
	}
	return nil
}

// describe tells a pod what it is.
func (p *Plane) describe(ctx context.Context, peer spiffeid.ID, namespace, name string) (*api.Workload, error) {
	pod, err := p.find(ctx, peer, model.Name{Namespace: namespace, Name: name})
	if err != nil {
		return nil, err
	}
	return &api.Workload{Namespace: namespace, Kind: string(pod.Workload.Kind), Name: pod.Workload.Name.Name, Address: pod.Address, ClusterDomain: p.o.ClusterDomain}, nil
}

// visible hides from a proxy what workloads other than its own admit. Services can be seen by all, as in DNS: knowing one admits nobody.
func visible(n *core.Node, _, name string) bool {
	whose, inbound := strings.CutPrefix(name, "inbound/")
	if !inbound {
		return true
	}
	is, ok := nodeOf(n)
	return ok && whose == strings.Join([]string{is.namespace, is.kind, is.workload}, "/")
}

// listed keeps a proxy that asks for everything to its own: a service is told to who asks for it by name.
func listed(_ *core.Node, _, name string) bool {
	return name == "inbound" || strings.HasPrefix(name, "inbound/")
}
