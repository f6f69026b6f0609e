// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// access says for each closed workload of an identity whose certificate its listeners ask for. There is a listener for every port that is
// known; where nobody may call, it asks for a name that nobody has.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}}
	for i := range a.Grants {
		w.grants = append(w.grants, w.grant(&a.Grants[i]))
	}
	for i := range a.Workloads {
		if m := &a.Workloads[i]; a.Closed(m.Workload) {
			w.workload(m)
		}
	}
	w.leave()
}

// accessWriter says the permissions of one identity.
type accessWriter struct {
	a      *model.Access
	o      *mesh.Output
	grants []grant
	done   map[model.Intent]bool // wishes that some listener carries
}

// grant is one permission in App Mesh's words.
type grant struct {
	of      *model.Grant
	names   []string // of callers
	web     bool     // every request is permitted
	callers []model.Intent
	matches []model.Intent // that permit every request
}

// grant reads a permission as far as App Mesh can say it.
func (w *accessWriter) grant(g *model.Grant) grant {
	out := grant{of: g}
	foreign := map[model.Intent]string{}
	for i := range g.Sources {
		s := &g.Sources[i]
		id, in := s.SPIFFE, s.Intent(g)
		own := "spiffe://" + w.a.Settings.TrustDomain + "/"
		switch {
		case s.Pods != nil:
			continue // as claimed
		case id == "":
			id = s.Identity.SPIFFE(w.a.Settings.TrustDomain)
		case !strings.HasPrefix(id, own) || strings.HasSuffix(id, nobody):
			foreign[in] = "a listener trusts one bundle, that of " + w.a.Settings.TrustDomain + ": " + id + " is left out"
			continue
		}
		out.names = append(out.names, id)
		out.callers = append(out.callers, in)
	}
	for in, why := range foreign {
		level := model.Unsupported
		if slices.ContainsFunc(out.callers, func(o model.Intent) bool { return o.Path == in.Path }) {
			level = model.Approximate // it names others too
			out.callers = append(out.callers, in)
		}
		w.o.Say(in, level, why, "")
	}
	for i := range g.HTTP {
		m := &g.HTTP[i]
		if len(m.Methods)+len(m.Headers) == 0 && pattern.Path(m.Path, m.Group.FullPath).Class == pattern.Any {
			out.web = true
			for in := range m.Intents {
				out.matches = append(out.matches, in)
			}
			continue
		}
		w.o.SayAll(m.Intents, model.Unsupported, noRule, "Permit every request, or move to a mesh that knows requests.")
	}
	return out
}

// workload says the node of one workload. Where its labels find pods of another node too, a pod would have two, and App Mesh would not
// let it start: then nobody is admitted by this one.
func (w *accessWriter) workload(m *model.Member) {
	blind := m.Ambiguous || slices.ContainsFunc(w.a.Workloads, func(o model.Member) bool {
		return o.Ref() != m.Ref() && (model.Selects(o.Finder(), m.Labels) || model.Selects(m.Finder(), o.Labels))
	})
	if blind {
		w.blinded(m)
	}
	if len(m.Listens) == 0 || len(m.Finder()) == 0 {
		w.open(m)
		return
	}
	spec := &virtualNode{PodSelector: &selector{m.Finder()}}
	for _, p := range m.Listens {
		on, names := w.listener(m, p, blind)
		spec.Listeners = append(spec.Listeners, nodeListener{on, w.asks(names)})
	}
	o := mesh.Object{APIVersion: api, Kind: kindNode, Name: model.Name{Namespace: m.Name.Namespace, Name: nodeName(m.Ref())}, Spec: spec}
	w.o.Add(o)
}

// nodeName is the name of a workload's node. Its end tells it from the nodes that stand for Services.
func nodeName(r model.Ref) string {
	name := r.Name.Name + "." + strings.ToLower(string(r.Kind))
	if longest := 253; len(name) > longest {
		h := fnv.New32a()
		h.Write([]byte(name))
		name = fmt.Sprintf("%s-%08x.%s", strings.TrimRight(r.Name.Name[:longest-32], "-."), h.Sum32(), strings.ToLower(string(r.Kind)))
	}
	return name
}

// listener says what a port carries and who may connect to it. Whoever may send every request may not send raw TCP: a listener of
// HTTP takes no raw TCP, and at a port that says nothing it is one only where nobody may send raw TCP.
func (w *accessWriter) listener(m *model.Member, p model.MemberPort, blind bool) (on portMapping, names []string) {
	on = portMapping{p.Number, "tcp"}
	stream := func(g grant) bool { return g.of.Covers(m.Workload) && g.of.Stream.Has(p.Number) }
	switch {
	case p.Protocol == model.HTTP, p.Protocol == model.Auto && !slices.ContainsFunc(w.grants, stream):
		on.Protocol = "http"
	case p.Protocol == model.HTTP2 || p.Protocol == model.GRPC:
		on.Protocol = "http2"
	}
	for _, g := range w.grants {
		web := g.web && g.of.Covers(m.Workload) && g.of.HTTPPorts.Has(p.Number)
		switch {
		case stream(g):
			names = append(names, g.names...)
		case web && on.Protocol == "tcp":
			if !blind {
				w.narrow(g, p.Number)
			}
			continue
		case web:
			names = append(names, g.names...)
		default:
			continue
		}
		if !blind && len(g.names) > 0 {
			w.carry(g)
		}
	}
	if blind {
		names = nil
	}
	slices.Sort(names)
	return on, slices.Compact(names)
}

// narrow says of a permission of requests that it does not hold on a port that others may send anything to.
func (w *accessWriter) narrow(g grant, port uint16) {
	for _, in := range g.callers {
		w.o.Say(in, model.Approximate, fmt.Sprintf("port %d carries raw TCP too, and App Mesh cannot permit requests alone: this caller stays refused there", port), "")
	}
}

// carry marks the wishes of a permission that a listener carries.
func (w *accessWriter) carry(g grant) {
	ref := g.of.Permission.Ref()
	for _, in := range slices.Concat(g.callers, g.matches) {
		w.done[in] = true
	}
	for in := range w.a.Intents {
		switch in.Feature {
		case model.AccessSubset, model.AccessStream, model.AccessPort:
			carried := in.Object == ref
			for _, c := range g.of.Carriers {
				carried = carried || in.Object == c.Route
			}
			if carried {
				w.done[in] = true
			}
		}
	}
}

// asks is what a listener asks of callers.
func (w *accessWriter) asks(names []string) *listenTLS {
	own := "spiffe://" + w.a.Settings.TrustDomain
	if len(names) == 0 {
		names = []string{own + nobody}
	}
	return &listenTLS{Mode: "STRICT", Certificate: certificate{&sds{w.a.Identity.SPIFFE(w.a.Settings.TrustDomain)}},
		Validation: &validation{Trust: trust{&sds{own}}, Names: &altNames{altMatch{names}}}}
}

// leave says what came of the wishes that no listener carries.
func (w *accessWriter) leave() {
	for in := range w.a.Intents {
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, or no port, that it goes together with can be said", "")
		}
	}
}

// open says loudly that a workload cannot be closed.
func (w *accessWriter) open(m *model.Member) {
	w.every(m, model.CodeUnsupported, "App Mesh cannot close "+m.Ref().String()+": no port of it, or no label of its pods, is known, and what has no listener stays open to all",
		"Declare the container's ports, or give the Service that leads to it.")
}

// blinded says what came of a workload whose labels find others.
func (w *accessWriter) blinded(m *model.Member) {
	w.every(m, model.CodeSelector, "the labels of "+m.Ref().String()+" also find pods of another workload, or theirs find its: a pod with two VirtualNodes does not start, and this one admits nobody",
		"Give the pods a label of their own, and the controller's selector too.")
}

func (w *accessWriter) every(m *model.Member, c model.Code, message, hint string) {
	closed := false
	for in := range w.a.Intents {
		if in.Feature == model.AccessClosed {
			closed = true
			w.o.SayAs(in, model.Unsupported, c, message, hint)
		}
	}
	for i := range w.a.Grants {
		if g := &w.a.Grants[i]; g.Covers(m.Workload) {
			closed = true
			w.o.SayAs(model.Intent{Feature: model.AccessCaller, Object: g.Permission.Ref(), Path: "spec.destination"}, model.Unsupported, c, message, hint)
		}
	}
	if !closed {
		panic("appmesh: a workload is closed and nobody asked for it")
	}
}
