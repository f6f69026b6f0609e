// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
)

// show is a resource in the words of this mesh, for goldens that a person reads. The resources as they are, with all that is the same in
// each of them, stand in testdata/wire.
func show(o *mesh.Object) string {
	_, name, m := builtin.Resource(o)
	switch m := m.(type) {
	case *clusterv3.Cluster:
		return "cluster " + name + showPeers(m)
	case *endpointv3.ClusterLoadAssignment:
		return "endpoints " + name + showAddresses(m)
	case *routev3.RouteConfiguration:
		return "routes " + name + showRoutes(m)
	case *listenerv3.Listener:
		if m.ApiListener != nil || m.DefaultFilterChain != nil {
			return "outbound " + name + showOutbound(m)
		}
		return name + showInbound(m)
	}
	panic(fmt.Sprintf("show: %T", m))
}

func showPeers(c *clusterv3.Cluster) string {
	if c.TransportSocket == nil {
		return " of type " + c.GetType().String() + "\n"
	}
	t := &tlsv3.UpstreamTlsContext{}
	unpack(c.TransportSocket.GetTypedConfig(), t)
	out := ""
	for _, s := range t.CommonTlsContext.GetCombinedValidationContext().DefaultValidationContext.MatchTypedSubjectAltNames {
		out += " " + s.Matcher.GetExact()
	}
	return " by mTLS with" + out + "\n"
}

func showAddresses(c *endpointv3.ClusterLoadAssignment) string {
	out := ""
	for _, l := range c.Endpoints {
		for _, e := range l.LbEndpoints {
			a := e.GetEndpoint().Address.GetSocketAddress()
			out += fmt.Sprintf(" %s:%d", a.Address, a.GetPortValue())
		}
	}
	if out == "" {
		out = " none"
	}
	return out + "\n"
}

func showRoutes(rc *routev3.RouteConfiguration) string {
	out := "\n"
	for _, r := range rc.VirtualHosts[0].Routes {
		var when []string
		switch p := r.Match.PathSpecifier.(type) {
		case *routev3.RouteMatch_SafeRegex:
			when = append(when, "path ~ "+p.SafeRegex.Regex)
		case *routev3.RouteMatch_Prefix:
			if p.Prefix != "" {
				when = append(when, "path begins "+p.Prefix)
			}
		}
		for _, h := range r.Match.Headers {
			when = append(when, showHeader(h))
		}
		if len(when) == 0 {
			when = []string{"any"}
		}
		out += "  " + strings.Join(when, ", ") + " -> "
		if w := r.GetRoute().GetWeightedClusters(); w != nil {
			for i, c := range w.Clusters {
				if i > 0 {
					out += ", "
				}
				out += fmt.Sprintf("%s %d", c.Name, c.Weight.GetValue())
			}
		} else {
			out += r.GetRoute().GetCluster()
		}
		if r.Name != "" {
			out += "  (" + r.Name + ")"
		}
		out += "\n"
	}
	return out
}

func showHeader(h *routev3.HeaderMatcher) string {
	m := h.GetStringMatch()
	switch {
	case m.GetSafeRegex() != nil:
		return h.Name + " ~ " + m.GetSafeRegex().Regex
	case m.GetExact() != "":
		return h.Name + " = " + m.GetExact()
	}
	panic("show: " + h.String())
}

func showOutbound(l *listenerv3.Listener) string {
	out := "\n"
	if l.ApiListener != nil {
		h := &hcmv3.HttpConnectionManager{}
		unpack(l.ApiListener.ApiListener, h)
		out += "  requests (" + h.CodecType.String() + ") -> routes " + h.GetRds().RouteConfigName + "\n"
	}
	if c := l.DefaultFilterChain; c != nil {
		t := &tcpv3.TcpProxy{}
		unpack(c.Filters[len(c.Filters)-1].GetTypedConfig(), t)
		out += "  bytes -> " + t.GetCluster()
		for i, w := range t.GetWeightedClusters().GetClusters() {
			if i > 0 {
				out += ", "
			}
			out += fmt.Sprintf("%s %d", w.Name, w.Weight)
		}
		out += "\n"
	}
	return out
}

func showInbound(l *listenerv3.Listener) string {
	out := "\n"
	for _, c := range l.FilterChains {
		out += fmt.Sprintf("  port %d %s:", c.FilterChainMatch.DestinationPort.GetValue(), strings.Join(c.FilterChainMatch.ApplicationProtocols, "|"))
		rules := showRules(c)
		switch {
		case rules == nil:
			out += " open\n"
			continue
		case len(rules.Policies) == 0:
			out += " admits nobody\n"
			continue
		}
		out += "\n"
		for _, name := range slices.Sorted(maps.Keys(rules.Policies)) {
			p := rules.Policies[name]
			out += "    " + name + "\n"
			for _, x := range p.Principals {
				out += "      from " + x.GetAuthenticated().PrincipalName.GetExact() + "\n"
			}
			for _, x := range p.Permissions {
				out += "      to " + showPermission(x) + "\n"
			}
		}
	}
	return out
}

// showRules are the rules of a chain; nil where it has none.
func showRules(c *listenerv3.FilterChain) *rbacv3.RBAC {
	for _, f := range c.Filters {
		switch f.Name {
		case "envoy.filters.network.rbac":
			r := &netrbacv3.RBAC{}
			unpack(f.GetTypedConfig(), r)
			return r.Rules
		case "envoy.filters.network.http_connection_manager":
			h := &hcmv3.HttpConnectionManager{}
			unpack(f.GetTypedConfig(), h)
			for _, x := range h.HttpFilters {
				if x.Name == "envoy.filters.http.rbac" {
					r := &httprbacv3.RBAC{}
					unpack(x.GetTypedConfig(), r)
					return r.Rules
				}
			}
		}
	}
	return nil
}

func showPermission(p *rbacv3.Permission) string {
	join := func(list []*rbacv3.Permission, sep string) string {
		var out []string
		for _, x := range list {
			out = append(out, showPermission(x))
		}
		return strings.Join(out, sep)
	}
	switch r := p.Rule.(type) {
	case *rbacv3.Permission_Any:
		return "anything"
	case *rbacv3.Permission_AndRules:
		return join(r.AndRules.Rules, ", ")
	case *rbacv3.Permission_OrRules:
		return "(" + join(r.OrRules.Rules, " or ") + ")"
	case *rbacv3.Permission_UrlPath:
		return "path ~ " + r.UrlPath.GetPath().GetSafeRegex().GetRegex()
	case *rbacv3.Permission_Header:
		return showHeader(r.Header)
	}
	panic("show: " + p.String())
}
