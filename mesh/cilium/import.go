// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what Cilium is told as SMI. A condition that SMI cannot say removes what it restricts: what is read allows no more than
// what was written.
func importAll(in *mesh.Input) {
	r := reader{in: in}
	routes := gateway.NewReader(in)
	for _, o := range in.Objects {
		group, _, _ := strings.Cut(o.APIVersion, "/")
		switch {
		case group == gateway.Group && routes.Route(o):
		case group == "cilium.io" && o.Kind == kindPolicy:
			r.policy(o)
		case group == "cilium.io" && o.Kind == kindCluster:
			r.cluster(o)
		case group == gateway.Group, group == "cilium.io":
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
	routes.Splits()
	r.permissions()
}

// reader makes facts of native objects.
type reader struct {
	in       *mesh.Input
	policies []*native
	barred   string // why no permission at all is read; empty: nothing
}

// native is a policy as it was read, with what it selects.
type native struct {
	o         *object.Object
	spec      policy
	faults    []object.Problem
	pods      map[string]string // by which it selects, beside the account
	account   string            // that it selects; empty: any
	workloads []*model.Workload
	bars      bool // it refuses what SMI cannot say
}

func (r *reader) leave(o *object.Object, path, message, hint string) {
	r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, path, message, hint)
}

// below says whether there is a fault at a place or below it.
func (n *native) below(path string) bool {
	return slices.ContainsFunc(n.faults, func(p object.Problem) bool {
		rest, ok := strings.CutPrefix(p.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (r *reader) decode(o *object.Object) *native {
	var v struct {
		Spec policy `json:"spec"`
	}
	n := &native{o: o, faults: o.Decode(&v)}
	n.spec = v.Spec
	for _, p := range n.faults {
		message, hint := p.Message, p.Hint
		if p.Code == model.CodeUnknownField {
			message, hint = "SMI has no word for "+p.Path[strings.LastIndexByte(p.Path, '.')+1:], ""
		}
		r.leave(o, p.Path, message, hint)
	}
	n.bars = n.below("spec.ingressDeny") || n.below("spec.endpointSelector")
	return n
}

// policy reads one policy, and finds its workloads. What it grants is said when all policies are read.
func (r *reader) policy(o *object.Object) {
	n := r.decode(o)
	switch {
	case n.spec.Endpoints == nil:
		if !n.below("spec.nodeSelector") && !n.below("specs") {
			r.leave(o, "spec.endpointSelector", "the policy selects no endpoints: it is left out", "")
		}
		return
	case len(n.spec.Ingress) == 0 && !n.bars:
		return // of what pods call: reported
	}
	plain := n.selection()
	for f := range r.all() {
		if w, ok := f.(*model.Workload); ok && w.Name.Namespace == o.Namespace && n.selects(w) {
			n.workloads = append(n.workloads, w)
		}
	}
	slices.SortFunc(n.workloads, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	if len(n.workloads) == 0 && (!plain || n.account == "" || len(n.pods) > 0) {
		r.in.Leave(o, model.Unsupported, model.CodeNativeAmbiguous, "spec.endpointSelector", "which workloads the policy speaks of is not known: SMI needs their service accounts",
			"Add the Deployments, StatefulSets, DaemonSets or Pods to the input.")
		return
	}
	r.policies = append(r.policies, n)
}

// all yields the facts of the world, where it can tell them.
func (r *reader) all() func(func(model.Fact) bool) {
	if w, ok := r.in.World.(interface{ Facts(func(model.Fact) bool) }); ok {
		return w.Facts
	}
	return func(func(model.Fact) bool) {}
}

// selection reads a selector as an account and labels of pods; false where it is more than that.
func (n *native) selection() bool {
	labels, account, namespace, ok := readSelector(n.spec.Endpoints, n.o.Namespace)
	n.pods, n.account = labels, account
	return ok && namespace == n.o.Namespace
}

// readSelector reads labels as whose they are; false where there is one that is none of a pod's own, or an expression.
func readSelector(s *selector, own string) (pods map[string]string, account, namespace string, ok bool) {
	pods, namespace, ok = map[string]string{}, own, len(s.Expressions) == 0
	for k, v := range s.Labels {
		switch k := bare(k); {
		case source+k == accountLabel:
			account = v
		case source+k == namespaceLabel:
			namespace = v
		case unseen(k) || strings.Contains(k, ":"):
			ok = false
		default:
			pods[k] = v
		}
	}
	return pods, account, namespace, ok
}

// bare is a label without the source that Cilium has it from.
func bare(key string) string {
	return strings.TrimPrefix(strings.TrimPrefix(key, source), "any:")
}

// selects says whether a policy selects a workload of its namespace.
func (n *native) selects(w *model.Workload) bool {
	labels := map[string]string{bare(namespaceLabel): w.Name.Namespace, bare(accountLabel): w.Account}
	for k, v := range w.Labels {
		if !unseen(k) {
			labels[k] = v
		}
	}
	for k, v := range n.spec.Endpoints.Labels {
		if got, ok := labels[bare(k)]; !ok || got != v {
			return false
		}
	}
	for _, e := range n.spec.Endpoints.Expressions {
		got, ok := labels[bare(e.Key)]
		in := ok && slices.Contains(e.Values, got)
		if met, known := map[string]bool{"In": in, "NotIn": !in, "Exists": ok, "DoesNotExist": !ok}[e.Operator]; known && !met {
			return false
		}
	}
	return true
}

// cluster reads a policy of the cluster: one that admits nobody to any namespace, or to all but some, is a closed mesh.
func (r *reader) cluster(o *object.Object) {
	n := r.decode(o)
	everywhere := n.spec.Endpoints != nil && len(n.spec.Endpoints.Labels) == 0
	if everywhere {
		for _, e := range n.spec.Endpoints.Expressions {
			everywhere = everywhere && source+bare(e.Key) == namespaceLabel && (e.Operator == "Exists" || e.Operator == "NotIn")
		}
	}
	if everywhere && len(n.faults) == 0 && len(n.spec.Ingress) == 1 && n.spec.Ingress[0].empty() {
		s := *r.in.World.Settings()
		s.Access = model.AccessDeny
		r.in.Add(&s)
		return
	}
	if n.bars {
		r.barred = kindCluster + " " + o.Name + " refuses what SMI cannot say"
	}
	if len(n.faults) == 0 {
		r.leave(o, "spec", "SMI speaks of one namespace at a time: the policy is left out", "")
	}
}

func (i *ingress) empty() bool {
	return len(i.From) == 0 && len(i.Ports) == 0 && i.Authentication == nil
}

// permissions says what the policies grant, each at every account that it selects. Even one that grants nothing closes it.
func (r *reader) permissions() {
	for _, n := range r.policies {
		why := r.barred
		for _, o := range r.policies {
			if o.bars && o != n && slices.ContainsFunc(n.workloads, func(w *model.Workload) bool { return slices.Contains(o.workloads, w) }) {
				why = kindPolicy + " " + o.o.Name + " refuses what SMI cannot say"
			}
		}
		if n.bars {
			why = "the policy refuses what SMI cannot say"
		}
		if why != "" {
			r.leave(n.o, "spec.ingress", why+": none of these rules is read, and the workloads are closed", "")
		}
		for _, to := range r.destinations(n) {
			before := len(r.in.Facts)
			if why == "" {
				r.grants(n, to)
			}
			if !slices.ContainsFunc(r.in.Facts[before:], func(f model.Fact) bool { return f.Ref().Kind == model.KindPermission }) {
				r.in.Add(&model.Permission{Name: r.name(model.KindPermission, n, to), Destination: to})
			}
		}
	}
}

// destinations are the accounts that a policy selects whole, and a binding for those of which it selects some workloads.
func (r *reader) destinations(n *native) (out []model.Subject) {
	if len(n.workloads) == 0 || n.account != "" && len(n.pods) == 0 && len(n.spec.Endpoints.Expressions) == 0 {
		return []model.Subject{{Kind: model.KindServiceAccount, Namespace: n.o.Namespace, Name: n.account}}
	}
	part := false
	seen := map[string]bool{}
	for _, w := range n.workloads {
		if seen[w.Account] {
			continue
		}
		seen[w.Account] = true
		if slices.ContainsFunc(r.in.World.Workloads(w.Identity()), func(o *model.Workload) bool { return !slices.Contains(n.workloads, o) }) {
			part = true
			continue
		}
		out = append(out, model.Subject{Kind: model.KindServiceAccount, Namespace: n.o.Namespace, Name: w.Account})
	}
	if !part {
		return out
	}
	found := r.in.World.Labelled(n.o.Namespace, n.pods)
	if len(n.spec.Endpoints.Expressions) > 0 || len(n.pods) == 0 || slices.ContainsFunc(found, func(w *model.Workload) bool { return !slices.Contains(n.workloads, w) }) {
		r.leave(n.o, "spec.endpointSelector", "the policy selects some workloads of an account by what SMI cannot say: it is left out there, and they are no longer closed by it", "")
		return out
	}
	b := &model.Binding{Name: r.in.Free(model.KindBinding, model.Name{Namespace: n.o.Namespace, Name: n.o.Name}), Pods: n.pods}
	r.in.Add(b)
	return []model.Subject{{Kind: model.KindBinding, Namespace: b.Name.Namespace, Name: b.Name.Name}}
}

// name is one that no fact of the kind has yet.
func (r *reader) name(k model.Kind, n *native, to model.Subject) model.Name {
	return r.in.Free(k, model.Name{Namespace: to.Namespace, Name: cmp.Or(n.o.Name, "policy")})
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
