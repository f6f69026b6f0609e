// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// access says who may call the workloads of an identity: by one policy for the account, or where a permission holds for some of its
// workloads alone by one for each of them, beside one for the account that admits nobody where all of it is closed.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}}
	if a.Identity.ServiceAccount == "" || a.Settings.Access == model.AccessAllow {
		return
	}
	whole, apart := a.Settings.Access == model.AccessDeny, false
	for i := range a.Grants {
		g := &a.Grants[i]
		whole, apart = whole || g.Subset == nil, apart || g.Subset != nil
		w.grants = append(w.grants, w.grant(g))
	}
	if len(a.Grants) == 0 || len(a.Workloads) == 0 {
		return
	}
	labels := map[string]string{accountLabel: a.Identity.ServiceAccount} // a policy is for pods of its namespace
	switch {
	case len(a.Identity.ServiceAccount) > longestLabel:
		w.unnamed()
	case !apart:
		w.write("account."+a.Identity.ServiceAccount, labels, w.grants)
	default:
		if whole {
			w.write("account."+a.Identity.ServiceAccount, labels, nil)
		}
		for i := range a.Workloads {
			if m := &a.Workloads[i]; a.Closed(m.Workload) {
				w.alone(m, labels)
			}
		}
	}
	w.leave()
}

// accessWriter says the permissions of one identity.
type accessWriter struct {
	a      *model.Access
	o      *mesh.Output
	grants []*grant
	done   map[model.Intent]bool // wishes that some rule carries
}

// grant is one permission in Cilium's words.
type grant struct {
	of       *model.Grant
	callers  []selector
	requests []request
	intents  []model.Intent // that its rules carry
}

// grant says a permission as far as Cilium can: every part that is left out leaves less.
func (w *accessWriter) grant(g *model.Grant) *grant {
	out := &grant{of: g}
	for i := range g.Sources {
		s := &g.Sources[i]
		labels, why := caller(s)
		if why != "" {
			if s.SPIFFE == "" { // otherwise as claimed
				w.o.Say(s.Intent(g), model.Unsupported, why+": this source is left out", "")
			}
			continue
		}
		out.callers = append(out.callers, selector{Labels: labels})
		out.intents = append(out.intents, s.Intent(g))
	}
	for i := range g.HTTP {
		m := &g.HTTP[i]
		list, why, hint := lower(m)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out and stays refused", hint)
			continue
		}
		out.requests = append(out.requests, list...)
		for in := range m.Intents {
			out.intents = append(out.intents, in)
		}
	}
	if len(out.callers) == 0 || g.Stream.Empty() && g.Datagram.Empty() && (len(out.requests) == 0 || g.HTTPPorts.Empty()) {
		out.callers, out.intents = nil, nil
		return out
	}
	w.general(out)
	return out
}

// caller selects the pods of a source, or says why it cannot.
func caller(s *model.Source) (labels map[string]string, why string) {
	switch {
	case s.SPIFFE != "":
		return nil, "no label says it"
	case s.Pods != nil:
		labels, all := own(s.Pods)
		if !all || len(labels) == 0 {
			return nil, "Cilium does not know pods by the labels " + labelText(s.Pods)
		}
		labels[namespaceLabel] = s.Namespace
		return labels, ""
	}
	labels, ok := account(s.Identity)
	if !ok {
		return nil, fmt.Sprintf("Cilium knows an account by a label, which has no more than %d letters", longestLabel)
	}
	return labels, ""
}

// general marks the wishes that hold for a permission as a whole.
func (w *accessWriter) general(g *grant) {
	ref := g.of.Permission.Ref()
	for in := range w.a.Intents {
		mine := in.Object == ref
		switch in.Feature {
		case model.AccessPort:
			for _, c := range g.of.Carriers {
				mine = mine || in.Object == c.Route
			}
		case model.AccessSubset, model.AccessStream, model.AccessDatagram:
		default:
			mine = false
		}
		if mine {
			g.intents = append(g.intents, in)
		}
	}
}

// alone says the permissions for one workload. A permission for it and not for another that its labels find as well would open that too: it is
// left out.
func (w *accessWriter) alone(m *model.Member, labels map[string]string) {
	labels = maps.Clone(labels)
	mine, all := own(m.Finder())
	maps.Copy(labels, mine)
	finder := map[string]string{}
	for k, v := range m.Finder() {
		if !unseen(k) {
			finder[k] = v
		}
	}
	spills := func(g *model.Grant) bool {
		return g.Subset != nil && slices.ContainsFunc(w.a.Workloads, func(o model.Member) bool {
			return !g.Covers(o.Workload) && (len(finder) == 0 || model.Selects(finder, o.Labels))
		})
	}
	var list []*grant
	for _, g := range w.grants {
		switch {
		case !g.of.Covers(m.Workload):
		case spills(g.of):
			text := labelText(m.Finder())
			if !all {
				text += ", of which Cilium sees " + labelText(finder)
			}
			w.o.SayAs(model.Intent{Feature: model.AccessSubset, Object: g.of.Permission.Ref(), Path: "spec.destination"}, model.Unsupported, model.CodeSelector,
				fmt.Sprintf("the labels of %s (%s) also find pods of its account that the permission is not for: nobody is admitted to it by this", m.Ref(), text),
				"Give the pods a label of their own, and the controller's selector too.")
		default:
			list = append(list, g)
		}
	}
	w.write("workload."+strings.ToLower(string(m.Kind))+"."+m.Name.Name, labels, list)
}

// unnamed closes the workloads of an account whose name no label can have, each by its own labels, and admits nobody.
func (w *accessWriter) unnamed() {
	for i := range w.a.Workloads {
		m := &w.a.Workloads[i]
		labels, _ := own(m.Finder())
		if w.a.Closed(m.Workload) {
			w.write("workload."+strings.ToLower(string(m.Kind))+"."+m.Name.Name, labels, nil)
		}
	}
	for _, g := range w.grants {
		for in := range w.a.Intents {
			if in.Object == g.of.Permission.Ref() {
				w.o.SayAs(in, model.Unsupported, model.CodeSelector, fmt.Sprintf("Cilium knows an account by a label, which has no more than %d letters: its workloads are closed by their own labels, with all that those find, and nobody is admitted", longestLabel),
					"Run the workloads as an account of a shorter name.")
			}
		}
	}
}

// write says a policy that admits what the grants say and nothing else.
func (w *accessWriter) write(name string, labels map[string]string, list []*grant) {
	spec := policy{Endpoints: &selector{Labels: labels}}
	raw := map[string]model.Ports{} // what a caller may send to without being looked into
	for _, g := range list {
		for _, c := range g.callers {
			raw[c.key()] = raw[c.key()].Union(g.of.Stream)
		}
	}
	for _, g := range list {
		spec.Ingress = append(spec.Ingress, g.rules(raw)...)
		for _, in := range g.intents {
			w.done[in] = true
		}
	}
	if len(spec.Ingress) == 0 {
		spec.Ingress = []ingress{{}} // nobody, where no rule at all would leave it open
	}
	w.o.Add(mesh.Object{APIVersion: api, Kind: kindPolicy, Name: model.Name{Namespace: w.a.Identity.Namespace, Name: short(name)}, Spec: &spec})
}

// rules says a permission. Where a caller may send raw TCP no rule speaks of its requests: it would lead the port through a proxy that takes
// nothing else.
func (g *grant) rules(raw map[string]model.Ports) (out []ingress) {
	for _, c := range g.callers {
		var ports []portRule
		ports = append(ports, portRules(spans(g.of.Stream, model.Ports{}), tcp, nil)...)
		if len(g.requests) > 0 {
			ports = append(ports, portRules(spans(g.of.HTTPPorts, raw[c.key()]), tcp, &rules{g.requests})...)
		}
		ports = append(ports, portRules(spans(g.of.Datagram, model.Ports{}), udp, nil)...)
		if len(ports) == 0 {
			continue
		}
		i := slices.IndexFunc(out, func(r ingress) bool { return slices.EqualFunc(r.Ports, ports, samePorts) })
		if i < 0 {
			out = append(out, ingress{Ports: ports})
			i = len(out) - 1
		}
		out[i].From = append(out[i].From, c)
	}
	return out
}

// samePorts compares rules of one grant, whose requests are the same.
func samePorts(a, b portRule) bool {
	return slices.Equal(a.Ports, b.Ports) && (a.Rules == nil) == (b.Rules == nil)
}

func (s *selector) key() string { return labelText(s.Labels) }

// leave says what came of the wishes that no rule carries, and of raw TCP of pods that two selectors find.
func (w *accessWriter) leave() {
	w.overlaps()
	for in := range w.a.Intents {
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, or no request, that it goes together with can be said", "")
		}
	}
}

// overlaps says that a pod which two sources find, the one for raw TCP and the other for requests on the same port, is refused raw TCP: its
// port is led through a proxy of HTTP. Two accounts find no pod together.
func (w *accessWriter) overlaps() {
	for _, g := range w.grants {
		for _, o := range w.grants {
			if len(o.requests) == 0 || o.of.HTTPPorts.Intersect(g.of.Stream).Empty() {
				continue
			}
			for _, c := range g.callers {
				if slices.ContainsFunc(o.callers, func(x selector) bool { return x.key() != c.key() && meet(c.Labels, x.Labels) }) {
					w.o.Say(model.Intent{Feature: model.AccessStream, Object: g.of.Permission.Ref(), Path: w.stream(g)}, model.Approximate,
						"a pod that "+o.of.Permission.Ref().String()+" admits too, by requests, is admitted by requests alone on the ports of both", "Give raw TCP and requests ports of their own.")
				}
			}
		}
	}
}

// stream is the place of a grant's first rule of raw TCP.
func (w *accessWriter) stream(g *grant) string {
	for in := range w.a.Intents {
		if in.Feature == model.AccessStream && in.Object == g.of.Permission.Ref() {
			return in.Path
		}
	}
	return "spec.rules"
}

// meet says whether one pod could have all labels of both.
func meet(a, b map[string]string) bool {
	for k, v := range a {
		if other, ok := b[k]; ok && other != v {
			return false
		}
	}
	return true
}
