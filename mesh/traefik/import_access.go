// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// sources is what a TrafficTarget says of the namespaces of its sources.
type sources struct {
	Spec struct {
		Sources []struct {
			Namespace string `json:"namespace"`
		} `json:"sources"`
	} `json:"spec"`
}

// permission reads a TrafficTarget.
func (r *reader) permission(o *object.Object, f *model.Permission) {
	var s sources
	o.DecodeLax(&s)
	base := model.Permission{Name: f.Name, Destination: f.Destination, Port: f.Port, Broken: f.Broken}
	for i, src := range f.Sources {
		switch {
		case src.Name == nobody:
		case i < len(s.Spec.Sources) && s.Spec.Sources[i].Namespace == "":
			r.leave(model.Unsupported, o, fmt.Sprintf("spec.sources[%d].namespace", i), "a source without a namespace is nobody to Traefik Mesh: it is left out")
		default:
			base.Sources = append(base.Sources, src)
		}
	}
	t := target{reader: r, o: o, f: f, base: base}
	if f.Broken || !t.rules() || !t.port() {
		r.in.Add(&base)
		return
	}
	t.say()
	r.taken = append(r.taken, taken{o, &t.base, t.native})
}

// target is a TrafficTarget while it is read.
type target struct {
	*reader
	o      *object.Object
	f      *model.Permission
	base   model.Permission
	web    []model.Rule // with the matches that say something
	stream bool         // a TCPRoute is named
	native []model.Match
}

// taken is a TrafficTarget with the matches of its rule; none are every request.
type taken struct {
	o       *object.Object
	f       *model.Permission
	matches []model.Match
}

// overlaps says of TrafficTargets that take the same requests that the longest rule decided alone: it may have refused what another
// permits, which SMI does not.
func (r *reader) overlaps() {
	for i, a := range r.taken {
		for k, b := range r.taken {
			same := a.f.Destination == b.f.Destination && (a.f.Port == 0 || b.f.Port == 0 || a.f.Port == b.f.Port)
			if i == k || !same || length(a.matches) > length(b.matches) || disjoint(a.matches, b.matches) ||
				!slices.ContainsFunc(a.f.Sources, func(s model.Subject) bool { return !slices.Contains(b.f.Sources, s) }) {
				continue
			}
			r.leave(model.Approximate, a.o, "spec.rules", "requests that "+b.f.Name.String()+" takes too were decided by that one alone, as the longer rule, or one that may have been asked first: SMI also permits what this one does")
			break
		}
	}
}

// selected is a rule with what it takes of its group.
type selected struct {
	rule  model.Rule
	group *model.RouteGroup // of those matches alone
}

// rules reads the rules; false where Traefik Mesh takes none of them.
func (t *target) rules() bool {
	var all []selected
	some := false // match has conditions
	for i, rule := range t.f.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		switch rule.Kind {
		case model.KindTCPRoute:
			t.stream = true
			if !t.streams[model.Name{Namespace: t.f.Name.Namespace, Name: rule.Name}] {
				t.leave(model.Unsupported, t.o, at+".name", "there is no TCPRoute "+rule.Name+": the TrafficTarget had no effect")
				return false
			}
		case model.KindGroup:
			s, ok := t.selected(at, rule)
			if !ok {
				return false
			}
			some = some || len(spoken(s.group.Matches)) > 0
			all = append(all, s)
		default:
			t.leave(model.Unsupported, t.o, at+".kind", "Traefik Mesh does not know a rule of kind "+string(rule.Kind)+": the TrafficTarget had no effect")
			return false
		}
	}
	for _, s := range all {
		if some {
			s.rule.Matches = spoken(s.group.Matches)
		}
		t.take(s)
	}
	return true
}

// selected is what a rule takes of its group; not ok where Traefik Mesh does not take the rule.
func (t *target) selected(at string, rule model.Rule) (s selected, ok bool) {
	n := model.Name{Namespace: t.f.Name.Namespace, Name: rule.Name}
	g := t.groups[n]
	if g == nil {
		t.leave(model.Unsupported, t.o, at+".name", "there is no HTTPRouteGroup "+rule.Name+": the TrafficTarget had no effect")
		return s, false
	}
	names, ok := t.matches(at, rule, g)
	if !ok {
		return s, false
	}
	if slices.ContainsFunc(t.broken[n], func(b string) bool { return slices.Contains(names, b) }) {
		t.leave(model.Unsupported, t.o, at+".matches", "Traefik's router refuses one of these matches: the TrafficTarget had no effect")
		return s, false
	}
	part := &model.RouteGroup{Name: g.Name}
	for _, m := range g.Matches {
		if slices.Contains(names, m.Name) {
			part.Matches = append(part.Matches, m)
		}
	}
	rule.All, rule.Matches = false, names
	return selected{rule, part}, true
}

// take keeps a rule, and what it was written as.
func (t *target) take(s selected) {
	if len(s.rule.Matches) == len(t.groups[s.group.Name].Matches) {
		s.rule.Matches, s.rule.All = nil, true
	}
	if s.rule.All || len(s.rule.Matches) > 0 {
		t.web = append(t.web, s.rule)
	}
	for _, m := range t.wrote[s.group.Name] {
		if !anyRequest(&m) && (s.rule.All || slices.Contains(s.rule.Matches, m.Name)) {
			t.native = append(t.native, m)
		}
	}
}

// matches are those that a rule names; an empty list names all.
func (t *target) matches(at string, rule model.Rule, g *model.RouteGroup) (names []string, ok bool) {
	if !rule.All && len(rule.Matches) == 0 {
		t.leave(model.Notice, t.o, at+".matches", "to Traefik Mesh an empty list of matches means all of the group: it is read so")
	}
	if rule.All || len(rule.Matches) == 0 {
		for _, m := range g.Matches {
			names = append(names, m.Name)
		}
		return names, true
	}
	for k, n := range rule.Matches {
		if !slices.ContainsFunc(g.Matches, func(m model.Match) bool { return m.Name == n }) {
			t.leave(model.Unsupported, t.o, fmt.Sprintf("%s.matches[%d]", at, k), "the group has no match "+n+": the TrafficTarget had no effect")
			return nil, false
		}
	}
	return rule.Matches, true
}

// ports lists the ports of the destination that carry requests, and those that carry raw TCP, where they are numbers.
func (t *target) ports() (web, raw []uint16, known bool) {
	id := model.Identity{Namespace: t.f.Destination.Namespace, ServiceAccount: t.f.Destination.Name}
	for _, w := range t.in.World.Workloads(id) {
		for _, n := range t.in.World.Selecting(w) {
			s := t.in.World.Service(n)
			http := carriesRequests(s)
			for i := range s.Ports {
				p := &s.Ports[i]
				known = true
				switch {
				case p.TargetName != "" || p.Protocol == model.UDP:
				case http:
					web = append(web, p.Target)
				default:
					raw = append(raw, p.Target)
				}
			}
		}
	}
	return web, raw, known
}

// carriesRequests says whether a Service is of HTTP: one Service is of one kind of traffic.
func carriesRequests(s *model.Service) bool {
	return slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool { return p.Protocol.CarriesHTTP() })
}

// port says whether the port of the target is the target port of some Service, as a number.
func (t *target) port() bool {
	web, raw, known := t.ports()
	if t.f.Port == 0 || !known || slices.Contains(web, t.f.Port) || slices.Contains(raw, t.f.Port) {
		return true
	}
	t.leave(model.Unsupported, t.o, "spec.destination.port", fmt.Sprintf("no Service before the destination has the targetPort %d as a number: the TrafficTarget had no effect", t.f.Port))
	return false
}

// say says what a TrafficTarget permits: its requests, and, where it names a TCPRoute, raw TCP on Services of TCP, which it opened to
// everybody. Without a match that says something it permits every request.
func (t *target) say() {
	web, raw, known := t.ports()
	if t.stream && (len(raw) > 0 || !known) {
		t.leave(model.Approximate, t.o, "spec.sources", "Traefik Mesh does not look at the sources of raw TCP, and admitted everybody: SMI admits those that are named")
	}
	p := t.base
	if p.Rules = t.web; len(p.Rules) == 0 {
		if !t.stream {
			t.leave(model.Notice, t.o, "spec.rules", "to Traefik Mesh a TrafficTarget without a match permits every request: it is read so")
		}
		g := &model.RouteGroup{Name: t.name(model.KindGroup, p.Name), Matches: []model.Match{{Name: "all"}}}
		t.in.Add(g)
		p.Rules = []model.Rule{{Kind: model.KindGroup, Name: g.Name.Name, All: true}}
	}
	if known {
		p.Rules = append(slices.Clone(p.Rules), t.route(p.Name, web))
	}
	said := !known || len(web) > 0
	if said {
		t.in.Add(&p)
	}
	if !t.stream || len(raw) == 0 {
		if !said {
			t.in.Add(&t.base)
		}
		return
	}
	q := t.base
	if said {
		q.Name = t.name(model.KindPermission, model.Name{Namespace: q.Name.Namespace, Name: q.Name.Name + "-tcp"})
	}
	q.Rules = []model.Rule{t.route(q.Name, raw)}
	t.in.Add(&q)
}

// route names the ports on which something holds.
func (t *target) route(n model.Name, ports []uint16) model.Rule {
	if len(ports) == 0 {
		return model.Rule{}
	}
	pr := &model.PortRoute{Kind: model.KindTCPRoute, Name: t.reader.name(model.KindTCPRoute, n), Ports: model.PortSet(ports...)}
	t.in.Add(pr)
	return model.Rule{Kind: model.KindTCPRoute, Name: pr.Name.Name, All: true}
}
