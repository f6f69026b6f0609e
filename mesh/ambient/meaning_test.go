// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// labelled is the waypoint that a Service uses where its owner did what the findings ask: that of the account of its workloads, where
// a waypoint was written for it, or where the Service has routes.
func labelled(objs []mesh.Object, s *store.Store, q *model.Request) (name model.Name, uses bool) {
	behind := s.Selected(q.Service)
	if len(behind) == 0 {
		return model.Name{Namespace: q.Service.Namespace, Name: "waypoint"}, true
	}
	name = model.Name{Namespace: q.Service.Namespace, Name: waypointName(behind[0].Account)}
	for i := range objs {
		o := &objs[i]
		uses = uses || o.Kind == "Gateway" && o.Name == name || (o.Kind == "HTTPRoute" || o.Kind == "TCPRoute") && o.Name.Namespace == q.Service.Namespace && cutDot(o.Name.Name) == q.Service.Name
	}
	return name, uses
}

func cutDot(s string) string {
	if i := slices.Index([]byte(s), '.'); i >= 0 {
		return s[:i]
	}
	return s
}

// TestLabelled holds that a permission is met exactly, and not only never exceeded, where Services use the waypoints that the findings name and one
// account answers for all of a Service.
func TestLabelled(t *testing.T) {
	var direct, through, admitted, refused int
	for _, w := range meshtest.Worlds(meshtest.Cases(t)) {
		objs, said := say(w.Store)
		for _, q := range meshtest.Requests(w.Store, 80) {
			v, err := model.Evaluate(w.Store, q)
			if err != nil || q.Layer == model.LayerDatagram || q.From.ServiceAccount == "" || !oneAccount(w.Store, q, v) {
				continue
			}
			way, uses := labelled(objs, w.Store, q)
			j := newJudge(objs, w.Store, q)
			for _, o := range v.Backends {
				for _, wl := range w.Store.Selected(o.Service) {
					if slices.ContainsFunc(said[wl.Identity()], inexact) {
						continue
					}
					port := wl.TargetPort(w.Store.Service(o.Service).Port(o.Port))
					a, _ := model.JoinAccess(w.Store, wl.Identity())
					want, _, why := a.Admit(wl, port, q, q.Host)
					got := j.direct(wl, port)
					if direct++; uses {
						direct, through = direct-1, through+1
						got = j.through(way, o.Port, wl, port)
					}
					if got != want {
						t.Fatalf("world %s: %s %s %s from %s to %s port %d: admitted is %v, and should be %v (%s)", w.Name, q.Service, q.Method, q.Path, q.From, wl.Ref(), port, got, want, why)
					}
					if admitted++; !got {
						admitted, refused = admitted-1, refused+1
					}
				}
			}
		}
	}
	t.Logf("%d directly and %d through a waypoint; %d admitted, %d refused", direct, through, admitted, refused)
	if direct < 500 || through < 500 || admitted < 500 || refused < 500 {
		t.Error("the test tests too little")
	}
}

// oneAccount says whether the pods of a Service, and those that its splits lead to, run as one account.
func oneAccount(s *store.Store, q *model.Request, v *model.Verdict) bool {
	list := slices.Clone(s.Selected(q.Service))
	for _, o := range v.Backends {
		list = append(list, s.Selected(o.Service)...)
	}
	return len(list) > 0 && !slices.ContainsFunc(list, func(w *model.Workload) bool { return w.Identity() != list[0].Identity() })
}

// inexact says whether a finding says more than on which way callers are admitted.
func inexact(f model.Finding) bool {
	return f.Level > model.Approximate || f.Level == model.Approximate && f.Feature != model.AccessCaller || f.Code == model.CodeSelector
}

func say(s *store.Store) (objs []mesh.Object, said map[model.Identity][]model.Finding) {
	said = map[model.Identity][]model.Finding{}
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var o *mesh.Output
		switch u.Kind {
		case store.UnitRoute:
			r, _ := model.JoinRoute(s, u.Name)
			o = Driver.Routes(r)
		case store.UnitAccess:
			id := model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name}
			a, _ := model.JoinAccess(s, id)
			o = Driver.Accesses(a)
			said[id] = o.Findings
		case store.UnitSettings:
			o = Driver.Globals(s.Settings())
		default:
			continue
		}
		objs = append(objs, o.Objects...)
	}
	return objs, said
}
