// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
)

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// nativePermissions writes random permissions by SPIFFE ID, with some in them that SMI cannot say.
func nativePermissions(r *rand.Rand) (docs []string) {
	ids := func() string {
		var out []string
		for range r.IntN(3) {
			out = append(out, pick(r, `{"spiffeID":{"type":"Exact","value":"spiffe://cluster.local/ns/shop/sa/web"}}`, `{"spiffeID":{"type":"Exact","value":"spiffe://cluster.local/ns/shop/sa/intruder"}}`,
				`{"spiffeID":{"type":"Exact","value":"spiffe://other.example/x"}}`, `{"spiffeID":{"type":"Prefix","value":"spiffe://cluster.local/ns/shop/"}}`, `{"spiffeID":{"type":"Prefix","value":"spiffe://"}}`))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	for i := range 1 + r.IntN(3) {
		ref := pick(r, `{"kind":"Mesh"}`, `{"kind":"Dataplane","labels":{"k8s.kuma.io/service-account":"catalog"}}`, `{"kind":"Dataplane","labels":{"version":"v1"}}`,
			`{"kind":"Dataplane","labels":{"app":"catalog"},"sectionName":"tcp-db"}`, `{"kind":"Dataplane","labels":{"k8s.kuma.io/service-account":"catalog"},"sectionName":"http"}`)
		docs = append(docs, fmt.Sprintf(`{"apiVersion":"kuma.io/v1alpha1","kind":"MeshTrafficPermission","metadata":{"name":"p%d","namespace":%q,"labels":{"kuma.io/mesh":"default"}},"spec":{"targetRef":%s,"rules":[{"default":{"allow":%s,"deny":%s}}]}}`,
			i, pick(r, "shop", "shop", "kuma-system", "lab"), ref, ids(), pick(r, "[]", "[]", ids())))
	}
	return docs
}

// TestImportSafe holds that what is read admits no more than what was written did, and as much where nothing is reported.
func TestImportSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := world(shop()...)
	both, neither, exactly := 0, 0, 0
	for range 400 {
		docs := nativePermissions(r)
		in, back := imported(t, w, strings.Join(docs, "\n---\n"))
		var policies []native
		for _, d := range docs {
			policies = append(policies, parse([]byte(d)))
		}
		sure := !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
		if sure {
			exactly++
		}
		for _, n := range []string{"catalog", "intruder", "web"} {
			for _, wl := range w.Workloads(model.Identity{Namespace: "shop", ServiceAccount: n}) {
				for _, q := range []*model.Request{{From: web}, {From: model.Identity{Namespace: "shop", ServiceAccount: "intruder"}}, {SPIFFE: "spiffe://other.example/x"}, {From: model.Identity{Namespace: "lab", ServiceAccount: "web"}}, {}} {
					q.Layer, q.Service = model.LayerStream, name("catalog")
					for _, port := range []uint16{8080, 5432} {
						before := admits(policies, w, wl, port, q, true, true)
						a, _ := model.JoinAccess(back, wl.Identity())
						after, _, why := a.Admit(wl, port, q, "")
						switch {
						case after && !before, before && !after && sure:
							t.Fatalf("%s port %d, from %v %s: admitted %v, as read %v (%s)\n%s\n%+v", wl.Ref(), port, q.From, q.SPIFFE, before, after, why, strings.Join(docs, "\n"), in.Findings)
						case before:
							both++
						default:
							neither++
						}
					}
				}
			}
		}
	}
	if both < 1000 || neither < 1000 || exactly < 50 {
		t.Errorf("the test tests too little: %d admitted, %d refused, %d read exactly", both, neither, exactly)
	}
}

// admitted lists who may call which port of the catalog: web and the intruder, by 8080 and 5432.
func admitted(t *testing.T, yaml string) string {
	t.Helper()
	w := world(shop()...)
	_, back := imported(t, w, yaml)
	var out []string
	for _, who := range []string{"web", "intruder", ""} {
		for _, port := range []uint16{80, 5432} {
			q := model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: who}, Port: port, Layer: model.LayerStream}
			if who == "" {
				q.From = model.Identity{}
			}
			if ask(t, back, q).Allowed {
				out = append(out, fmt.Sprintf("%s:%d", who, port))
			}
		}
	}
	return strings.Join(out, " ")
}

func legacyPermission(n, source, destination string) string {
	return fmt.Sprintf(`
apiVersion: kuma.io/v1alpha1
kind: TrafficPermission
mesh: default
metadata: {name: %s}
spec:
  sources: [{match: %s}]
  destinations: [{match: %s}]
---
`, n, source, destination)
}

// TestImportPermissions reads what Kuma had before its permissions by SPIFFE ID.
func TestImportPermissions(t *testing.T) {
	everybody := legacyPermission("allow-all", "{kuma.io/service: '*'}", "{kuma.io/service: '*'}")
	byTag := func(top, from string) string {
		return "apiVersion: kuma.io/v1alpha1\nkind: MeshTrafficPermission\nmetadata: {name: n" + fmt.Sprint(len(top)+len(from)) + ", namespace: kuma-system, labels: {kuma.io/mesh: default}}\nspec: {targetRef: " + top + ", from: " + from + "}\n---\n"
	}
	const subset, allowWeb, denyAll = "{kind: MeshSubset, tags: {app: catalog}}", "[{targetRef: {kind: MeshSubset, tags: {app: web}}, default: {action: Allow}}]", "[{targetRef: {kind: Mesh}, default: {action: Deny}}]"
	for _, c := range []struct{ name, yaml, want string }{
		{"everybody, who is known", everybody, "web:80 web:5432 intruder:80 intruder:5432"},
		{"the most particular counts alone", everybody + legacyPermission("one", "{kuma.io/service: web_shop_svc_80}", "{kuma.io/service: catalog_shop_svc_80, version: v1}") +
			legacyPermission("two", "{kuma.io/service: web_shop_svc_80}", "{app: catalog, k8s.kuma.io/namespace: shop, version: v2}"), "web:80 web:5432"},
		{"whom we do not know by tag", legacyPermission("one", "{kuma.io/zone: east}", "{app: catalog}"), ""},
		{"from, by tag", byTag(subset, allowWeb), "web:80 web:5432"},
		{"the last word counts", byTag("{kind: Mesh}", "[{targetRef: {kind: Mesh}, default: {action: Allow}}]") + byTag(subset, denyAll), ""},
		{"the more particular comes later", byTag(subset, allowWeb) + byTag("{kind: Mesh}", denyAll), "web:80 web:5432"},
		{"a service's own inbound", byTag("{kind: MeshService, name: catalog_shop_svc_5432}", allowWeb), "web:5432"},
		{"what it selects is not known", byTag("{kind: MeshGateway, name: x}", denyAll) + byTag(subset, allowWeb), ""},
		{"a permission of Kuma 1 beside one of 2", everybody + byTag(subset, denyAll), ""},
		{"the mesh is closed", "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}}\n", ""},
		{"a dry run", strings.Replace(byTag(subset, denyAll), "{kuma.io/mesh: default}", "{kuma.io/mesh: default, kuma.io/effect: shadow}", 1), "web:80 web:5432 intruder:80 intruder:5432 :80 :5432"},
		{"another mesh beside ours", byTag(subset, allowWeb) + strings.Replace(byTag("{kind: Mesh}", allowWeb), "kuma.io/mesh: default", "kuma.io/mesh: other", 1), ""},
		{"another mesh alone", strings.Replace(byTag(subset, allowWeb), "kuma.io/mesh: default", "kuma.io/mesh: other", 1), "web:80 web:5432"},
		{"nothing is said", "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {}\n", "web:80 web:5432 intruder:80 intruder:5432 :80 :5432"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := admitted(t, c.yaml); got != c.want {
				t.Errorf("admits %s, want %s", got, c.want)
			}
		})
	}
}

// TestImportRoutes reads routes of every release.
func TestImportRoutes(t *testing.T) {
	const route, labels = "apiVersion: kuma.io/v1alpha1\nkind: MeshHTTPRoute\nmetadata: {name: r, namespace: %s, labels: {kuma.io/mesh: default}}\nspec:\n  targetRef: {kind: %s}\n  to:\n  - targetRef: %s\n    rules: %s\n", "{kind: MeshService, labels: {kuma.io/display-name: catalog, k8s.kuma.io/namespace: shop}, sectionName: http}"
	to := func(n string) string {
		return "default: {backendRefs: [{kind: MeshService, name: " + n + ", port: 80}]}"
	}
	rules := "[{matches: [{path: {type: PathPrefix, value: /}}], " + to("catalog-v1") + "}, {matches: [{path: {type: Exact, value: /x}}], " + to("catalog-v2") + "}]"
	const old = "apiVersion: kuma.io/v1alpha1\nkind: TrafficRoute\nmesh: default\nmetadata: {name: r}\nspec:\n  sources: [{match: {kuma.io/service: '*'}}]\n  destinations: [{match: {kuma.io/service: %s}}]\n  conf: %s\n"
	for _, c := range []struct{ name, yaml, path, want, finding string }{
		{"a producer's, by name", fmt.Sprintf(route, "shop", "Mesh", "{kind: MeshService, name: catalog, sectionName: http}", rules), "/x", "catalog-v2", ""},
		{"the exact path first, wherever it stands", fmt.Sprintf(route, "shop", "Mesh", labels, rules), "/y", "catalog-v1", ""},
		{"a consumer's", fmt.Sprintf(route, "lab", "Mesh", labels, rules), "/x", "catalog", "clients of namespace lab alone"},
		{"of some proxies", fmt.Sprintf(route, "shop", "MeshSubset", labels, rules), "/x", "catalog", "every client"},
		{"a filter", fmt.Sprintf(route, "shop", "Mesh", labels, "[{matches: [{path: {type: Exact, value: /x}}], default: {filters: [{type: RequestRedirect}]}}]"), "/x", "catalog", "filters"},
		{"an absent header", fmt.Sprintf(route, "shop", "Mesh", labels, "[{matches: [{headers: [{name: a, type: Absent}]}], "+to("catalog-v1")+"}]"), "/x", "catalog", "absent"},
		{"a subset, by the tags of the pods", fmt.Sprintf(route, "kuma-system", "Mesh", "{kind: MeshService, name: catalog_shop_svc_80}", "[{matches: [{path: {type: PathPrefix, value: /}}], default: {backendRefs: [{kind: MeshServiceSubset, name: catalog_shop_svc_80, tags: {version: v2}}]}}]"), "/x", "catalog-v2", ""},
		{"a subset that no Service selects", fmt.Sprintf(route, "kuma-system", "Mesh", "{kind: MeshService, name: catalog_shop_svc_80}", "[{matches: [{path: {type: PathPrefix, value: /}}], default: {backendRefs: [{kind: MeshServiceSubset, name: catalog_shop_svc_80, tags: {version: v9}}]}}]"), "/x", "catalog", "make a Service"},
		{"Kuma 1, to all", fmt.Sprintf(old, "'*'", "{destination: {kuma.io/service: '*'}}"), "/x", "catalog", ""},
		{"Kuma 1, by request", fmt.Sprintf(old, "catalog_shop_svc_80", "{http: [{match: {path: {prefix: /x}, headers: {user: {exact: a}}}, destination: {kuma.io/service: catalog_shop_svc_80, version: v2}}, {match: {path: {prefix: /x}}, destination: {kuma.io/service: catalog_shop_svc_80, version: v1}}], destination: {kuma.io/service: catalog_shop_svc_80}}"), "/xy", "catalog-v1", ""},
		{"Kuma 1, changing the request", fmt.Sprintf(old, "catalog_shop_svc_80", "{http: [{match: {path: {prefix: /x}}, modify: {path: {rewritePrefix: /}}, destination: {kuma.io/service: catalog-v1_shop_svc_80}}], destination: {kuma.io/service: '*'}}"), "/x", "catalog", "modify"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, back := imported(t, world(shop()...), c.yaml)
			v := ask(t, back, model.Request{From: web, Port: 80, Method: "GET", Path: c.path})
			if len(v.Backends) != 1 || v.Backends[0].Service != name(c.want) {
				t.Errorf("goes to %+v, want %s\n%+v", v.Backends, c.want, in.Findings)
			}
			if reported := hasFinding(in.Findings, model.Unsupported, c.finding); reported != (c.finding != "") {
				t.Errorf("reported: %+v", in.Findings)
			}
			if kept := len(in.Kept) > 0; kept != (c.finding != "") {
				t.Errorf("kept aside: %v", in.Kept)
			}
		})
	}
}
