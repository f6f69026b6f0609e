// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// most is how many rules a policy takes. Policies add up, so that more rules make more policies.
const most = 512

// settings says what belongs to no workload: where all of the mesh is closed, a policy that allows nothing says so.
func settings(s *model.Settings, o *mesh.Output) {
	if s.Access == model.AccessDeny {
		o.Add(policy(model.Name{Namespace: root, Name: "allow-nothing"}, authorizationPolicy{}))
	}
}

// access says for each closed workload of an identity who may call it. A workload to which a policy that allows something applies is
// closed to everybody else, and a policy without rules allows nothing.
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
	blind  []*model.Member       // closed ones that no selector tells from others
	done   map[model.Intent]bool // wishes that some rule carries
}

// workload says the policies of one workload. Where its labels find pods of another identity too, a rule would open those as well: then
// nobody is admitted, which closes them too and is the less harm.
func (w *accessWriter) workload(m *model.Member) {
	var rules []rule
	for _, g := range w.grants {
		if g.of.Covers(m.Workload) && !m.Ambiguous {
			rules = append(rules, g.rules...)
			for _, in := range g.intents {
				w.done[in] = true
			}
		}
	}
	if m.Ambiguous {
		w.blind = append(w.blind, m)
	}
	base := policyName(m.Ref())
	for n := 0; n == 0 || len(rules) > 0; n++ {
		spec := authorizationPolicy{Action: "ALLOW"}
		if labels := m.Finder(); len(labels) > 0 {
			spec.Selector = &selector{labels}
		}
		part := min(most, len(rules))
		spec.Rules, rules = rules[:part:part], rules[part:]
		name := base
		if n > 0 {
			name += "-" + strconv.Itoa(n+1)
		}
		w.o.Add(policy(model.Name{Namespace: m.Name.Namespace, Name: name}, spec))
	}
}

func policy(n model.Name, spec authorizationPolicy) mesh.Object {
	return mesh.Object{APIVersion: security, Kind: kindPolicy, Name: n, Spec: &spec}
}

// policyName is the name of a workload's policy: workloads of two kinds may share theirs.
func policyName(r model.Ref) string {
	name := r.Name.Name + "-" + strings.ToLower(string(r.Kind))
	if longest := 240; len(name) > longest { // 253 with the number of a further policy
		h := fnv.New32a()
		h.Write([]byte(name))
		name = fmt.Sprintf("%s-%08x", strings.TrimRight(name[:longest-9], "-."), h.Sum32())
	}
	return name
}

// leave says what came of the wishes that no rule carries.
func (w *accessWriter) leave() {
	for _, m := range w.blind {
		w.blinded(m)
	}
	for in := range w.a.Intents {
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, or no request, that it goes together with can be said", "")
		}
	}
}

// blinded says what came of a workload whose labels find others: also where nobody was to be admitted, since the others are closed too.
func (w *accessWriter) blinded(m *model.Member) {
	for _, g := range w.grants {
		if !g.of.Covers(m.Workload) {
			continue
		}
		list := g.intents
		if len(list) == 0 {
			list = []model.Intent{{Feature: model.AccessCaller, Object: g.of.Permission.Ref(), Path: "spec.destination"}}
		}
		for _, in := range list {
			level := model.Unsupported
			if w.done[in] || len(g.intents) == 0 {
				level = model.Approximate // it holds at other workloads, or there is nothing that it loses
			}
			w.o.SayAs(in, level, model.CodeSelector, fmt.Sprintf("the labels of %s (%s) also find pods of another service account: a policy for them admits nobody, to any of these pods",
				m.Ref(), labelText(m.Finder())), "Give the pods a label of their own, and the controller's selector too.")
		}
	}
}

func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}
