// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	lds = resource.ListenerType
	rds = resource.RouteType
	cds = resource.ClusterType
	eds = resource.EndpointType
)

// patient is how long a test waits for what must come.
const patient = 30 * time.Second

func ads() *core.ConfigSource {
	return &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3, ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}
}

func setCluster(name string, timeout time.Duration) Change {
	return Change{cds, name, &cluster.Cluster{
		Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: ads(), ServiceName: name}, ConnectTimeout: durationpb.New(timeout),
	}}
}

func setEndpoints(name string, addresses ...string) Change {
	a := &endpoint.ClusterLoadAssignment{ClusterName: name}
	for _, address := range addresses {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			panic(err)
		}
		a.Endpoints = append(a.Endpoints, &endpoint.LocalityLbEndpoints{
			Locality:            &core.Locality{Zone: address},
			LoadBalancingWeight: weight(1),
			LbEndpoints: []*endpoint.LbEndpoint{{HealthStatus: core.HealthStatus_HEALTHY, HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
					Address: tcp.IP.String(), PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(tcp.Port)}}}}}}}},
		})
	}
	return Change{eds, name, a}
}

func setListener(name, routes string) Change {
	return Change{lds, name, &listener.Listener{Name: name, ApiListener: &listener.ApiListener{ApiListener: pack(&hcm.HttpConnectionManager{
		StatPrefix:     name,
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{ConfigSource: ads(), RouteConfigName: routes}},
		HttpFilters:    []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&router.Router{})}}},
	})}}}
}

// setRoutes shares all requests among clusters by weight.
func setRoutes(name string, weights map[string]uint32) Change {
	var arms []*route.WeightedCluster_ClusterWeight
	for c, n := range weights {
		arms = append(arms, &route.WeightedCluster_ClusterWeight{Name: c, Weight: weight(n)})
	}
	return Change{rds, name, &route.RouteConfiguration{Name: name, VirtualHosts: []*route.VirtualHost{{Name: name, Domains: []string{"*"}, Routes: []*route.Route{{
		Match: &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
		Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_WeightedClusters{
			WeightedClusters: &route.WeightedCluster{Clusters: arms}}}},
	}}}}}}
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

func apply(t testing.TB, s *Server, changes ...Change) {
	t.Helper()
	for _, c := range changes {
		if v, ok := c.Resource.(interface{ ValidateAll() error }); ok {
			if err := v.ValidateAll(); err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
		}
	}
	if err := s.Apply(changes); err != nil {
		t.Fatal(err)
	}
}

// start serves on loopback until the test ends.
func start(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

func dial(t testing.TB, address string, options ...grpc.DialOption) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	if len(options) == 0 {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return discovery.NewAggregatedDiscoveryServiceClient(conn)
}

// client speaks delta by hand: it acknowledges only when told to.
type client struct {
	t      testing.TB
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	in     chan *discovery.DeltaDiscoveryResponse
	err    error // of the stream; read it once in is closed
	node   string
}

func connect(t testing.TB, c discovery.AggregatedDiscoveryServiceClient, node string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := c.DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d := &client{t: t, stream: stream, in: make(chan *discovery.DeltaDiscoveryResponse), node: node}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(d.in)
		for {
			r, err := stream.Recv()
			if err != nil {
				d.err = err
				return
			}
			select {
			case d.in <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); reader.Wait() })
	return d
}

func (d *client) send(r *discovery.DeltaDiscoveryRequest) {
	d.t.Helper()
	r.Node = &core.Node{Id: d.node}
	if err := d.stream.Send(r); err != nil {
		d.t.Fatal(err)
	}
}

func (d *client) subscribe(url string, names ...string) {
	d.t.Helper()
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: url, ResourceNamesSubscribe: names})
}

func (d *client) ack(r *discovery.DeltaDiscoveryResponse) {
	d.t.Helper()
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

func (d *client) next() *discovery.DeltaDiscoveryResponse {
	d.t.Helper()
	select {
	case r, ok := <-d.in:
		if !ok {
			d.t.Fatalf("the stream ended: %v", d.err)
		}
		return r
	case <-time.After(patient):
		d.t.Fatal("no response came")
		return nil
	}
}

// expect takes the next message and compares it; names that are gone begin with a minus.
func (d *client) expect(url string, want ...string) *discovery.DeltaDiscoveryResponse {
	d.t.Helper()
	r := d.next()
	got := names(r)
	slices.Sort(want)
	if r.GetTypeUrl() != url || !slices.Equal(got, want) {
		d.t.Fatalf("told %s %v, want %s %v", short(r.GetTypeUrl()), got, short(url), want)
	}
	return r
}

func names(r *discovery.DeltaDiscoveryResponse) []string {
	var all []string
	for _, n := range r.GetResources() {
		all = append(all, n.GetName())
	}
	for _, n := range r.GetRemovedResources() {
		all = append(all, "-"+n)
	}
	slices.Sort(all)
	return all
}

func short(url string) string { return url[strings.LastIndexByte(url, '.')+1:] }

// eventually waits for a condition.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patient, what)
		}
	}
}
