// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"strconv"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

const (
	noHost  = "the built-in mesh routes to Services that it knows: a foreign host is left alone"
	noPorts = "the Service is not in the input and its ports are not known: nothing is written for it"
)

// port is the name by which all resources of one service port go: S in the README. A Service may have a TCP port and a UDP port of one
// number.
func port(s *model.Settings, service model.Name, p *model.ServicePort) string {
	name := s.Host(service) + ":" + strconv.Itoa(int(p.Number))
	if p.Protocol == model.UDP {
		name += "/udp"
	}
	return name
}

// route says how clients reach each port of a service.
func route(r *model.Route, o *mesh.Output) {
	switch {
	case r.Service == nil:
		o.SayAll(r.Intents, model.Unsupported, noHost, "")
		return
	case r.Service.Assumed:
		o.SayAll(r.Intents, model.Unsupported, noPorts, "Add the Services to the input.")
		return
	}
	w := routeWriter{r: r, o: o}
	for i := range r.Ports {
		w.port(&r.Ports[i])
	}
}

type routeWriter struct {
	r *model.Route
	o *mesh.Output
}

func (w *routeWriter) port(p *model.RoutePort) {
	name := port(w.r.Settings, w.r.Name, &p.ServicePort)
	l := &listenerv3.Listener{Name: name}
	if p.Protocol == model.UDP {
		l.Address = datagrams // each flow goes the way of a connection of bytes
	}
	if p.Protocol.CarriesHTTP() {
		l.ApiListener = &listenerv3.ApiListener{ApiListener: typed(outbound(name, p.Protocol))}
		say(w.o, routesKind, w.r.Name.Namespace, name, w.routes(name, p))
	}
	if p.Protocol.CarriesBytes() || p.Protocol == model.UDP {
		l.DefaultFilterChain = &listenerv3.FilterChain{Filters: []*listenerv3.Filter{tcpProxy(w.stream(name, p))}}
	}
	say(w.o, listenerKind, w.r.Name.Namespace, name, l)
}

// outbound reads requests and leaves the choice to the route configuration of the same name.
func outbound(name string, p model.Protocol) *hcmv3.HttpConnectionManager {
	h := connections(name)
	if p == model.HTTP2 || p == model.GRPC {
		h.CodecType = hcmv3.HttpConnectionManager_HTTP2
	}
	h.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads, RouteConfigName: name}}
	h.HttpFilters = fixed().outboundFilters
	return h
}

// routes are the arms in their order; what none of them takes goes to the port's own cluster.
func (w *routeWriter) routes(name string, p *model.RoutePort) *routev3.RouteConfiguration {
	list := make([]*routev3.Route, 0, len(p.Arms)+1)
	for i := range p.Arms {
		a := &p.Arms[i]
		ref, do := a.Split.Ref(), w.action(p, a)
		decides := string(ref.Kind) + "/" + ref.Namespace + "/" + ref.Name.Name
		if a.Any {
			list = append(list, &routev3.Route{Name: decides, Match: everything, Action: do})
			continue
		}
		for k := range a.Matches {
			list = append(list, &routev3.Route{Name: decides, Match: routeMatch(&a.Matches[k]), Action: do})
		}
	}
	if p.Stream() == nil {
		list = append(list, &routev3.Route{Match: everything, Action: w.toCluster(name)})
	}
	out := &struct {
		routes routev3.RouteConfiguration
		hosts  [1]*routev3.VirtualHost
		host   routev3.VirtualHost
	}{}
	out.routes.Name, out.routes.VirtualHosts, out.hosts[0] = name, out.hosts[:], &out.host
	out.host.Name, out.host.Domains, out.host.Routes = name, allDomains, list
	return &out.routes
}

func routeMatch(m *model.ArmMatch) *routev3.RouteMatch {
	if m.Path == "" {
		return &routev3.RouteMatch{PathSpecifier: anyPath, Headers: headers(m.Match)}
	}
	out := &struct {
		match routev3.RouteMatch
		by    routev3.RouteMatch_SafeRegex
		regex matcherv3.RegexMatcher
	}{}
	out.match.PathSpecifier, out.match.Headers = &out.by, headers(m.Match)
	out.by.SafeRegex, out.regex.Regex = &out.regex, regex(model.PathExpression(m.Path, m.Group.FullPath))
	return &out.match
}

// cluster is the cluster of a share. Its port has the root's number, and is carried alike.
func (w *routeWriter) cluster(p *model.RoutePort, s *model.Share) string {
	return port(w.r.Settings, s.Service, &p.ServicePort)
}

func (w *routeWriter) action(p *model.RoutePort, a *model.Arm) *routev3.Route_Route {
	if len(a.Shares) == 1 {
		return w.toCluster(w.cluster(p, &a.Shares[0]))
	}
	out := &struct {
		way    routev3.Route_Route
		action routev3.RouteAction
		by     routev3.RouteAction_WeightedClusters
		shares routev3.WeightedCluster
	}{}
	out.way.Route, out.action.Timeout, out.action.ClusterSpecifier, out.by.WeightedClusters = &out.action, never, &out.by, &out.shares
	out.shares.Clusters = make([]*routev3.WeightedCluster_ClusterWeight, 0, len(a.Shares))
	for i, n := range w.weights(a) {
		if n > 0 { // one that takes nothing need not even be known
			out.shares.Clusters = append(out.shares.Clusters, share(w.cluster(p, &a.Shares[i]), n))
		}
	}
	tune(&out.action, &w.r.Service.Traffic)
	return &out.way
}

func (w *routeWriter) toCluster(name string) *routev3.Route_Route {
	out := &struct {
		way    routev3.Route_Route
		action routev3.RouteAction
		by     routev3.RouteAction_Cluster
	}{}
	out.way.Route, out.action.Timeout, out.action.ClusterSpecifier, out.by.Cluster = &out.action, never, &out.by, name
	tune(&out.action, &w.r.Service.Traffic)
	return &out.way
}

func share(name string, weight uint32) *routev3.WeightedCluster_ClusterWeight {
	out := &struct {
		share  routev3.WeightedCluster_ClusterWeight
		weight wrapperspb.UInt32Value
	}{}
	out.share.Name, out.share.Weight, out.weight.Value = name, &out.weight, weight
	return &out.share
}

// stream is the way of raw TCP, and of flows of UDP.
func (w *routeWriter) stream(name string, p *model.RoutePort) *tcpv3.TcpProxy {
	t := &tcpv3.TcpProxy{StatPrefix: name, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: name}}
	a := p.Stream()
	switch {
	case a == nil:
	case len(a.Shares) == 1:
		t.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: w.cluster(p, &a.Shares[0])}
	default:
		list := make([]*tcpv3.TcpProxy_WeightedCluster_ClusterWeight, 0, len(a.Shares))
		for i, n := range w.weights(a) {
			if n > 0 {
				list = append(list, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: w.cluster(p, &a.Shares[i]), Weight: n})
			}
		}
		t.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: &tcpv3.TcpProxy_WeightedCluster{Clusters: list}}
	}
	return t
}

func tcpProxy(t *tcpv3.TcpProxy) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "envoy.filters.network.tcp_proxy", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed(t)}}
}

// weights are an arm's as the wire holds them, and what is to be said where they are not quite the same.
func (w *routeWriter) weights(a *model.Arm) []uint32 {
	list, exact := weights(a.Shares)
	if exact {
		return list
	}
	for _, s := range a.Shares {
		in := model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: "spec.backends[" + strconv.Itoa(s.Index) + "].weight"}
		w.o.Say(in, model.Approximate, "the weights of a split add up to 4294967295 at most: these are scaled down, and a share moves by a billionth", "Write smaller weights.")
	}
	return list
}
