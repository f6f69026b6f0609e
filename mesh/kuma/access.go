// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// settings has no object to say: Kuma is closed of itself where a mesh has identities. What it cannot see it says aloud.
func settings(s *model.Settings, o *mesh.Output) {
	if s.Access == model.AccessAllow {
		return
	}
	closed := model.Intent{Feature: model.AccessClosed, Object: s.Ref(), Path: "accessDefault"}
	o.Say(closed, model.Notice, "Kuma's permissions add up: a MeshTrafficPermission that admits everybody, as meshes of Kuma 2 often have one, opens what is closed here; "+
		"and where there is none, Kuma also refuses callers of identities that no TrafficTarget names",
		"Look at kubectl get meshtrafficpermissions -A, and replace what admits everybody by permissions for the workloads that stay open.")
	if _, zone := place(s.TrustDomain); zone == "" {
		domain := model.Intent{Feature: model.AccessCaller, Object: s.Ref(), Path: "trustDomain"}
		o.Say(domain, model.Notice, "callers are named in the trust domain "+s.TrustDomain+"; that of a MeshIdentity is <mesh>.<zone>.mesh.local unless it says another",
			"Set the trust domain of the mesh's MeshIdentity: callers of any other are refused.")
	}
}

// access says who may call the closed workloads of an identity. All of them are one selection, by service account, unless a permission
// holds for some of them alone.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}}
	var closed []*model.Member
	apart := false
	for i := range a.Workloads {
		if m := &a.Workloads[i]; a.Closed(m.Workload) {
			closed = append(closed, m)
		}
	}
	for i := range a.Grants {
		apart = apart || a.Grants[i].Subset != nil
	}
	switch {
	case len(closed) == 0:
	case !apart:
		w.say(group{name: "identity." + a.Identity.ServiceAccount, labels: w.selector(nil), members: closed, grants: w.covering(closed[0])})
	default:
		for _, m := range closed {
			w.alone(m)
		}
	}
	w.leave()
}

// accessWriter says the permissions of one identity.
type accessWriter struct {
	a    *model.Access
	o    *mesh.Output
	done map[model.Intent]bool // wishes that some object carries
}

// group is a selection of workloads with what is granted to them.
type group struct {
	name    string // of its objects; those of one port have a prefix
	labels  map[string]string
	members []*model.Member
	grants  []*model.Grant
}

func (w *accessWriter) selector(more map[string]string) map[string]string {
	out := map[string]string{labelNamespace: w.a.Identity.Namespace, labelAccount: w.a.Identity.ServiceAccount}
	maps.Copy(out, more)
	return out
}

func (w *accessWriter) covering(m *model.Member) (out []*model.Grant) {
	for i := range w.a.Grants {
		if g := &w.a.Grants[i]; g.Covers(m.Workload) {
			out = append(out, g)
		}
	}
	return out
}

// alone says what holds for one workload. Where the labels that find it also find another of the identity, that is granted something else, nobody is
// admitted to either: that closes, and is the less harm.
func (w *accessWriter) alone(m *model.Member) {
	g := group{name: strings.ToLower(string(m.Kind)) + "." + m.Name.Name, labels: w.selector(m.Finder()), grants: w.covering(m)}
	for i := range w.a.Workloads {
		o := &w.a.Workloads[i]
		if !subset(m.Finder(), o.Labels) && o.Ref() != m.Ref() {
			continue
		}
		g.members = append(g.members, o)
		if theirs := w.covering(o); !slices.Equal(theirs, w.covering(m)) {
			for _, x := range slices.Concat(theirs, w.covering(m)) {
				w.confused(x, m, o)
			}
			g.grants = nil
		}
	}
	w.say(g)
}

func (w *accessWriter) confused(g *model.Grant, m, o *model.Member) {
	in := model.Intent{Feature: model.AccessSubset, Object: g.Permission.Ref(), Path: "spec.destination"}
	w.o.SayAs(in, model.Unsupported, model.CodeSelector, fmt.Sprintf("the labels of %s also find the pods of %s: a permission for them admits nobody, to any of these pods", m.Ref(), o.Ref()),
		"Give the pods a label of their own, and the controller's selector too.")
}

// say writes one object for all ports of a group, and one for each port that some callers are tied to.
func (w *accessWriter) say(g group) {
	var everywhere []string
	ports := map[uint16][]string{}
	for _, grant := range g.grants {
		ids := w.callers(grant)
		if len(ids) == 0 || grant.Stream.Empty() {
			continue
		}
		if grant.Stream.Any {
			everywhere = append(everywhere, ids...)
			w.carried(grant)
			continue
		}
		for _, n := range grant.Stream.List {
			if _, why := sections(g.members, n); why != "" {
				w.port(grant, n, why)
				continue
			}
			ports[n] = append(ports[n], ids...)
			w.carried(grant)
		}
	}
	switch {
	case len(everywhere) > 0:
		w.object(g.name, targetRef{Kind: "Dataplane", Labels: g.labels}, verdicts{Allow: exactly(everywhere)})
	case len(ports) == 0:
		// A refusal comes before whatever else admits.
		w.object(g.name, targetRef{Kind: "Dataplane", Labels: g.labels}, verdicts{Deny: []caller{{&spiffeID{"Prefix", "spiffe://"}}}})
	}
	bySection := map[string][]string{}
	for n, ids := range ports {
		names, _ := sections(g.members, n)
		for _, name := range names {
			bySection[name] = append(bySection[name], ids...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bySection)) {
		w.object("port."+name+"."+g.name, targetRef{Kind: "Dataplane", Labels: g.labels, SectionName: name}, verdicts{Allow: exactly(bySection[name])})
	}
}

func (w *accessWriter) object(name string, ref targetRef, v verdicts) {
	n := model.Name{Namespace: w.a.Identity.Namespace, Name: short(name)}
	w.o.Add(ours(w.a.Settings, kindPermission, n, &permission{TargetRef: &ref, Rules: []rule{{v}}}))
}

// short cuts a name to what Kubernetes takes.
func short(name string) string {
	if len(name) <= 253 {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("%s-%08x", strings.TrimRight(name[:244], "-."), h.Sum32())
}

func exactly(ids []string) []caller {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	var out []caller
	for _, id := range slices.Compact(ids) {
		out = append(out, caller{&spiffeID{"Exact", id}})
	}
	return out
}

// callers are the SPIFFE IDs of the sources that Kuma can tell.
func (w *accessWriter) callers(g *model.Grant) (ids []string) {
	for i := range g.Sources {
		switch s := &g.Sources[i]; {
		case s.Pods != nil: // as claimed
		case s.SPIFFE != "":
			ids = append(ids, s.SPIFFE)
		default:
			ids = append(ids, s.Identity.SPIFFE(w.a.Settings.TrustDomain))
		}
	}
	return ids
}

// sections are the names by which a port is selected at every workload of a group that has it, or why it cannot be: a name that leads to another
// port at one of them would open that too.
func sections(members []*model.Member, n uint16) (names []string, why string) {
	for _, m := range members {
		if !slices.ContainsFunc(m.Listens, func(p model.MemberPort) bool { return p.Number == n }) {
			continue
		}
		var own []string
		why = fmt.Sprintf("no Service leads to port %d of %s", n, m.Ref())
		for _, d := range m.Doors {
			if d.Target != n {
				continue
			}
			name := section(d.Port.Name, n)
			if o := misled(members, name, n); o != "" {
				why = fmt.Sprintf("port %d of %s is called %s, and so is another port of %s", n, m.Ref(), name, o)
				continue
			}
			own = append(own, name)
		}
		if len(own) == 0 {
			return nil, why
		}
		if !slices.ContainsFunc(own, func(s string) bool { return slices.Contains(names, s) }) {
			names = append(names, own[0])
		}
	}
	if len(names) == 0 {
		return nil, fmt.Sprintf("no Service leads to port %d", n)
	}
	return names, ""
}

// misled is a workload at which a name leads to another port; empty where there is none.
func misled(members []*model.Member, name string, n uint16) string {
	for _, m := range members {
		for _, d := range m.Doors {
			if d.Target != n && section(d.Port.Name, d.Target) == name {
				return m.Ref().String()
			}
		}
	}
	return ""
}

// port says that a port of a permission cannot be selected.
func (w *accessWriter) port(g *model.Grant, n uint16, why string) {
	for _, c := range g.Carriers {
		if !c.Ports.Has(n) || c.Route.Kind != model.KindTCPRoute {
			continue
		}
		w.o.Say(model.Intent{Feature: model.AccessPort, Object: c.Route, Path: "spec.matches.ports"}, model.Approximate,
			"Kuma selects a port by the name that a Service gives it, and "+why+": the port stays closed", "")
	}
}

// carried marks the wishes that an object carries.
func (w *accessWriter) carried(g *model.Grant) {
	ref := g.Permission.Ref()
	for i := range g.Sources {
		w.done[g.Sources[i].Intent(g)] = true
	}
	for in := range w.a.Intents {
		switch in.Feature {
		case model.AccessSubset, model.AccessStream:
			w.done[in] = w.done[in] || in.Object == ref
		case model.AccessPort:
			w.done[in] = w.done[in] || in.Object == ref || slices.ContainsFunc(g.Carriers, func(c model.Carrier) bool { return c.Route == in.Object })
		}
	}
}

// leave says what came of the wishes that no object carries.
func (w *accessWriter) leave() {
	why := map[model.Ref]string{}
	for i := range w.a.Grants {
		if g := &w.a.Grants[i]; !g.HTTPPorts.Empty() {
			why[g.Permission.Ref()] = l4
		}
	}
	for in := range w.a.Intents {
		if w.done[in] || in.Feature == model.AccessClosed || w.o.Claim(in.Feature).Level == model.Unsupported {
			continue
		}
		text, hint := "nothing was written for this: no caller, or no port, that it goes together with can be said", ""
		if t := why[in.Object]; t != "" {
			text, hint = t, "Name a TCPRoute alone, where every request to its ports may pass."
		}
		w.o.Say(in, model.Unsupported, text, hint)
	}
}
