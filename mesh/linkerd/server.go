// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// serverWriter says one port of one workload.
type serverWriter struct {
	*accessWriter
	m    *model.Member
	p    model.MemberPort
	base model.Name
}

// entry is what some callers may ask for.
type entry struct {
	callers callers
	matches []grantMatch
}

// write says the Server and its authorizations.
func (s *serverWriter) write(grants []*grant) {
	var tcp callers
	var entries []entry
	for _, g := range grants {
		if g.callers.empty() {
			continue
		}
		if g.of.Stream.Has(s.p.Number) {
			tcp.add(g.callers)
			s.carried(g.intents)
		}
		if !g.of.HTTPPorts.Has(s.p.Number) || len(g.matches) == 0 {
			continue
		}
		if s.takes() {
			s.carried(g.intents)
			entries = s.enter(entries, g)
		} else if s.p.Protocol.CarriesHTTP() {
			s.o.Say(destination(g.of), model.Approximate, fmt.Sprintf("port %d of %s is not known to carry requests alone: those stay refused there", s.p.Number, s.m.Ref()),
				"Name the Service's port http-…, or set its appProtocol.")
		}
	}
	spec := &server{PodSelector: &selector{s.m.Finder()}, Port: port{Number: s.p.Number}, ProxyProtocol: s.protocol()}
	s.add(s.d.servers, kindServer, "", spec)
	if s.d.routes == "" {
		for _, e := range entries {
			tcp.add(e.callers)
		}
		s.authorization(tcp)
		return
	}
	s.admit("-tcp", reference{Group: policyGroup, Kind: kindServer, Name: s.base.Name}, tcp)
	if len(entries) > 0 {
		s.requests(entries, !tcp.empty())
	}
}

// takes says whether requests can be permitted on the port.
func (s *serverWriter) takes() bool {
	if s.d.routes == "" && s.p.Protocol == model.Auto {
		return false // it would let raw TCP through
	}
	return !opaque(s.p.Number, s.p.Protocol)
}

// protocol is how the proxy finds out what it is sent. Where the kubelet asks for a path the proxy has to see it, whatever else the port carries.
// Before there were routes, one that permits requests has to be told that nothing else may come.
func (s *serverWriter) protocol() string {
	asked := slices.ContainsFunc(s.probes(), func(p model.Probe) bool { return p.Port == s.p.Number && p.Path != "" })
	switch p := s.p.Protocol; {
	case opaque(s.p.Number, p) && asked:
		return "unknown"
	case opaque(s.p.Number, p):
		return "opaque"
	case p == model.Auto || s.d.routes != "":
		return "unknown"
	case p == model.HTTP:
		return "HTTP/1"
	}
	return "HTTP/2"
}

func (s *serverWriter) carried(list []model.Intent) {
	for _, in := range list {
		s.done[in] = true
	}
}

func (s *serverWriter) enter(entries []entry, g *grant) []entry {
	for i := range g.matches {
		for in := range g.matches[i].of.Intents {
			s.done[in] = true
		}
	}
	for i := range entries {
		if entries[i].callers.equal(&g.callers) {
			entries[i].matches = append(slices.Clip(entries[i].matches), g.matches...)
			return entries
		}
	}
	return append(entries, entry{g.callers, g.matches})
}

func (s *serverWriter) add(apiVersion, kind, suffix string, spec any) {
	s.o.Add(mesh.Object{APIVersion: apiVersion, Kind: kind, Name: model.Name{Namespace: s.base.Namespace, Name: s.base.Name + suffix}, Spec: spec})
}

// admit lets callers to a target. Authentications of one policy have to hold all together, and one lists either accounts or names.
func (s *serverWriter) admit(suffix string, target reference, c callers) {
	if len(c.accounts) > 0 {
		spec := &meshTLSAuthentication{}
		for _, a := range c.accounts {
			spec.IdentityRefs = append(spec.IdentityRefs, reference{Kind: "ServiceAccount", Name: a.ServiceAccount, Namespace: a.Namespace})
		}
		s.policy(suffix, target, kindMeshTLS, spec)
	}
	if len(c.ids) > 0 {
		s.policy(suffix+"-ids", target, kindMeshTLS, &meshTLSAuthentication{Identities: c.ids})
	}
}

// policy says an authentication and the policy that asks for it.
func (s *serverWriter) policy(suffix string, target reference, kind string, authentication any) {
	s.add(policies, kind, suffix, authentication)
	s.bind(suffix, target, reference{Group: policyGroup, Kind: kind, Name: s.base.Name + suffix})
}

func (s *serverWriter) bind(suffix string, target, authentication reference) {
	s.add(policies, kindPolicy, suffix, &authorizationPolicy{target, []reference{authentication}})
}

// requests says what may be asked for. As soon as a Server has a route, Linkerd's own for the kubelet's checks is gone, and a request that no route
// takes is answered 404 whoever asks: the checks get a route, and so do requests of those who may send anything.
func (s *serverWriter) requests(entries []entry, anything bool) {
	if rest := anything && !s.everything(entries); s.overlap(entries, rest) {
		var all entry
		for _, e := range entries {
			all.callers.add(e.callers)
			all.matches = append(all.matches, s.named(&e)...)
		}
		s.routes("-callers", &all)
		entries = []entry{all}
	} else {
		for i := range entries {
			s.routes(entries[i].callers.suffix(), &entries[i])
		}
	}
	s.checks()
	if anything && !s.everything(entries) {
		all := httpMatch{Path: &stringMatch{pathPrefix, "/"}}
		s.add(s.d.routes, kindHTTPRoute, "-rest", &httpRoute{ParentRefs: s.parent(), Rules: []httpRule{{Matches: []httpMatch{all}}}})
	}
}

// everything says whether some match takes every request.
func (s *serverWriter) everything(entries []entry) bool {
	for i := range entries {
		for k := range entries[i].matches {
			if slices.ContainsFunc(entries[i].matches[k].native, func(m native) bool { return m.Path == nil && m.Method == "" && len(m.Headers) == 0 }) {
				return true
			}
		}
	}
	return false
}

func (s *serverWriter) parent() []parent {
	return []parent{{Group: policyGroup, Kind: kindServer, Name: s.base.Name}}
}

// routes says what some callers may ask for, in as few routes as hold it.
func (s *serverWriter) routes(suffix string, e *entry) {
	var all []httpRule
	var keys []string
	by := map[string][]httpMatch{}
	set := map[string][]headerValue{}
	for i := range e.matches {
		m := &e.matches[i]
		k := m.key()
		if _, ok := by[k]; !ok {
			keys = append(keys, k)
		}
		for _, n := range m.native {
			if !slices.ContainsFunc(by[k], n.httpMatch.equal) {
				by[k] = append(by[k], n.httpMatch)
			}
		}
		set[k] = m.set
	}
	for _, k := range keys {
		for _, r := range rules(by[k], nil) {
			if len(set[k]) > 0 {
				r.Filters = []filter{{"RequestHeaderModifier", &modifier{set[k]}}}
			}
			all = append(all, r)
		}
	}
	group, _, _ := strings.Cut(s.d.routes, "/")
	for n := 1; len(all) > 0; n++ {
		part := all[:min(mostRules, len(all)):min(mostRules, len(all))]
		all = all[len(part):]
		at := partName(model.Name{Name: suffix}, n).Name
		s.add(s.d.routes, kindHTTPRoute, at, &httpRoute{ParentRefs: s.parent(), Rules: part})
		target := reference{Group: group, Kind: kindHTTPRoute, Name: s.base.Name + at}
		if n == 1 {
			s.admit(at, target, e.callers)
		} else {
			s.admitAgain(suffix, at, target, &e.callers)
		}
	}
}

// admitAgain lets the callers of one route to another.
func (s *serverWriter) admitAgain(first, suffix string, target reference, c *callers) {
	if len(c.accounts) > 0 {
		s.bind(suffix, target, reference{Group: policyGroup, Kind: kindMeshTLS, Name: s.base.Name + first})
	}
	if len(c.ids) > 0 {
		s.bind(suffix+"-ids", target, reference{Group: policyGroup, Kind: kindMeshTLS, Name: s.base.Name + first + "-ids"})
	}
}

// checks admits the kubelet's checks. The kubelet has no identity, and no address that is known here.
func (s *serverWriter) checks() {
	var list []httpMatch
	for _, p := range s.probes() {
		if m, ok := check(&p); ok && p.Port == s.p.Number && !slices.ContainsFunc(list, m.equal) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return
	}
	s.add(s.d.routes, kindHTTPRoute, "-probes", &httpRoute{ParentRefs: s.parent(), Rules: rules(list, nil)})
	group, _, _ := strings.Cut(s.d.routes, "/")
	s.policy("-probes", reference{Group: group, Kind: kindHTTPRoute, Name: s.base.Name + "-probes"}, kindNetwork, &networkAuthentication{[]network{{"0.0.0.0/0"}, {"::/0"}}})
}

// probes are those of all workloads that the Server finds.
func (s *serverWriter) probes() (out []model.Probe) {
	for _, m := range s.found(s.m) {
		out = append(out, m.Probes...)
	}
	return out
}

// check is the request of an HTTP check; a gRPC check is one too.
func check(p *model.Probe) (httpMatch, bool) {
	if !plainPath(p.Path) {
		return httpMatch{}, false
	}
	method := "GET"
	if p.Path == "/grpc.health.v1.Health/Check" {
		method = "POST"
	}
	return httpMatch{Path: &stringMatch{exact, p.Path}, Method: method}, true
}

// overlap says whether a request could meet two entries, or one that Linkerd would ask in place of the route for the kubelet's checks or before
// the route for the rest: then only one of them would be asked, and it might be the wrong one.
func (s *serverWriter) overlap(entries []entry, rest bool) bool {
	for i := range entries {
		for k := range entries[i].matches {
			for _, m := range entries[i].matches[k].native {
				if rest && bare(&m) == 1 || s.checked(&m) || crosses(&m, entries[:i]) {
					return true
				}
			}
		}
	}
	return false
}

func crosses(m *native, entries []entry) bool {
	for i := range entries {
		for k := range entries[i].matches {
			if slices.ContainsFunc(entries[i].matches[k].native, func(o native) bool { return !m.apart(&o) }) {
				return true
			}
		}
	}
	return false
}

// checked says whether a match may be asked in place of the route for the kubelet's checks: where it takes one of them, and says as much.
func (s *serverWriter) checked(m *native) bool {
	return slices.ContainsFunc(s.probes(), func(p model.Probe) bool {
		c, ok := check(&p)
		return ok && p.Port == s.p.Number && m.paths.Match(p.Path) && (m.Method == "" || m.Method == c.Method) &&
			(m.Method != "" || len(m.Headers) > 0) && (m.paths.Class != pattern.Any || p.Path == "/")
	})
}

// named are the matches of an entry with its callers in them.
func (s *serverWriter) named(e *entry) (out []grantMatch) {
	for _, h := range e.callers.conditions(s.a.Settings.TrustDomain) {
		for _, m := range e.matches {
			list := slices.Clone(m.native)
			for i := range list {
				list[i].Headers = append(slices.Clip(list[i].Headers), h)
			}
			m.native = list
			out = append(out, m)
		}
	}
	return out
}
