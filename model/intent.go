// SPDX-License-Identifier: Apache-2.0

package model

// Intents lists what the root's splits ask of a mesh, in the order of the splits. A wish that nothing can meet is not listed: it is
// a fault.
func (r *Route) Intents(yield func(Intent) bool) {
	o := once{yield: yield}
	r.wishes(o.add)
}

// Features are those of the intents. It costs next to nothing, and intents have texts: nearly always nobody needs more than to know that
// a mesh has all of the features.
func (r *Route) Features() (f Features) {
	r.wishes(func(w wish) bool { f |= 1 << w.feature; return true })
	return f
}

func (r *Route) wishes(add func(wish) bool) bool {
	for _, s := range r.Splits {
		if !r.splitWishes(s, add) {
			return false
		}
	}
	return true
}

func (r *Route) splitWishes(s *Split, add func(wish) bool) bool {
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
			if !a.wishes(r.Name, add) {
				return false
			}
		}
	}
	return (!live || r.Service != nil || add(wish{SplitHost, ref, spot{list: "spec.service"}})) &&
		(!stream || add(wish{SplitStream, ref, spot{list: "spec.backends"}})) &&
		(!datagram || add(wish{SplitDatagram, ref, spot{list: "spec.backends"}}))
}

func (a *Arm) wishes(root Name, add func(wish) bool) bool {
	ref, weighty := a.Split.Ref(), 0
	for i := range a.Shares {
		weighty += int(min(1, a.Shares[i].Weight))
	}
	for i := range a.Shares {
		s := &a.Shares[i]
		field := "weight"
		if weighty == 1 && s.Weight > 0 { // all of it, whatever the number
			field = "service"
		}
		if !add(wish{SplitWeight, ref, item("spec.backends", s.Index, field)}) {
			return false
		}
		if s.Service == root && !add(wish{SplitSelf, ref, item("spec.backends", s.Index, "service")}) {
			return false
		}
	}
	if len(a.Matches) > 0 && !add(wish{SplitMatch, ref, spot{list: "spec.matches"}}) {
		return false
	}
	for i := range a.Matches {
		if m := &a.Matches[i]; !m.wishes(m.Group, m.Index, &routing, add) {
			return false
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

// wishes lists the conditions of a match of a group.
func (m *Match) wishes(g *RouteGroup, index int, u *use, add func(wish) bool) bool {
	ref := g.Ref()
	if m.Path != "" && !add(wish{u.path, ref, item("spec.matches", index, "pathRegex")}) {
		return false
	}
	if len(m.Methods) > 0 && !add(wish{u.method, ref, item("spec.matches", index, "methods")}) {
		return false
	}
	for i := range m.Headers {
		f := u.header
		if m.Headers[i].Authority() {
			f = u.authority
		}
		at := item("spec.matches", index, "headers")
		if at.key = m.Headers[i].Name; !add(wish{f, ref, at}) {
			return false
		}
	}
	return true
}

// Intents lists the conditions of the match, as a split asks them.
func (m *ArmMatch) Intents(yield func(Intent) bool) {
	m.Match.wishes(m.Group, m.Index, &routing, func(w wish) bool { return yield(w.intent()) })
}

// Intents lists what the identity's permissions ask of a mesh, in the order of the permissions. With nothing to protect, or nothing
// enforced, there is nothing to ask.
func (a *Access) Intents(yield func(Intent) bool) {
	o := once{yield: yield}
	a.wishes(o.add)
}

// Features are those of the intents, without their cost.
func (a *Access) Features() (f Features) {
	a.wishes(func(w wish) bool { f |= 1 << w.feature; return true })
	return f
}

func (a *Access) wishes(add func(wish) bool) bool {
	if len(a.Workloads) == 0 || a.Settings.Access == AccessAllow {
		return true
	}
	if a.Settings.Access == AccessDeny && !add(wish{AccessClosed, a.Settings.Ref(), spot{list: "accessDefault"}}) {
		return false
	}
	for i := range a.Grants {
		if g := &a.Grants[i]; !g.Empty() && !g.wishes(add) {
			return false
		}
	}
	return true
}

func (g *Grant) wishes(add func(wish) bool) bool {
	if g.Subset != nil && !add(wish{AccessSubset, g.Permission.Ref(), spot{list: "spec.destination"}}) {
		return false
	}
	for i := range g.Sources {
		if !add(g.Sources[i].wish(g)) {
			return false
		}
	}
	for i := range g.HTTP {
		if m := &g.HTTP[i]; !m.wishes(m.Group, m.Index, &permitting, add) {
			return false
		}
	}
	return g.portWishes(add)
}

func (g *Grant) portWishes(add func(wish) bool) bool {
	ref := g.Permission.Ref()
	if g.Permission.Port != 0 && !add(wish{AccessPort, ref, spot{list: "spec.destination.port"}}) {
		return false
	}
	asks := g.asking()
	for i, c := range g.Carriers {
		f, grants := AccessStream, !g.Stream.Empty()
		if c.Route.Kind == KindUDPRoute {
			f, grants = AccessDatagram, !g.Datagram.Empty()
		}
		if grants && asks[i] && !add(wish{f, ref, item("spec.rules", c.Rule, "")}) {
			return false
		}
		if c.Route.Kind == KindTCPRoute && !(g.Stream.Any || g.HTTPPorts.Any) && !add(wish{AccessPort, c.Route, spot{list: "spec.matches.ports"}}) {
			return false
		}
	}
	return true
}

// asking tells of each carrier whether it asks for something of its own. One does not where others of its kind name all of its ports: those
// before it, and those after it that ask. So those that ask name together all the ports, and each of them one that no other does.
func (g *Grant) asking() []bool {
	out := make([]bool, len(g.Carriers))
	for i := len(out) - 1; i >= 0; i-- {
		var others Ports
		for k, c := range g.Carriers {
			if (k < i || out[k]) && c.Route.Kind == g.Carriers[i].Route.Kind {
				others = others.Union(c.Ports)
			}
		}
		own := g.Carriers[i].Ports
		out[i] = !others.Any && (own.Any || len(others.Intersect(own).List) < len(own.List))
	}
	return out
}

// Intent is the wish that a source of a grant expresses.
func (s *Source) Intent(g *Grant) Intent {
	w := s.wish(g)
	return w.intent()
}

func (s *Source) wish(g *Grant) wish {
	f := AccessCaller
	switch {
	case s.SPIFFE != "":
		f = AccessSPIFFE
	case s.Pods != nil:
		f = AccessPods
	}
	return wish{f, g.Permission.Ref(), item("spec.sources", s.Index, "name")}
}

// Intents lists the conditions of the match, as a permission asks them.
func (m *GrantMatch) Intents(yield func(Intent) bool) {
	m.Match.wishes(m.Group, m.Index, &permitting, func(w wish) bool { return yield(w.intent()) })
}
