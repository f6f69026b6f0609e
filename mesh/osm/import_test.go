// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"encoding/json"
	"fmt"
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

// shop has an account with a port of requests, one of raw TCP and one that says nothing.
func shop() []model.Fact {
	labels := map[string]string{"app": "catalog"}
	return []model.Fact{
		&model.Service{Name: name("catalog"), Selector: labels, Ports: []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP},
			{Name: "tcp", Number: 5432, Target: 5432, Protocol: model.TCP}, {Name: "x", Number: 7000, Target: 7001}}},
		&model.Workload{Kind: model.KindDeployment, Name: name("catalog"), Account: "catalog", Selector: labels, Labels: labels},
	}
}

// imported reads native objects beside facts.
func imported(t *testing.T, text string, beside ...model.Fact) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for _, f := range beside {
		set(f)
	}
	objects, problems := object.Parse("native.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range objects {
		if o.Namespace == "" {
			o.Namespace = "shop"
		}
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "osm"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// native makes up SMI objects as users of OSM wrote them, with all that OSM understands in its own way.
func native(r *rand.Rand, targets int) (out []mesh.Object) {
	add := func(api, kind, n string, spec any) {
		out = append(out, mesh.Object{APIVersion: api, Kind: kind, Name: name(n), Spec: spec})
	}
	type m = map[string]any
	var matches []m
	for i := range 3 {
		x := m{"name": fmt.Sprintf("m%d", i)}
		if r.IntN(3) > 0 {
			x["pathRegex"] = pick(r, []string{"/api", "/api/.*", "/a|/b", ".*"})
		}
		if r.IntN(2) > 0 {
			x["methods"] = pick(r, [][]string{{"GET"}, {"*"}, {"GET", "POST"}})
		}
		if r.IntN(3) == 0 {
			x["headers"] = []m{{pick(r, []string{"x-user", "host"}): pick(r, []string{"beta", "catalog.*", ".*"})}}
		}
		matches = append(matches, x)
	}
	add("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "g", m{"matches": matches})
	add("specs.smi-spec.io/v1alpha4", "TCPRoute", "some", m{"matches": m{"ports": pick(r, [][]int{{8080}, {5432}, {8080, 5432}, {7001}})}})
	add("specs.smi-spec.io/v1alpha4", "TCPRoute", "any", m{"matches": m{"ports": []int{}}})
	for i := range targets {
		to := m{"kind": "ServiceAccount", "name": "catalog"}
		if r.IntN(8) > 0 {
			to["namespace"] = "shop"
		}
		var rules, sources []m
		for range r.IntN(3) {
			switch rule := (m{"kind": "HTTPRouteGroup", "name": pick(r, []string{"g", "g", "g", "none"})}); r.IntN(6) {
			case 0:
				rules = append(rules, m{"kind": "TCPRoute", "name": pick(r, []string{"some", "any", "none"})})
			case 1, 2:
				rules = append(rules, m{"kind": "TCPRoute", "name": "some"})
			case 3:
				rules = append(rules, rule)
			default:
				rule["matches"] = pick(r, [][]string{{"m0"}, {"m1", "m2"}, {}, {"nothing"}})
				rules = append(rules, rule)
			}
		}
		for range r.IntN(3) {
			s := m{"kind": "ServiceAccount", "name": pick(r, []string{"web", "lab"})}
			if r.IntN(5) > 0 {
				s["namespace"] = "shop"
			}
			sources = append(sources, s)
		}
		add("access.smi-spec.io/v1alpha3", "TrafficTarget", fmt.Sprintf("t%d", i), m{"destination": to, "rules": slices.Concat(rules, []m{}), "sources": slices.Concat(sources, []m{})})
	}
	return out
}

// TestImportSafe holds that what is read admits no more than OSM did, in a mesh that is closed, and as much where nothing is said, whatever
// the order of its routes was.
func TestImportSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	both, neither, exactly := 0, 0, 0
	settings := model.Defaults()
	settings.Access = model.AccessDeny
	for n := range 1500 {
		targets := 1 + n%3
		objs := native(r, targets)
		var docs []string
		for i := range objs {
			doc, err := json.Marshal(&objs[i])
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, string(doc))
		}
		in, back := imported(t, strings.Join(docs, "\n"), append(shop(), settings)...)
		sure := !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
		if sure {
			exactly++
		}
		j, k := judge{}, judge{surely: true}
		wl := back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
		for range 20 {
			port := pick(r, []uint16{8080, 5432, 7001})
			q := &model.Request{Service: name("catalog"), Method: pick(r, []string{"GET", "POST", "PUT"}), Path: pick(r, []string{"/api", "/api/x", "/a", "/b", "/apix", "/"}),
				Headers: map[string][]string{"x-user": {pick(r, []string{"beta", "b"})}}, From: model.Identity{Namespace: "shop", ServiceAccount: pick(r, []string{"web", "lab", "other"})}}
			if port == 5432 {
				q.Layer = model.LayerStream
			}
			before, surely := j.admit(objs, back, wl, port, q), k.admit(objs, back, wl, port, q)
			a, _ := model.JoinAccess(back, wl.Identity())
			after, _, why := a.Admit(wl, port, q, "catalog.shop.svc.cluster.local")
			open := !slices.ContainsFunc(in.Facts, func(f model.Fact) bool { return f.Ref().Kind == model.KindPermission }) // raw TCP, then
			switch {
			case after && !before, (before && !after || after && !surely) && sure && !open:
				t.Fatalf("port %d, %+v: admitted %v, as read %v (%s)\n%s\n%+v", port, q, before, after, why, strings.Join(docs, "\n"), in.Findings)
			case before && after:
				both++
			case !before:
				neither++
			}
		}
	}
	if both < 1000 || neither < 1000 || exactly < 100 {
		t.Errorf("the test tests too little: %d %d %d", both, neither, exactly)
	}
}

func said(list []model.Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.Level.String()+" "+f.Path)
	}
	slices.Sort(out)
	return out
}

// TestTraps names what OSM understands otherwise than SMI, and holds what becomes of it.
func TestTraps(t *testing.T) {
	const routes = "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: g}\nspec: {matches: [{name: m, pathRegex: /api}]}\n---\n" +
		"apiVersion: specs.smi-spec.io/v1alpha4\nkind: TCPRoute\nmetadata: {name: p}\nspec: {matches: {ports: [8080, 5432]}}\n---\n"
	target := func(sources, rules string) string {
		return routes + "apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: {name: t}\nspec:\n  destination: {kind: ServiceAccount, name: catalog, namespace: shop}\n  sources: [" + sources + "]\n  rules: [" + rules + "]\n"
	}
	const web = "{kind: ServiceAccount, name: web, namespace: shop}"
	for _, c := range []struct {
		name, text    string
		api, sub, raw bool // GET /api, GET /api/x on 8080, raw TCP on 5432
		said          []string
	}{
		{"a path is whole", target(web, "{kind: HTTPRouteGroup, name: g, matches: [m]}"), true, false, true, nil},
		{"a rule without matches grants no request", target(web, "{kind: HTTPRouteGroup, name: g}"), false, false, true, []string{"notice spec.rules[0].matches"}},
		{"a TCPRoute alone grants no request", target(web, "{kind: TCPRoute, name: p}"), false, false, true, nil},
		{"both", target(web, "{kind: HTTPRouteGroup, name: g, matches: [m]}, {kind: TCPRoute, name: p}"), true, false, true, nil},
		{"no sources admit everybody", target("", "{kind: TCPRoute, name: p}"), false, false, false, []string{"invalid spec.sources", "unsupported spec.sources"}},
		{"a source without namespace is nobody", target("{kind: ServiceAccount, name: web}", "{kind: TCPRoute, name: p}"), false, false, false, []string{"unsupported spec.sources[0].namespace"}},
		{"UDP takes the target with it", target(web, "{kind: TCPRoute, name: p}, {kind: UDPRoute, name: u}"), false, false, false, []string{"unsupported spec.rules[1].kind"}},
		{"another version is not read", strings.Replace(target(web, "{kind: TCPRoute, name: p}"), "access.smi-spec.io/v1alpha3", "access.smi-spec.io/v1alpha2", 1), true, true, true, []string{"unsupported apiVersion"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, back := imported(t, c.text, shop()...)
			if got := said(in.Findings); !slices.Equal(got, c.said) {
				t.Errorf("said: %v\n%+v", got, in.Findings)
			}
			wl := back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
			a, _ := model.JoinAccess(back, wl.Identity())
			ask := func(q *model.Request, port uint16) bool {
				q.Service, q.Method, q.From = name("catalog"), "GET", model.Identity{Namespace: "shop", ServiceAccount: "web"}
				ok, _, _ := a.Admit(wl, port, q, "")
				return ok
			}
			if api, sub, raw := ask(&model.Request{Path: "/api"}, 8080), ask(&model.Request{Path: "/api/x"}, 8080), ask(&model.Request{Layer: model.LayerStream}, 5432); api != c.api || sub != c.sub || raw != c.raw {
				t.Errorf("/api %v, /api/x %v, raw TCP %v", api, sub, raw)
			}
		})
	}
}

// TestWithoutServices holds that what cannot be told is not granted.
func TestWithoutServices(t *testing.T) {
	in, _ := imported(t, "apiVersion: specs.smi-spec.io/v1alpha4\nkind: TCPRoute\nmetadata: {name: p}\nspec: {matches: {ports: [8080]}}\n---\napiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: {name: t}\n"+
		"spec: {destination: {kind: ServiceAccount, name: catalog, namespace: shop}, sources: [{kind: ServiceAccount, name: web, namespace: shop}], rules: [{kind: TCPRoute, name: p}]}\n")
	if len(in.Facts) != 1 || len(in.Facts[0].(*model.Permission).Rules) != 0 || len(in.Kept) != 1 || in.Findings[0].Code != model.CodeNativeAmbiguous {
		t.Errorf("%+v %+v", in.Facts, in.Findings)
	}
}

func TestImportConfig(t *testing.T) {
	config := "apiVersion: config.openservicemesh.io/v1alpha2\nkind: MeshConfig\nmetadata: {name: osm-mesh-config}\nspec: {traffic: {enablePermissiveTrafficPolicyMode: %v, enableEgress: true}, sidecar: {logLevel: error}}\n"
	for _, on := range []bool{true, false} {
		in, back := imported(t, fmt.Sprintf(config, on), shop()...)
		want, said0 := model.AccessDeny, []string{"notice spec.sidecar", "notice spec.traffic.enableEgress"}
		if on {
			want, said0 = model.AccessAllow, []string{"approximate spec.traffic.enablePermissiveTrafficPolicyMode", "notice spec.sidecar", "notice spec.traffic.enableEgress"}
		}
		if got := said(in.Findings); back.Settings().Access != want || !slices.Equal(got, said0) {
			t.Errorf("%v: %s %v", on, back.Settings().Access, got)
		}
	}
	in, _ := imported(t, "apiVersion: policy.openservicemesh.io/v1alpha1\nkind: Egress\nmetadata: {name: e}\nspec: {}\n---\napiVersion: policy.openservicemesh.io/v1alpha1\nkind: Retry\nmetadata: {name: e}\nspec: {}\n", shop()...)
	if len(in.Kept) != 2 {
		t.Errorf("%+v", in.Findings)
	}
}

func TestImportIngress(t *testing.T) {
	ingress := func(spec string) string {
		return "apiVersion: policy.openservicemesh.io/v1alpha1\nkind: IngressBackend\nmetadata: {name: i}\nspec: {" + spec + "}\n"
	}
	const principal = "{kind: AuthenticatedPrincipal, name: nginx.ingress.cluster.local}"
	for _, c := range []struct {
		name, spec string
		admitted   bool
		said       []string
	}{
		{"by certificate", "backends: [{name: catalog, port: {number: 8080, protocol: https}, tls: {skipClientCertValidation: false}}], sources: [" + principal + "]", true, nil},
		{"by address too", "backends: [{name: catalog, port: {number: 8080, protocol: https}}], sources: [" + principal + ", {kind: Service, name: nginx, namespace: ingress}]", false, []string{"unsupported spec.sources[1]"}},
		{"without certificate", "backends: [{name: catalog, port: {number: 8080, protocol: http}}], sources: [" + principal + "]", false, []string{"unsupported spec.backends[0]"}},
		{"certificate not looked at", "backends: [{name: catalog, port: {number: 8080, protocol: https}, tls: {skipClientCertValidation: true}}], sources: [" + principal + "]", false, []string{"unsupported spec.backends[0]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings := model.Defaults()
			settings.Access = model.AccessDeny
			in, back := imported(t, ingress(c.spec), append(shop(), settings)...)
			wl := back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
			a, _ := model.JoinAccess(back, wl.Identity())
			ok, _, _ := a.Admit(wl, 8080, &model.Request{Service: name("catalog"), Method: "GET", Path: "/", From: model.Identity{Namespace: "ingress", ServiceAccount: "nginx"}}, "")
			other, _, _ := a.Admit(wl, 7001, &model.Request{Service: name("catalog"), Method: "GET", Path: "/", From: model.Identity{Namespace: "ingress", ServiceAccount: "nginx"}}, "")
			if got := said(in.Findings); ok != c.admitted || other || !slices.Equal(got, c.said) {
				t.Errorf("admitted %v %v, said %v", ok, other, got)
			}
		})
	}
}
