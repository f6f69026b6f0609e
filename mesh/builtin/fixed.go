// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	origdstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What never changes is made once and shared by all resources, which nobody alters.
var (
	allDomains = []string{"*"}
	alpn       = []string{"h2", "http/1.1"}
	alpnUDP    = []string{"anymesh-udp"}

	// never is no limit: Envoy would end a request after fifteen seconds and a silent stream after five minutes, and nobody asked for it.
	never = &durationpb.Duration{}

	// The empty prefix is in every path, in the "*" of OPTIONS as well; "/" is not.
	anyPath    = &routev3.RouteMatch_Prefix{}
	everything = &routev3.RouteMatch{PathSpecifier: anyPath}

	ads = &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
	upgrades = []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}

	locality       = &corev3.Locality{}
	localityWeight = wrapperspb.UInt32(1)
	inboundAddress = new(slot).fill("0.0.0.0", 15006).GetEndpoint().Address

	// datagrams is the address of listeners that take UDP. Which one a proxy opens is its own affair.
	datagrams = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Protocol: corev3.SocketAddress_UDP, Address: "0.0.0.0", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 0}}}}

	ownCertificate = []*tlsv3.SdsSecretConfig{{Name: "default", SdsConfig: ads}}
	roots          = &tlsv3.SdsSecretConfig{Name: "ROOTCA", SdsConfig: ads}
	tls13          = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}

	// handOver gives all requests to the local process.
	handOver = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
		Name: own,
		VirtualHosts: []*routev3.VirtualHost{{Name: own, Domains: allDomains, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: own}, Timeout: never}},
		}}}},
	}}
)

// packed is what is packed and never changes.
type packed struct {
	router          *hcmv3.HttpFilter
	outboundFilters []*hcmv3.HttpFilter
	sameProtocol    map[string]*anypb.Any // HTTP/1.1 stays what it is, and HTTP/2
	listenerFilters []*listenerv3.ListenerFilter
	downstreamHTTP  *corev3.TransportSocket
	downstreamBytes *corev3.TransportSocket
	downstreamUDP   *corev3.TransportSocket
	handOverBytes   *listenerv3.Filter
	handOverUDP     *listenerv3.Filter
	openHTTP        []*listenerv3.Filter // before a port of an identity that is not closed
	openBytes       []*listenerv3.Filter
	openUDP         []*listenerv3.Filter
}

// fixed packs at its first call: a program that only knows this driver must not pay three milliseconds for it.
var fixed = sync.OnceValue(func() *packed {
	p := &packed{
		router: httpFilter("envoy.filters.http.router", &routerv3.Router{}),
		sameProtocol: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(&httpv3.HttpProtocolOptions{
				UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
					UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
						HttpProtocolOptions:  &corev3.Http1ProtocolOptions{},
						Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
					},
				},
			}),
		},
		listenerFilters: []*listenerv3.ListenerFilter{
			listenerFilter("envoy.filters.listener.original_dst", &origdstv3.OriginalDst{}),
			listenerFilter("envoy.filters.listener.tls_inspector", &inspectorv3.TlsInspector{}),
		},
		downstreamHTTP:  downstream(alpn),
		downstreamBytes: downstream(nil),
		downstreamUDP:   downstream(alpnUDP),
		handOverBytes:   tcpProxy(&tcpv3.TcpProxy{StatPrefix: own, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: own}}),
		handOverUDP:     tcpProxy(&tcpv3.TcpProxy{StatPrefix: ownUDP, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: ownUDP}}),
	}
	p.outboundFilters = []*hcmv3.HttpFilter{p.router}
	p.openHTTP = []*listenerv3.Filter{inbound(p.outboundFilters)}
	p.openBytes = []*listenerv3.Filter{p.handOverBytes}
	p.openUDP = []*listenerv3.Filter{p.handOverUDP}
	return p
})

// connections is what all HTTP connections have in common.
func connections(name string) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{StatPrefix: name, UpgradeConfigs: upgrades, StreamIdleTimeout: never}
}

// inbound reads requests, asks the filters, and hands over.
func inbound(filters []*hcmv3.HttpFilter) *listenerv3.Filter {
	h := connections(own)
	h.RouteSpecifier, h.HttpFilters = handOver, filters
	return networkFilter("envoy.filters.network.http_connection_manager", h)
}

func httpFilter(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(m)}}
}

func networkFilter(name string, m proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed(m)}}
}

func listenerFilter(name string, m proto.Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: typed(m)}}
}

func transportSocket(m proto.Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed(m)}}
}

// downstream asks every caller for a certificate of the mesh's roots. Who may do what is for RBAC to say.
func downstream(protocols []string) *corev3.TransportSocket {
	return transportSocket(&tlsv3.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(true),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      tls13,
			AlpnProtocols:                  protocols,
			TlsCertificateSdsSecretConfigs: ownCertificate,
			ValidationContextType:          &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: roots},
		},
	})
}
