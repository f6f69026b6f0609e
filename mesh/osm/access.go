// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// access says who may call the workloads of an identity: one TrafficTarget for each set of callers with the same rights. Where nobody may
// call there is one that names nobody, since a port of raw TCP would be open without.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}, rights: map[model.Identity]*rights{}}
	if !slices.ContainsFunc(a.Workloads, func(m model.Member) bool { return a.Closed(m.Workload) }) {
		w.open()
		return
	}
	w.ports()
	for i := range a.Grants {
		w.grant(&a.Grants[i])
	}
	callers := slices.SortedFunc(maps.Keys(w.rights), model.Identity.Compare)
	for _, c := range callers {
		w.agree(c)
	}
	for _, c := range callers {
		w.overlap(c)
	}
	w.write(callers)
	w.leave()
}

// open says of an identity that no TrafficTarget names that it is closed too, in a mesh that is closed at all.
func (w *accessWriter) open() {
	if len(w.a.Workloads) == 0 || w.a.Settings.Access != model.AccessTargeted {
		return
	}
	w.o.Say(model.Intent{Feature: model.AccessClosed, Object: w.a.Settings.Ref(), Path: "accessDefault"}, model.Approximate,
		"where OSM heeds TrafficTargets, it also closes the accounts that none of them names", "Permit what they have to take, and use --access-default deny; or leave permissive mode on.")
}

// accessWriter says the permissions of one identity.
type accessWriter struct {
	a        *model.Access
	o        *mesh.Output
	web, raw []uint16 // ports of requests, and of raw TCP
	auto     []uint16 // those of web that do not say so
	rights   map[model.Identity]*rights
	done     map[model.Intent]bool // wishes that some TrafficTarget carries
}

// rights are what one caller may do.
type rights struct {
	web  map[uint16][]request // by port
	raw  []uint16
	kept []request // after agree: on all ports of web
}

// request is a match in OSM's words, and where it comes from.
type request struct {
	model.Match
	key     string
	of      *model.Grant
	intents []model.Intent
}

// ports finds what each port carries. One that carries requests at some workloads and raw TCP at others is neither: OSM's permissions are for
// the account whole.
func (w *accessWriter) ports() {
	kinds := map[uint16]model.Protocol{}
	mixed := map[uint16]bool{}
	for i := range w.a.Workloads {
		for _, p := range w.a.Workloads[i].Listens {
			old, seen := kinds[p.Number]
			mixed[p.Number] = mixed[p.Number] || seen && old.CarriesHTTP() != p.Protocol.CarriesHTTP()
			if kinds[p.Number] = p.Protocol; seen && old == model.Auto {
				kinds[p.Number] = old
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(kinds)) {
		switch p := kinds[n]; {
		case mixed[n]:
		case p.CarriesHTTP():
			if w.web = append(w.web, n); p == model.Auto {
				w.auto = append(w.auto, n)
			}
		default:
			w.raw = append(w.raw, n)
		}
	}
}

// grant gives the callers of a permission what it permits.
func (w *accessWriter) grant(g *model.Grant) {
	if g.Subset != nil {
		w.refuse(g, w.o.Claim(model.AccessSubset).Note)
		return
	}
	requests := w.requests(g)
	for i := range g.Sources {
		s := &g.Sources[i]
		if s.SPIFFE != "" || s.Pods != nil {
			w.foreign(g, s)
			continue
		}
		r := w.rights[s.Identity]
		if r == nil {
			r = &rights{web: map[uint16][]request{}}
			w.rights[s.Identity] = r
		}
		for _, p := range w.web {
			if g.HTTPPorts.Has(p) {
				r.web[p] = append(r.web[p], requests...)
			}
			if g.Stream.Has(p) {
				r.web[p] = append(r.web[p], request{of: g})
			}
		}
		for _, p := range w.raw {
			if g.Stream.Has(p) {
				r.raw = append(r.raw, p)
				w.carry(g, s.Identity, nil)
			}
		}
	}
	for _, p := range w.auto {
		if g.Stream.Has(p) {
			w.narrow(g, model.AccessStream, fmt.Sprintf("port %d says nothing of what it carries, and OSM takes it for HTTP: raw TCP stays refused", p))
		}
	}
}

// foreign says of a source that is no account, in a binding that names accounts too, that it is the one which is left out. Others are as
// claimed.
func (w *accessWriter) foreign(g *model.Grant, s *model.Source) {
	in := s.Intent(g)
	if slices.ContainsFunc(g.Sources, func(o model.Source) bool { return o.Index == s.Index && o.SPIFFE == "" && o.Pods == nil }) {
		w.o.Say(in, model.Approximate, w.o.Claim(in.Feature).Note+", and the accounts beside it are admitted", "")
	}
}

// refuse says that nothing of a permission was written.
func (w *accessWriter) refuse(g *model.Grant, why string) {
	for in := range w.a.Intents {
		if w.concerns(g, in) && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, why, "")
		}
	}
}

// concerns says whether a wish is of a permission, or of a route that it names.
func (w *accessWriter) concerns(g *model.Grant, in model.Intent) bool {
	return in.Object == g.Permission.Ref() || slices.ContainsFunc(g.Carriers, func(c model.Carrier) bool { return in.Object == c.Route }) ||
		slices.ContainsFunc(g.HTTP, func(m model.GrantMatch) bool { return in.Object == m.Group.Ref() })
}

// narrow says of the wishes of a permission for a feature that less is permitted.
func (w *accessWriter) narrow(g *model.Grant, f model.Feature, why string) {
	for in := range w.a.Intents {
		if in.Feature == f && in.Object == g.Permission.Ref() {
			w.o.Say(in, model.Approximate, why, "")
		}
	}
}

// agree makes the rights of a caller such that OSM adds nothing to them: the same requests on all of its ports. Where they differ, those
// ports are kept that most agree on.
func (w *accessWriter) agree(c model.Identity) {
	r := w.rights[c]
	groups := map[string][]uint16{}
	for _, p := range slices.Sorted(maps.Keys(r.web)) {
		r.web[p] = distinct(r.web[p])
		if len(r.web[p]) == 0 {
			delete(r.web, p)
			continue
		}
		k := joined(r.web[p])
		groups[k] = append(groups[k], p)
	}
	best := ""
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		if best == "" || len(groups[k]) > len(groups[best]) || len(groups[k]) == len(groups[best]) && groups[k][0] < groups[best][0] {
			best = k
		}
	}
	for k, ports := range groups {
		for _, p := range ports {
			if k == best {
				r.kept = r.web[p]
				continue
			}
			for _, q := range r.web[p] {
				w.mixed(q.of, c, p)
			}
			delete(r.web, p)
		}
	}
	for _, q := range r.kept {
		w.carry(q.of, c, q.intents)
	}
}

// distinct lists requests by their text, each once; one that is every request stands for all.
func distinct(list []request) []request {
	slices.SortStableFunc(list, func(a, b request) int { return strings.Compare(a.key, b.key) })
	list = slices.CompactFunc(list, func(a, b request) bool { return a.key == b.key && a.of == b.of })
	if len(list) > 0 && list[0].key == "" {
		return slices.DeleteFunc(list, func(q request) bool { return q.key != "" })
	}
	return list
}

func joined(list []request) string {
	var keys []string
	for _, q := range list {
		keys = append(keys, q.key)
	}
	return strings.Join(slices.Compact(keys), "\n") + "."
}

func (w *accessWriter) mixed(g *model.Grant, c model.Identity, port uint16) {
	for i := range g.Sources {
		if s := &g.Sources[i]; s.Identity == c && s.SPIFFE == "" && s.Pods == nil {
			w.done[s.Intent(g)] = true
			w.o.Say(s.Intent(g), model.Approximate, fmt.Sprintf("OSM adds up the ports of all permissions of a caller, and apart from them the requests: on port %d this caller stays refused", port),
				"Permit the same requests on all ports, or give the workloads service accounts of their own.")
		}
	}
}

// carry marks the wishes that a permission has, for one caller, as carried.
func (w *accessWriter) carry(g *model.Grant, c model.Identity, intents []model.Intent) {
	for _, in := range intents {
		w.done[in] = true
	}
	for i := range g.Sources {
		if s := &g.Sources[i]; s.Identity == c && s.SPIFFE == "" && s.Pods == nil {
			w.done[s.Intent(g)] = true
		}
	}
	for in := range w.a.Intents {
		switch in.Feature {
		case model.AccessStream, model.AccessPort:
			if w.concerns(g, in) {
				w.done[in] = true
			}
		}
	}
}

// overlap gives a caller what others may do wherever it is a part of what the caller may do anyway: OSM asks the first route that takes a
// request, which may be the others', and it must admit this caller too. Where that cannot be told, less is permitted than was meant.
func (w *accessWriter) overlap(c model.Identity) {
	r := w.rights[c]
	own := slices.Clone(r.kept)
	for _, o := range slices.SortedFunc(maps.Keys(w.rights), model.Identity.Compare) {
		for _, q := range w.rights[o].kept {
			if slices.ContainsFunc(r.kept, func(x request) bool { return x.key == q.key }) {
				continue
			}
			covered := slices.ContainsFunc(own, func(x request) bool { return covers(&x.Match, &q.Match) })
			for _, x := range own {
				if covered || apart(&x.Match, &q.Match) {
					continue
				}
				for i := range x.of.Sources {
					if s := &x.of.Sources[i]; s.Identity == c {
						w.o.Say(s.Intent(x.of), model.Approximate, fmt.Sprintf("OSM asks the first route that takes a request: what this permission shares with one of %s may be refused", o),
							"Permit the same requests to both, or requests that have nothing in common.")
					}
				}
			}
			if covered {
				r.kept = append(r.kept, request{Match: q.Match, key: q.key, of: q.of})
			}
		}
	}
}

// leave says what came of the wishes that nothing carries.
func (w *accessWriter) leave() {
	for in := range w.a.Intents {
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, no port that a Service leads to, or no request that it goes together with can be said", "")
		}
	}
}

// write says a TrafficTarget for each set of rights.
func (w *accessWriter) write(callers []model.Identity) {
	id := w.a.Identity
	to := model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount}
	sets := map[string][]model.Identity{}
	var order []string
	for _, c := range callers {
		r := w.rights[c]
		ports := r.ports()
		if len(ports) == 0 {
			continue
		}
		slices.SortStableFunc(r.kept, func(a, b request) int { return strings.Compare(a.key, b.key) })
		k := fmt.Sprint(ports) + joined(r.kept)
		if sets[k] == nil {
			order = append(order, k)
		}
		sets[k] = append(sets[k], c)
	}
	for i, k := range order {
		p := &model.Permission{Name: model.Name{Namespace: id.Namespace, Name: fmt.Sprintf("%s.%d", id.ServiceAccount, i+1)}, Destination: to}
		for _, c := range sets[k] {
			p.Sources = append(p.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: c.Namespace, Name: c.ServiceAccount})
		}
		r := w.rights[sets[k][0]]
		w.permit(p, r.kept, r.ports())
	}
	if len(order) == 0 {
		p := &model.Permission{Name: model.Name{Namespace: id.Namespace, Name: id.ServiceAccount + ".nobody"}, Destination: to,
			Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: nobody}}}
		w.permit(p, nil, append(slices.Concat(w.raw, w.web), 1)[:1])
	}
}

// ports are all on which a caller may do anything.
func (r *rights) ports() []uint16 {
	return model.PortSet(append(slices.Collect(maps.Keys(r.web)), r.raw...)...).List
}

// permit says a TrafficTarget with its routes. The rule names every match: one that names none would grant nothing.
func (w *accessWriter) permit(p *model.Permission, list []request, ports []uint16) {
	if len(list) > 0 {
		g := &model.RouteGroup{Name: p.Name}
		rule := model.Rule{Kind: model.KindGroup, Name: p.Name.Name}
		seen := ""
		for i, q := range list {
			if i > 0 && q.key == seen {
				continue
			}
			seen = q.key
			m := q.Match
			m.Name = fmt.Sprintf("m%d", len(g.Matches))
			g.Matches = append(g.Matches, m)
			rule.Matches = append(rule.Matches, m.Name)
		}
		w.o.Add(versions.Object(g))
		p.Rules = append(p.Rules, rule)
	}
	t := &model.PortRoute{Kind: model.KindTCPRoute, Name: p.Name, Ports: model.PortSet(ports...)}
	w.o.Add(versions.Object(t))
	p.Rules = append(p.Rules, model.Rule{Kind: model.KindTCPRoute, Name: t.Name.Name, All: true})
	w.o.Add(versions.Object(p))
}
