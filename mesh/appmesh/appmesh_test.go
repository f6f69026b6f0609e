// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	var j judge
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: j.route, Admit: j.admit}, Same: same,
		CRDs: []string{"appmesh/appmesh.k8s.aws_virtualnodes.yaml", "appmesh/appmesh.k8s.aws_virtualrouters.yaml", "appmesh/appmesh.k8s.aws_virtualservices.yaml"}})
}

// db is a world in which web may call db, by rules.
func db(rules ...model.Rule) []model.Fact {
	return append(shop(), &model.RouteGroup{Name: name("any"), Matches: []model.Match{{Name: "m"}}},
		&model.RouteGroup{Name: name("get"), Matches: []model.Match{{Name: "m", Methods: []string{"GET"}}, {Name: "n", Path: "/a"}}},
		&model.PortRoute{Kind: model.KindTCPRoute, Name: name("tcp"), Ports: model.AnyPort}, &model.PortRoute{Kind: model.KindTCPRoute, Name: name("other"), Ports: model.PortSet(9)},
		&model.Permission{Name: name("p"), Rules: rules, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "db"},
			Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}})
}

func by(k model.Kind, n string) model.Rule { return model.Rule{Kind: k, Name: n, All: true} }

func accessOf(facts []model.Fact, account string) (*store.Store, *mesh.Output) {
	s := store.New()
	for _, f := range facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: account})
	return s, Driver.Accesses(a)
}

// TestPins holds what a listener admits, and that what is permitted of requests alone never opens it.
func TestPins(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []model.Rule
		tcp   bool // what web may send to db
		level model.Level
	}{
		{"raw TCP", []model.Rule{by(model.KindTCPRoute, "tcp")}, true, model.Approximate},
		{"another port", []model.Rule{by(model.KindTCPRoute, "other")}, false, model.Unsupported},
		{"requests on a port that carries none", []model.Rule{by(model.KindGroup, "any")}, false, model.Unsupported},
		{"some requests", []model.Rule{by(model.KindGroup, "get")}, false, model.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, out := accessOf(db(c.rules...), "db")
			var j judge
			wl := s.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "db"})[0]
			for _, account := range []string{"web", "catalog", ""} {
				q := &model.Request{Service: name("db"), Layer: model.LayerStream, From: model.Identity{Namespace: "shop", ServiceAccount: account}}
				if got := j.admit(out.Objects, s, wl, 5432, q); got != (c.tcp && account == "web") {
					t.Errorf("%q is admitted: %v", account, got)
				}
			}
			var worst model.Level
			for _, f := range out.Findings {
				worst = max(worst, f.Level)
			}
			if worst != c.level {
				t.Errorf("the worst that is said is %s: %+v", worst, out.Findings)
			}
		})
	}
}

// TestUnclosable holds that a workload that App Mesh cannot close is said to be open, loudly.
func TestUnclosable(t *testing.T) {
	batch := &model.Workload{Kind: model.KindDeployment, Name: name("batch"), Account: "batch", Labels: map[string]string{"app": "batch"}, Selector: map[string]string{"app": "batch"}}
	facts := append(db(by(model.KindTCPRoute, "tcp")), batch, &model.Permission{Name: name("q"), Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "batch"}})
	_, out := accessOf(facts, "batch")
	if len(out.Objects) > 0 || len(out.Findings) != 1 || out.Findings[0].Level != model.Unsupported || !strings.Contains(out.Findings[0].Message, "cannot close Deployment shop/batch") {
		t.Errorf("%+v", out)
	}
	// One whose pods another node finds too admits nobody.
	twin := &model.Workload{Kind: model.KindDeployment, Name: name("twin"), Account: "db", Labels: map[string]string{"app": "db"}, Selector: map[string]string{"app": "db"}}
	s, out := accessOf(append(db(by(model.KindTCPRoute, "tcp")), twin), "db")
	var j judge
	q := &model.Request{Service: name("db"), Layer: model.LayerStream, From: model.Identity{Namespace: "shop", ServiceAccount: "web"}}
	for _, wl := range s.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "db"}) {
		if j.admit(out.Objects, s, wl, 5432, q) {
			t.Error("a pod with two nodes starts")
		}
	}
	told := false
	for _, f := range out.Findings {
		told = told || f.Code == model.CodeSelector && f.Level == model.Unsupported
	}
	if !told {
		t.Errorf("nothing is said: %+v", out.Findings)
	}
}

// TestManyBackends holds that a split among more Services than App Mesh takes is left out whole.
func TestManyBackends(t *testing.T) {
	for _, n := range []int{10, 11} {
		facts := shop()
		split := &model.Split{Name: name("s"), Root: "catalog"}
		for i := range n {
			svc := &model.Service{Name: name(fmt.Sprintf("b%d", i)), Ports: []model.ServicePort{{Number: 80, Target: 8080, Protocol: model.HTTP}}}
			facts = append(facts, svc)
			split.Backends = append(split.Backends, model.Backend{Service: svc.Name.Name, Weight: 1})
		}
		s := store.New()
		for _, f := range append(facts, split) {
			s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
		}
		r, _ := model.JoinRoute(s, name("catalog"))
		out := Driver.Routes(r)
		if said := len(out.Objects) > 0; said != (n <= 10) || said != (len(out.Findings) == 0) {
			t.Errorf("%d backends: %d objects, %+v", n, len(out.Objects), out.Findings)
		}
	}
}

// TestHeadless holds that requests to a root whose name leads to pods are not said to arrive at a port where these do not listen.
func TestHeadless(t *testing.T) {
	for _, target := range []uint16{80, 8080} {
		s := store.New()
		root := &model.Service{Name: name("catalog"), Headless: true, Ports: []model.ServicePort{{Number: 80, Target: target, Protocol: model.HTTP}}}
		for _, f := range append(shop(), root, &model.Split{Name: name("s"), Root: "catalog", Backends: []model.Backend{{Service: "catalog", Weight: 1}, {Service: "catalog-v1", Weight: 1}}}) {
			s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
		}
		r, _ := model.JoinRoute(s, name("catalog"))
		if out := Driver.Routes(r); len(out.Objects) == 0 || (len(out.Findings) > 0) != (target != 80) {
			t.Errorf("target port %d: %+v", target, out.Findings)
		}
	}
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		in, want []int64
		exact    bool
	}{
		{[]int64{90, 10}, []int64{90, 10}, true},
		{[]int64{900, 100}, []int64{9, 1}, true},
		{[]int64{1000, 1}, []int64{99, 1}, false},
		{[]int64{1001, 1001, 1000}, []int64{34, 33, 33}, false},
		{[]int64{1000, 0, 333}, []int64{75, 0, 25}, false},
		{[]int64{5000, 0}, []int64{1, 0}, true},
	} {
		var shares []model.Share
		for _, w := range c.in {
			shares = append(shares, model.Share{Weight: w})
		}
		got, exact := weights(shares)
		if fmt.Sprint(got) != fmt.Sprint(c.want) || exact != c.exact {
			t.Errorf("%v: %v %v", c.in, got, exact)
		}
	}
}

// TestMeaning holds that callers who present their certificates are admitted as was permitted, wherever nothing is said beyond the claims.
func TestMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	admitted, refused := 0, 0
	for _, w := range meshtest.Worlds(meshtest.Cases(t)) {
		s := w.Store
		var objs []mesh.Object
		outs := map[model.Identity]*mesh.Output{}
		for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
			if u.Kind == store.UnitAccess {
				id := model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name}
				a, _ := model.JoinAccess(s, id)
				outs[id] = Driver.Accesses(a)
				objs = append(objs, outs[id].Objects...)
			}
		}
		blind := false // labels that find others close those too: it is said where it was caused
		for _, o := range outs {
			blind = blind || slices.ContainsFunc(o.Findings, func(f model.Finding) bool { return f.Code == model.CodeSelector })
		}
		var j judge
		for _, id := range slices.SortedFunc(maps.Keys(outs), model.Identity.Compare) {
			o := outs[id]
			said := slices.ContainsFunc(o.Findings, func(f model.Finding) bool {
				return f.Message != Driver.Claim(f.Feature).Note || f.Level == model.Unsupported
			})
			if said || blind {
				continue
			}
			a, _ := model.JoinAccess(s, id)
			for _, m := range a.Workloads {
				for _, p := range m.Listens {
					for _, from := range []string{"web", "catalog", "jobs", "intruder"} {
						q := &model.Request{Service: name("x"), Method: one(r, "GET", "POST"), Path: one(r, "/", "/api"), From: model.Identity{Namespace: "shop", ServiceAccount: from}}
						if !p.Protocol.CarriesHTTP() {
							q.Layer = model.LayerStream
						}
						want, _, why := a.Admit(m.Workload, p.Number, q, "")
						if got := j.admit(objs, s, m.Workload, p.Number, q); got != want {
							t.Fatalf("%s: %s port %d admits %+v: %v (%s)", w.Name, m.Ref(), p.Number, q, got, why)
						}
						if want {
							admitted++
						} else {
							refused++
						}
					}
				}
			}
		}
	}
	if admitted < 500 || refused < 500 {
		t.Errorf("the test tests too little: %d %d", admitted, refused)
	}
}
