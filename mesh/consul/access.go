// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"encoding/json"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// settings says what belongs to no service: where all of the mesh is closed, an intention for every destination says so. One for a destination of
// its own comes before it.
func settings(s *model.Settings, o *mesh.Output) {
	if s.Access == model.AccessDeny {
		o.Add(ours(kindIntentions, model.Name{Namespace: root, Name: "deny-all"}, &serviceIntentions{named{Name: "*"}, []source{{Name: "*", Action: deny}}}))
	}
}

// access says who may call the service that is called as an account, in the one object that Consul takes for it.
func access(a *model.Access, o *mesh.Output) {
	if !slices.ContainsFunc(a.Workloads, func(m model.Member) bool { return a.Closed(m.Workload) }) {
		return
	}
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}, connects: map[model.Identity]bool{}, requests: map[model.Identity][]permission{}}
	if !w.shared() {
		for i := range a.Grants {
			w.grant(&a.Grants[i])
		}
	}
	spec := serviceIntentions{Destination: named{Name: a.Identity.ServiceAccount}, Sources: w.sources()}
	o.Add(ours(kindIntentions, model.Name{Namespace: a.Identity.Namespace, Name: a.Identity.ServiceAccount}, &spec))
	if len(w.requests) > 0 {
		o.Add(defaults(w.service(), w.carries()))
	}
	needed(o)
	w.leave()
}

type accessWriter struct {
	a        *model.Access
	o        *mesh.Output
	callers  []model.Identity // in the order in which permissions name them
	connects map[model.Identity]bool
	requests map[model.Identity][]permission
	done     map[model.Intent]bool // wishes that the object carries
}

// shared says whether the service is that of other accounts too: then a permission for one would be one for all.
func (w *accessWriter) shared() bool {
	for i := range w.a.Workloads {
		if !slices.Contains(w.a.Workloads[i].Shared, w.service()) {
			continue
		}
		for k := range w.a.Grants {
			in := model.Intent{Feature: model.AccessCaller, Object: w.a.Grants[k].Permission.Ref(), Path: "spec.destination"}
			w.o.SayAs(in, model.Unsupported, model.CodeSelector, "Service "+w.service().String()+" also leads to pods of another service account, and to Consul it is one: nobody is admitted to any of them",
				"Give each account a Service of its name.")
		}
		return true
	}
	return false
}

// service is the one that Consul knows the account's pods as.
func (w *accessWriter) service() model.Name {
	return model.Name{Namespace: w.a.Identity.Namespace, Name: w.a.Identity.ServiceAccount}
}

// grant takes what a permission grants, as far as Consul can say it: every part that is left out leaves less.
func (w *accessWriter) grant(g *model.Grant) {
	if g.Subset != nil {
		in := model.Intent{Feature: model.AccessSubset, Object: g.Permission.Ref(), Path: "spec.destination"}
		w.o.Say(in, model.Unsupported, w.o.Claim(model.AccessSubset).Note, "")
		return
	}
	var ids []model.Identity
	var intents []model.Intent
	for i := range g.Sources {
		if s := &g.Sources[i]; s.Pods == nil && s.SPIFFE == "" {
			ids = append(ids, s.Identity)
			intents = append(intents, s.Intent(g))
		}
	}
	said := false
	if !g.Stream.Empty() && w.whole(g.Stream) {
		for _, id := range ids {
			w.call(id)
			w.connects[id] = true
		}
		said = len(ids) > 0
	}
	if !g.HTTPPorts.Empty() && w.whole(g.HTTPPorts) && w.carries() != "" {
		for i := range g.HTTP {
			said = w.match(&g.HTTP[i], ids) || said
		}
	}
	if said {
		w.carried(g, intents)
	}
}

// match permits requests of one kind to callers.
func (w *accessWriter) match(m *model.GrantMatch, ids []model.Identity) bool {
	native, why := lower(m.Match, m.Group.FullPath)
	if why != "" {
		w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out and stays refused", "")
		return false
	}
	if empty(&native) {
		native.PathRegex = ".*" // Consul refuses a permission without conditions
	}
	for _, id := range ids {
		w.call(id)
		w.requests[id] = append(w.requests[id], permission{allow, native})
	}
	for in := range m.Intents {
		w.done[in] = w.done[in] || len(ids) > 0
	}
	return len(ids) > 0
}

func (w *accessWriter) call(id model.Identity) {
	if !slices.Contains(w.callers, id) {
		w.callers = append(w.callers, id)
	}
}

// whole says whether ports are all that the service has: intentions know no port, so that a part of them cannot be said.
func (w *accessWriter) whole(p model.Ports) bool {
	return p.Any || !slices.ContainsFunc(w.a.Workloads, func(m model.Member) bool {
		return len(m.Listens) == 0 || slices.ContainsFunc(m.Listens, func(l model.MemberPort) bool { return !p.Has(l.Number) })
	})
}

// carries is the protocol of the service; Consul refuses permissions for requests to one that carries raw TCP.
func (w *accessWriter) carries() string {
	s := model.Service{}
	for _, m := range w.a.Workloads {
		for _, d := range m.Doors {
			if d.Service == w.service() {
				s.Ports = append(s.Ports, *d.Port)
			}
		}
	}
	return protocol(&s)
}

// carried marks the wishes that the object carries.
func (w *accessWriter) carried(g *model.Grant, callers []model.Intent) {
	for _, in := range callers {
		w.done[in] = true
	}
	for in := range w.a.Intents {
		switch in.Feature {
		case model.AccessStream:
			w.done[in] = w.done[in] || in.Object == g.Permission.Ref()
		case model.AccessPort:
			w.done[in] = w.done[in] || in.Object == g.Permission.Ref() || slices.ContainsFunc(g.Carriers, func(c model.Carrier) bool { return c.Route == in.Object })
		}
	}
}

// sources says each caller once. What none of a caller's permissions takes would be decided by the default of the mesh, which may be to allow: the last
// of them refuses all. So does the last source, for everybody else.
func (w *accessWriter) sources() (out []source) {
	slices.SortFunc(w.callers, model.Identity.Compare)
	for _, id := range w.callers {
		s := source{Name: id.ServiceAccount}
		if id.Namespace != w.a.Identity.Namespace {
			s.Namespace = id.Namespace
		}
		rest := permission{deny, httpMatch{PathRegex: ".*"}}
		if w.connects[id] {
			rest.Action = allow // all of them, whatever else is said
		}
		if s.Permissions = append(distinct(w.requests[id]), rest); len(w.requests[id]) == 0 {
			s.Action, s.Permissions = allow, nil
		}
		out = append(out, s)
	}
	return append(out, source{Name: "*", Action: deny})
}

// distinct drops repetitions.
func distinct(list []permission) (out []permission) {
	seen := map[string]bool{}
	for _, p := range list {
		text, err := json.Marshal(&p)
		if err != nil {
			panic(err)
		}
		if !seen[string(text)] {
			seen[string(text)] = true
			out = append(out, p)
		}
	}
	return out
}

// leave says what came of the wishes that the object does not carry, and what a caller of another namespace needs.
func (w *accessWriter) leave() {
	why := map[model.Ref]string{}
	for i := range w.a.Grants {
		g := &w.a.Grants[i]
		text := "no caller, or no request, that it goes together with can be said"
		switch {
		case !w.whole(g.Stream.Union(g.HTTPPorts)):
			text = "intentions know no port, and the service has others than the ports that are permitted"
		case !g.HTTPPorts.Empty() && w.carries() == "":
			text = "Consul takes permissions for requests only to a service that carries HTTP: not all ports of a Service " + w.service().String() + " say so"
		}
		why[g.Permission.Ref()] = "nothing was written for this: " + text
		for k := range g.Sources {
			if s := &g.Sources[k]; s.SPIFFE == "" && s.Pods == nil && s.Identity.Namespace != w.a.Identity.Namespace && w.done[s.Intent(g)] {
				w.o.Say(s.Intent(g), model.Notice, "a caller of another namespace is one of Consul Enterprise: the Community edition, which has no namespaces, refuses the object", "")
			}
		}
	}
	for in := range w.a.Intents {
		if w.done[in] || in.Feature == model.AccessClosed || w.o.Claim(in.Feature).Level == model.Unsupported {
			continue
		}
		text := why[in.Object]
		if text == "" {
			text = "nothing was written for this: no caller, or no port, that it goes together with can be said"
		}
		w.o.Say(in, model.Unsupported, text, "")
	}
}
