// SPDX-License-Identifier: Apache-2.0

package appmesh

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
)

type fields = map[string]any

func one[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// native is one object as somebody else wrote it.
func native(kind, n string, spec any) mesh.Object {
	return mesh.Object{APIVersion: api, Kind: kind, Name: name(n), Spec: spec}
}

func textOf(t *testing.T, objs []mesh.Object) string {
	t.Helper()
	var docs []string
	for i := range objs {
		doc, err := json.Marshal(&objs[i])
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(doc))
	}
	return strings.Join(docs, "\n")
}

// randomRouter makes up the routes of a VirtualService in front of three nodes.
func randomRouter(r *rand.Rand) (objs []mesh.Object) {
	for _, n := range []string{"catalog", "catalog-v1", "catalog-v2"} {
		spec := fields{"listeners": []fields{{"portMapping": fields{"port": 80, "protocol": "http"}}}, "serviceDiscovery": fields{"dns": fields{"hostname": n + ".shop.svc.cluster.local"}}}
		if n != "catalog" {
			spec["podSelector"] = fields{"matchLabels": fields{"app": n}}
		}
		objs = append(objs, native(kindNode, n, spec))
	}
	var routes []fields
	for i := range 1 + r.IntN(4) {
		match := fields{}
		switch r.IntN(3) {
		case 0:
			match["prefix"] = one(r, "/", "/api", "/api/v1", "/a.b")
		case 1:
			match["path"] = fields{"exact": one(r, "/api", "/a.b", "/api/v1")}
		default:
			match["path"] = fields{"regex": one(r, "/api", "/a|/b", "(?:/api).*", "(?:/a)|(?:/b).*", ".*v1")}
		}
		if r.IntN(3) == 0 {
			match["method"] = one(r, "GET", "POST")
		}
		if r.IntN(3) == 0 {
			match["headers"] = []fields{{"name": "X-User", "match": fields{one(r, "exact", "prefix", "suffix", "regex"): one(r, "beta", "b", "a.b")}}}
		} else if r.IntN(5) == 0 {
			match["headers"] = []fields{{"name": "x-user"}}
		}
		var targets []fields
		for _, n := range []string{"catalog", "catalog-v1", "catalog-v2"} {
			if r.IntN(2) == 0 {
				targets = append(targets, fields{"virtualNodeRef": fields{"name": n}, "weight": one(r, 0, 1, 30, 100)})
			}
		}
		if len(targets) == 0 {
			targets = []fields{{"virtualNodeRef": fields{"name": "catalog-v2"}, "weight": 1}}
		}
		routes = append(routes, fields{"name": fmt.Sprintf("r%d", i), "priority": i*2 + r.IntN(2), "httpRoute": fields{"match": match, "action": fields{"weightedTargets": targets}}})
	}
	r.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	return append(objs, native(kindRouter, "catalog", fields{"listeners": []fields{{"portMapping": fields{"port": 80, "protocol": "http"}}}, "routes": routes}),
		native(kindService, "catalog", fields{"awsName": "catalog.shop.svc.cluster.local", "provider": fields{"virtualRouter": fields{"virtualRouterRef": fields{"name": "catalog"}}}}))
}

// TestImportRouting holds that requests go where App Mesh sent them. What it refused goes to the root's own endpoints, which is reported.
func TestImportRouting(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	split, refused := 0, 0
	for range 1200 {
		objs := randomRouter(r)
		text := textOf(t, objs)
		in, back := imported(t, text)
		told := slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return strings.Contains(f.Message, "refuses requests that no route takes") })
		weightless := slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return strings.Contains(f.Message, "no target has a weight") })
		var j judge
		for range 15 {
			q := &model.Request{Service: name("catalog"), Port: 80, Method: one(r, "GET", "POST", "PUT"), Path: one(r, "/", "/api", "/api/v1", "/apix", "/a.b", "/axb", "/a", "/b", "/b/x"), Headers: map[string][]string{}}
			if r.IntN(2) == 0 {
				q.Headers["x-user"] = []string{one(r, "beta", "b", "a.b", "axb", "xb")}
			}
			want, err := j.route(objs, back, q)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 {
				refused++
				if want = map[string]float64{"shop/catalog:80": 1}; !told && !weightless {
					t.Fatalf("%+v was refused, and nothing is said\n%s\n%+v", q, text, in.Findings)
				}
			}
			v, err := model.Evaluate(back, q)
			if err != nil {
				t.Fatal(err)
			}
			same := len(v.Backends) == len(want)
			for _, b := range v.Backends {
				same = same && math.Abs(want[fmt.Sprintf("%s:%d", b.Service, b.Port)]-b.Share) < 1e-9
			}
			if !same && !weightless {
				t.Fatalf("%+v goes to %v, as read to %+v\n%s\n%s\n%+v", q, want, v.Backends, text, toldOf(in.Facts), in.Findings)
			}
			if len(want) > 1 {
				split++
			}
		}
	}
	if split < 500 || refused < 500 {
		t.Errorf("the test tests too little: %d %d", split, refused)
	}
}

// TestImportAdmits holds that what is read admits nobody that App Mesh did not: at a listener that names certificates whom it names, at any
// other whoever has the node among the backends, where clients are held to these.
func TestImportAdmits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	accounts := []string{"web", "db", "catalog"}
	admitted, refused := 0, 0
	for range 1500 {
		objs := []mesh.Object{native(kindMesh, "m", fields{})}
		calls, pins := map[string][]string{}, map[string][]string{}
		protocols := map[string]string{}
		for _, n := range []string{"web", "db", "catalog-v1"} {
			on := fields{"portMapping": fields{"port": 8080, "protocol": one(r, "http", "tcp")}}
			protocols[n] = on["portMapping"].(fields)["protocol"].(string)
			if r.IntN(2) == 0 {
				names := []string{"spiffe://cluster.local/anymesh/nobody"}
				for _, a := range accounts {
					if r.IntN(3) == 0 {
						names = append(names, "spiffe://cluster.local/ns/shop/sa/"+a)
					}
				}
				pins[n] = names
				on["tls"] = fields{"mode": "STRICT", "certificate": fields{"sds": fields{"secretName": "x"}},
					"validation": fields{"trust": fields{"sds": fields{"secretName": "y"}}, "subjectAlternativeNames": fields{"match": fields{"exact": names}}}}
			}
			var backends []fields
			for _, to := range []string{"web", "db", "catalog-v1", "none"} {
				if r.IntN(3) == 0 {
					calls[to] = append(calls[to], strings.TrimSuffix(n, "-v1"))
					backends = append(backends, fields{"virtualService": fields{"virtualServiceRef": fields{"name": to}}})
				}
			}
			objs = append(objs, native(kindNode, n, fields{"podSelector": fields{"matchLabels": fields{"app": n}}, "listeners": []fields{on}, "backends": slices.Concat(backends, []fields{}),
				"serviceDiscovery": fields{"dns": fields{"hostname": n + ".shop.svc.cluster.local"}}}),
				native(kindService, n, fields{"provider": fields{"virtualNode": fields{"virtualNodeRef": fields{"name": n}}}}))
		}
		text := textOf(t, objs)
		in, back := imported(t, text)
		for _, n := range []string{"web", "db", "catalog-v1"} {
			account := strings.TrimSuffix(n, "-v1")
			for _, wl := range back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: account}) {
				if wl.Name.Name != n {
					continue
				}
				for _, from := range accounts {
					for _, layer := range []model.Layer{model.LayerHTTP, model.LayerStream} {
						q := &model.Request{Service: name(n), Method: "GET", Path: "/", Layer: layer, From: model.Identity{Namespace: "shop", ServiceAccount: from}}
						a, _ := model.JoinAccess(back, wl.Identity())
						got, _, why := a.Admit(wl, 8080, q, "")
						want := slices.Contains(calls[n], from)
						if names := pins[n]; names != nil {
							want = slices.Contains(names, "spiffe://cluster.local/ns/shop/sa/"+from)
						}
						want = want && (layer == model.LayerHTTP || protocols[n] == "tcp")
						part := from == "catalog" && pins[n] == nil // whose account has another node's pods too
						if got && !want || want && !got && !part {
							t.Fatalf("%s from %s: admitted %v, and should: %v (%s)\n%s\n%s\n%+v", n, from, got, want, why, text, toldOf(in.Facts), in.Findings)
						}
						if got {
							admitted++
						} else {
							refused++
						}
					}
				}
			}
		}
	}
	if admitted < 1000 || refused < 1000 {
		t.Errorf("the test tests too little: %d %d", admitted, refused)
	}
}
