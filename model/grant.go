// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"slices"
)

// grantJoin resolves one permission for one identity.
type grantJoin struct {
	w      World
	a      *Access
	p      *Permission
	g      Grant
	faults []Finding
}

func (j *grantJoin) fault(l Level, c Code, path, message, hint string) {
	f := Finding{Level: l, Code: c, Object: j.p.Ref(), Path: path, Message: message, Hint: hint}
	if !slices.Contains(j.faults, f) {
		j.faults = append(j.faults, f)
	}
}

// destination says whether the permission has an effect on the identity, and on which of its workloads.
func (j *grantJoin) destination() bool {
	d, name := j.p.Destination, Name{j.p.Destination.Namespace, j.p.Destination.Name}
	if d.Namespace != j.p.Name.Namespace && !j.a.Settings.CrossNamespace {
		j.fault(Invalid, CodeForeignTarget, "spec.destination.namespace", "the destination "+name.String()+" is in another namespace",
			"Move the TrafficTarget to "+d.Namespace+": otherwise every tenant could open another's workloads.")
		return false
	}
	j.g.Permission = j.p
	switch d.Kind {
	case KindServiceAccount:
	case KindBinding:
		b := j.w.Binding(name)
		if b == nil {
			j.fault(Invalid, CodeNoBinding, "spec.destination.name", "there is no IdentityBinding "+name.String(), "Create it, or correct the name.")
			return false
		}
		j.foreign(b, "spec.destination")
		j.g.Subset = j.subset(b)
	default:
		j.fault(Invalid, CodeSubject, "spec.destination.kind", "a destination of kind "+string(d.Kind)+" is nobody that a mesh could know",
			"Name a ServiceAccount or an IdentityBinding.")
		return false
	}
	if j.a.Identity.ServiceAccount == "" || len(j.a.Workloads) == 0 {
		j.fault(Notice, CodeNoWorkload, "spec.destination", "no workload that is known runs as "+string(d.Kind)+" "+name.String()+": there is nothing to protect",
			"Add the Deployment, StatefulSet, DaemonSet or Pod that runs as it.")
	}
	return j.a.Identity.ServiceAccount != ""
}

// subset lists the identity's workloads that a binding reaches by label alone; nil when it reaches all of them.
func (j *grantJoin) subset(b *Binding) []*Workload {
	named := *b
	named.Pods = nil
	if b.Broken || slices.Contains(named.identities(j.w), j.a.Identity) {
		return nil
	}
	in := []*Workload{} // not nil, which would mean all of them
	for _, w := range j.a.Workloads {
		if Selects(b.Pods, w.Labels) {
			in = append(in, w.Workload)
		}
	}
	if len(in) == len(j.a.Workloads) {
		return nil
	}
	return in
}

// grant resolves sources, routes and ports.
func (j *grantJoin) grant() Grant {
	if j.p.Broken {
		return j.g
	}
	if len(j.p.Sources) == 0 {
		j.fault(Invalid, CodeNothingGranted, "spec.sources", "no sources: nobody is admitted, and the destination is closed", "List who may call.")
	}
	if len(j.p.Rules) == 0 {
		j.fault(Invalid, CodeNothingGranted, "spec.rules", "no rules: nothing is admitted, and the destination is closed", "List what may be called.")
	}
	for i, s := range j.p.Sources {
		j.source(i, s)
	}
	j.rules()
	return j.g
}

func (j *grantJoin) source(i int, s Subject) {
	switch s.Kind {
	case KindServiceAccount:
		j.addSource(Source{Identity: Identity{s.Namespace, s.Name}, Index: i})
	case KindBinding:
		b := j.w.Binding(Name{s.Namespace, s.Name})
		if b == nil {
			j.fault(Invalid, CodeNoBinding, at("spec.sources", i, "name"), "there is no IdentityBinding "+s.Namespace+"/"+s.Name+": it admits nobody", "Create it, or correct the name.")
			return
		}
		if !b.Broken {
			j.foreign(b, at("spec.sources", i, ""))
			j.sourceBinding(i, b)
		}
	default:
		j.fault(Invalid, CodeSubject, at("spec.sources", i, "kind"), "a source of kind "+string(s.Kind)+" is nobody that a mesh could know: it admits nobody", "Name a ServiceAccount or an IdentityBinding.")
	}
}

func (j *grantJoin) sourceBinding(i int, b *Binding) {
	if b.Account != "" {
		j.addSource(Source{Identity: Identity{b.Name.Namespace, b.Account}, Index: i})
	}
	for _, s := range b.SPIFFE {
		id, ours := ParseSPIFFE(s, j.a.Settings.TrustDomain)
		switch {
		case !ours:
			j.addSource(Source{SPIFFE: s, Index: i})
		case id.Namespace == b.Name.Namespace:
			j.addSource(Source{Identity: id, Index: i})
		}
	}
	if len(b.Pods) > 0 {
		j.sourcePods(i, b)
	}
}

// foreign finds the IDs of a binding that speak for another namespace of our own trust domain.
func (j *grantJoin) foreign(b *Binding, path string) {
	for _, s := range b.SPIFFE {
		if id, ours := ParseSPIFFE(s, j.a.Settings.TrustDomain); ours && id.Namespace != b.Name.Namespace {
			j.fault(Invalid, CodeForeignSPIFFE, path, "IdentityBinding "+b.Name.String()+" claims "+s+", an identity of another namespace: it is not taken",
				"Bind it in namespace "+id.Namespace+", and name that binding.")
		}
	}
}

// sourcePods resolves a pod selector to the accounts whose pods it covers whole: a certificate names an account, and cannot tell two
// of its pods apart.
func (j *grantJoin) sourcePods(i int, b *Binding) {
	part := false
	seen := map[Identity]bool{}
	found := j.w.Labelled(b.Name.Namespace, b.Pods)
	slices.SortFunc(found, func(x, y *Workload) int { return x.Identity().Compare(y.Identity()) })
	for _, w := range found {
		id := w.Identity()
		if seen[id] {
			continue
		}
		seen[id] = true
		if slices.ContainsFunc(j.w.Workloads(id), func(o *Workload) bool { return !Selects(b.Pods, o.Labels) }) {
			part = true
			continue
		}
		j.addSource(Source{Identity: id, Index: i})
	}
	if part {
		j.fault(Notice, CodePartialPods, at("spec.sources", i, ""), "IdentityBinding "+b.Name.String()+" selects some pods of an account and not all: a mesh that knows callers by certificate cannot tell them apart", "Give those pods a service account of their own.")
	}
	if part || len(seen) == 0 {
		j.addSource(Source{Pods: b.Pods, Namespace: b.Name.Namespace, Index: i})
	}
}

func (j *grantJoin) addSource(s Source) {
	same := func(o Source) bool {
		return s.Pods == nil && o.Pods == nil && o.Identity == s.Identity && o.SPIFFE == s.SPIFFE
	}
	if !slices.ContainsFunc(j.g.Sources, same) {
		j.g.Sources = append(j.g.Sources, s)
	}
}

// rules resolves the routes. The presence of an HTTP rule, even of one that leads nowhere, makes the port routes a restriction:
// were it overlooked, a misspelt group would open its whole port. A rule of an unknown kind may have been either, so that with it
// nothing is granted.
func (j *grantJoin) rules() {
	http, stream, unknown := false, false, false
	var tcp, udp Ports
	for i, r := range j.p.Rules {
		switch r.Kind {
		case KindGroup:
			http = true
			j.group(i, r)
		case KindTCPRoute:
			stream = true
			tcp = tcp.Union(j.ports(i, r))
		case KindUDPRoute:
			udp = udp.Union(j.ports(i, r))
		default:
			unknown = true
			j.fault(Invalid, CodeKind, at("spec.rules", i, "kind"), "a rule of kind "+string(r.Kind)+" may be a restriction that is not known: the permission grants nothing", "Name an HTTPRouteGroup, a TCPRoute or a UDPRoute.")
		}
	}
	if !stream {
		tcp = AnyPort
	}
	if j.p.Port != 0 {
		only := j.targets(PortSet(j.p.Port), "spec.destination.port")
		tcp, udp = tcp.Intersect(only), udp.Intersect(only)
	}
	if (http || stream) && tcp.Empty() {
		j.fault(Invalid, CodePartialRule, "spec.rules", "the ports of the rules leave nothing over", "Name a port that all of them allow.")
	}
	switch {
	case unknown:
		j.g.HTTP = nil
		return
	case http:
		j.g.HTTPPorts = tcp
	case stream:
		j.g.Stream = tcp
	}
	j.g.Datagram = udp
}

func (j *grantJoin) group(i int, r Rule) {
	name := Name{j.p.Name.Namespace, r.Name}
	g := j.w.Group(name)
	if g == nil {
		j.fault(Invalid, CodeNoRoute, at("spec.rules", i, "name"), "there is no HTTPRouteGroup "+name.String()+": the rule grants nothing", "Create it, or correct the name.")
		return
	}
	add := func(k int) {
		if m := &g.Matches[k]; !m.Never {
			j.g.HTTP = append(j.g.HTTP, GrantMatch{m, g, k, i})
		}
	}
	switch {
	case len(g.Matches) == 0:
		j.fault(Notice, CodeNoMatch, at("spec.rules", i, "name"), "HTTPRouteGroup "+name.String()+" has no matches: the rule grants nothing", "List matches in the group; one without conditions is any request.")
	case r.All:
		for k := range g.Matches {
			add(k)
		}
		return
	case len(r.Matches) == 0:
		j.fault(Notice, CodeNoMatch, at("spec.rules", i, "matches"), "an empty list of matches grants nothing", "Leave matches out to mean all of the group.")
	}
	for n, want := range r.Matches {
		k := slices.IndexFunc(g.Matches, func(m Match) bool { return m.Name == want })
		if k < 0 {
			j.fault(Invalid, CodeNoMatch, fmt.Sprintf("spec.rules[%d].matches[%d]", i, n), "HTTPRouteGroup "+name.String()+" has no match "+want+": it grants nothing", "Correct the name; the group has "+names(g)+".")
			continue
		}
		add(k)
	}
}

func names(g *RouteGroup) string {
	out := "no matches"
	for i := range g.Matches {
		if i == 0 {
			out = g.Matches[i].Name
			continue
		}
		out += ", " + g.Matches[i].Name
	}
	return out
}

func (j *grantJoin) ports(i int, r Rule) Ports {
	name := Name{j.p.Name.Namespace, r.Name}
	pr := j.w.PortRoute(r.Kind, name)
	if pr == nil {
		j.fault(Invalid, CodeNoRoute, at("spec.rules", i, "name"), "there is no "+string(r.Kind)+" "+name.String()+": the rule grants nothing", "Create it, or correct the name.")
		return Ports{}
	}
	ports := j.targets(pr.Ports, at("spec.rules", i, ""))
	j.g.Carriers = append(j.g.Carriers, Carrier{pr.Ref(), ports, i})
	return ports
}

// targets takes port numbers as the workload's proxy sees them. A number that only a Service before the workload has is
// taken for the target port behind it, where all workloads agree on one.
func (j *grantJoin) targets(p Ports, path string) Ports {
	if p.Any {
		return p
	}
	out := slices.Clone(p.List)
	for _, n := range p.List {
		if t := j.servicePort(n); t != 0 {
			out = append(out, t)
			j.fault(Notice, CodeServicePort, path, fmt.Sprintf("port %d is a port of the Service: the workload's port %d is meant", n, t), fmt.Sprintf("Write %d.", t))
		}
	}
	return PortSet(out...)
}

// servicePort is the one target port behind a Service's port number; 0 where the number is the workload's own, or where it is not
// one alone.
func (j *grantJoin) servicePort(n uint16) uint16 {
	var found uint16
	for _, w := range j.a.Workloads {
		if slices.ContainsFunc(w.Listens, func(p MemberPort) bool { return p.Number == n }) {
			return 0
		}
		for _, name := range j.w.Selecting(w.Workload) {
			s := j.w.Service(name)
			if s == nil {
				continue
			}
			p := s.Port(n)
			if p == nil {
				continue
			}
			t := w.TargetPort(p)
			if found != 0 && found != t {
				return 0
			}
			found = t
		}
	}
	return found
}

// member looks at a workload from outside: by which ports it is reached, and who is reached so too.
func member(w World, o *Workload) Member {
	m := Member{Workload: o, Ambiguous: ambiguous(w, o)}
	before := slices.Clone(w.Selecting(o))
	slices.SortFunc(before, Name.Compare)
	for _, name := range before {
		s := w.Service(name)
		for i := range s.Ports {
			switch t := o.TargetPort(&s.Ports[i]); {
			case t == 0:
			case s.Ports[i].Protocol == UDP:
				m.Datagrams = append(m.Datagrams, t)
			default:
				m.Doors = append(m.Doors, Door{name, &s.Ports[i], t})
			}
		}
		if slices.ContainsFunc(w.Selected(name), func(x *Workload) bool { return x.Account != o.Account }) {
			m.Shared = append(m.Shared, name)
		}
	}
	for _, d := range m.Doors {
		m.listen(d.Target, d.Port.Protocol, d.Port.Number)
	}
	for _, c := range o.Ports {
		if c.Protocol != UDP {
			m.listen(c.Number, Auto, 0)
		} else if c.Number != 0 {
			m.Datagrams = append(m.Datagrams, c.Number)
		}
	}
	slices.Sort(m.Datagrams)
	m.Datagrams = slices.Compact(m.Datagrams)
	return m
}

// listen adds a port, with what a Service says that it carries, where one calls it by a port of its own.
func (m *Member) listen(n uint16, p Protocol, called uint16) {
	if n == 0 {
		return
	}
	i, ok := slices.BinarySearchFunc(m.Listens, n, func(m MemberPort, n uint16) int { return int(m.Number) - int(n) })
	if !ok {
		m.Listens = slices.Insert(m.Listens, i, MemberPort{Number: n, Protocol: p})
	}
	l := &m.Listens[i]
	if called == 0 {
		return
	}
	if l.Protocol != p {
		l.Protocol = Auto
	}
	if at, ok := slices.BinarySearch(l.Called, called); !ok {
		l.Called = slices.Insert(l.Called, at, called)
	}
}

// ambiguous says whether the labels by which a mesh would select a workload find pods of another account too.
func ambiguous(w World, o *Workload) bool {
	labels := o.Finder()
	return len(labels) == 0 || slices.ContainsFunc(w.Labelled(o.Name.Namespace, labels), func(x *Workload) bool { return x.Account != o.Account })
}
