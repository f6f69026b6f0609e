// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

// shop has a Service of HTTP with two backends, and one of raw TCP.
func shop() (out []model.Fact) {
	for _, n := range []string{"catalog", "catalog-v1", "catalog-v2", "db"} {
		ports := []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}, {Name: "two", Number: 81, Target: 8081}}
		account, _, _ := strings.Cut(n, "-")
		if n == "db" {
			ports = []model.ServicePort{{Name: "tcp", Number: 5432, Target: 5432, Protocol: model.TCP}}
		}
		labels := map[string]string{"app": n}
		out = append(out, &model.Service{Name: name(n), Ports: ports, Selector: labels},
			&model.Workload{Kind: model.KindDeployment, Name: name(n), Account: account, Labels: labels, Selector: labels})
	}
	return out
}

// imported reads native objects beside facts.
func imported(t *testing.T, objs []mesh.Object, beside ...model.Fact) (*mesh.Input, *store.Store, string) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for _, f := range beside {
		set(f)
	}
	var docs []string
	for i := range objs {
		doc, err := json.Marshal(&objs[i])
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(doc))
	}
	text := strings.Join(docs, "\n")
	objects, problems := object.Parse("native.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "traefik"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back, text
}

type fields = map[string]any

func one[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// native makes up SMI objects as users of Traefik Mesh wrote them.
func native(r *rand.Rand, targets int) (out []mesh.Object) {
	add := func(api, kind, n string, spec any) {
		out = append(out, mesh.Object{APIVersion: api, Kind: kind, Name: name(n), Spec: spec})
	}
	for _, n := range []string{"g", "h"} {
		var matches []fields
		for i := range 3 {
			x := fields{"name": fmt.Sprintf("m%d", i)}
			if r.IntN(3) > 0 {
				x["pathRegex"] = one(r, "/api", "/a|/b", "api$", ".*", "/items/[0-9]{1,2}", one(r, "/", "/(a|b)", "/x{", "/api"))
			}
			if r.IntN(2) > 0 {
				x["methods"] = one(r, []string{"GET"}, []string{"*"}, []string{"GET", "POST"})
			}
			if r.IntN(3) == 0 {
				x["headers"] = []fields{{"x-user": one(r, "beta", "^beta", "beta$", "^beta$", "a|b", "^(?:b|c)$", ".*")}}
			}
			matches = append(matches, x)
		}
		add("specs.smi-spec.io/v1alpha3", "HTTPRouteGroup", n, fields{"matches": matches})
	}
	add("specs.smi-spec.io/v1alpha3", "TCPRoute", "any", fields{})
	for i := range targets {
		to := fields{"kind": "ServiceAccount", "name": one(r, "catalog", "catalog", "db")}
		if r.IntN(3) > 0 {
			to["namespace"] = "shop"
		}
		if r.IntN(3) == 0 {
			to["port"] = one(r, 8080, 8081, 80, 5432)
		}
		rules, list := []fields{}, []fields{}
		for range r.IntN(3) {
			switch rule := (fields{"kind": "HTTPRouteGroup", "name": one(r, "g", "h", "h", "none")}); r.IntN(6) {
			case 0:
				rules = append(rules, fields{"kind": "TCPRoute", "name": one(r, "any", "any", "none")})
			case 1, 2:
				rules = append(rules, rule)
			default:
				rule["matches"] = one(r, []string{"m0"}, []string{"m1", "m2"}, []string{}, []string{"nothing"})
				rules = append(rules, rule)
			}
		}
		for range r.IntN(3) {
			s := fields{"kind": "ServiceAccount", "name": one(r, "web", "lab")}
			if r.IntN(5) > 0 {
				s["namespace"] = "shop"
			}
			list = append(list, s)
		}
		add("access.smi-spec.io/v1alpha2", "TrafficTarget", fmt.Sprintf("t%d", i), fields{"destination": to, "rules": rules, "sources": list})
	}
	return out
}

func asked(r *rand.Rand) *model.Request {
	return &model.Request{Service: name("catalog"), Port: 80, Method: one(r, "GET", "POST", "PUT"), Path: one(r, "/api", "/api/x", "/a", "/b", "//b", "/apix", "/items/12", "/"),
		Headers: map[string][]string{"x-user": {one(r, "beta", "xbeta", "betax", "a", "cab")}}, From: model.Identity{Namespace: "shop", ServiceAccount: one(r, "web", "lab", "other")}}
}

// TestImportSafe holds that what is read admits no more than Traefik Mesh may have, where it controls access and nothing is said of rules that
// overlap, and as much where a single TrafficTarget is read without a word.
func TestImportSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	both, neither, exactly := 0, 0, 0
	settings := model.Defaults()
	settings.Access = model.AccessDeny
	for n := range 900 {
		targets := 1 + n%3
		objs := native(r, targets)
		in, back, text := imported(t, objs, append(shop(), settings)...)
		sure := targets == 1 && !slices.ContainsFunc(in.Findings, func(f model.Finding) bool {
			return f.Level >= model.Approximate && f.Code != model.CodeNothingGranted && f.Code != model.CodeRequired
		})
		if sure {
			exactly++
		}
		overlap := slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return strings.Contains(f.Message, "decided by that one alone") })
		j := judge{}
		for range 20 {
			q, account, port := asked(r), "catalog", one[uint16](r, 8080, 8081)
			if r.IntN(4) == 0 {
				q.Service, q.Port, q.Layer, account, port = name("db"), 5432, model.LayerStream, "db", 5432
			}
			for _, wl := range back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: account}) {
				before := j.admit(objs, back, wl, port, q)
				a, _ := model.JoinAccess(back, wl.Identity())
				after, _, why := a.Admit(wl, port, q, "")
				switch {
				case after && !before && !overlap, before && !after && sure:
					t.Fatalf("%s port %d, %+v: admitted %v, as read %v (%s)\n%s\n%+v", wl.Ref(), port, q, before, after, why, text, in.Findings)
				case before && after:
					both++
				case !before:
					neither++
				}
			}
		}
	}
	if both < 1000 || neither < 1000 || exactly < 60 {
		t.Errorf("the test tests too little: %d %d %d", both, neither, exactly)
	}
}

// TestImportSplits holds that a split is read as Traefik Mesh made it.
func TestImportSplits(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 5))
	split := 0
	for range 600 {
		objs := native(r, 0)
		spec := fields{"service": one(r, "catalog", "catalog", "catalog.shop"), "backends": []fields{{"service": "catalog-v1", "weight": 9}, {"service": one(r, "catalog-v2", "catalog-v2", "catalog"), "weight": 1}}}
		if r.IntN(3) > 0 {
			spec["matches"] = one(r, []fields{{"kind": "HTTPRouteGroup", "name": "g"}}, []fields{{"kind": "HTTPRouteGroup", "name": "h"}, {"kind": "HTTPRouteGroup", "name": "g"}}, []fields{{"kind": "HTTPRouteGroup", "name": "none"}})
		}
		objs = append(objs, mesh.Object{APIVersion: "split.smi-spec.io/v1alpha3", Kind: "TrafficSplit", Name: name("s"), Spec: spec})
		in, back, text := imported(t, objs, shop()...)
		var j judge
		for range 20 {
			q := asked(r)
			want, err := j.route(objs, back, q)
			if err != nil {
				t.Fatal(err)
			}
			v, err := model.Evaluate(back, q)
			if err != nil {
				t.Fatal(err)
			}
			same := len(v.Backends) == len(want)
			for _, b := range v.Backends {
				same = same && math.Abs(want[fmt.Sprintf("%s:%d", b.Service, b.Port)]-b.Share) < 1e-9
			}
			if !same {
				t.Fatalf("%+v goes to %v, as read to %+v\n%s\n%+v", q, want, v.Backends, text, in.Findings)
			}
			if len(want) > 1 {
				split++
			}
		}
	}
	if split < 1000 {
		t.Errorf("the test tests too little: %d", split)
	}
}

// TestTraps names what Traefik Mesh understands otherwise than SMI, and holds what becomes of it.
func TestTraps(t *testing.T) {
	group := func(matches ...fields) mesh.Object {
		return mesh.Object{APIVersion: "specs.smi-spec.io/v1alpha3", Kind: "HTTPRouteGroup", Name: name("g"), Spec: fields{"matches": matches}}
	}
	target := func(rules ...fields) mesh.Object {
		return mesh.Object{APIVersion: "access.smi-spec.io/v1alpha2", Kind: "TrafficTarget", Name: name("t"), Spec: fields{"destination": fields{"kind": "ServiceAccount", "name": "catalog"}, "rules": append([]fields{}, rules...),
			"sources": []fields{{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}}}}
	}
	rule := fields{"kind": "HTTPRouteGroup", "name": "g"}
	for _, c := range []struct {
		name     string
		objs     []mesh.Object
		path     string
		headers  map[string][]string
		admitted bool
	}{
		{"a path begins behind the slash", []mesh.Object{group(fields{"name": "m", "pathRegex": "/a|/b"}), target(rule)}, "//b", nil, true},
		{"and not at it", []mesh.Object{group(fields{"name": "m", "pathRegex": "/a|/b"}), target(rule)}, "/b", nil, false},
		{"a capture group breaks the rule", []mesh.Object{group(fields{"name": "m", "pathRegex": "/(a|b)"}), target(rule)}, "/a", nil, false},
		{"a slash alone breaks the rule", []mesh.Object{group(fields{"name": "m", "pathRegex": "/"}), target(rule)}, "/a", nil, false},
		{"a header matches anywhere", []mesh.Object{group(fields{"name": "m", "headers": []fields{{"x-user": "beta"}}}), target(rule)}, "/", map[string][]string{"x-user": {"xbetax"}}, true},
		{"a match without conditions says nothing beside others", []mesh.Object{group(fields{"name": "m"}, fields{"name": "n", "pathRegex": "/a"}), target(rule)}, "/b", nil, false},
		{"a target without rules permits every request", []mesh.Object{target()}, "/b", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, back, _ := imported(t, c.objs, shop()...)
			wl := back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
			q := &model.Request{Service: name("catalog"), Method: "GET", Path: c.path, Headers: c.headers, From: model.Identity{Namespace: "shop", ServiceAccount: "web"}}
			a, _ := model.JoinAccess(back, wl.Identity())
			got, _, why := a.Admit(wl, 8080, q, "")
			j := judge{}
			if judged := j.admit(c.objs, back, wl, 8080, q); got != c.admitted || judged != c.admitted {
				t.Errorf("as read %v (%s), to Traefik Mesh %v", got, why, judged)
			}
		})
	}
}

// TestOutTraps holds that what Traefik Mesh would open to everybody, or drop, is not written.
func TestOutTraps(t *testing.T) {
	s := store.New()
	web := []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}
	facts := append(shop(), &model.PortRoute{Kind: model.KindTCPRoute, Name: name("p"), Ports: model.AnyPort},
		&model.Permission{Name: name("t"), Sources: web, Rules: []model.Rule{{Kind: model.KindTCPRoute, Name: "p", All: true}}, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "db"}},
		&model.Split{Name: name("s"), Root: "catalog", Backends: []model.Backend{{Service: "catalog", Weight: 1}, {Service: "catalog-v1", Weight: 1}}})
	for _, f := range facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: "db"})
	out := Driver.Accesses(a)
	j := judge{}
	if j.admit(out.Objects, s, a.Workloads[0].Workload, 5432, &model.Request{Service: name("db"), Layer: model.LayerStream, From: model.Identity{Namespace: "shop", ServiceAccount: "web"}}) {
		t.Errorf("raw TCP is opened: %+v", out.Objects)
	}
	for _, f := range out.Findings {
		if f.Level != model.Unsupported {
			t.Errorf("%+v", f)
		}
	}
	r, _ := model.JoinRoute(s, name("catalog"))
	if out := Driver.Routes(r); len(out.Objects) > 0 || len(out.Findings) == 0 {
		t.Errorf("a split of its own root is written: %+v", out)
	}
}
