// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"strconv"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// access says what the proxy of each workload of an identity admits.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, grants: make([]grant, len(a.Grants)), chains: map[string][]*listenerv3.Filter{}}
	for i := range a.Grants {
		w.grants[i].Grant = &a.Grants[i]
	}
	for i := range a.Workloads {
		w.workload(&a.Workloads[i])
	}
	w.leave()
}

type accessWriter struct {
	a      *model.Access
	o      *mesh.Output
	grants []grant
	chains map[string][]*listenerv3.Filter // by what is admitted: ports mostly admit the same
}

// workload writes the listener of one workload. It has no default chain: a port that nobody declared admits nothing.
func (w *accessWriter) workload(m *model.Member) {
	closed := w.a.Closed(m.Workload)
	l := &listenerv3.Listener{Name: own + "/" + m.Name.Namespace + "/" + string(m.Kind) + "/" + m.Name.Name, Address: inboundAddress, ListenerFilters: fixed().listenerFilters}
	for _, p := range m.Listens {
		if p.Protocol.CarriesHTTP() {
			l.FilterChains = append(l.FilterChains, w.chain(m, p.Number, model.LayerHTTP, closed))
		}
		if p.Protocol.CarriesBytes() {
			l.FilterChains = append(l.FilterChains, w.chain(m, p.Number, model.LayerStream, closed))
		}
	}
	for _, n := range m.Datagrams {
		l.FilterChains = append(l.FilterChains, w.chain(m, n, model.LayerDatagram, closed))
	}
	say(w.o, listenerKind, m.Name.Namespace, l.Name, l)
}

func (w *accessWriter) chain(m *model.Member, number uint16, layer model.Layer, closed bool) *listenerv3.FilterChain {
	c := &listenerv3.FilterChain{
		Name:             strconv.Itoa(int(number)) + "/bytes",
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(uint32(number)), TransportProtocol: "tls"},
		TransportSocket:  fixed().downstreamBytes,
		Filters:          fixed().openBytes,
	}
	switch layer {
	case model.LayerHTTP:
		c.Name = strconv.Itoa(int(number)) + "/http"
		c.FilterChainMatch.ApplicationProtocols = alpn
		c.TransportSocket, c.Filters = fixed().downstreamHTTP, fixed().openHTTP
	case model.LayerDatagram:
		c.Name = strconv.Itoa(int(number)) + "/udp"
		c.FilterChainMatch.ApplicationProtocols = alpnUDP
		c.TransportSocket, c.Filters = fixed().downstreamUDP, fixed().openUDP
	}
	if closed {
		c.Filters = w.filters(m, number, layer)
	}
	return c
}

// What a grant admits on a port.
const (
	admitsNothing  = '-'
	admitsBytes    = 'b' // and with them every request; of UDP, every datagram
	admitsRequests = 'h'
)

// filters stand before a port of a closed workload. The port is the chain's: its grants need not ask for it again.
func (w *accessWriter) filters(m *model.Member, number uint16, layer model.Layer) []*listenerv3.Filter {
	key := make([]byte, len(w.grants)+1)
	key[0] = byte(layer)
	for i := range w.grants {
		key[i+1] = w.grants[i].admits(m, number, layer)
	}
	if done, ok := w.chains[string(key)]; ok {
		return done
	}
	// Rules without a policy admit nobody; no rules at all would admit everybody.
	rules := &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: map[string]*rbacv3.Policy{}}
	for i := range w.grants {
		g := &w.grants[i]
		if p := g.policy(key[i+1], w.a.Settings.TrustDomain); p != nil {
			g.datagrams = g.datagrams || layer == model.LayerDatagram
			g.streams = g.streams || layer != model.LayerDatagram
			ref := g.Permission.Ref()
			rules.Policies[string(ref.Kind)+"/"+ref.Namespace+"/"+ref.Name.Name] = p
		}
	}
	var out []*listenerv3.Filter
	switch layer {
	case model.LayerHTTP:
		out = []*listenerv3.Filter{inbound([]*hcmv3.HttpFilter{httpFilter("envoy.filters.http.rbac", &httprbacv3.RBAC{Rules: rules}), fixed().router})}
	case model.LayerStream:
		out = []*listenerv3.Filter{networkFilter("envoy.filters.network.rbac", &netrbacv3.RBAC{Rules: rules, StatPrefix: own}), fixed().handOverBytes}
	case model.LayerDatagram:
		out = []*listenerv3.Filter{networkFilter("envoy.filters.network.rbac", &netrbacv3.RBAC{Rules: rules, StatPrefix: ownUDP}), fixed().handOverUDP}
	}
	w.chains[string(key)] = out
	return out
}

// grant is a grant with the policies it becomes, each made when it is first needed.
type grant struct {
	*model.Grant
	bytes, requests *rbacv3.Policy
	datagrams       bool // bytes stands before a port of UDP
	streams         bool // a policy stands before a port of TCP
	callers         []*rbacv3.Principal
	asked           bool
}

func (g *grant) admits(m *model.Member, number uint16, layer model.Layer) byte {
	switch {
	case !g.Covers(m.Workload):
	case layer == model.LayerDatagram:
		if g.Datagram.Has(number) {
			return admitsBytes
		}
	case g.Stream.Has(number):
		return admitsBytes
	case layer == model.LayerHTTP && len(g.HTTP) > 0 && g.HTTPPorts.Has(number):
		return admitsRequests
	}
	return admitsNothing
}

// policy is nil where nothing is admitted, or nobody.
func (g *grant) policy(admits byte, trustDomain string) *rbacv3.Policy {
	if admits == admitsNothing {
		return nil
	}
	if !g.asked {
		g.callers, g.asked = principals(g.Sources, trustDomain), true
	}
	if len(g.callers) == 0 {
		return nil
	}
	if admits == admitsBytes {
		if g.bytes == nil {
			g.bytes = &rbacv3.Policy{Principals: g.callers, Permissions: anything}
		}
		return g.bytes
	}
	if g.requests == nil {
		g.requests = &rbacv3.Policy{Principals: g.callers, Permissions: permissions(g.HTTP)}
	}
	return g.requests
}

// principals are the callers that a certificate can name. The others are left out: that admits less.
func principals(sources []model.Source, trustDomain string) []*rbacv3.Principal {
	list := make([]*rbacv3.Principal, 0, len(sources))
	for _, s := range sources {
		id := s.SPIFFE
		switch {
		case id != "":
		case s.Identity.ServiceAccount == "":
			continue // pods
		default:
			id = s.Identity.SPIFFE(trustDomain)
		}
		p := &struct {
			principal rbacv3.Principal
			by        rbacv3.Principal_Authenticated_
			name      rbacv3.Principal_Authenticated
		}{}
		p.principal.Identifier, p.by.Authenticated, p.name.PrincipalName = &p.by, &p.name, exactly(id)
		list = append(list, &p.principal)
	}
	return list
}

var anything = []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}}

// permissions are alternatives, one for each match.
func permissions(matches []model.GrantMatch) []*rbacv3.Permission {
	list := make([]*rbacv3.Permission, len(matches))
	for i := range matches {
		list[i] = permission(&matches[i])
	}
	return list
}

// permission is all conditions of a match.
func permission(m *model.GrantMatch) *rbacv3.Permission {
	by := headers(m.Match)
	all := make([]*rbacv3.Permission, 0, 1+len(by))
	if m.Path != "" {
		all = append(all, permitPath(expression(model.PathExpression(m.Path, m.Group.FullPath))))
	}
	for _, h := range by {
		all = append(all, &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: h}})
	}
	switch len(all) {
	case 0:
		return anything[0]
	case 1:
		return all[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: all}}}
}

func permitPath(path *matcherv3.StringMatcher) *rbacv3.Permission {
	out := &struct {
		permission rbacv3.Permission
		by         rbacv3.Permission_UrlPath
		matcher    matcherv3.PathMatcher
		rule       matcherv3.PathMatcher_Path
	}{}
	out.permission.Rule, out.by.UrlPath, out.matcher.Rule, out.rule.Path = &out.by, &out.matcher, &out.rule, path
	return &out.permission
}

// leave says which permissions admit nothing here, though they ask for something: no chain holds them. A wish stands where another
// permission that is held shares it. Ports of UDP and of TCP are held apart.
func (w *accessWriter) leave() {
	streams, datagrams := map[model.Ref]bool{}, map[model.Ref]bool{}
	lost := false
	for i := range w.grants {
		g := &w.grants[i]
		asks := len(g.Sources) > 0 && (!g.Stream.Empty() || len(g.HTTP) > 0 && !g.HTTPPorts.Empty())
		lost = lost || !g.streams && asks || !g.datagrams && len(g.Sources) > 0 && !g.Datagram.Empty()
		for _, kind := range []struct {
			held bool
			in   map[model.Ref]bool
		}{{g.streams, streams}, {g.datagrams, datagrams}} {
			if !kind.held {
				continue
			}
			kind.in[g.Permission.Ref()] = true
			for k := range g.HTTP {
				kind.in[g.HTTP[k].Group.Ref()] = true
			}
			for _, c := range g.Carriers {
				kind.in[c.Route] = true
			}
		}
	}
	if !lost {
		return
	}
	for in := range w.a.Intents {
		held := streams[in.Object] || datagrams[in.Object] || in.Object == w.a.Settings.Ref()
		if in.Feature == model.AccessDatagram {
			held = datagrams[in.Object]
		}
		if !held && w.o.Claim(in.Feature).Level == model.Exact {
			w.o.Say(in, model.Unsupported, "no port that a Service or a workload of "+w.a.Identity.String()+" declares could admit it, or no certificate could tell its callers", "Declare the port, or name the callers by service account.")
		}
	}
}
