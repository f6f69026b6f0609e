// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/model"
)

// The judge reads resources as Envoy's API documents say, and knows nothing of how the driver writes them. What it does not know it
// refuses by a panic: a field that it overlooked would make its verdicts worthless.

// judgeRoute says which part of such requests goes to which service port.
func judgeRoute(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	s := w.Service(q.Service)
	if s == nil {
		return nil, fmt.Errorf("no Service %s", q.Service)
	}
	number := q.Port
	for i := range s.Ports {
		p := s.Ports[i].Protocol
		carries := q.Layer == model.LayerHTTP && p.CarriesHTTP() || q.Layer == model.LayerStream && p.CarriesBytes() || q.Layer == model.LayerDatagram && p == model.UDP
		if number == 0 && carries {
			number = s.Ports[i].Number
		}
	}
	name := fmt.Sprintf("%s:%d", w.Settings().Host(q.Service), number)
	if q.Layer == model.LayerDatagram {
		name += "/udp"
	}
	l, err := find[*listenerv3.Listener](objs, name)
	if err != nil {
		return nil, err
	}
	if udp := l.GetAddress().GetSocketAddress().GetProtocol() == corev3.SocketAddress_UDP; udp != (q.Layer == model.LayerDatagram) {
		return nil, fmt.Errorf("listener %s takes UDP: %v", name, udp)
	}
	var clusters map[string]uint64
	if q.Layer != model.LayerHTTP {
		clusters, err = proxied(l.GetDefaultFilterChain())
	} else {
		clusters, err = routed(objs, l, w, q)
	}
	if err != nil {
		return nil, err
	}
	var total uint64
	for _, n := range clusters {
		total += n
	}
	out := map[string]float64{}
	for name, n := range clusters {
		c, err := find[*clusterv3.Cluster](objs, name)
		if err != nil {
			return nil, err
		}
		if c.GetType() != clusterv3.Cluster_EDS || n == 0 {
			return nil, fmt.Errorf("cluster %s: type %s, weight %d", name, c.GetType(), n)
		}
		host, port, _ := strings.Cut(name, ":")
		port, udp := strings.CutSuffix(port, "/udp")
		if udp != (q.Layer == model.LayerDatagram) {
			return nil, fmt.Errorf("cluster %s is of another layer", name)
		}
		parts := strings.Split(strings.TrimSuffix(host, ".svc."+w.Settings().ClusterDomain), ".")
		out[parts[1]+"/"+parts[0]+":"+port] = float64(n) / float64(total)
	}
	return out, nil
}

func proxied(c *listenerv3.FilterChain) (map[string]uint64, error) {
	if c == nil {
		return nil, errors.New("the port does not carry bytes")
	}
	t := &tcpv3.TcpProxy{}
	unpack(c.Filters[len(c.Filters)-1].GetTypedConfig(), t)
	if t.GetWeightedClusters() == nil {
		return map[string]uint64{t.GetCluster(): 1}, nil
	}
	out := map[string]uint64{}
	for _, c := range t.GetWeightedClusters().Clusters {
		out[c.Name] += uint64(c.Weight)
	}
	return out, nil
}

func routed(objs []mesh.Object, l *listenerv3.Listener, w model.World, q *model.Request) (map[string]uint64, error) {
	if l.ApiListener == nil {
		return nil, errors.New("the port does not carry HTTP")
	}
	h := &hcmv3.HttpConnectionManager{}
	unpack(l.ApiListener.ApiListener, h)
	rc, err := find[*routev3.RouteConfiguration](objs, h.GetRds().GetRouteConfigName())
	if err != nil {
		return nil, err
	}
	r := routeOf(rc, view{w, q})
	if r == nil {
		return nil, errors.New("no route: 404")
	}
	a := r.GetRoute()
	if a.GetWeightedClusters() == nil {
		return map[string]uint64{a.GetCluster(): 1}, nil
	}
	out := map[string]uint64{}
	for _, c := range a.GetWeightedClusters().Clusters {
		out[c.Name] += uint64(c.GetWeight().GetValue())
	}
	return out, nil
}

// routeOf is the first route of the virtual host for all domains that takes the request.
func routeOf(rc *routev3.RouteConfiguration, v view) *routev3.Route {
	for _, h := range rc.VirtualHosts {
		if !slices.Equal(h.Domains, []string{"*"}) {
			panic("the judge knows no domains")
		}
		for _, r := range h.Routes {
			if v.match(r.Match) {
				return r
			}
		}
	}
	return nil
}

// view is a request as Envoy sees it.
type view struct {
	w model.World
	q *model.Request
}

func (v view) path() string {
	path, _, _ := strings.Cut(v.q.Path, "?")
	return path
}

// header finds a header behind the codec: pseudo headers too, repeated ones joined, and no host, which is :authority by then.
func (v view) header(name string) (string, bool) {
	switch name {
	case ":method":
		return v.q.Method, true
	case ":authority":
		if v.q.Host == "" {
			return v.w.Settings().Host(v.q.Service), true
		}
		return v.q.Host, true
	case "host":
		return "", false
	}
	values, ok := v.q.Headers[name]
	return strings.Join(values, ","), ok
}

func (v view) match(m *routev3.RouteMatch) bool {
	switch p := m.PathSpecifier.(type) {
	case *routev3.RouteMatch_Prefix:
		if !strings.HasPrefix(v.q.Path, p.Prefix) {
			return false
		}
	case *routev3.RouteMatch_SafeRegex:
		if !full(p.SafeRegex, v.path()) {
			return false
		}
	default:
		panic(fmt.Sprintf("the judge does not know %T", p))
	}
	return !slices.ContainsFunc(m.Headers, func(h *routev3.HeaderMatcher) bool { return !v.has(h) })
}

func (v view) has(m *routev3.HeaderMatcher) bool {
	value, ok := v.header(strings.ToLower(m.Name))
	if m.GetStringMatch() == nil || m.InvertMatch || m.TreatMissingHeaderAsEmpty {
		panic("the judge does not know " + m.String())
	}
	return ok && text(m.GetStringMatch(), value)
}

func text(m *matcherv3.StringMatcher, s string) bool {
	switch p := m.MatchPattern.(type) {
	case *matcherv3.StringMatcher_Exact:
		return s == p.Exact && !m.IgnoreCase
	case *matcherv3.StringMatcher_SafeRegex:
		return full(p.SafeRegex, s)
	}
	panic("the judge does not know " + m.String())
}

func full(m *matcherv3.RegexMatcher, s string) bool {
	return regexp.MustCompile(`\A(?:` + m.Regex + `)\z`).MatchString(s)
}

// judgeAdmit says whether a workload's proxy lets a request through to a port.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	ok, _ := judgeBy(objs, w, wl, port, q)
	return ok
}

// judgeBy also names the policy that admits, or says what refuses.
func judgeBy(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) (bool, string) {
	l, err := find[*listenerv3.Listener](objs, "inbound/"+wl.Name.Namespace+"/"+string(wl.Kind)+"/"+wl.Name.Name)
	if err != nil {
		return false, err.Error()
	}
	c := pick(l, port, q.Layer)
	if c == nil {
		return false, "no filter chain"
	}
	tls := &tlsv3.DownstreamTlsContext{}
	unpack(c.TransportSocket.GetTypedConfig(), tls)
	peer := q.SPIFFE
	if peer == "" && q.From.ServiceAccount != "" {
		peer = q.From.SPIFFE(w.Settings().TrustDomain)
	}
	if peer == "" && tls.RequireClientCertificate.GetValue() {
		return false, "no certificate"
	}
	by := ""
	for _, f := range c.Filters {
		done, policy, ok := network(objs, f, caller{view{w, q}, peer, port})
		if policy != "" {
			by = policy
		}
		if done || !ok {
			return ok, by
		}
	}
	return false, "no terminal filter"
}

// pick finds the filter chain: the port first, then what the caller offers by ALPN. A chain that names no protocol takes those that no
// other names.
func pick(l *listenerv3.Listener, port uint16, layer model.Layer) *listenerv3.FilterChain {
	var rest *listenerv3.FilterChain
	for _, c := range l.FilterChains {
		m := c.FilterChainMatch
		if m.DestinationPort.GetValue() != uint32(port) || m.TransportProtocol != "tls" {
			continue
		}
		if len(m.ApplicationProtocols) == 0 {
			rest = c
		} else if layer == model.LayerDatagram && slices.Equal(m.ApplicationProtocols, []string{"anymesh-udp"}) {
			return c
		} else if layer == model.LayerHTTP && slices.Contains(m.ApplicationProtocols, "h2") && slices.Contains(m.ApplicationProtocols, "http/1.1") {
			return c
		}
	}
	if layer == model.LayerDatagram {
		return nil // a proxy of ours does not read datagrams as bytes
	}
	return rest
}

type caller struct {
	view
	peer string
	port uint16
}

// network runs one network filter: whether it is the last, which policy admitted, and whether it lets pass.
func network(objs []mesh.Object, f *listenerv3.Filter, c caller) (done bool, policy string, ok bool) {
	switch f.GetTypedConfig().MessageName() {
	case "envoy.extensions.filters.network.rbac.v3.RBAC":
		m := &netrbacv3.RBAC{}
		unpack(f.GetTypedConfig(), m)
		policy, ok = c.rbac(m.Rules, false)
		return false, policy, ok
	case "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy":
		m := &tcpv3.TcpProxy{}
		unpack(f.GetTypedConfig(), m)
		if c.q.Layer == model.LayerDatagram {
			return true, "", m.GetCluster() == "inbound-udp"
		}
		return true, "", local(objs, m.GetCluster())
	}
	m := &hcmv3.HttpConnectionManager{}
	unpack(f.GetTypedConfig(), m)
	for _, f := range m.HttpFilters {
		r := &httprbacv3.RBAC{}
		if f.GetTypedConfig().MessageIs(&routerv3.Router{}) {
			r := routeOf(m.GetRouteConfig(), c.view)
			return true, policy, r != nil && local(objs, r.GetRoute().GetCluster())
		}
		unpack(f.GetTypedConfig(), r)
		if policy, ok = c.rbac(r.Rules, true); !ok {
			return true, policy, false
		}
	}
	return true, "no router", false
}

func local(objs []mesh.Object, cluster string) bool {
	c, err := find[*clusterv3.Cluster](objs, cluster)
	return err == nil && c.GetType() == clusterv3.Cluster_ORIGINAL_DST
}

func (c caller) rbac(m *rbacv3.RBAC, http bool) (string, bool) {
	if m == nil {
		return "", true // nothing is enforced
	}
	if m.Action != rbacv3.RBAC_ALLOW {
		panic("the judge knows ALLOW alone")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Policies)) {
		p := m.Policies[name]
		if slices.ContainsFunc(p.Principals, c.is) && slices.ContainsFunc(p.Permissions, func(r *rbacv3.Permission) bool { return c.may(r, http) }) {
			return name, true
		}
	}
	return "", false
}

func (c caller) is(m *rbacv3.Principal) bool {
	a := m.GetAuthenticated()
	if a.GetPrincipalName() == nil {
		panic("the judge does not know " + m.String())
	}
	return c.peer != "" && text(a.PrincipalName, c.peer)
}

func (c caller) may(m *rbacv3.Permission, http bool) bool {
	switch r := m.Rule.(type) {
	case *rbacv3.Permission_Any:
		return r.Any
	case *rbacv3.Permission_AndRules:
		return !slices.ContainsFunc(r.AndRules.Rules, func(m *rbacv3.Permission) bool { return !c.may(m, http) })
	case *rbacv3.Permission_OrRules:
		return slices.ContainsFunc(r.OrRules.Rules, func(m *rbacv3.Permission) bool { return c.may(m, http) })
	case *rbacv3.Permission_DestinationPort:
		return r.DestinationPort == uint32(c.port)
	case *rbacv3.Permission_Header:
		return http && c.has(r.Header)
	case *rbacv3.Permission_UrlPath:
		return http && text(r.UrlPath.GetPath(), c.path())
	}
	panic("the judge does not know " + m.String())
}

func find[M proto.Message](objs []mesh.Object, name string) (M, error) {
	var none M
	for i := range objs {
		if _, got, m := builtin.Resource(&objs[i]); got == name {
			if m, ok := m.(M); ok {
				return m, nil
			}
		}
	}
	return none, fmt.Errorf("no %s %q", none.ProtoReflect().Descriptor().Name(), name)
}

func unpack(a *anypb.Any, m proto.Message) {
	if err := a.UnmarshalTo(m); err != nil {
		panic(err)
	}
}
