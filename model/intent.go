// SPDX-License-Identifier: Apache-2.0

package model

import "strconv"

// Intents lists what the root's splits ask of a mesh, in the order of the splits. A wish that nothing can meet is not listed: it is
// a fault.
func (r *Route) Intents(yield func(Intent) bool) {
	seen := map[Intent]bool{}
	add := func(in Intent) bool {
		if seen[in] {
			return true
		}
		seen[in] = true
		return yield(in)
	}
	for _, s := range r.Splits {
		if !r.splitIntents(s, add) {
			return
		}
	}
}

func (r *Route) splitIntents(s *Split, add func(Intent) bool) bool {
	ref, live, stream, datagram := s.Ref(), false, false, false
	for i := range r.Ports {
		p := &r.Ports[i]
		for k := range p.Arms {
			a := &p.Arms[k]
			if a.Split != s {
				continue
			}
			live = true
			stream = stream || a.Any && p.Protocol.CarriesBytes() && p.Protocol != Auto
			datagram = datagram || a.Any && p.Protocol == UDP
			if !a.intents(r.Name, add) {
				return false
			}
		}
	}
	return (!live || r.Service != nil || add(Intent{SplitHost, ref, "spec.service"})) &&
		(!stream || add(Intent{SplitStream, ref, "spec.backends"})) &&
		(!datagram || add(Intent{SplitDatagram, ref, "spec.backends"}))
}

func (a *Arm) intents(root Name, add func(Intent) bool) bool {
	ref, weighty := a.Split.Ref(), 0
	for _, s := range a.Shares {
		weighty += int(min(1, s.Weight))
	}
	for _, s := range a.Shares {
		path := at("spec.backends", s.Index, "weight")
		if weighty == 1 && s.Weight > 0 { // all of it, whatever the number
			path = at("spec.backends", s.Index, "service")
		}
		if !add(Intent{SplitWeight, ref, path}) {
			return false
		}
		if s.Service == root && !add(Intent{SplitSelf, ref, at("spec.backends", s.Index, "service")}) {
			return false
		}
	}
	for _, m := range a.Matches {
		if !add(Intent{SplitMatch, ref, "spec.matches"}) {
			return false
		}
		for in := range m.Intents {
			if !add(in) {
				return false
			}
		}
	}
	return true
}

// use is the set of features by which conditions on requests are named.
type use struct{ path, method, header, authority Feature }

var (
	routing    = use{RoutePath, RouteMethod, RouteHeader, RouteAuthority}
	permitting = use{AccessPath, AccessMethod, AccessHeader, AccessAuthority}
)

// intents lists the conditions of a match of a group.
func (m *Match) intents(g *RouteGroup, index int, u use) func(func(Intent) bool) {
	return func(yield func(Intent) bool) {
		ref, at := g.Ref(), "spec.matches["+strconv.Itoa(index)+"]"
		if m.Path != "" && !yield(Intent{u.path, ref, at + ".pathRegex"}) {
			return
		}
		if len(m.Methods) > 0 && !yield(Intent{u.method, ref, at + ".methods"}) {
			return
		}
		for i := range m.Headers {
			f := u.header
			if m.Headers[i].Authority() {
				f = u.authority
			}
			if !yield(Intent{f, ref, at + ".headers[" + m.Headers[i].Name + "]"}) {
				return
			}
		}
	}
}

// Intents lists the conditions of the match, as a split asks them.
func (m *ArmMatch) Intents(yield func(Intent) bool) {
	m.Match.intents(m.Group, m.Index, routing)(yield)
}

// Intents lists what the identity's permissions ask of a mesh, in the order of the permissions. With nothing to protect, or nothing
// enforced, there is nothing to ask.
func (a *Access) Intents(yield func(Intent) bool) {
	if len(a.Workloads) == 0 || a.Settings.Access == AccessAllow {
		return
	}
	seen := map[Intent]bool{}
	add := func(in Intent) bool {
		if seen[in] {
			return true
		}
		seen[in] = true
		return yield(in)
	}
	if a.Settings.Access == AccessDeny && !add(Intent{AccessClosed, a.Settings.Ref(), "accessDefault"}) {
		return
	}
	for i := range a.Grants {
		if g := &a.Grants[i]; !g.Empty() && !g.intents(add) {
			return
		}
	}
}

func (g *Grant) intents(add func(Intent) bool) bool {
	ref := g.Permission.Ref()
	if g.Subset != nil && !add(Intent{AccessSubset, ref, "spec.destination"}) {
		return false
	}
	for i := range g.Sources {
		if !add(g.Sources[i].Intent(g)) {
			return false
		}
	}
	for i := range g.HTTP {
		for in := range g.HTTP[i].Intents {
			if !add(in) {
				return false
			}
		}
	}
	return g.portIntents(add)
}

func (g *Grant) portIntents(add func(Intent) bool) bool {
	ref := g.Permission.Ref()
	if g.Permission.Port != 0 && !add(Intent{AccessPort, ref, "spec.destination.port"}) {
		return false
	}
	for i, c := range g.Carriers {
		f, grants := AccessStream, !g.Stream.Empty()
		if c.Route.Kind == KindUDPRoute {
			f, grants = AccessDatagram, !g.Datagram.Empty()
		}
		if grants && !g.carried(i) && !add(Intent{f, ref, at("spec.rules", c.Rule, "")}) {
			return false
		}
		if c.Route.Kind == KindTCPRoute && !(g.Stream.Any || g.HTTPPorts.Any) && !add(Intent{AccessPort, c.Route, "spec.matches.ports"}) {
			return false
		}
	}
	return true
}

// carried says whether the other carriers of the kind name all the ports of one: then it asks for nothing of its own.
func (g *Grant) carried(i int) bool {
	var others Ports
	for k, c := range g.Carriers {
		if k != i && c.Route.Kind == g.Carriers[i].Route.Kind {
			others = others.Union(c.Ports)
		}
	}
	own := g.Carriers[i].Ports
	return others.Any || !own.Any && len(others.Intersect(own).List) == len(own.List)
}

// Intent is the wish that a source of a grant expresses.
func (s *Source) Intent(g *Grant) Intent {
	in := Intent{AccessCaller, g.Permission.Ref(), at("spec.sources", s.Index, "name")}
	switch {
	case s.SPIFFE != "":
		in.Feature = AccessSPIFFE
	case s.Pods != nil:
		in.Feature = AccessPods
	}
	return in
}

// Intents lists the conditions of the match, as a permission asks them.
func (m *GrantMatch) Intents(yield func(Intent) bool) {
	m.Match.intents(m.Group, m.Index, permitting)(yield)
}
