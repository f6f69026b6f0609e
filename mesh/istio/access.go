// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
)

// settings says what belongs to no workload: where all of the mesh is closed, a policy that allows nothing says so.
func settings(s *model.Settings, o *mesh.Output) {
	if s.Access == model.AccessDeny {
		o.Add(policy.Closed())
	}
}

// access says for each closed workload of an identity who may call it. A workload to which a policy that allows something applies is
// closed to everybody else, and a policy without rules allows nothing.
func access(a *model.Access, o *mesh.Output) {
	w := accessWriter{a: a, o: o, done: map[model.Intent]bool{}}
	says := policy.Writer{A: a, O: o, Ports: policy.Numbers, Beyond: a.Settings.Helpers.Has(model.HelperExpressions)}
	for i := range a.Grants {
		w.grants = append(w.grants, says.Grant(&a.Grants[i]))
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
	grants []policy.Grant
	blind  []*model.Member       // closed ones that no selector tells from others
	done   map[model.Intent]bool // wishes that some rule carries
}

// workload says the policies of one workload. Where its labels find pods of another identity too, a rule would open those as well: then
// nobody is admitted, which closes them too and is the less harm.
func (w *accessWriter) workload(m *model.Member) {
	var rules []policy.Rule
	beyond := rbacPolicies{}
	for _, g := range w.grants {
		if g.Of.Covers(m.Workload) && !m.Ambiguous && !policy.Spills(w.a, g.Of, m) {
			rules = append(rules, g.Rules...)
			beyond.add(&g)
			for _, in := range g.Intents {
				w.done[in] = true
			}
		}
	}
	if m.Ambiguous {
		w.blind = append(w.blind, m)
	}
	n := model.Name{Namespace: m.Name.Namespace, Name: policy.Name(m.Ref())}
	policy.Write(w.o, n, policy.Of(m), rules)
	if len(beyond) > 0 {
		w.o.Add(filter(n, m.Finder(), beyond))
	}
}

// leave says what came of the wishes that no rule carries.
func (w *accessWriter) leave() {
	for _, m := range w.blind {
		w.blinded(m)
	}
	w.spilt()
	w.helped()
	for in := range w.a.Intents {
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, or no request, that it goes together with can be said", "")
		}
	}
}

// spilt says of permissions for some of an account's workloads that their labels find others too.
func (w *accessWriter) spilt() {
	for i := range w.a.Grants {
		g := &w.a.Grants[i]
		for k := range w.a.Workloads {
			if m := &w.a.Workloads[k]; g.Covers(m.Workload) && policy.Spills(w.a, g, m) {
				w.o.SayAs(model.Intent{Feature: model.AccessSubset, Object: g.Permission.Ref(), Path: "spec.destination"}, model.Unsupported, model.CodeSelector,
					fmt.Sprintf("the labels of %s (%s) also find pods of its account that the permission is not for: nobody is admitted to it by this", m.Ref(), policy.LabelText(m.Finder())),
					"Give the pods a label of their own, and the controller's selector too.")
			}
		}
	}
}

// blinded says what came of a workload whose labels find others: also where nobody was to be admitted, since the others are closed too.
func (w *accessWriter) blinded(m *model.Member) {
	for _, g := range w.grants {
		if !g.Of.Covers(m.Workload) {
			continue
		}
		list := g.Intents
		if len(list) == 0 {
			list = []model.Intent{{Feature: model.AccessCaller, Object: g.Of.Permission.Ref(), Path: "spec.destination"}}
		}
		for _, in := range list {
			level := model.Unsupported
			if w.done[in] || len(g.Intents) == 0 {
				level = model.Approximate // it holds at other workloads, or there is nothing that it loses
			}
			w.o.SayAs(in, level, model.CodeSelector, fmt.Sprintf("the labels of %s (%s) also find pods of another service account: a policy for them admits nobody, to any of these pods",
				m.Ref(), policy.LabelText(m.Finder())), "Give the pods a label of their own, and the controller's selector too.")
		}
	}
}
