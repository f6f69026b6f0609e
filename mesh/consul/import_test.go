// SPDX-License-Identifier: Apache-2.0

package consul

import (
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

// imported reads native objects beside the Services and workloads of a world.
func imported(t *testing.T, w *store.Store, yaml string) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for f := range w.Facts {
		switch f.(type) {
		case *model.Service, *model.Workload:
			set(f)
		}
	}
	objects, problems := object.Parse("native.yaml", []byte(yaml))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "consul"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// nativeIntentions writes random intentions, with some in them that SMI cannot say.
func nativeIntentions(r *rand.Rand) string {
	var sources []string
	for _, n := range []string{"web", "catalog-v1", "*"} {
		switch r.IntN(4) {
		case 0:
			sources = append(sources, fmt.Sprintf(`{"name":%q,"action":%q}`, n, pick(r, "allow", "deny")))
		case 1, 2:
			var list []string
			for range 1 + r.IntN(3) {
				http := pick(r, `"pathExact":"/a"`, `"pathPrefix":"/a"`, `"pathRegex":".*b"`, `"pathPrefix":"/"`, `"methods":["GET"]`, `"header":[{"name":"x","prefix":"v"}]`, `"pathPrefix":"/a","methods":["POST"]`)
				list = append(list, fmt.Sprintf(`{"action":%q,"http":{%s}}`, pick(r, "allow", "allow", "deny"), http))
			}
			sources = append(sources, fmt.Sprintf(`{"name":%q,"permissions":[%s]}`, n, strings.Join(append(list, `{"action":"deny","http":{"pathRegex":".*"}}`), ",")))
		}
	}
	if len(sources) == 0 || !strings.Contains(sources[len(sources)-1], `"*"`) {
		sources = append(sources, `{"name":"*","action":"deny"}`)
	}
	return fmt.Sprintf(`{"apiVersion":"consul.hashicorp.com/v1alpha1","kind":"ServiceIntentions","metadata":{"name":"i","namespace":"shop"},"spec":{"destination":{"name":"catalog"},"sources":[%s]}}`, strings.Join(sources, ","))
}

// TestImportSafe holds that what is read admits no more than what was written did, and as much where nothing is reported.
func TestImportSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := world(shop()...)
	carries := parse([]byte(`{"kind":"ServiceDefaults","metadata":{"name":"catalog","namespace":"shop"},"spec":{"protocol":"http"}}`))
	wl := w.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
	both, neither, exactly := 0, 0, 0
	for range 800 {
		text := nativeIntentions(r)
		in, back := imported(t, w, text)
		native := []native{parse([]byte(text)), carries}
		sure := !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
		if sure {
			exactly++
		}
		a, _ := model.JoinAccess(back, wl.Identity())
		for range 12 {
			q := &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: pick(r, "web", "catalog-v1", "catalog-v2", "")}, Service: name("catalog"), Method: pick(r, "GET", "POST"), Path: pick(r, "/a", "/ab", "/b", "/"), Headers: map[string][]string{}}
			if r.IntN(2) == 0 {
				q.Headers["x"] = []string{pick(r, "v1", "w")}
			}
			before := admits(native, w, wl, q)
			after, _, why := a.Admit(wl, 8080, q, "")
			switch {
			case after && !before, before && !after && sure:
				t.Fatalf("%+v: admitted %v, as read %v (%s)\n%s\n%+v", q, before, after, why, text, in.Findings)
			case before:
				both++
			default:
				neither++
			}
		}
	}
	if both < 500 || neither < 500 || exactly < 50 {
		t.Errorf("the test tests too little: %d admitted, %d refused, %d read exactly", both, neither, exactly)
	}
}

// TestImportRoutes reads splitters, routers and resolvers.
func TestImportRoutes(t *testing.T) {
	entry := func(kind, n, spec string) string {
		return fmt.Sprintf("apiVersion: consul.hashicorp.com/v1alpha1\nkind: %s\nmetadata: {name: %s, namespace: shop}\nspec: %s\n---\n", kind, n, spec)
	}
	for _, c := range []struct{ name, yaml, path, want, finding string }{
		{"a split", entry(kindSplitter, "catalog", "{splits: [{weight: 33.34, service: catalog-v1}, {weight: 66.66}]}"), "/", "catalog-v1:0.3334 catalog:0.6666", ""},
		{"a subset", entry(kindSplitter, "catalog", "{splits: [{weight: 100, serviceSubset: v1}]}"), "/", "catalog:1.0000", "subset"},
		{"a split of a split", entry(kindSplitter, "catalog", "{splits: [{weight: 100, service: catalog-v1}]}") + entry(kindSplitter, "catalog-v1", "{splits: [{weight: 100, service: catalog-v2}]}"), "/", "catalog:1.0000", "follows"},
		{"a redirect", entry(kindResolver, "catalog", "{redirect: {service: catalog-v2}}"), "/", "catalog-v2:1.0000", ""},
		{"a resolver with more to it", entry(kindResolver, "catalog", "{redirect: {service: catalog-v2, datacenter: east}}"), "/", "catalog:1.0000", "datacenter"},
		{"the first route", entry(kindRouter, "catalog", "{routes: [{match: {http: {pathPrefix: /a}}, destination: {service: catalog-v1}}, {match: {http: {pathExact: /a}}, destination: {service: catalog-v2}}]}"), "/a", "catalog-v1:1.0000", ""},
		{"what no route takes", entry(kindRouter, "catalog", "{routes: [{match: {http: {pathPrefix: /a}}, destination: {service: catalog-v1}}]}") + entry(kindSplitter, "catalog", "{splits: [{weight: 25, service: catalog-v1}, {weight: 75, service: catalog-v2}]}"), "/", "catalog-v1:0.2500 catalog-v2:0.7500", ""},
		{"a service without instances", entry(kindRouter, "catalog", "{routes: [{match: {http: {pathPrefix: /a}}, destination: {service: none}}]}") + entry(kindSplitter, "none", "{splits: [{weight: 50, service: catalog-v1}, {weight: 50, service: catalog-v2}]}"), "/a", "catalog-v1:0.5000 catalog-v2:0.5000", ""},
		{"all of the rest", entry(kindRouter, "catalog", "{routes: [{destination: {service: catalog-v2}}, {match: {http: {pathPrefix: /a}}, destination: {service: catalog-v1}}]}"), "/a", "catalog-v2:1.0000", ""},
		{"a rewritten path", entry(kindRouter, "catalog", "{routes: [{match: {http: {pathPrefix: /a}}, destination: {service: catalog-v1, prefixRewrite: /}}]}"), "/a", "catalog:1.0000", "prefixRewrite"},
		{"a condition on the query", entry(kindRouter, "catalog", "{routes: [{match: {http: {queryParam: [{name: x, present: true}]}}, destination: {service: catalog-v1}}]}"), "/a", "catalog:1.0000", "queryParam"},
		{"another namespace", entry(kindRouter, "catalog", "{routes: [{match: {http: {pathPrefix: /a}}, destination: {service: catalog-v1, namespace: lab}}]}"), "/a", "catalog:1.0000", "one namespace"},
		{"a kind that SMI has not", entry("ExportedServices", "default", "{}"), "/", "catalog:1.0000", "nothing that a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, back := imported(t, world(shop()...), c.yaml)
			v, err := model.Evaluate(back, &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "web"}, Service: name("catalog"), Method: "GET", Path: c.path})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range v.Backends {
				got = append(got, fmt.Sprintf("%s:%.4f", b.Service.Name, b.Share))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("goes to %v, want %s\n%+v", got, c.want, in.Findings)
			}
			if reported := hasFinding(in.Findings, model.Unsupported, c.finding); reported != (c.finding != "") || reported != (len(in.Kept) > 0) {
				t.Errorf("reported: %+v, kept: %v", in.Findings, in.Kept)
			}
		})
	}
}

// TestImportIntentions reads what SMI cannot say, which admits nobody, and says so.
func TestImportIntentions(t *testing.T) {
	entry := func(spec string) string {
		return "apiVersion: consul.hashicorp.com/v1alpha1\nkind: ServiceIntentions\nmetadata: {name: i, namespace: shop}\nspec: " + spec + "\n"
	}
	for _, c := range []struct {
		name, spec, finding string
		admits              bool
	}{
		{"connections", "{destination: {name: catalog}, sources: [{name: web, action: allow}]}", "", true},
		{"a peer", "{destination: {name: catalog}, sources: [{name: web, peer: east, action: allow}]}", "peer", false},
		{"another namespace", "{destination: {name: catalog}, sources: [{name: web, namespace: lab, action: allow}]}", "", false},
		{"everybody", "{destination: {name: catalog}, sources: [{name: '*', action: allow}]}", "everybody", false},
		{"the opposite of a header", "{destination: {name: catalog}, sources: [{name: web, permissions: [{action: allow, http: {header: [{name: x, exact: y, invert: true}]}}]}]}", "invert", false},
		{"a token", "{destination: {name: catalog}, jwt: {providers: [{name: x}]}, sources: [{name: web, action: allow}]}", "jwt", false},
		{"a refusal first", "{destination: {name: catalog}, sources: [{name: web, permissions: [{action: deny, http: {pathExact: /a}}, {action: allow, http: {pathPrefix: /}}]}]}", "does not refuse", false},
		{"every destination", "{destination: {name: '*'}, sources: [{name: '*', action: deny}]}", "", false},
		{"every destination, for one", "{destination: {name: '*'}, sources: [{name: web, action: deny}]}", "is of all", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, back := imported(t, world(shop()...), entry(c.spec))
			v, err := model.Evaluate(back, &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "web"}, Service: name("catalog"), Method: "GET", Path: "/"})
			if err != nil || v.Allowed != c.admits {
				t.Errorf("admits: %+v (%v)", v, err)
			}
			if reported := hasFinding(in.Findings, model.Unsupported, c.finding); reported != (c.finding != "") {
				t.Errorf("reported: %+v", in.Findings)
			}
		})
	}
}
