// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func subject(surely bool) meshtest.Subject {
	j := judge{surely: surely}
	return meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: j.route, Admit: j.admit}, Given: given, Same: same, Unnoticed: "of 368 mutants 94.7 % are: conditions on headers beside a path are met too seldom to tell them apart", CRDs: []string{"smi-traefik-mesh-v1.4.8/smi-access.yaml",
		"smi-traefik-mesh-v1.4.8/smi-specs.yaml", "smi-traefik-mesh-v1.4.8/smi-split.yaml"}}
}

// given are the claims that hold for clients which call the mesh by its name, where no backend is split itself, no port of a
// root may carry raw TCP, and no port is told by name.
func given(w *store.Store, u store.Unit, f model.Finding) bool {
	if f.Level != model.Approximate || f.Message != Driver.Claim(f.Feature).Note {
		return false
	}
	switch f.Feature {
	case model.SplitWeight, model.SplitMatch:
		root := w.Service(u.Name)
		return root != nil && !slices.ContainsFunc(root.Ports, func(p model.ServicePort) bool { return p.Protocol.CarriesBytes() }) && !slices.ContainsFunc(w.Splits(u.Name), func(s *model.Split) bool {
			return slices.ContainsFunc(s.Backends, func(b model.Backend) bool {
				n := model.Name{Namespace: u.Name.Namespace, Name: b.Service}
				return n != u.Name && len(w.Splits(n)) > 0
			})
		})
	case model.AccessCaller, model.AccessStream:
		for x := range w.Facts {
			if s, ok := x.(*model.Service); ok && slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool {
				return p.TargetName != "" || f.Feature == model.AccessStream && p.Protocol.CarriesBytes()
			}) {
				return false
			}
		}
		return true
	}
	return false
}

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) { meshtest.Run(t, subject(true)) }

// TestAnyOrder holds that in whatever order rules are asked nothing is admitted that was not permitted.
func TestAnyOrder(t *testing.T) {
	for _, p := range meshtest.Safe(subject(false), meshtest.Worlds(meshtest.Cases(t))) {
		t.Error(p)
	}
}

// asClaimed says whether nothing is said of a unit beyond what is claimed in general: it is approximate everywhere, since clients have to call
// the mesh by its name.
func asClaimed(o *mesh.Output) bool {
	return !slices.ContainsFunc(o.Findings, func(f model.Finding) bool {
		return f.Message != Driver.Claim(f.Feature).Note || f.Level == model.Unsupported
	})
}

// TestMeaning holds that for clients that call the mesh by its name all is as meant, and reads back so, wherever nothing is said beyond the
// claims.
func TestMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	routed, admitted, refused := 0, 0, 0
	for _, w := range meshtest.Worlds(meshtest.Cases(t)) {
		s := w.Store
		var objs []mesh.Object
		units := map[store.Unit]*mesh.Output{}
		for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
			switch u.Kind {
			case store.UnitRoute:
				x, _ := model.JoinRoute(s, u.Name)
				units[u] = Driver.Routes(x)
			case store.UnitAccess:
				x, _ := model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
				units[u] = Driver.Accesses(x)
			default:
				continue
			}
			objs = append(objs, units[u].Objects...)
		}
		j := judge{surely: true}
		var services []*model.Service
		beside := []model.Fact{s.Settings()}
		for f := range s.Facts {
			switch x := f.(type) {
			case *model.Service:
				beside = append(beside, f)
				if len(x.Ports) > 0 {
					services = append(services, x)
				}
			case *model.Workload:
				beside = append(beside, f)
			}
		}
		_, back, _ := imported(t, objs, beside...)
		slices.SortFunc(services, func(a, b *model.Service) int { return a.Name.Compare(b.Name) })
		for range 40 {
			if len(services) == 0 {
				break
			}
			svc := services[r.IntN(len(services))]
			p := svc.Ports[r.IntN(len(svc.Ports))]
			if !p.Protocol.CarriesHTTP() {
				continue
			}
			q := &model.Request{Service: svc.Name, Port: p.Number, Method: pick(r, "GET", "POST", "PUT"), Path: pick(r, "/", "/api", "/api/x", "/apix", "/items/1", "/a", "/orders", "/x.css"),
				Headers: map[string][]string{"x-user": {pick(r, "beta", "v1", "other")}}, From: model.Identity{Namespace: "shop", ServiceAccount: pick(r, "web", "catalog", "jobs", "intruder")}}
			unit := units[store.Unit{Kind: store.UnitRoute, Name: svc.Name}]
			want, _ := model.Evaluate(s, q)
			chained := slices.ContainsFunc(want.Backends, func(o model.Outcome) bool { return o.Service != svc.Name && len(s.Splits(o.Service)) > 0 })
			if unit != nil && asClaimed(unit) && !chained {
				got, err := j.route(objs, s, q)
				same := err == nil && len(got) == len(want.Backends)
				for _, o := range want.Backends {
					same = same && math.Abs(got[fmt.Sprintf("%s:%d", o.Service, o.Port)]-o.Share) < 1e-9
				}
				if !same {
					t.Fatalf("%s: %+v goes to %v (%v), and should to %+v", w.Name, q, got, err, want.Backends)
				}
				routed++
			}
			for _, wl := range s.Selected(svc.Name) {
				id := wl.Identity()
				out := units[store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}}]
				if p.TargetName != "" || !asClaimed(out) {
					continue
				}
				a, _ := model.JoinAccess(s, id)
				permitted, _, why := a.Admit(wl, p.Target, q, "")
				got := j.admit(objs, s, wl, p.Target, q)
				b, _ := model.JoinAccess(back, id)
				if again, _, _ := b.Admit(wl, p.Target, q, ""); got != permitted || again != permitted {
					t.Fatalf("%s: %s port %d admits %+v: %v, read back %v (%s)", w.Name, wl.Ref(), p.Target, q, got, again, why)
				}
				if got {
					admitted++
				} else {
					refused++
				}
			}
		}
	}
	if routed < 300 || admitted < 100 || refused < 100 {
		t.Errorf("the test tests too little: %d %d %d", routed, admitted, refused)
	}
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

// TestPaths holds that what Traefik's router makes of a path takes the same paths.
func TestPaths(t *testing.T) {
	asked := []string{"/", "/api", "/api/", "/api/x", "/apix", "/a", "/b", "//b", "/x/a", "/main.css", "/v1/", "/v12/x", "/items/1", "/items/1/parts", "/é", "/A", "/items/1/2", "/{id}", "/id"}
	for _, e := range []string{"", "/", ".*", "/api", "/api$", "^/api", "/a|/b", "(/a|/b)$", "/(api|web)/?", ".*\\.css$", "/v[0-9]+/", "/v[0-9]{1,2}/", "/items/[^/]+", "/items/[^/]+$", "[^a]*x", "(?i)/a", "/+b", "/?a", "a*", "/é", "api", "x?/a", "(/|//)b"} {
		for _, full := range []bool{false, true} {
			text, ok := lower(e, full)
			if !ok {
				if regexp.MustCompile("^(?:" + model.PathExpression(e, full) + ")$").MatchString("/api") {
					t.Errorf("%q is not said", e)
				}
				continue
			}
			for _, p := range asked {
				want := (&model.Match{Path: e}).Covers(full, &model.Request{Path: p}, "")
				got := text == "" || mux(text) != nil && mux(text).MatchString(p)
				if got != want {
					t.Errorf("%q (full %v) is %q, which takes %s: %v", e, full, text, p, got)
				}
			}
		}
	}
	for _, e := range []string{"/{id", "/a`b", "/}{"} {
		if text, ok := lower(regexp.QuoteMeta(e), false); ok {
			t.Errorf("%s is said as %s", e, text)
		}
	}
}
