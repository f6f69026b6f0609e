// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what ambient mode is told as SMI. Who may call pods is what their policies say, and behind a waypoint that they admit what is said
// there. A condition that SMI cannot say removes what it restricts: what is read allows no more than what was written.
func importAll(in *mesh.Input) {
	r := reader{in: in, at: map[model.Name][]*native{}, barred: map[string]bool{}}
	routes := gateway.NewReader(in)
	for _, o := range in.Objects {
		group, _, _ := strings.Cut(o.APIVersion, "/")
		switch {
		case group == gateway.Group && routes.Route(o):
		case group == gateway.Group && o.Kind == kindGateway && isWaypoint(o):
		case group == "security.istio.io" && o.Kind == policy.Kind:
			r.policy(o)
		case group == "security.istio.io" && o.Kind == "PeerAuthentication":
			in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec", "SMI does not speak of the mode of mTLS: callers are known by certificate in any", "")
		case group == gateway.Group, strings.HasSuffix(group, "istio.io"):
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
	routes.Splits()
	r.permissions()
}

// isWaypoint says whether a Gateway is one: SMI has no need of it, for permissions and splits say when there has to be one.
func isWaypoint(o *object.Object) bool {
	var v struct {
		Spec struct {
			Class string `json:"gatewayClassName"`
		} `json:"spec"`
	}
	o.Decode(&v) // what else it says does not make it another
	return v.Spec.Class == class
}

// native is a policy as it was read.
type native struct {
	o         *object.Object
	spec      policy.Policy
	sound     bool
	workloads []*model.Workload // of one for pods
}

type reader struct {
	in     *mesh.Input
	pods   []*native
	at     map[model.Name][]*native // at waypoints
	barred map[string]bool          // namespaces where a waypoint refuses what SMI cannot say
}

// leave reports a part that was not understood, once.
func (r *reader) leave(o *object.Object, path, message string) {
	if !slices.ContainsFunc(r.in.Findings, func(f model.Finding) bool {
		return f.Object.Name == model.Name{Namespace: o.Namespace, Name: o.Name} && f.Path == path && f.Message == message
	}) {
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, path, message, "")
	}
}

// policy reads one policy, for pods or for waypoints.
func (r *reader) policy(o *object.Object) {
	if o.Annotations["istio.io/dry-run"] == "true" {
		r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "metadata.annotations", "the policy is a dry run and has no effect: it is left out", "")
		return
	}
	var v struct {
		Spec policy.Policy `json:"spec"`
	}
	n := native{o: o, sound: true}
	for _, p := range o.Decode(&v) {
		n.sound = false
		r.leave(o, p.Path, "this is nothing that SMI could say: "+p.Message)
	}
	n.spec = v.Spec
	switch n.spec.Action {
	case "AUDIT":
		r.leave(o, "spec.action", "SMI does not log: the policy is left out")
		return
	case "", "ALLOW":
	default:
		n.sound = false
		r.leave(o, "spec.action", "SMI permits and does not refuse: what is left of other permissions is not known, and none is read")
	}
	switch {
	case len(n.spec.Targets) > 0:
		r.target(&n)
	case o.Namespace == policy.Root && n.spec.Selector == nil && len(n.spec.Rules) == 0 && n.sound:
		s := *r.in.World.Settings()
		s.Access = model.AccessDeny
		r.in.Add(&s)
	default:
		if n.workloads = r.selected(&n); len(n.workloads) == 0 {
			r.in.Leave(o, model.Unsupported, model.CodeNativeAmbiguous, "spec.selector", "which workloads the policy speaks of is not known: SMI needs their service accounts",
				"Add the Deployments, StatefulSets, DaemonSets or Pods to the input.")
			return
		}
		r.pods = append(r.pods, &n)
	}
}

// target puts a policy to the waypoints that it names.
func (r *reader) target(n *native) {
	for i, t := range n.spec.Targets {
		if t.Group == gateway.Group && t.Kind == kindGateway && n.sound {
			at := model.Name{Namespace: n.o.Namespace, Name: t.Name}
			r.at[at] = append(r.at[at], n)
			continue
		}
		if n.spec.Action != "" && n.spec.Action != "ALLOW" || !n.sound {
			r.barred[n.o.Namespace] = true
		}
		r.leave(n.o, fmt.Sprintf("spec.targetRefs[%d]", i), "SMI permits at the workload, and not at the Service or gateway that is called: it is left out there")
	}
}

// selected lists the workloads of a policy: of its namespace, or of all where it is in the root namespace.
func (r *reader) selected(n *native) (out []*model.Workload) {
	all, ok := r.in.World.(interface {
		Facts(yield func(model.Fact) bool)
	})
	if !ok {
		return nil
	}
	for f := range all.Facts {
		w, ok := f.(*model.Workload)
		if ok && (n.o.Namespace == policy.Root || n.o.Namespace == w.Name.Namespace) && (n.spec.Selector == nil || len(n.spec.Selector.MatchLabels) == 0 || model.Selects(n.spec.Selector.MatchLabels, w.Labels)) {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// permissions says what the policies grant, account by account. Even where nothing is granted the account is closed.
func (r *reader) permissions() {
	var ids []model.Identity
	for _, p := range r.pods {
		for _, w := range p.workloads {
			if !slices.Contains(ids, w.Identity()) {
				ids = append(ids, w.Identity())
			}
		}
	}
	slices.SortFunc(ids, model.Identity.Compare)
	for _, id := range ids {
		list, alike := r.of(id)
		a := account{reader: r, id: id}
		a.ports()
		for _, p := range list {
			switch {
			case !alike:
				r.leave(p.o, "spec.selector", "the workloads of "+id.String()+" are not all called alike, and SMI knows them by their account: it is closed, and none of these rules is read")
			case slices.ContainsFunc(list, func(o *native) bool { return !o.sound }):
				r.leave(p.o, "spec.rules", "another policy for these workloads is not understood: none of these rules is read")
			default:
				a.pods(p)
			}
		}
		a.say()
	}
}

// of lists the policies of an account's workloads, and says whether these are the same, in what they say, for all of them.
func (r *reader) of(id model.Identity) (list []*native, alike bool) {
	var first string
	alike = true
	for i, w := range sorted(r.in.World.Workloads(id)) {
		var texts []string
		for _, p := range r.pods {
			if !slices.Contains(p.workloads, w) {
				continue
			}
			text, err := json.Marshal(p.spec.Rules)
			if err != nil {
				panic(err)
			}
			texts = append(texts, string(text))
			if i == 0 || !slices.Contains(list, p) && !alike {
				list = append(list, p)
			}
		}
		slices.Sort(texts) // two that say the same are one: the labels of one workload may find those of another
		if all := strings.Join(slices.Compact(texts), "\n"); i == 0 {
			first = all
		} else if all != first {
			alike = false
		}
	}
	return list, alike
}

func sorted(list []*model.Workload) []*model.Workload {
	return slices.SortedFunc(slices.Values(list), func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
}
