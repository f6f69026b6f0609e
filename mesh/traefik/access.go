// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// access says who may call the workloads of an identity: a TrafficTarget for each match on each port, since a rule of Traefik's is asked
// alone.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}, ports: map[uint16]map[string]*entry{}}
	if !slices.ContainsFunc(a.Workloads, func(m model.Member) bool { return a.Closed(m.Workload) }) {
		w.open()
		return
	}
	for i := range a.Grants {
		w.grant(&a.Grants[i])
	}
	for _, p := range slices.Sorted(maps.Keys(w.ports)) {
		w.port(p)
	}
	if len(w.ports) == 0 {
		w.nobody()
	}
	w.leave()
}

// nobody says that an identity is named and nobody may call it: it is closed already, and whoever reads the objects sees that it is meant to
// be.
func (w *accessWriter) nobody() {
	id := w.a.Identity
	n := model.Name{Namespace: id.Namespace, Name: id.ServiceAccount + ".nobody"}
	w.o.Add(versions.Object(&model.RouteGroup{Name: n, Matches: []model.Match{{Name: "m0", Path: never}}}))
	w.o.Add(versions.Object(&model.Permission{Name: n, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount},
		Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: nobody}},
		Rules:   []model.Rule{{Kind: model.KindGroup, Name: n.Name, Matches: []string{"m0"}}}}))
}

// accessWriter says the permissions of one identity.
type accessWriter struct {
	a     *model.Access
	o     *mesh.Output
	ports map[uint16]map[string]*entry
	done  map[model.Intent]bool // wishes that some TrafficTarget carries
}

// entry is a match on one port, with all who may ask it.
type entry struct {
	match   model.Match
	callers []model.Identity
	sources []model.Intent // of the callers: one for each
}

// open says of an identity that no TrafficTarget names that it is closed too, in a mesh that is closed at all.
func (w *accessWriter) open() {
	if len(w.a.Workloads) == 0 || w.a.Settings.Access != model.AccessTargeted {
		return
	}
	w.o.Say(model.Intent{Feature: model.AccessClosed, Object: w.a.Settings.Ref(), Path: "accessDefault"}, model.Approximate,
		"with acl: true Traefik Mesh also closes the accounts that no TrafficTarget names", "Permit what they have to take, and use --access-default deny.")
}

// grant gives the callers of a permission what it permits.
func (w *accessWriter) grant(g *model.Grant) {
	if g.Subset != nil {
		w.refuse(g)
		return
	}
	for i := range g.HTTP {
		m := &g.HTTP[i]
		x, why := written(m.Match, m.Group.FullPath)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out and stays refused", "")
			continue
		}
		if w.permit(g, &x, g.HTTPPorts) {
			for in := range m.Intents {
				w.done[in] = true
			}
		}
	}
	if !g.Stream.Empty() && w.permit(g, &model.Match{}, g.Stream) {
		for in := range w.a.Intents {
			if in.Feature == model.AccessStream && in.Object == g.Permission.Ref() {
				w.done[in] = true
			}
		}
	}
}

// permit adds the callers of a permission to a match on each port that carries requests; false where there is nobody, or no port.
func (w *accessWriter) permit(g *model.Grant, m *model.Match, ports model.Ports) (done bool) {
	key := ""
	if !anyRequest(m) {
		key = fmt.Sprintf("%q %q %q", m.Path, m.Methods, m.Headers)
	}
	for _, p := range w.web() {
		if !ports.Has(p) {
			continue
		}
		for i := range g.Sources {
			s := &g.Sources[i]
			if s.SPIFFE != "" || s.Pods != nil {
				w.foreign(g, s)
				continue
			}
			if w.ports[p] == nil {
				w.ports[p] = map[string]*entry{}
			}
			e := w.ports[p][key]
			if e == nil {
				e = &entry{match: *m}
				w.ports[p][key] = e
			}
			if done = true; !slices.Contains(e.callers, s.Identity) {
				e.callers, e.sources = append(e.callers, s.Identity), append(e.sources, s.Intent(g))
			}
			w.done[s.Intent(g)] = true
		}
	}
	if done {
		for in := range w.a.Intents {
			if in.Feature == model.AccessPort && w.concerns(g, in) {
				w.done[in] = true
			}
		}
	}
	return done
}

// foreign says of a source that is no account, in a binding that names accounts too, that it is the one which is left out. Others are as
// claimed.
func (w *accessWriter) foreign(g *model.Grant, s *model.Source) {
	in := s.Intent(g)
	if slices.ContainsFunc(g.Sources, func(o model.Source) bool { return o.Index == s.Index && o.SPIFFE == "" && o.Pods == nil }) {
		w.o.Say(in, model.Approximate, w.o.Claim(in.Feature).Note+", and the accounts beside it are admitted", "")
	}
}

// web lists the ports that carry requests at some workload, and raw TCP at none.
func (w *accessWriter) web() (out []uint16) {
	kinds := map[uint16]bool{}
	for i := range w.a.Workloads {
		for _, p := range w.a.Workloads[i].Listens {
			old, seen := kinds[p.Number]
			kinds[p.Number] = p.Protocol.CarriesHTTP() && (old || !seen)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[p] {
			out = append(out, p)
		}
	}
	return out
}

// refuse says that nothing of a permission for some of an identity's workloads was written.
func (w *accessWriter) refuse(g *model.Grant) {
	for in := range w.a.Intents {
		if w.concerns(g, in) && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, w.o.Claim(model.AccessSubset).Note, "")
		}
	}
}

// concerns says whether a wish is of a permission, or of a route that it names.
func (w *accessWriter) concerns(g *model.Grant, in model.Intent) bool {
	return in.Object == g.Permission.Ref() || slices.ContainsFunc(g.Carriers, func(c model.Carrier) bool { return in.Object == c.Route }) ||
		slices.ContainsFunc(g.HTTP, func(m model.GrantMatch) bool { return in.Object == m.Group.Ref() })
}

// port says a TrafficTarget for each match on a port. The longest rule that takes a request decides alone: who may ask a match may also ask
// each one that is a part of it, and where that cannot be told, less is permitted than was meant.
func (w *accessWriter) port(p uint16) {
	entries := w.ports[p]
	keys := slices.Sorted(maps.Keys(entries))
	callers := map[string][]model.Identity{}
	for _, k := range keys {
		callers[k] = slices.Clone(entries[k].callers)
	}
	for _, k := range keys {
		for _, other := range keys {
			if k != other {
				callers[other] = w.share(entries[k], entries[other], callers[other], entries)
			}
		}
	}
	id := w.a.Identity
	for i, k := range keys {
		n := model.Name{Namespace: id.Namespace, Name: fmt.Sprintf("%s.%d.%d", id.ServiceAccount, p, i+1)}
		m := entries[k].match
		m.Name = "m0"
		t := &model.Permission{Name: n, Port: p, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount},
			Rules: []model.Rule{{Kind: model.KindGroup, Name: n.Name, Matches: []string{m.Name}}}}
		slices.SortFunc(callers[k], model.Identity.Compare)
		for _, c := range callers[k] {
			t.Sources = append(t.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: c.Namespace, Name: c.ServiceAccount})
		}
		w.o.Add(versions.Object(&model.RouteGroup{Name: n, Matches: []model.Match{m}}))
		w.o.Add(versions.Object(t))
	}
}

// share adds the callers of one match to those of another that is a part of it, and says so of those for whom that cannot be told.
func (w *accessWriter) share(a, b *entry, callers []model.Identity, entries map[string]*entry) []model.Identity {
	part := covers(&a.match, &b.match)
	for i, c := range a.callers {
		switch {
		case slices.Contains(callers, c):
		case part:
			callers = append(callers, c)
		case !apart(&a.match, &b.match) && !w.whole(c, b, entries):
			w.o.Say(a.sources[i], model.Approximate, "the longest of Traefik's rules decides alone: what this permission shares with one of "+names(b.callers)+" may be refused",
				"Permit the same requests to both, or requests that have nothing in common.")
		}
	}
	return callers
}

// whole says whether a caller may ask all of a match anyway.
func (w *accessWriter) whole(c model.Identity, b *entry, entries map[string]*entry) bool {
	for _, e := range entries {
		if slices.Contains(e.callers, c) && covers(&e.match, &b.match) {
			return true
		}
	}
	return false
}

func names(list []model.Identity) string {
	var out []string
	for _, id := range list {
		out = append(out, id.String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// leave says what came of the wishes that nothing carries.
func (w *accessWriter) leave() {
	for in := range w.a.Intents {
		if in.Feature == model.AccessStream && !w.done[in] {
			w.o.Say(in, model.Unsupported, noStream+": it is left out, and stays refused", "")
		} else if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, no port that carries requests, or no request that it goes together with can be said", "")
		}
	}
}
