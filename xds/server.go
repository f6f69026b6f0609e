// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	xdsserver "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
)

// Options are the choices of a Server; the zero value serves everything to everybody.
type Options struct {
	Logger *slog.Logger // slog.Default if nil
	// Authorize decides, on the first request of each stream, whether the peer may be the node it says it is: PeerID of
	// the context is what its certificate says. An error ends the stream with PermissionDenied. Nil admits everybody.
	Authorize func(context.Context, *core.Node) error
	// Visible tells whether a node may see a resource. What it may not see does not exist for it. It is called often and
	// under a lock: it must be quick, must not call the Server, and its answer must depend on its arguments alone.
	// Nil shows everything.
	Visible func(node *core.Node, typeURL, name string) bool
	// Listed tells whether a node that asks for everything of a type is told of a resource that it may see; what it asks for by name it is told
	// anyhow. The same holds for it as for Visible. Nil lists all that is visible.
	Listed func(node *core.Node, typeURL, name string) bool
	// OnNACK is told of each rejection by a client, on the goroutine of its stream.
	OnNACK func(NACK)
	// Beside registers services that are served on the same port, until the context ends; may be nil.
	Beside func(context.Context, grpc.ServiceRegistrar)
}

// Server is an ADS server over one store of resources. All methods may be called concurrently.
type Server struct {
	options Options
	store   store
	streams map[*stream]struct{} // those whose node is known; guarded by the store's lock
}

// New makes a server that has nothing to say yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Server{options: o, store: store{shelves: map[string]*shelf{}}, streams: map[*stream]struct{}{}}
}

// patience is how long streams may take to end after a server was asked to stop.
const patience = 5 * time.Second

// Serve answers clients on l until ctx is done, which is no error. With a nil config it speaks plaintext. Options come
// after, and so override, the server's own.
func (s *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config, options ...grpc.ServerOption) error {
	own := []grpc.ServerOption{
		// A client that vanished without a word must not count as connected for hours.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if config != nil {
		own = append(own, grpc.Creds(credentials.NewTLS(config)))
	}
	g := grpc.NewServer(append(own, options...)...)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, &service{server: s, ctx: ctx})
	if s.options.Beside != nil {
		s.options.Beside(ctx, g)
	}
	stopped := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(stopped)
		force := time.AfterFunc(patience, g.Stop)
		defer force.Stop()
		g.GracefulStop()
	})
	err := g.Serve(l)
	if undo() {
		g.Stop()
		return fmt.Errorf("xds: serve on %s: %w", l.Addr(), err)
	}
	<-stopped
	return nil
}

// service joins go-control-plane's protocol loops to streams: each loop gets a stream of its own as its cache.
type service struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
	ctx    context.Context
}

// byName are the types for which an empty first request asks for nothing. For the others, listeners and clusters, it
// asks for everything, as the protocol has it.
var byName = []string{
	resource.SecretType, resource.ExtensionConfigType, resource.EndpointType, resource.ScopedRouteType,
	resource.RouteType, resource.VirtualHostType, resource.RuntimeType,
}

// StreamAggregatedResources serves a state-of-the-world client.
func (v *service) StreamAggregatedResources(g discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	t := v.server.open(g.Context(), false)
	defer t.close()
	calls := xdsserver.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			if err := t.greet(g.Context(), r.GetNode()); err != nil {
				return err
			}
			t.answered(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail())
			return nil
		},
		StreamResponseFunc: func(_ context.Context, _ int64, _ *discovery.DiscoveryRequest, r *discovery.DiscoveryResponse) {
			t.told(r.GetTypeUrl(), r.GetNonce(), r.GetVersionInfo())
		},
	}
	return sotw.NewServer(v.ctx, t, calls, sotw.DeactivateLegacyWildcardForTypes(byName)).StreamHandler(g, resource.AnyType)
}

// DeltaAggregatedResources serves a delta client.
func (v *service) DeltaAggregatedResources(g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	t := v.server.open(g.Context(), true)
	defer t.close()
	calls := xdsserver.CallbackFuncs{
		StreamDeltaRequestFunc: func(_ int64, r *discovery.DeltaDiscoveryRequest) error {
			if err := t.greet(g.Context(), r.GetNode()); err != nil {
				return err
			}
			t.answered(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail())
			return nil
		},
		StreamDeltaResponseFunc: func(_ int64, _ *discovery.DeltaDiscoveryRequest, r *discovery.DeltaDiscoveryResponse) {
			t.told(r.GetTypeUrl(), r.GetNonce(), r.GetSystemVersionInfo())
		},
	}
	return delta.NewServer(v.ctx, t, calls, delta.DeactivateLegacyWildcardForTypes(byName)).DeltaStreamHandler(g, resource.AnyType)
}

// PeerID is the SPIFFE ID in the certificate of the client that a call came from. Whether the certificate is to be
// believed was the listener's TLS configuration to decide.
func PeerID(ctx context.Context) (spiffeid.ID, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return spiffeid.ID{}, errors.New("the context is not that of a call")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return spiffeid.ID{}, fmt.Errorf("the peer at %s showed no certificate", p.Addr)
	}
	return x509svid.IDFromCert(info.State.PeerCertificates[0])
}
