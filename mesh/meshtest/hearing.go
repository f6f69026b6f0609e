// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// question is a request with the answer of the evaluator, which is worked out once and held against many outputs.
type question struct {
	*model.Request
	shares map[string]float64 // where SMI sends it, by service and port; nil: the caller goes past the route
	doors  []door             // the workloads to which it may go
}

type door struct {
	workload  *model.Workload
	port      uint16
	permitted bool
	beside    bool // of the port that is asked: the workload may speak another protocol there, and refuse more
	why       string
}

// hearing holds one world's questions against what a driver said of it.
type hearing struct {
	subject  *Subject
	world    World
	said     *translated
	sound    bool // no labels find what they should not, which would narrow what others admit
	routes   map[model.Name]*model.Route
	accesses map[model.Identity]*model.Access
}

func (s *Subject) hearing(w World) *hearing {
	h := &hearing{subject: s, world: w, said: translate(s.Driver, w.Store), sound: true, routes: map[model.Name]*model.Route{}, accesses: map[model.Identity]*model.Access{}}
	for _, list := range h.said.findings {
		h.sound = h.sound && !slices.ContainsFunc(list, func(f model.Finding) bool { return f.Code == model.CodeSelector })
	}
	return h
}

// carried says whether the mesh carries a request at all, or says that it does not.
func (h *hearing) carried(q *model.Request) bool {
	return q.Layer != model.LayerDatagram || h.subject.Driver.Claim(model.AccessDatagram).Level == model.Exact
}

// question asks the evaluator.
func (h *hearing) question(q *model.Request) *question {
	route := h.routes[q.Service]
	if route == nil {
		route, _ = model.JoinRoute(h.world.Store, q.Service)
		h.routes[q.Service] = route
	}
	port, err := route.PortFor(q)
	if err != nil {
		panic(err) // requests are made for ports that are there
	}
	shares, _ := route.Choose(port, q)
	out, total := &question{Request: q, shares: map[string]float64{}}, 0.0
	for _, sh := range shares {
		total += float64(sh.Weight)
	}
	for _, sh := range shares {
		if sh.Weight > 0 {
			out.shares[key(sh.Service, sh.Port.Number)] = float64(sh.Weight) / total
		}
	}
	for _, a := range port.Arms {
		shares = append(slices.Clone(shares), a.Shares...)
	}
	h.enter(out, shares)
	if q.Layer == model.LayerStream && !port.Protocol.CarriesBytes() { // bytes where requests are spoken: they may well be refused
		out.shares = nil
		for i := range out.doors {
			out.doors[i].beside = true
		}
	}
	if svc := h.world.Store.Service(q.Service); direct(q, svc, h.world.Store.Settings()) {
		out.shares = nil
	}
	if h.closed() {
		out.doors = append(out.doors, door{stranger(q.Service.Namespace), 8080, false, false, "refused: the mesh is closed, and nothing is known of this workload"})
	}
	return out
}

// direct says whether a request names a host that is not the Service's: nobody reaches the Service by it, but its pods.
func direct(q *model.Request, svc *model.Service, s *model.Settings) bool {
	return q.Host != "" && q.Host != s.Host(svc.Name) && !strings.HasPrefix(s.Host(svc.Name), q.Host+".")
}

// enter lists the workloads behind some services, chosen now or not: at the port that is asked, and at the others that they declare, for a
// caller may go past the route.
func (h *hearing) enter(out *question, shares []model.Share) {
	type at struct {
		workload *model.Workload
		port     uint16
	}
	seen := map[at]bool{}
	for _, sh := range shares {
		for _, wl := range h.world.Store.Selected(sh.Service) {
			ports := []uint16{wl.TargetPort(sh.Port)}
			for _, p := range wl.Ports {
				if p.Protocol != model.UDP && out.Layer != model.LayerDatagram {
					ports = append(ports, p.Number)
				}
			}
			for i, n := range ports {
				if n == 0 || seen[at{wl, n}] {
					continue
				}
				seen[at{wl, n}] = true
				permitted, _, why := h.access(wl.Identity()).Admit(wl, n, out.Request, out.Host)
				out.doors = append(out.doors, door{wl, n, permitted, i > 0, why})
			}
		}
	}
}

// closed says whether the mesh refuses at workloads that no driver has heard of.
func (h *hearing) closed() bool {
	return h.world.Store.Settings().Access == model.AccessDeny && h.subject.Driver.Claim(model.AccessClosed).Level == model.Exact
}

// stranger is a workload that is not in any world.
func stranger(namespace string) *model.Workload {
	return &model.Workload{Kind: model.KindPod, Name: model.Name{Namespace: namespace, Name: "stranger"}, Labels: map[string]string{"app": "stranger"}, Account: "stranger"}
}

func (h *hearing) access(id model.Identity) *model.Access {
	a := h.accesses[id]
	if a == nil {
		a, _ = model.JoinAccess(h.world.Store, id)
		h.accesses[id] = a
	}
	return a
}

// wider says where objects admit what is not permitted, whatever the driver says of its exactness.
func (h *hearing) wider(objs []mesh.Object, q *question) string {
	for _, d := range q.doors {
		if !d.permitted && h.subject.Judge.Admit(objs, h.world.Store, d.workload, d.port, q.Request) {
			return "admits what is not permitted " + d.at()
		}
	}
	return ""
}

// wrong says where objects do not do what SMI means, though the driver says that it is exact. A caller without an identity may be asked
// for one.
func (h *hearing) wrong(objs []mesh.Object, q *question) string {
	if q.shares != nil && !h.inexact(store.Unit{Kind: store.UnitRoute, Name: q.Service}) {
		got, err := h.subject.Judge.Route(objs, h.world.Store, q.Request)
		if err != nil {
			return "cannot be judged: " + err.Error()
		}
		if !near(got, q.shares) {
			return fmt.Sprintf("sends it to %v, SMI to %v", got, q.shares)
		}
	}
	if !h.sound || q.From.ServiceAccount == "" && q.SPIFFE == "" {
		return ""
	}
	for _, d := range q.doors {
		id := d.workload.Identity()
		unit := store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}}
		if d.permitted && !d.beside && !h.inexact(unit) && !h.subject.Judge.Admit(objs, h.world.Store, d.workload, d.port, q.Request) {
			return "refuses what is permitted " + d.at()
		}
	}
	return ""
}

// inexact says whether the driver said of a wish of a unit that it is not exact, beyond what the judge takes as given.
func (h *hearing) inexact(u store.Unit) bool {
	return slices.ContainsFunc(h.said.findings[u], func(f model.Finding) bool {
		return f.Wish && f.Level >= model.Approximate && (h.subject.Given == nil || !h.subject.Given(h.world.Store, u, f))
	})
}

func (d *door) at() string {
	return fmt.Sprintf("(at %s port %d: %s)", d.workload.Ref(), d.port, d.why)
}

func (h *hearing) tell(q *question, problem string) string {
	caller := q.From.String()
	if q.SPIFFE != "" {
		caller = q.SPIFFE
	}
	return fmt.Sprintf("world %s: %s %s from %s to %s port %d %s headers %v: %s %s", h.world.Name, q.Method, q.Path, caller, q.Service, q.Port, q.Host, q.Headers, h.subject.Driver.Name, problem)
}

func near(got, want map[string]float64) bool {
	same := len(got) == len(want)
	for k, v := range want {
		same = same && math.Abs(got[k]-v) < 1e-6
	}
	return same
}

// key is how a judge names a service's port.
func key(service model.Name, port uint16) string { return fmt.Sprintf("%s:%d", service, port) }

func wishes(list []model.Finding) bool {
	return slices.ContainsFunc(list, func(f model.Finding) bool { return f.Wish && f.Level >= model.Approximate })
}
