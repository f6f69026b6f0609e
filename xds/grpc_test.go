// SPDX-License-Identifier: Apache-2.0

// gRPC's own xDS client and server judge what we say: code that is not ours, and reads the same protocol.

package xds

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	grpcxds "google.golang.org/grpc/xds"
)

func bootstrap(address string) []byte {
	return fmt.Appendf(nil, `{"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "grpc"}, "server_listener_resource_name_template": "server/%%s"}`, address)
}

// answerer serves gRPC health checks, and tells its address.
func answerer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	health1.RegisterHealthServer(g, health.NewServer())
	done := make(chan error)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// check makes one call and tells who answered.
func check(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	var p peer.Peer
	_, err := health1.NewHealthClient(conn).Check(ctx, &health1.HealthCheckRequest{}, grpc.Peer(&p))
	if err != nil {
		return "", err
	}
	return p.Addr.String(), nil
}

func TestGRPCClientFollowsSplit(t *testing.T) {
	s, address := start(t, Options{})
	v1, v2 := answerer(t), answerer(t)
	apply(t, s, setListener("shop", "shop"), setRoutes("shop", map[string]uint32{"v1": 90, "v2": 10}), setCluster("v1", time.Second),
		setCluster("v2", time.Second), setEndpoints("v1", v1), setEndpoints("v2", v2), setListener("other", "other"), setCluster("other", 1))
	builder, err := grpcxds.NewXDSResolverWithConfigForTesting(bootstrap(address))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///shop", grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	count := func(n int) map[string]int {
		t.Helper()
		got := map[string]int{}
		for range n {
			who, err := check(ctx, conn)
			if err != nil {
				who = status.Convert(err).Message()
			}
			got[who]++
		}
		return got
	}
	// 100 of 1000 are expected; fewer than 40 or more than 160 would be six standard deviations off.
	if got := count(1000); got[v1]+got[v2] != 1000 || got[v2] < 40 || got[v2] > 160 {
		t.Errorf("a split of 90/10 became %v", got)
	}
	// The traffic moves to a new version and the old one goes away, all in one Apply. The client asks for the new cluster
	// only once a route names it, and may refuse the calls of an instant as being for an unknown cluster while it swaps
	// its picker; nothing that a server sends can help that. No other failure is forgiven.
	v3 := answerer(t)
	apply(t, s, setRoutes("shop", map[string]uint32{"v3": 1}), Change{cds, "v1", nil}, Change{eds, "v1", nil}, Change{cds, "v2", nil},
		Change{eds, "v2", nil}, setCluster("v3", time.Second), setEndpoints("v3", v3))
	for got := (map[string]int{}); got[v3] < 20 && ctx.Err() == nil; {
		got = count(20)
		for who := range got {
			if who != v1 && who != v2 && who != v3 && !strings.Contains(who, "unknown cluster selected") {
				t.Errorf("while the traffic moved: %v", got)
			}
		}
	}
	for _, n := range s.Statuses() {
		for _, y := range n.Types {
			if y.NACK != nil {
				t.Errorf("rejected: %+v", y.NACK)
			}
		}
	}
	apply(t, s, Change{lds, "shop", nil})
	eventually(t, "calls fail once the listener is gone", func() bool { _, err := check(ctx, conn); return status.Code(err) == codes.Unavailable })
}

// guarded is the listener of a gRPC server that admits calls to a path, or none.
func guarded(name, address, path string) Change {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		panic(err)
	}
	rules := &rbac.RBAC{Action: rbac.RBAC_ALLOW, Policies: map[string]*rbac.Policy{}}
	if path != "" {
		rules.Policies["TrafficTarget/shop/web"] = &rbac.Policy{
			Permissions: []*rbac.Permission{{Rule: &rbac.Permission_UrlPath{UrlPath: &matcher.PathMatcher{Rule: &matcher.PathMatcher_Path{Path: &matcher.StringMatcher{
				MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: path}}}}}}}},
			Principals: []*rbac.Principal{{Identifier: &rbac.Principal_Any{Any: true}}},
		}
	}
	manager := &hcm.HttpConnectionManager{
		StatPrefix: name,
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{Name: name, VirtualHosts: []*route.VirtualHost{{
			Name: name, Domains: []string{"*"}, Routes: []*route.Route{{
				Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
				Action: &route.Route_NonForwardingAction{NonForwardingAction: &route.NonForwardingAction{}},
			}}}}}},
		HttpFilters: []*hcm.HttpFilter{
			{Name: "rbac", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&filter.RBAC{Rules: rules})}},
			{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&router.Router{})}},
		},
	}
	return Change{lds, name, &listener.Listener{
		Name: name,
		Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: tcp.IP.String(), PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(tcp.Port)}}}},
		FilterChains: []*listener.FilterChain{{Name: "all", Filters: []*listener.Filter{{Name: "hcm", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(manager)}}}}},
	}}
}

func TestGRPCServerFollowsAccess(t *testing.T) {
	s, address := start(t, Options{})
	g, err := grpcxds.NewGRPCServer(grpcxds.BootstrapContentsForTesting(bootstrap(address)))
	if err != nil {
		t.Fatal(err)
	}
	health1.RegisterHealthServer(g, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- g.Serve(l) }()
	defer func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	self := l.Addr().String()
	conn, err := grpc.NewClient("passthrough:///"+self, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	answers := func(want codes.Code) func() bool {
		return func() bool { _, err := check(ctx, conn); return status.Code(err) == want }
	}
	name := "server/" + self
	apply(t, s, guarded(name, self, "/grpc\\.health\\..*"))
	eventually(t, "an allowed call is admitted", answers(codes.OK))
	apply(t, s, guarded(name, self, "/another\\..*"))
	eventually(t, "a call no longer allowed is refused", answers(codes.PermissionDenied))
	apply(t, s, guarded(name, self, ""))
	apply(t, s, guarded(name, self, ".*"))
	eventually(t, "it is admitted again", answers(codes.OK))
}
