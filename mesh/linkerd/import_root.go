// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// nativeRoot is a Service with all that is said of where its requests go.
type nativeRoot struct {
	web, raw []attached
	profile  *object.Object // that overrides the routes
}

type attached struct {
	route *nativeRoute
	port  uint16 // 0: every port
}

func (r *reader) root(n model.Name) *nativeRoot {
	if r.roots[n] == nil {
		r.roots[n] = &nativeRoot{}
	}
	return r.roots[n]
}

func (n *nativeRoot) add(web *nativeRoute, port uint16, raw *nativeRoute) {
	if web != nil {
		n.web = append(n.web, attached{web, port})
	}
	if raw != nil {
		n.raw = append(n.raw, attached{raw, port})
	}
}

// splits says what the routes of Services split.
func (r *reader) splits() {
	for _, n := range slices.SortedFunc(maps.Keys(r.roots), model.Name.Compare) {
		root := r.roots[n]
		for _, list := range [][]attached{root.web, root.raw} {
			slices.SortStableFunc(list, func(a, b attached) int {
				return cmp.Or(cmp.Compare(a.route.o.Created(), b.route.o.Created()), strings.Compare(a.route.o.Name, b.route.o.Name))
			})
			for _, a := range list {
				if root.profile != nil {
					r.leave(a.route.o, "spec.parentRefs", "the ServiceProfile "+root.profile.Name+" overrides it: it has no effect until that is deleted, in the same step")
				}
			}
		}
		if root.profile == nil {
			i := routeReader{reader: r, name: n, root: root}
			i.read()
		}
	}
}

// routeReader reads one root.
type routeReader struct {
	*reader
	name model.Name
	root *nativeRoot
}

// readArm is a rule as a split: without matches it takes every request.
type readArm struct {
	matches []readMatch
	shares  []model.Backend
	o       *object.Object
}

// read says the splits that hold for all ports of a root, as SMI's do: those of the port on which most is said, where the others agree. What takes
// every request need not take raw TCP, and is then a match without conditions.
func (i *routeReader) read() {
	ports := i.ports()
	byPort := map[uint16][]readArm{}
	var most, raw []readArm
	for _, p := range ports {
		list := i.arms(&p)
		byPort[p.Number] = list
		if size(list) > size(most) {
			most = list
		}
		if opaque(p.Number, p.Protocol) && size(list) > size(raw) {
			raw = list
		}
	}
	if len(most) == 0 {
		return
	}
	apart := slices.Clone(most)
	if n := len(apart); len(apart[n-1].matches) == 0 {
		apart[n-1].matches = []readMatch{everyRequest()}
	}
	for _, all := range [][]readArm{most, append(apart, raw...)} {
		if w := i.say(all, ports); i.agree(w, byPort) {
			for _, g := range slices.SortedFunc(maps.Keys(w.groups), model.Name.Compare) {
				i.used[w.groups[g].Ref()] = true
				i.in.Add(w.groups[g])
			}
			for _, s := range w.splits {
				i.used[s.Ref()] = true
				i.in.Add(s)
			}
			return
		}
	}
	i.leave(most[0].o, "spec", "the ports of "+i.name.String()+" are not all routed alike, as SMI's are: nothing is read")
}

func size(list []readArm) (n int) {
	for _, a := range list {
		n += 1000 + len(a.shares)
	}
	return n
}

// agree says whether splits mean on every port what is said of it.
func (i *routeReader) agree(w *overlay, want map[uint16][]readArm) bool {
	got, _ := model.JoinRoute(w, i.name)
	for k := range got.Ports {
		if p := &got.Ports[k]; p.Protocol != model.UDP && !i.alike(p, want[p.Number]) {
			return false
		}
	}
	return true
}

// ports are those of the Service, or those that the routes name where it is not known.
func (i *routeReader) ports() (out []model.ServicePort) {
	if s := i.in.World.Service(i.name); s != nil {
		for _, p := range s.Ports {
			if p.Protocol != model.UDP {
				out = append(out, p)
			}
		}
		return out
	}
	seen := map[uint16]bool{}
	for k, list := range [][]attached{i.root.web, i.root.raw} {
		for _, a := range list {
			for _, rule := range a.route.v.Spec.Rules {
				for _, b := range rule.BackendRefs {
					n := cmp.Or(a.port, b.Port)
					if !seen[n] {
						seen[n] = true
						out = append(out, model.ServicePort{Number: n, Protocol: []model.Protocol{model.HTTP, model.TCP}[k]})
					}
				}
			}
		}
	}
	return out
}

// arms lists what happens on one port: Linkerd looks at its requests where there are routes for them, and at its connections otherwise.
func (i *routeReader) arms(p *model.ServicePort) (out []readArm) {
	on := func(a attached) bool { return a.port == 0 || a.port == p.Number }
	blind := opaque(p.Number, p.Protocol)
	if blind || !slices.ContainsFunc(i.root.web, on) {
		for _, a := range i.root.raw {
			if on(a) {
				if shares, ok := i.shares(a.route, 0, p); ok && !i.self(shares) {
					return []readArm{{nil, shares, a.route.o}}
				}
				break
			}
		}
		return nil
	}
	return i.requests(p, on)
}

// requests lists the arms of a port that carries requests. Where there are GRPCRoutes Linkerd asks no others.
func (i *routeReader) requests(p *model.ServicePort, on func(attached) bool) (out []readArm) {
	closed := false
	grpc := slices.ContainsFunc(i.root.web, func(a attached) bool { return on(a) && a.route.grpc })
	for _, a := range i.root.web {
		if !on(a) || a.route.grpc != grpc {
			continue
		}
		for k := range a.route.v.Spec.Rules {
			if arm, ok := i.arm(a.route, k, p); ok {
				out = append(out, arm)
				closed = closed || slices.ContainsFunc(arm.matches, readMatch.bare)
			}
		}
	}
	if !closed {
		i.leave(i.root.web[0].route.o, "spec.rules", "Linkerd refuses requests that no rule takes; SMI sends them to the root's own endpoints")
	}
	out = ranked(out)
	if n := len(out) - 1; n >= 0 && slices.ContainsFunc(out[n].matches, readMatch.bare) {
		out[n].matches = nil
		if i.self(out[n].shares) {
			return out[:n]
		}
		if p.Protocol == model.Auto {
			i.in.Leave(out[n].o, model.Approximate, model.CodeApproximate, "spec.rules", fmt.Sprintf("raw TCP to port %d goes to the root's own endpoints; SMI's split takes it too", p.Number), "")
		}
	}
	return out
}

// arm reads one rule.
func (i *routeReader) arm(n *nativeRoute, k int, p *model.ServicePort) (out readArm, ok bool) {
	rule, at := &n.v.Spec.Rules[k], fmt.Sprintf("spec.rules[%d]", k)
	out.o = n.o
	if n.faults.below("spec.hostnames") {
		return out, false // reported
	}
	if len(rule.Filters) > 0 {
		i.leave(n.o, at+".filters", "SMI does not change requests: the filters are left out")
	}
	out.shares, ok = i.shares(n, k, p)
	if len(rule.Matches) == 0 && !n.faults.below("%s.matches", at) {
		out.matches = []readMatch{everyRequest()}
	}
	for x := range rule.Matches {
		where := fmt.Sprintf("%s.matches[%d]", at, x)
		if n.faults.below("%s", where) {
			continue // reported
		}
		m, why := i.match(&rule.Matches[x])
		if m.by != nil {
			why = "SMI splits for every caller"
		}
		switch {
		case why != "":
			i.leave(n.o, where, why+": the match is left out")
		default:
			out.matches = append(out.matches, m)
		}
	}
	return out, ok && len(out.matches) > 0
}

// shares reads the backends of a rule; false where one of them is nothing that SMI could name.
func (i *routeReader) shares(n *nativeRoute, k int, p *model.ServicePort) (out []model.Backend, ok bool) {
	at := fmt.Sprintf("spec.rules[%d].backendRefs", k)
	if n.faults.below("%s", at) {
		return nil, false // reported
	}
	list := n.v.Spec.Rules[k].BackendRefs
	if len(list) == 0 {
		return []model.Backend{{Service: i.name.Name, Weight: 1}}, true
	}
	for x, b := range list {
		where := fmt.Sprintf("%s[%d]", at, x)
		switch {
		case b.Kind != "" && b.Kind != "Service" || b.Group != "" && b.Group != "core" || b.Namespace != "" && b.Namespace != i.name.Namespace:
			i.leave(n.o, where, b.Name+" is no Service beside "+i.name.String()+": the rule is left out")
			return nil, false
		case b.Port != p.Number:
			i.leave(n.o, where+".port", fmt.Sprintf("SMI keeps the port, and port %d is led to port %d: the rule is left out", p.Number, b.Port))
			return nil, false
		}
		share := model.Backend{Service: b.Name, Weight: 1}
		if b.Weight != nil {
			share.Weight = *b.Weight
		}
		out = append(out, share)
	}
	return out, true
}

func (i *routeReader) self(shares []model.Backend) bool {
	return len(shares) == 1 && shares[0].Service == i.name.Name
}

// say makes splits of arms. SMI asks matched splits in the order of their age and then of their names, so that several are numbered.
func (i *routeReader) say(all []readArm, ports []model.ServicePort) *overlay {
	w := &overlay{World: i.in.World, root: i.name, ports: ports, groups: map[model.Name]*model.RouteGroup{}}
	matched := 0
	for _, a := range all {
		matched += min(1, len(a.matches))
	}
	for k, a := range all {
		n := model.Name{Namespace: i.name.Namespace, Name: i.name.Name}
		if len(a.matches) > 0 && matched > 1 {
			n.Name = fmt.Sprintf("%s-%02d", n.Name, k+1)
		} else if len(a.matches) > 0 {
			n.Name += "-matched"
		}
		s := &model.Split{Name: n, Root: i.name.Name, Backends: a.shares}
		if len(a.matches) > 0 {
			g := routeGroup(a.matches)
			g.Name = n
			s.Groups = []string{n.Name}
			w.groups[n] = g
		}
		w.splits = append(w.splits, s)
	}
	return w
}

// overlay is the world with the splits of one root as they are read, so that the model says what they would mean. A Service that is not
// known has the ports that are named.
type overlay struct {
	model.World
	root   model.Name
	ports  []model.ServicePort
	splits []*model.Split
	groups map[model.Name]*model.RouteGroup
}

// Service is the world's, or one with the ports that are named.
func (w *overlay) Service(n model.Name) *model.Service {
	if s := w.World.Service(n); s != nil || w.World.Service(w.root) != nil {
		return s
	}
	return &model.Service{Name: n, Ports: w.ports}
}

// Splits are those that are read.
func (w *overlay) Splits(root model.Name) []*model.Split {
	if root == w.root {
		return w.splits
	}
	return nil
}

// Group is one of those that are read.
func (w *overlay) Group(n model.Name) *model.RouteGroup { return w.groups[n] }

// alike says whether a port's arms are what was read of it. One that sends everything to the root itself is none.
func (i *routeReader) alike(p *model.RoutePort, want []readArm) bool {
	own := ratioOf([]model.Backend{{Service: i.name.Name, Weight: 1}})
	arms := slices.DeleteFunc(reached(p.Arms), func(a model.Arm) bool { return a.Any && ratio(a.Shares) == own })
	want = slices.DeleteFunc(slices.Clone(want), func(a readArm) bool { return len(a.matches) == 0 && ratioOf(a.shares) == own })
	return slices.EqualFunc(arms, want, func(a model.Arm, b readArm) bool {
		return a.Any == (len(b.matches) == 0) && ratio(a.Shares) == ratioOf(b.shares) && (a.Any || fmt.Sprint(bareMatches(a.Matches[0].Group)) == fmt.Sprint(bareMatches(routeGroup(b.matches))))
	})
}

// reached are the arms up to one that takes every request, by whatever it says so.
func reached(arms []model.Arm) (out []model.Arm) {
	for _, a := range arms {
		a.Any = a.Any || slices.ContainsFunc(a.Matches, func(m model.ArmMatch) bool { return m.Path == "" && len(m.Methods)+len(m.Headers) == 0 })
		if out = append(out, a); a.Any {
			break
		}
	}
	return out
}

func bareMatches(g *model.RouteGroup) (out []string) {
	for i := range g.Matches {
		m := &g.Matches[i]
		out = append(out, fmt.Sprintf("%v %q %q %q", g.FullPath, m.Path, m.Methods, m.Headers))
	}
	return out
}

func ratio(list []model.Share) string {
	var out []model.Backend
	for _, s := range list {
		out = append(out, model.Backend{Service: s.Service.Name, Weight: s.Weight})
	}
	return ratioOf(out)
}

// ratioOf tells shares apart by their ratios.
func ratioOf(list []model.Backend) string {
	total, by := int64(0), map[string]int64{}
	for _, b := range list {
		total += b.Weight
		by[b.Service] += b.Weight
	}
	var out []string
	for s, w := range by {
		if w > 0 {
			out = append(out, fmt.Sprintf("%s %.9f", s, float64(w)/float64(total)))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
