// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// TestMeaning asks random requests of random worlds: where the driver says that it is exact, the judge answers as the evaluator does, and
// everywhere else it never admits more.
func TestMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var agreed, admitted, refused, narrowed int
	for n := range 120 {
		w := randomWorld(r)
		out := translate(w)
		for range 40 {
			q := randomRequest(r)
			if exactRoute(out, q.Service) {
				want := shares(w, q)
				got, err := judgeRoute(out.objects, w, q)
				if err != nil || !near(got, want) {
					t.Fatalf("world %d: %+v goes to %v (%v), and should to %v", n, q, got, err, want)
				}
				agreed++
			}
			for _, wl := range w.Selected(name("catalog")) {
				a, _ := model.JoinAccess(w, wl.Identity())
				port := wl.TargetPort(w.Service(name("catalog")).Port(q.Port))
				want, _, why := a.Admit(wl, port, q, w.Settings().Host(q.Service))
				got := judgeAdmit(out.objects, w, wl, port, q)
				sure := exact(out, store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: wl.Name.Namespace, Name: wl.Account}})
				switch {
				case got == want && got:
					admitted++
				case got == want:
					refused++
				case got, sure && wl.Account != "stray" && !mixed(w, wl):
					t.Fatalf("world %d: %s port %d admits %+v: %v, and should: %v (%s)", n, wl.Ref(), port, q, got, want, why)
				default:
					narrowed++
				}
			}
		}
	}
	t.Logf("%d routes agreed; %d requests admitted, %d refused, %d refused that the driver cannot say", agreed, admitted, refused, narrowed)
	if agreed < 1000 || admitted < 1000 || refused < 1000 || narrowed < 5 {
		t.Error("the test tests too little")
	}
}

// mixed says whether a workload's labels meet the selector of a workload of another account, whose policies then reach it.
func mixed(w *store.Store, wl *model.Workload) bool {
	for f := range w.Facts {
		if o, ok := f.(*model.Workload); ok && o.Account != wl.Account && model.Selects(o.Finder(), wl.Labels) {
			return true
		}
	}
	return false
}

func exact(out *output, u store.Unit) bool {
	return !slices.ContainsFunc(out.units[u], func(f model.Finding) bool { return f.Level >= model.Approximate })
}

// exactRoute takes no notice of TLS server names: the tests call Services by their full name.
func exactRoute(out *output, root model.Name) bool {
	return !slices.ContainsFunc(out.units[store.Unit{Kind: store.UnitRoute, Name: root}], func(f model.Finding) bool {
		return f.Level >= model.Approximate && f.Feature != model.SplitStream
	})
}

// shares are the evaluator's.
func shares(w *store.Store, q *model.Request) map[string]float64 {
	v, err := model.Evaluate(w, q)
	if err != nil {
		panic(err)
	}
	out := map[string]float64{}
	for _, b := range v.Backends {
		out[fmt.Sprintf("%s:%d", b.Service, b.Port)] += b.Share
	}
	return out
}

func near(a, b map[string]float64) bool {
	same := len(a) == len(b)
	for k, v := range a {
		same = same && math.Abs(b[k]-v) < 1e-9
	}
	return same
}

// TestClaims holds that what is said to be granted reaches the output, and what is said not to be does not: a wish is taken out of the
// world, and the objects have to differ or not.
func TestClaims(t *testing.T) {
	base := shop()
	perm := permission("t", "catalog", by(model.KindGroup, "g"), by(model.KindTCPRoute, "p"))
	perm.Sources = append(perm.Sources, model.Subject{Kind: model.KindBinding, Namespace: "shop", Name: "friends"})
	facts := append(base, split("s", []string{"g"}, 1, 2), perm, group("g",
		model.Match{Path: "/a", Methods: []string{"GET"}, Headers: []model.Header{{Name: "x-user", Value: "beta"}, {Name: "host", Value: "a.*"}}},
		model.Match{Path: "/v[0-9]+", Methods: []string{"GET"}}),
		&model.PortRoute{Kind: model.KindTCPRoute, Name: name("p"), Ports: model.PortSet(8080)},
		&model.Binding{Name: name("friends"), SPIFFE: []string{"spiffe://other.example/x"}, Pods: map[string]string{"a": "b"}})
	out := translate(world(facts...))
	levels := map[model.Feature]model.Level{}
	for _, f := range out.granted {
		levels[f.Feature] = max(levels[f.Feature], f.Level)
	}
	for _, f := range out.findings {
		levels[f.Feature] = max(levels[f.Feature], f.Level)
	}
	want := map[model.Feature]model.Level{
		model.SplitWeight: model.Exact, model.SplitMatch: model.Exact, model.RoutePath: model.Exact, model.RouteMethod: model.Exact, model.RouteHeader: model.Exact,
		model.RouteAuthority: model.Exact, model.AccessCaller: model.Exact, model.AccessSPIFFE: model.Exact, model.AccessPods: model.Unsupported, model.AccessPort: model.Exact,
		model.AccessPath: model.Unsupported, model.AccessMethod: model.Unsupported, model.AccessHeader: model.Exact, model.AccessAuthority: model.Exact,
	}
	for f, l := range want {
		if got, ok := levels[f]; !ok || got != l {
			t.Errorf("%s is said to be %s (%v), want %s", f, got, ok, l)
		}
	}
}
