// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// nativeServer is a Server with what it selects.
type nativeServer struct {
	o         *object.Object
	spec      server
	workloads []*model.Workload
	ports     []uint16
	bars      bool // what it selects is not known for certain: nothing is permitted there
	permits   []permit
}

// permit is what a Server lets some callers do: requests, or all where there are none.
type permit struct {
	callers callers
	matches []readMatch
	all     bool
}

// server reads a Server, and finds its workloads. One that refuses nothing is left out.
func (r *reader) server(o *object.Object) {
	var v written[server]
	f := r.decode(o, &v)
	s := &nativeServer{o: o, spec: v.Spec, bars: f.below("spec.podSelector")}
	switch s.spec.AccessPolicy {
	case "", "deny":
	case "audit", "all-unauthenticated":
		r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec.accessPolicy", "the Server refuses nobody: it is left out", "")
		return
	default:
		r.leave(o, "spec.accessPolicy", "SMI names its callers: those whom "+s.spec.AccessPolicy+" admits are left out")
	}
	if s.spec.PodSelector == nil && s.bars {
		s.spec.PodSelector = &selector{} // reported: it may be any
	}
	if s.spec.PodSelector == nil || f.below("spec.externalWorkloadSelector") {
		r.leave(o, "spec", "SMI knows workloads inside of Kubernetes alone")
		return
	}
	s.workloads = r.selected(o.Namespace, s.spec.PodSelector.MatchLabels)
	if len(s.workloads) == 0 {
		r.in.Leave(o, model.Unsupported, model.CodeNativeAmbiguous, "spec.podSelector", "which workloads the Server speaks of is not known: SMI needs their service accounts",
			"Add the Deployments, StatefulSets, DaemonSets or Pods to the input.")
		return
	}
	s.ports = s.numbers()
	if len(s.ports) == 0 {
		r.leave(o, "spec.port", "none of the pods has a port of that name: it is not known what the Server closes")
		s.bars = true
	}
	r.servers = append(r.servers, s)
}

// numbers are those of the Server's port.
func (s *nativeServer) numbers() (out []uint16) {
	if s.spec.Port.Number != 0 {
		return []uint16{s.spec.Port.Number}
	}
	for _, w := range s.workloads {
		for _, c := range w.Ports {
			if c.Name == s.spec.Port.Name && c.Name != "" {
				out = append(out, c.Number)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// selected lists workloads of a namespace by labels, all of them where there is no label.
func (r *reader) selected(namespace string, labels map[string]string) []*model.Workload {
	out := r.in.World.Labelled(namespace, labels)
	if all, ok := r.in.World.(interface{ Facts(func(model.Fact) bool) }); ok && len(labels) == 0 {
		out = nil
		for f := range all.Facts {
			if w, ok := f.(*model.Workload); ok && w.Name.Namespace == namespace {
				out = append(out, w)
			}
		}
	}
	slices.SortFunc(out, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// inbound is a route of a Server, with those whom it admits.
type inbound struct {
	of      *nativeRoute
	matches []readMatch
	callers callers
	anybody bool // whoever asks, as for the kubelet's checks
	partly  bool // a part of it was not understood: what that takes is not known
}

// authorize reads what a Server permits.
func (r *reader) authorize(s *nativeServer) {
	everything := r.admitted(s.o.Namespace, reference{Group: policyGroup, Kind: kindServer, Name: s.o.Name}, nil)
	everything.add(r.authorized(s))
	var list []inbound
	for _, n := range r.routes {
		attached := n.attached(s.o)
		n.read = n.read || attached
		switch {
		case !attached:
		case s.blind() || n.grpc != (s.spec.ProxyProtocol == "gRPC"):
			r.leave(n.o, "spec.parentRefs", "the Server's protocol is "+cmp.Or(s.spec.ProxyProtocol, "unknown")+": there the route has no effect")
		default:
			list = append(list, r.inbound(s, n))
		}
	}
	for i := range list {
		r.inboundRoute(s, list, i, &everything)
	}
	if !everything.empty() {
		s.permits = append(s.permits, r.everything(s, list, everything))
	}
}

// blind says whether the proxy sees no requests.
func (s *nativeServer) blind() bool {
	return s.spec.ProxyProtocol == "opaque" || s.spec.ProxyProtocol == "TLS"
}

func (n *nativeRoute) attached(s *object.Object) bool {
	return n.o.Namespace == s.Namespace && slices.ContainsFunc(n.v.Spec.ParentRefs, func(p parent) bool {
		return p.Kind == kindServer && p.Group == policyGroup && p.Name == s.Name
	})
}

// everything is what those may do who are admitted to the whole Server: where it has routes, no more than what some route takes.
func (r *reader) everything(s *nativeServer, list []inbound, who callers) permit {
	out := permit{callers: who}
	speaks := s.spec.ProxyProtocol == "HTTP/1" || s.spec.ProxyProtocol == "HTTP/2" || s.spec.ProxyProtocol == "gRPC"
	open := len(list) == 0 || slices.ContainsFunc(list, func(in inbound) bool {
		return slices.ContainsFunc(in.matches, func(m readMatch) bool { return m.anything() })
	})
	switch {
	case s.blind(), open && !speaks:
		out.all = true
	case open:
		out.matches = []readMatch{everyRequest()}
	default:
		for _, in := range list {
			out.matches = append(out.matches, in.matches...)
		}
		if !speaks {
			r.leave(s.o, "spec", "Linkerd refuses requests that no route takes, and SMI permits raw TCP together with all requests: raw TCP is left out")
		}
	}
	return out
}

// anything says whether a match takes every request of every caller.
func (m *readMatch) anything() bool {
	return m.all == "" && m.by == nil && len(m.match.Methods)+len(m.match.Headers) == 0
}

// inbound reads one route of a Server.
func (r *reader) inbound(s *nativeServer, n *nativeRoute) inbound {
	out := inbound{of: n, partly: n.faults.below("spec.hostnames")}
	rules := n.v.Spec.Rules
	if len(rules) == 0 {
		rules = []httpRule{{}}
	}
	for k := range rules {
		at := fmt.Sprintf("spec.rules[%d]", k)
		list := rules[k].Matches
		if len(list) == 0 && !n.faults.below("%s.matches", at) {
			list = []httpMatch{{}}
		}
		if n.faults.below("%s.filters", at) || !sets(rules[k].Filters, list) {
			r.leave(n.o, at+".filters", "SMI does not change requests: the rule is left out")
			out.partly = true
			continue
		}
		for x := range list {
			where := fmt.Sprintf("%s.matches[%d]", at, x)
			m, why := r.match(&list[x])
			if n.faults.below("%s", where) {
				out.partly = true
				continue // reported
			}
			if why != "" {
				r.leave(n.o, where, why+": the match is left out")
				out.partly = true
				continue
			}
			out.matches = append(out.matches, m)
		}
	}
	ref := reference{Group: n.group, Kind: n.o.Kind, Name: n.o.Name}
	out.callers = r.admitted(s.o.Namespace, ref, func(p *nativePolicy) bool {
		if !s.checks(out.matches) {
			return false
		}
		out.anybody = true
		return true
	})
	return out
}

// sets says whether filters do no more than to set headers to the texts that the matches ask of them.
func sets(list []filter, matches []httpMatch) bool {
	for _, f := range list {
		if f.Type != "RequestHeaderModifier" || f.RequestHeaderModifier == nil {
			return false
		}
		for _, v := range f.RequestHeaderModifier.Set {
			if len(matches) == 0 || slices.ContainsFunc(matches, func(m httpMatch) bool { return !slices.Contains(m.Headers, headerMatch{exact, v.Name, v.Value}) }) {
				return false
			}
		}
	}
	return true
}

// checks says whether matches are none but the kubelet's checks, which SMI admits by itself.
func (s *nativeServer) checks(list []readMatch) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(m readMatch) bool {
		return !slices.ContainsFunc(s.workloads, func(w *model.Workload) bool {
			return slices.ContainsFunc(w.Probes, func(p model.Probe) bool {
				c, ok := check(&p)
				return ok && slices.Contains(s.ports, p.Port) && c.equal(m.httpMatch)
			})
		})
	})
}

// inboundRoute says what one route permits. SMI adds permissions up and Linkerd asks one route alone: whoever is not admitted by another that
// may be asked in place of this one is not permitted what both take, and so nothing that this one takes.
func (r *reader) inboundRoute(s *nativeServer, list []inbound, i int, everything *callers) {
	in := &list[i]
	if in.anybody || len(in.matches) == 0 {
		return
	}
	by := map[string]*permit{}
	var keys []string
	for k := range in.matches {
		m := &in.matches[k]
		who := in.callers.common(m.by)
		left := who.without(func(c callers) bool {
			return slices.ContainsFunc(list, func(o inbound) bool { return o.of != in.of && o.shadows(m, &c, everything) })
		})
		if len(left.accounts)+len(left.ids) < len(who.accounts)+len(who.ids) {
			r.leave(in.of.o, "spec.rules", "Linkerd may ask another route of some of these requests, and SMI adds permissions up: callers whom that route refuses are left out")
		}
		if left.empty() {
			continue
		}
		key := fmt.Sprint(left)
		if by[key] == nil {
			keys = append(keys, key)
			by[key] = &permit{callers: left}
		}
		by[key].matches = append(by[key].matches, *m)
	}
	for _, k := range keys {
		s.permits = append(s.permits, *by[k])
	}
}

// shadows says whether a route may be asked in place of a match of another, by a caller whom it refuses.
func (in *inbound) shadows(m *readMatch, c, everything *callers) bool {
	if in.anybody || in.callers.has(c) || everything.has(c) {
		return false
	}
	if in.partly {
		return true
	}
	return slices.ContainsFunc(in.matches, func(n readMatch) bool {
		return (n.by == nil || n.by.has(c)) && !n.apart(&m.native) && !n.yields(m)
	})
}

// yields says whether Linkerd prefers another match wherever both take a request, whatever the age of their routes and the release.
func (m *readMatch) yields(to *readMatch) bool {
	switch {
	case m.reach() == 1 && to.reach() > 1 && (to.reach() < wholePath || !to.paths.Match("/")):
		return true // the longer path wins at once
	case m.reach() != to.reach() && m.reach() > 1:
		return false // which is longer depends on the request
	}
	methods, headers := len(to.match.Methods)-len(m.match.Methods), len(to.Headers)-len(m.Headers)
	return methods >= 0 && headers >= 0 && methods+headers > 0
}
