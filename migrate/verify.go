// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// verify lists what to run once a namespace is switched.
func (t *turn) verify(ns string) (out []Action) {
	run := func(why, command string) { out = append(out, Action{Do: Run, Why: why, Command: command}) }
	if !t.same {
		for _, w := range t.workloads(ns) {
			if kind := rolls[w.Kind]; kind != "" {
				run("its new pods are ready", fmt.Sprintf("kubectl rollout status -n %s %s/%s", ns, kind, w.Name.Name))
			}
		}
	}
	if t.back || ns == "" || !slices.ContainsFunc(t.enter.at(ns), func(i *item) bool { return i.of == "SMI" }) {
		return out
	}
	files := t.move.with(t.world.Settings())
	run("nothing in the objects is wrong, and what the mesh cannot say is known", "anymesh check --mesh "+t.enter.driver.Name+" "+files)
	yes, no := t.examples(ns)
	if yes != nil {
		run("this has to be admitted: send such a request", Why(yes)+" "+files)
	}
	if no != nil {
		run("this has to be refused: send such a request", Why(no)+" "+files)
	}
	return out
}

// examples are the simplest request to a Service of the namespace that is admitted and the simplest that is refused; nil where there is none. One
// that some account may send says more than one of a caller whom nobody knows.
func (t *turn) examples(ns string) (yes, no *model.Request) {
	m := *t.move
	m.Namespace = ns
	w := look(t.world)
	for _, v := range m.vocabularies(w, w) {
		closed := slices.ContainsFunc(w.Selected(v.service.Name), func(x *model.Workload) bool { return w.protects(x.Identity()).Closed(x) })
		for q := range v.requests {
			if !closed || q.Layer == model.LayerDatagram {
				break // it says little that an open port is open
			}
			verdict, err := model.Evaluate(w, q)
			if err != nil {
				panic("migrate: " + err.Error()) // requests are made for ports that are there
			}
			switch {
			case verdict.Allowed && (yes == nil || simpler(q, yes) < 0):
				yes = q
			case !verdict.Allowed && q.From.ServiceAccount != "" && (no == nil || simpler(q, no) < 0):
				no = q
			}
		}
	}
	return yes, no
}

// with are the flags by which commands read what was moved, and what the mesh had settled for all of itself.
func (m *Move) with(s *model.Settings) string {
	flags, d := []string{m.Files}, model.Defaults()
	if s.Access != d.Access {
		flags = append(flags, "--access-default "+s.Access.String())
	}
	if s.TrustDomain != d.TrustDomain {
		flags = append(flags, "--trust-domain "+quote(s.TrustDomain))
	}
	if s.ClusterDomain != d.ClusterDomain {
		flags = append(flags, "--cluster-domain "+quote(s.ClusterDomain))
	}
	if s.CrossNamespace {
		flags = append(flags, "--allow-cross-namespace")
	}
	return strings.Join(flags, " ")
}

// Why writes a request as the command that asks for it, without the files.
func Why(q *model.Request) string {
	from := q.From.String()
	switch {
	case q.SPIFFE != "":
		from = q.SPIFFE
	case q.From.ServiceAccount == "":
		from = "nobody"
	}
	s := fmt.Sprintf("anymesh why --from %s --to %s:%d", quote(from), q.Service, q.Port)
	switch q.Layer {
	case model.LayerStream:
		return s + " --tcp"
	case model.LayerDatagram:
		return s + " --udp"
	}
	s += " " + quote(q.Method) + " " + quote(q.Path)
	if q.Host != "" {
		s += " -H " + quote("host: "+q.Host)
	}
	for _, name := range slices.Sorted(maps.Keys(q.Headers)) {
		for _, value := range q.Headers[name] {
			s += " -H " + quote(name+": "+value)
		}
	}
	return s
}

// quote writes a word as a shell reads it.
func quote(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/.:_-=@%+,", c)
	}
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !plain(c) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// calls are those that are permitted between namespaces, in order.
type calls []Call

// cuts lists the permitted calls between namespaces: no mesh knows the certificates of the other, so that such a call is refused while one
// end has moved and the other has not.
func (m *Move) cuts(w *store.Store) (out calls) {
	seen := map[model.Identity]bool{}
	for f := range w.Facts {
		wl, ok := f.(*model.Workload)
		if !ok || seen[wl.Identity()] {
			continue
		}
		id := wl.Identity()
		seen[id] = true
		a, _ := model.JoinAccess(w, id)
		for i := range a.Grants {
			for _, s := range a.Grants[i].Sources {
				from := s.Identity
				if s.Pods != nil {
					from = model.Identity{Namespace: s.Namespace, ServiceAccount: "*"}
				}
				if c := (Call{from, id}); from.Namespace != "" && from.Namespace != id.Namespace && !a.Grants[i].Empty() && !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Call) int { return cmp.Or(a.To.Compare(b.To), a.From.Compare(b.From)) })
	return out
}

// of lists the calls that begin or end in a namespace.
func (c calls) of(ns string) (out []Call) {
	for _, x := range c {
		if x.From.Namespace == ns || x.To.Namespace == ns {
			out = append(out, x)
		}
	}
	return out
}

// tied lists the other namespaces that are reached from one by calls, in either direction, over any number of them.
func (c calls) tied(ns string) []string {
	in := map[string]bool{ns: true}
	for grown := true; grown; {
		grown = false
		for _, x := range c {
			if a, b := x.From.Namespace, x.To.Namespace; in[a] != in[b] {
				in[a], in[b], grown = true, true, true
			}
		}
	}
	delete(in, ns)
	return slices.Sorted(maps.Keys(in))
}
