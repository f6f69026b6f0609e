// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// access says for each port of each closed workload of an identity who may call it. A Server refuses whoever nothing admits.
func (d *dialect) access(a *model.Access, o *mesh.Output) {
	w := accessWriter{d: d, a: a, o: o, done: map[model.Intent]bool{}, served: map[uint16][]*model.Member{}}
	for i := range a.Grants {
		w.grants = append(w.grants, w.grant(&a.Grants[i]))
	}
	for _, m := range w.order() {
		if a.Closed(m.Workload) {
			w.workload(m)
		}
	}
	w.leave()
}

// accessWriter says the permissions of one identity.
type accessWriter struct {
	d      *dialect
	a      *model.Access
	o      *mesh.Output
	grants []*grant
	served map[uint16][]*model.Member // workloads that have a Server on a port
	done   map[model.Intent]bool      // wishes that something carries
}

// order lists the workloads, those first whose labels find most others of the identity: only one Server may find a pod's port.
func (w *accessWriter) order() []*model.Member {
	out := make([]*model.Member, len(w.a.Workloads))
	for i := range w.a.Workloads {
		out[i] = &w.a.Workloads[i]
	}
	slices.SortStableFunc(out, func(x, y *model.Member) int { return cmp.Compare(len(w.found(y)), len(w.found(x))) })
	return out
}

// found are the workloads of the identity that the labels of one find.
func (w *accessWriter) found(m *model.Member) (out []*model.Member) {
	for i := range w.a.Workloads {
		if o := &w.a.Workloads[i]; o == m || model.Selects(m.Finder(), o.Labels) {
			out = append(out, o)
		}
	}
	return out
}

// workload says the Servers of one workload.
func (w *accessWriter) workload(m *model.Member) {
	ports := w.ports(m)
	if len(ports) == 0 {
		w.portless(m)
	}
	for _, p := range ports {
		if slices.ContainsFunc(w.served[p.Number], func(o *model.Member) bool { return model.Selects(o.Finder(), m.Labels) }) {
			continue // that Server finds these pods too
		}
		w.served[p.Number] = append(w.served[p.Number], m)
		w.port(m, p)
	}
	if m.Ambiguous {
		w.blinded(m, nil, "the labels of %s (%s) also find pods of another service account: a Server for them admits nobody, to any of these pods")
	}
}

// itsOwn are the ports of Linkerd's proxy, which a pod shows once the proxy is in it.
var itsOwn = []model.ContainerPort{{Name: "linkerd-proxy", Number: 4143, Protocol: model.TCP}, {Name: "linkerd-admin", Number: 4191, Protocol: model.TCP}}

// proxyPort says whether a port of a workload is the proxy's.
func proxyPort(w *model.Workload, port uint16) bool {
	return slices.ContainsFunc(itsOwn, func(c model.ContainerPort) bool { return c.Number == port && slices.Contains(w.Ports, c) })
}

// ports are those of a workload on which something is known to arrive.
func (w *accessWriter) ports(m *model.Member) []model.MemberPort {
	out := slices.DeleteFunc(slices.Clone(m.Listens), func(p model.MemberPort) bool { return proxyPort(m.Workload, p.Number) })
	add := func(n uint16) {
		if n != 0 && !slices.ContainsFunc(out, func(p model.MemberPort) bool { return p.Number == n }) {
			out = append(out, model.MemberPort{Number: n})
		}
	}
	for _, p := range m.Probes {
		if !proxyPort(m.Workload, p.Port) {
			add(p.Port)
		}
	}
	for _, g := range w.grants {
		if !g.of.Covers(m.Workload) || g.callers.empty() {
			continue
		}
		for _, n := range g.of.Stream.List {
			add(n)
		}
		for _, n := range g.of.HTTPPorts.List {
			if len(g.matches) > 0 && w.d.routes != "" {
				add(n)
			}
		}
	}
	slices.SortFunc(out, func(x, y model.MemberPort) int { return cmp.Compare(x.Number, y.Number) })
	return out
}

// port says one Server, and who is admitted there.
func (w *accessWriter) port(m *model.Member, p model.MemberPort) {
	var grants []*grant
	for _, g := range w.grants {
		covers := func(o *model.Member) bool { return g.of.Covers(o.Workload) }
		switch found := w.found(m); {
		case m.Ambiguous || !slices.ContainsFunc(found, covers):
		case slices.ContainsFunc(found, func(o *model.Member) bool { return !covers(o) }):
			w.blinded(m, g, "the labels of %s (%s) also find workloads that the permission does not name: they are not told apart, and it admits nobody there")
		default:
			grants = append(grants, g)
		}
	}
	s := serverWriter{accessWriter: w, m: m, p: p, base: model.Name{Namespace: m.Name.Namespace, Name: serverName(m.Ref(), p.Number)}}
	s.write(grants)
}

// serverName is the name of a Server, from which the names of all that belongs to it are made: workloads of two kinds may share theirs. It has
// no dots, since a ServerAuthorization could not name it.
func serverName(r model.Ref, port uint16) string {
	name := r.Name.Name + "-" + strings.ToLower(string(r.Kind))
	if strings.Contains(name, ".") {
		name = hashed(strings.ReplaceAll(name, ".", "-"), name)
	}
	return bounded(name) + "-" + strconv.Itoa(int(port))
}

// bounded shortens a name that leaves no room for what is put behind it.
func bounded(name string) string {
	if longest := 170; len(name) > longest {
		return hashed(strings.TrimRight(name[:longest-9], "-."), name)
	}
	return name
}

// hashed tells a name that was changed from others that were changed likewise.
func hashed(name, written string) string {
	h := fnv.New32a()
	h.Write([]byte(written))
	return fmt.Sprintf("%s-%08x", name, h.Sum32())
}

// leave says what came of the wishes that nothing carries.
func (w *accessWriter) leave() {
	for in := range w.a.Intents {
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, no request or no port that it goes together with can be said", "")
		}
	}
}

// portless says that a workload stays open, since nothing is known by which it could be closed.
func (w *accessWriter) portless(m *model.Member) {
	for _, g := range w.grants {
		if g.of.Covers(m.Workload) {
			w.o.Say(destination(g.of), model.Unsupported, "nothing closes "+m.Ref().String()+": Linkerd closes ports, and none of its is known",
				"Declare its containerPorts, or annotate its pods with config.linkerd.io/default-inbound-policy: deny.")
		}
	}
}

func destination(g *model.Grant) model.Intent {
	return model.Intent{Feature: model.AccessCaller, Object: g.Permission.Ref(), Path: "spec.destination"}
}

// blinded says what came of a workload whose labels find others: of one grant or, where none is named, of all that cover the workload.
func (w *accessWriter) blinded(m *model.Member, only *grant, text string) {
	for _, g := range w.grants {
		if only != nil && g != only || only == nil && !g.of.Covers(m.Workload) {
			continue
		}
		w.o.SayAs(destination(g.of), model.Approximate, model.CodeSelector, fmt.Sprintf(text, m.Ref(), labelText(m.Finder())),
			"Give the pods a label of their own, and the controller's selector too.")
	}
}

func labelText(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return cmp.Or(strings.Join(out, ","), "none")
}
