// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	origdstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/proxy/ads"
)

// control is a control plane made of go-control-plane's own caches and server: an implementation that is not ours.
type control struct {
	t      testing.TB
	addr   string
	server *grpc.Server
	linear map[ads.Type]*cache.LinearCache

	mu    sync.Mutex
	nacks []string
}

func newControl(t testing.TB) *control {
	c := &control{t: t, linear: map[ads.Type]*cache.LinearCache{}}
	for _, u := range []ads.Type{ads.Listener, ads.Routes, ads.Cluster, ads.Endpoint} {
		c.linear[u] = cache.NewLinearCache(string(u))
	}
	c.set(ads.Cluster, "inbound", &clusterv3.Cluster{Name: "inbound", LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}})
	c.start("127.0.0.1:0")
	t.Cleanup(func() { c.server.Stop() })
	return c
}

func (c *control) start(addr string) {
	mux := &cache.MuxCache{Caches: map[string]cache.Cache{}}
	for u, l := range c.linear {
		mux.Caches[string(u)] = l
	}
	mux.ClassifyDelta = func(r *cache.DeltaRequest) string { return r.TypeUrl }
	mux.Classify = func(r *cache.Request) string { return r.TypeUrl }
	s := server.NewServer(context.Background(), mux, server.CallbackFuncs{
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			if r.ErrorDetail != nil {
				c.mu.Lock()
				c.nacks = append(c.nacks, r.ErrorDetail.Message)
				c.mu.Unlock()
			}
			return nil
		}})
	l, err := net.Listen("tcp", addr)
	check(c.t, err)
	c.addr = l.Addr().String()
	c.server = grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(c.server, s)
	go c.server.Serve(l)
}

// nacked tells whether a NACK holds all the words.
func (c *control) nacked(words ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nacks {
		all := true
		for _, w := range words {
			all = all && strings.Contains(n, w)
		}
		if all {
			return true
		}
	}
	return false
}

func (c *control) set(t ads.Type, name string, r types.Resource) {
	c.t.Helper()
	check(c.t, c.linear[t].UpdateResource(name, r))
}

func (c *control) remove(t ads.Type, name string) {
	c.t.Helper()
	check(c.t, c.linear[t].DeleteResource(name))
}

func packed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

func routerFilter() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})}}
}

// setListener says how clients reach a port; kind is http, http2, tcp or auto.
func (c *control) setListener(name, kind string, arms ...arm) {
	l := &listenerv3.Listener{Name: name}
	if kind != "tcp" {
		h := &hcmv3.HttpConnectionManager{StatPrefix: name, HttpFilters: []*hcmv3.HttpFilter{routerFilter()},
			RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: name, ConfigSource: overADS()}}}
		if kind == "http2" {
			h.CodecType = hcmv3.HttpConnectionManager_HTTP2
		}
		l.ApiListener = &listenerv3.ApiListener{ApiListener: packed(h)}
	}
	if kind == "tcp" || kind == "auto" {
		if len(arms) == 0 {
			arms = []arm{{name, 1}}
		}
		w := &tcpv3.TcpProxy_WeightedCluster{}
		for _, a := range arms {
			w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: a.cluster, Weight: a.weight})
		}
		l.DefaultFilterChain = &listenerv3.FilterChain{Filters: []*listenerv3.Filter{tcpFilter(&tcpv3.TcpProxy{StatPrefix: name,
			ClusterSpecifier: &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}})}}
	}
	c.set(ads.Listener, name, l)
}

func tcpFilter(m *tcpv3.TcpProxy) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "tcp_proxy", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}}
}

func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion: corev3.ApiVersion_V3}
}

type arm struct {
	cluster string
	weight  uint32
}

// to is a route to weighted arms.
func to(name string, m *routev3.RouteMatch, arms ...arm) *routev3.Route {
	w := &routev3.WeightedCluster{}
	for _, a := range arms {
		w.Clusters = append(w.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: a.cluster, Weight: wrapperspb.UInt32(a.weight)})
	}
	if m == nil {
		m = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	}
	return &routev3.Route{Name: name, Match: m, Action: &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: w}}}}
}

func pathRegex(re string, hs ...*routev3.HeaderMatcher) *routev3.RouteMatch {
	return &routev3.RouteMatch{Headers: hs,
		PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: re}}}
}

func regexText(re string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: re}}}
}

func exactText(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

func headerRegex(name, re string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: regexText(re)}}
}

func (c *control) setRoutes(name string, rs ...*routev3.Route) {
	c.set(ads.Routes, name, &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{
		{Name: "all", Domains: []string{"*"}, Routes: rs}}})
}

func commonTLS(ids ...string) *tlsv3.CommonTlsContext {
	v := &tlsv3.CertificateValidationContext{}
	for _, id := range ids {
		v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames,
			&tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: exactText(id)})
	}
	return &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default"}},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         v,
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "ROOTCA"}}}}
}

func socket(m proto.Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(m)}}
}

func (c *control) setCluster(name string, ids ...string) {
	c.set(ads.Cluster, name, mutual(name, ids...))
}

// mutual is a cluster that is reached over mutual TLS with some identities.
func mutual(name string, ids ...string) *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: name, LbPolicy: clusterv3.Cluster_LEAST_REQUEST,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS(), ServiceName: name},
		TransportSocket:      socket(&tlsv3.UpstreamTlsContext{CommonTlsContext: commonTLS(ids...)}),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{"http": packed(&httpv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
				UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{}}})}}
}

func (c *control) setEndpoints(name string, port uint16, ds ...*pod) {
	l := &endpointv3.LocalityLbEndpoints{}
	for _, d := range ds {
		l.LbEndpoints = append(l.LbEndpoints, &endpointv3.LbEndpoint{HealthStatus: corev3.HealthStatus_HEALTHY,
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{
				Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: d.ip.String(),
					PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)}}}}}}})
	}
	c.set(ads.Endpoint, name, &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{l}})
}

// cluster says all of a backend.
func (w *world) cluster(name string, port uint16, account string, ds ...*pod) {
	w.setCluster(name, w.ca.id(account))
	w.setEndpoints(name, port, ds...)
}

// door is one port of an inbound listener.
type door struct {
	port        uint16
	http, bytes bool
	rules       *rbacv3.RBAC // for HTTP; nil: open
	byteRules   *rbacv3.RBAC // for bytes; nil: open
	flows       bool
	flowRules   *rbacv3.RBAC // for datagrams; nil: open
}

// open admits everybody with a certificate.
func open(port uint16) []door { return []door{{port: port, http: true, bytes: true}} }

func (c *control) setInbound(workload string, doors []door) {
	c.t.Helper()
	c.set(ads.Listener, "inbound/"+workload, inboundListener(workload, doors))
}

func inboundListener(workload string, doors []door) *listenerv3.Listener {
	l := &listenerv3.Listener{Name: "inbound/" + workload, Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
		SocketAddress: &corev3.SocketAddress{Address: "0.0.0.0", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 15006}}}},
		ListenerFilters: []*listenerv3.ListenerFilter{
			{Name: "dst", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&origdstv3.OriginalDst{})}},
			{Name: "tls", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&inspectorv3.TlsInspector{})}}}}
	for _, d := range doors {
		if d.http {
			l.FilterChains = append(l.FilterChains, httpDoor(d))
		}
		if d.bytes {
			l.FilterChains = append(l.FilterChains, byteDoor(d.port, d.byteRules, "inbound"))
		}
		if d.flows {
			l.FilterChains = append(l.FilterChains, byteDoor(d.port, d.flowRules, "inbound-udp", "anymesh-udp"))
		}
	}
	return l
}

func chain(port uint16, f []*listenerv3.Filter, alpn ...string) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{Filters: f,
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(uint32(port)), TransportProtocol: "tls",
			ApplicationProtocols: alpn},
		TransportSocket: socket(&tlsv3.DownstreamTlsContext{CommonTlsContext: commonTLS(), RequireClientCertificate: wrapperspb.Bool(true)})}
}

func httpDoor(d door) *listenerv3.FilterChain {
	h := &hcmv3.HttpConnectionManager{StatPrefix: "in", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{
		RouteConfig: &routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{{Name: "in", Domains: []string{"*"},
			Routes: []*routev3.Route{{Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "inbound"}}}}}}}}}}
	if d.rules != nil {
		h.HttpFilters = append(h.HttpFilters, &hcmv3.HttpFilter{Name: "rbac",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&httprbacv3.RBAC{Rules: d.rules})}})
	}
	h.HttpFilters = append(h.HttpFilters, routerFilter())
	return chain(d.port, []*listenerv3.Filter{{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(h)}}},
		"h2", "http/1.1")
}

func byteDoor(port uint16, rules *rbacv3.RBAC, cluster string, alpn ...string) *listenerv3.FilterChain {
	fs := []*listenerv3.Filter{tcpFilter(&tcpv3.TcpProxy{StatPrefix: "in", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster}})}
	if rules != nil {
		fs = append([]*listenerv3.Filter{{Name: "rbac", ConfigType: &listenerv3.Filter_TypedConfig{
			TypedConfig: packed(&netrbacv3.RBAC{StatPrefix: "in", Rules: rules})}}}, fs...)
	}
	return chain(port, fs, alpn...)
}

// grants makes RBAC rules out of permissions by policy name, all for the same peers.
func grants(peers []string, permissions map[string][]*rbacv3.Permission) *rbacv3.RBAC {
	out := &rbacv3.RBAC{Policies: map[string]*rbacv3.Policy{}}
	for name, ps := range permissions {
		p := &rbacv3.Policy{Permissions: ps}
		for _, id := range peers {
			p.Principals = append(p.Principals, &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
				Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: exactText(id)}}})
		}
		out.Policies[name] = p
	}
	return out
}

func anyRequest() *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

func onPath(re string) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
		Rule: &matcherv3.PathMatcher_Path{Path: regexText(re)}}}}
}

func withHeader(name, re string) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: headerRegex(name, re)}}
}

func onPort(n uint32) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: n}}
}

func and(ps ...*rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: ps}}}
}
