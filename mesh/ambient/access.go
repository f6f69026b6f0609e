// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
)

const (
	kindGateway = "Gateway"
	class       = "istio-waypoint"
	requests    = ".requests" // what the policy at a waypoint is called by: no policy of a workload ends so
)

// waypointName is the name of an account's waypoint, and of the account as which it runs itself. It is the name of a Service too, which has no
// dots: an account that has any is told from others by more than its letters.
func waypointName(account string) string {
	if plain := strings.ReplaceAll(account, ".", "-"); plain != account {
		h := fnv.New32a()
		h.Write([]byte(account))
		account = fmt.Sprintf("%.40s-%08x", plain, h.Sum32())
	}
	return policy.Short("waypoint-"+account, 63)
}

// access says for each closed workload of an identity who may call it: by way of the identity's waypoint, or directly.
func access(a *model.Access, o *mesh.Output) {
	if a.Identity.ServiceAccount == "" || !slices.ContainsFunc(a.Workloads, func(m model.Member) bool { return a.Closed(m.Workload) }) {
		return
	}
	w := writer{a: a, o: o, done: map[model.Intent]bool{}, waypoint: waypointName(a.Identity.ServiceAccount)}
	w.ports()
	w.read()
	w.requests() // first: what admits the waypoint comes after what the waypoint admits
	for i := range a.Workloads {
		if m := &a.Workloads[i]; a.Closed(m.Workload) {
			w.workload(m)
		}
	}
	w.leave()
}

// writer says the permissions of one identity.
type writer struct {
	a        *model.Access
	o        *mesh.Output
	waypoint string
	open     model.Ports         // on which the waypoint may call the pods
	called   map[uint16][]uint16 // target ports by the number of the Services' ports that lead to them
	grants   []grant
	blurred  bool                  // a port of a Service leads to more ports than are meant
	done     map[model.Intent]bool // wishes that some rule carries
}

// grant is one permission as it is said at both places.
type grant struct {
	policy.Grant              // at the waypoint
	direct       *policy.Rule // at the pods; nil: nobody may call them directly
}

// ports finds out which ports of the pods the waypoint may call, and by which ports of Services they are called.
func (w *writer) ports() {
	w.called = map[uint16][]uint16{}
	for i := range w.a.Grants {
		if g := &w.a.Grants[i]; g.Subset == nil && len(g.Sources) > 0 {
			w.open = w.open.Union(g.Stream)
			if len(g.HTTP) > 0 {
				w.open = w.open.Union(g.HTTPPorts)
			}
		}
	}
	for i := range w.a.Workloads {
		for _, l := range w.a.Workloads[i].Listens {
			for _, n := range l.Called {
				if !slices.Contains(w.called[n], l.Number) {
					w.called[n] = append(w.called[n], l.Number)
				}
			}
		}
	}
}

// numbers says ports of pods as a waypoint sees them, which are those of the Services: one that leads to several ports of pods only where all
// that the waypoint may call are meant. None where the pods themselves need no telling.
func (w *writer) numbers(p model.Ports) (list []string, ok bool) {
	if p.Any || !w.open.Any && len(w.open.Intersect(p).List) == len(w.open.List) {
		return nil, true
	}
	var out []uint16
	for n, targets := range w.called {
		mine, others := false, false
		for _, t := range targets {
			mine = mine || p.Has(t)
			others = others || !p.Has(t) && w.open.Has(t)
		}
		if mine && !others {
			out = append(out, n)
		}
		w.blurred = w.blurred || mine && others
	}
	slices.Sort(out)
	for _, n := range out {
		list = append(list, strconv.Itoa(int(n)))
	}
	return list, len(list) > 0
}

// read says each permission at both places. One for some of an identity's workloads is not said at the waypoint, which would let through
// to all of them.
func (w *writer) read() {
	says := policy.Writer{A: w.a, O: w.o, Ports: w.numbers, Stranger: stranger}
	for i := range w.a.Grants {
		g := &w.a.Grants[i]
		out := grant{Grant: says.Grant(g)}
		if g.Subset != nil {
			out.Rules, out.Intents = nil, nil
			says := policy.Writer{A: w.a, O: w.o, Ports: policy.Numbers, Stranger: stranger}
			if only := *g; len(g.HTTP) > 0 || !g.Stream.Empty() {
				only.HTTP, only.HTTPPorts = nil, model.Ports{}
				out.Intents = says.Grant(&only).Intents
			}
		}
		if ports, _ := policy.Numbers(g.Stream); !g.Stream.Empty() && len(out.Callers) > 0 {
			r := policy.Bytes(policy.By(out.Callers...), ports)
			out.direct = &r
		}
		w.grants = append(w.grants, out)
	}
}

// stranger says why ztunnel can never meet a caller.
func stranger(id string) string {
	domain, _, ok := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/ns/")
	if _, form := model.ParseSPIFFE(id, domain); ok && form {
		return ""
	}
	return "ztunnel knows callers as spiffe://domain/ns/namespace/sa/account, and " + id + " is none of these: it is left out"
}

// passes says whether the waypoint has anybody to let through, and anything to let them to.
func (w *writer) passes() bool {
	told := func(m model.Member) bool { return !m.Ambiguous && w.a.Closed(m.Workload) }
	return slices.ContainsFunc(w.a.Workloads, told) && slices.ContainsFunc(w.grants, func(g grant) bool { return len(g.Rules) > 0 })
}

// workload says the policy at the pods of one workload. Where its labels find pods of another identity too, a rule would open those as
// well: then nobody is admitted, which closes them too and is the less harm.
func (w *writer) workload(m *model.Member) {
	var rules []policy.Rule
	for i := range w.grants {
		g := &w.grants[i]
		if m.Ambiguous || !g.Of.Covers(m.Workload) || policy.Spills(w.a, g.Of, m) {
			continue
		}
		if g.direct != nil {
			rules = append(rules, *g.direct)
		}
		for _, in := range g.Intents {
			w.done[in] = true
		}
	}
	if w.passes() && !m.Ambiguous {
		ports, _ := policy.Numbers(w.open)
		self := model.Identity{Namespace: w.a.Identity.Namespace, ServiceAccount: w.waypoint}
		rules = append([]policy.Rule{policy.Bytes(policy.By(strings.TrimPrefix(self.SPIFFE(w.a.Settings.TrustDomain), "spiffe://")), ports)}, rules...)
	}
	policy.Write(w.o, model.Name{Namespace: m.Name.Namespace, Name: policy.Name(m.Ref())}, policy.Of(m), rules)
}

// requests says the policy at the waypoint, and the waypoint itself where it is needed to look into requests. Where all is permitted by port
// alone the waypoint is the user's to have, for a split, and the policy waits for it.
func (w *writer) requests() {
	if !w.passes() {
		return
	}
	n := model.Name{Namespace: w.a.Identity.Namespace, Name: w.waypoint}
	var rules []policy.Rule
	looks := false
	for i := range w.grants {
		g := &w.grants[i]
		rules = append(rules, g.Rules...)
		looks = looks || len(g.Rules) > 0 && g.Of.Stream.Empty()
	}
	if looks {
		w.o.Add(mesh.Object{APIVersion: gateway.V1, Kind: kindGateway, Name: n, Labels: map[string]string{"istio.io/waypoint-for": "service"},
			Spec: gatewaySpec{class, []listener{{"mesh", 15008, "HBONE"}}}})
	}
	at := policy.Policy{Targets: []policy.Target{{Group: gateway.Group, Kind: kindGateway, Name: w.waypoint}}}
	policy.Write(w.o, model.Name{Namespace: n.Namespace, Name: w.waypoint + requests}, at, rules)
}

// gatewaySpec is a waypoint's.
type gatewaySpec struct {
	Class     string     `json:"gatewayClassName"`
	Listeners []listener `json:"listeners"`
}

type listener struct {
	Name     string `json:"name"`
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
}

// leave says what came of each wish.
func (w *writer) leave() {
	for i := range w.grants {
		if g := &w.grants[i]; g.Of.Subset != nil && len(g.Of.HTTP) > 0 {
			w.some(g.Of)
		}
	}
	for i := range w.a.Workloads {
		if m := &w.a.Workloads[i]; m.Ambiguous && w.a.Closed(m.Workload) {
			w.blinded(m)
		}
	}
	for i := range w.grants {
		if g := &w.grants[i]; len(g.Rules) > 0 && g.Of.Stream.Empty() && w.passes() {
			w.label(g.Of)
		}
	}
	w.spilt()
	for in := range w.a.Intents {
		if w.done[in] && in.Feature == model.AccessPort && w.blurred {
			w.o.Say(in, model.Approximate, "a port of a Service leads to several ports of the pods, and a waypoint knows that of the Service alone: where not all of them are meant it is refused", "")
		}
		if !w.done[in] && in.Feature != model.AccessClosed && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this: no caller, no request, or no port that it goes together with can be said", "")
		}
	}
}

// label says what the permissions of a grant wait for.
func (w *writer) label(g *model.Grant) {
	for i := range g.Sources {
		if s := &g.Sources[i]; s.Pods == nil && w.done[s.Intent(g)] {
			w.o.SayAs(s.Intent(g), model.Approximate, model.CodeNeeds, fmt.Sprintf("admitted by way of waypoint %s alone, by Services that use it: calls to the pods themselves are refused, and so is what another waypoint passes on, as at a split between accounts", w.waypoint),
				"Label the Services before these workloads istio.io/use-waypoint: "+w.waypoint+".")
		}
	}
}

// some says of a permission for some of an identity's workloads that requests cannot be permitted so.
func (w *writer) some(g *model.Grant) {
	const why = "a waypoint stands before all workloads of an account, and cannot permit requests to some of them: they stay refused"
	for i := range g.HTTP {
		w.o.SayAll(g.HTTP[i].Intents, model.Unsupported, why, "Give those workloads a service account of their own.")
	}
}

// spilt says of permissions for some of an account's workloads that their labels find others too.
func (w *writer) spilt() {
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
func (w *writer) blinded(m *model.Member) {
	for i := range w.grants {
		g := &w.grants[i]
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
