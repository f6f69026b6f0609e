// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// nativePolicy is a policy with what it selects. One that refuses what SMI cannot say bars its workloads: nothing is granted there.
type nativePolicy struct {
	o         *object.Object
	spec      policy.Policy
	faults    faults
	workloads []*model.Workload
	bars      bool
}

// policy reads one policy, and finds its workloads. What it grants is said when all policies are read.
func (r *reader) policy(o *object.Object) {
	if o.Annotations["istio.io/dry-run"] == "true" {
		r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "metadata.annotations", "the policy is a dry run and has no effect: it is left out", "")
		return
	}
	var v struct {
		Spec policy.Policy `json:"spec"`
	}
	p := nativePolicy{o: o, faults: r.decode(o, &v)}
	p.spec = v.Spec
	if len(p.spec.Targets) > 0 {
		r.leave(o, "spec.targetRefs", "a gateway or a waypoint asks this policy, and no sidecar: it is left out")
	}
	if len(p.spec.Targets) > 0 || p.faults.below("spec.targetRefs") || p.faults.below("spec.targetRef") {
		return // reported
	}
	switch p.spec.Action {
	case "", "ALLOW":
	case "AUDIT":
		r.leave(o, "spec.action", "SMI does not log: the policy is left out")
		return
	default:
		p.bars = true
		r.leave(o, "spec.action", "SMI permits and does not refuse: what is left of other permissions for these workloads is not known, and none is read")
	}
	if p.everywhere() && len(p.spec.Rules) == 0 && len(p.faults) == 0 && !p.bars {
		s := *r.in.World.Settings()
		s.Access = model.AccessDeny
		r.in.Add(&s)
		return
	}
	if p.faults.below("spec.selector") {
		return // reported
	}
	if p.workloads = r.selected(&p); len(p.workloads) == 0 {
		r.in.Leave(o, model.Unsupported, model.CodeNativeAmbiguous, "spec.selector", "which workloads the policy speaks of is not known: SMI needs their service accounts",
			"Add the Deployments, StatefulSets, DaemonSets or Pods to the input.")
		return
	}
	r.policies = append(r.policies, p)
}

func (p *nativePolicy) labels() map[string]string {
	if p.spec.Selector == nil {
		return nil
	}
	return p.spec.Selector.MatchLabels
}

// everywhere says whether a policy speaks of the whole mesh.
func (p *nativePolicy) everywhere() bool { return p.o.Namespace == policy.Root && len(p.labels()) == 0 }

// selected lists the workloads of a policy: of its namespace, or of all where it is in the root namespace.
func (r *reader) selected(p *nativePolicy) []*model.Workload {
	all, ok := r.in.World.(interface {
		Facts(yield func(model.Fact) bool)
	})
	if !ok {
		return r.in.World.Labelled(p.o.Namespace, p.labels())
	}
	var out []*model.Workload
	for f := range all.Facts {
		if w, ok := f.(*model.Workload); ok && (p.o.Namespace == policy.Root || p.o.Namespace == w.Name.Namespace) && (len(p.labels()) == 0 || model.Selects(p.labels(), w.Labels)) {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// barred says whether a policy that was not understood refuses something at a workload.
func (r *reader) barred(w *model.Workload) bool {
	return slices.ContainsFunc(r.policies, func(p nativePolicy) bool { return p.bars && slices.Contains(p.workloads, w) })
}

// permissions says what the policies grant. Policies of one text for several workloads are one permission where they make up all of an
// account's workloads.
func (r *reader) permissions() {
	done := map[int]bool{}
	for i := range r.policies {
		if done[i] {
			continue
		}
		p := r.policies[i]
		together := slices.Clone(p.workloads)
		for k := i + 1; k < len(r.policies); k++ {
			if o := r.policies[k]; p.same(&o) {
				done[k] = true
				together = append(together, o.workloads...)
			}
		}
		accounts, whole := r.accounts(together)
		if whole {
			for _, id := range accounts {
				at := slices.DeleteFunc(slices.Clone(together), func(w *model.Workload) bool { return w.Identity() != id })
				r.permit(&p, model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount}, at)
			}
			continue
		}
		for k := i; k < len(r.policies); k++ {
			if o := r.policies[k]; k == i || done[k] && p.same(&o) {
				r.bind(&o)
			}
		}
	}
}

// bind says what a policy grants at workloads that are some of an account's: by their labels.
func (r *reader) bind(p *nativePolicy) {
	done := map[string]bool{}
	for _, w := range p.workloads {
		if ns := w.Name.Namespace; !done[ns] {
			done[ns] = true
			b := &model.Binding{Name: r.in.Free(model.KindBinding, model.Name{Namespace: ns, Name: p.o.Name}), Pods: p.labels()}
			r.in.Add(b)
			r.permit(p, model.Subject{Kind: model.KindBinding, Namespace: ns, Name: b.Name.Name}, p.workloads)
		}
	}
}

// same says whether two policies of a namespace differ in their workloads alone.
func (p *nativePolicy) same(o *nativePolicy) bool {
	if p.o.Namespace != o.o.Namespace || p.bars || o.bars || len(p.faults)+len(o.faults) > 0 {
		return p.o == o.o
	}
	a, err := json.Marshal(p.spec.Rules)
	b, err2 := json.Marshal(o.spec.Rules)
	return err == nil && err2 == nil && string(a) == string(b)
}

// accounts lists the accounts of workloads, and says whether these are all workloads of each.
func (r *reader) accounts(list []*model.Workload) (ids []model.Identity, whole bool) {
	whole = true
	for _, w := range list {
		if !slices.Contains(ids, w.Identity()) {
			ids = append(ids, w.Identity())
		}
	}
	slices.SortFunc(ids, model.Identity.Compare)
	for _, id := range ids {
		for _, w := range r.in.World.Workloads(id) {
			whole = whole && slices.Contains(list, w)
		}
	}
	return ids, whole
}

// permit says what one policy grants at a destination. Even one that grants nothing closes it.
func (r *reader) permit(p *nativePolicy, to model.Subject, at []*model.Workload) {
	n := model.Name{Namespace: to.Namespace, Name: p.o.Name}
	before := len(r.in.Facts)
	if !p.bars && slices.ContainsFunc(at, r.barred) {
		r.leave(p.o, "spec.rules", "another policy refuses what SMI cannot say: none of these rules is read")
	} else if !p.bars {
		for i := range p.spec.Rules {
			r.rule(p, i, n, to)
		}
	}
	granted := slices.ContainsFunc(r.in.Facts[before:], func(f model.Fact) bool { return f.Ref().Kind == model.KindPermission })
	if !granted {
		r.in.Add(&model.Permission{Name: r.in.Free(model.KindPermission, n), Destination: to})
	}
}

// rule says one rule, as a permission for each set of ports in it: SMI ties ports to the permission.
func (r *reader) rule(p *nativePolicy, i int, n model.Name, to model.Subject) {
	at := fmt.Sprintf("spec.rules[%d]", i)
	native := &p.spec.Rules[i]
	headers, ok := r.conditions(p, at, native.When)
	sources := r.sources(p, at, native.From)
	if !ok || len(sources) == 0 {
		return
	}
	ops := r.operations(p, at, native.To, headers)
	for len(ops) > 0 {
		ports, web := ops[0].ports, ops[0].match != nil
		name := r.in.Free(model.KindPermission, n)
		perm := &model.Permission{Name: name, Destination: to, Sources: sources}
		var rest []nativeOperation
		var requests []path
		for _, o := range ops {
			if !slices.Equal(o.ports, ports) || (o.match != nil) != web {
				rest = append(rest, o)
			} else if web {
				requests = append(requests, *o.match)
			}
		}
		if web {
			g := routeGroup(requests)
			g.Name = r.in.Free(model.KindGroup, name)
			perm.Rules = append(perm.Rules, model.Rule{Kind: model.KindGroup, Name: g.Name.Name, All: true})
			r.in.Add(g)
		}
		if !web || len(ports) > 0 {
			pr := &model.PortRoute{Kind: model.KindTCPRoute, Name: r.in.Free(model.KindTCPRoute, name), Ports: model.PortSet(ports...)}
			pr.Ports.Any = len(ports) == 0
			perm.Rules = append(perm.Rules, model.Rule{Kind: model.KindTCPRoute, Name: pr.Name.Name, All: true})
			r.in.Add(pr)
		}
		r.in.Add(perm)
		ops = rest
	}
}

// sources reads who may call; a source with a condition that SMI cannot say is nobody.
func (r *reader) sources(p *nativePolicy, at string, list []policy.From) []model.Subject {
	if len(list) == 0 {
		r.leave(p.o, at, "SMI names its callers, and this rule admits all: it is left out")
	}
	var out []model.Subject
	add := func(s model.Subject) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for k, f := range list {
		where := fmt.Sprintf("%s.from[%d]", at, k)
		if p.faults.below("%s", where) {
			continue // reported
		}
		for n, a := range f.Source.ServiceAccounts {
			ns, name, two := strings.Cut(a, "/")
			if !two {
				ns, name = p.o.Namespace, a
			}
			if len(f.Source.Principals) > 0 || strings.Contains(a, "*") {
				r.leave(p.o, fmt.Sprintf("%s.source.serviceAccounts[%d]", where, n), "this is no account that SMI could name: it is left out")
				continue
			}
			add(model.Subject{Kind: model.KindServiceAccount, Namespace: ns, Name: name})
		}
		if len(f.Source.ServiceAccounts) > 0 {
			continue
		}
		for n, id := range f.Source.Principals {
			if s, ok := r.principal(p, id); ok {
				add(s)
				continue
			}
			r.leave(p.o, fmt.Sprintf("%s.source.principals[%d]", where, n), "SMI names each caller, and "+id+" stands for many: it is left out")
		}
	}
	return out
}

// principal reads a caller: an account of our own trust domain, or a SPIFFE ID, which SMI binds to a name.
func (r *reader) principal(p *nativePolicy, id string) (model.Subject, bool) {
	if strings.Contains(id, "*") || id == "" {
		return model.Subject{}, false
	}
	local := id
	if rest, ok := strings.CutPrefix(id, "cluster.local/"); ok { // Istio's word for its own
		local = r.in.World.Settings().TrustDomain + "/" + rest
	}
	if who, ok := model.ParseSPIFFE(local, r.in.World.Settings().TrustDomain); ok {
		return model.Subject{Kind: model.KindServiceAccount, Namespace: who.Namespace, Name: who.ServiceAccount}, true
	}
	b := &model.Binding{Name: r.in.Free(model.KindBinding, model.Name{Namespace: p.o.Namespace, Name: cmp.Or(p.o.Name, "policy") + "-caller"}), SPIFFE: []string{"spiffe://" + id}}
	r.in.Add(b)
	return model.Subject{Kind: model.KindBinding, Namespace: b.Name.Namespace, Name: b.Name.Name}, true
}
