// SPDX-License-Identifier: Apache-2.0

package istio

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

// imported reads native objects beside the Services and workloads of a world.
func imported(t *testing.T, w *store.Store, text string) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for f := range w.Facts {
		switch f.(type) {
		case *model.Service, *model.Workload:
			set(f)
		}
	}
	objects, problems := object.Parse("native.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "istio"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

// TestRoundTrip holds that what the driver wrote reads back as what it was written from, as far as it was written: never more is admitted, and
// where all was said exactly nothing is lost.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	routed, admitted, refused := 0, 0, 0
	for n := range 150 {
		w := randomWorld(r)
		out := translate(w)
		var docs []string
		for i := range out.objects {
			doc, err := json.Marshal(&out.objects[i])
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, string(doc))
		}
		in, back := imported(t, w, strings.Join(docs, "\n"))
		for range 30 {
			q := randomRequest(r)
			if exactRoute(out, q.Service) {
				if a, b := shares(w, q), shares(back, q); !near(a, b) {
					t.Fatalf("world %d: %+v goes to %v, read back to %v\n%s\n%+v", n, q, a, b, strings.Join(docs, "\n"), in.Findings)
				}
				routed++
			}
			for _, wl := range w.Selected(name("catalog")) {
				before, _ := model.JoinAccess(w, wl.Identity())
				after, _ := model.JoinAccess(back, wl.Identity())
				port := wl.TargetPort(w.Service(name("catalog")).Port(q.Port))
				a, _, _ := before.Admit(wl, port, q, w.Settings().Host(q.Service))
				b, _, why := after.Admit(wl, port, q, w.Settings().Host(q.Service))
				sure := exact(out, store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: "shop", Name: wl.Account}}) && !mixed(w, wl)
				if a != b && (b || sure) {
					t.Fatalf("world %d: %s port %d admits %+v: %v, read back %v (%s)\n%s\n%+v", n, wl.Ref(), port, q, a, b, why, strings.Join(docs, "\n"), in.Findings)
				}
				if b {
					admitted++
				} else {
					refused++
				}
			}
		}
	}
	if routed < 1000 || admitted < 500 || refused < 500 {
		t.Errorf("the test tests too little: %d %d %d", routed, admitted, refused)
	}
}

// nativePolicies writes random policies of Istio, with much in them that SMI cannot say.
func nativePolicies(r *rand.Rand) string {
	var docs []string
	list := func(key string, values ...string) string {
		return fmt.Sprintf("%q:[%q]", key, pick(r, values))
	}
	for i := range 1 + r.IntN(3) {
		var rules []string
		for range r.IntN(3) {
			var parts []string
			if r.IntN(5) > 0 {
				source := pick(r, []string{list("principals", "cluster.local/ns/shop/sa/web", "cluster.local/ns/lab/sa/lab", "*", "cluster.local/ns/shop/*", "other.example/x"),
					list("serviceAccounts", "web", "shop/web2", "lab/lab"), list("namespaces", "shop", "lab"), list("notPrincipals", "cluster.local/ns/shop/sa/web")})
				parts = append(parts, `"from":[{"source":{`+source+`}}]`)
			}
			if r.IntN(4) > 0 {
				ops := []string{list("paths", "/api", "/api*", "*.css", "*", "/items/{*}", "/items/{**}"), list("methods", "GET", "*", "G*"), list("ports", "8080", "5432", "0"),
					list("hosts", "catalog.shop.svc.cluster.local", "CATALOG*", "other"), list("notPaths", "/api*")}
				r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
				parts = append(parts, `"to":[{"operation":{`+strings.Join(ops[:1+r.IntN(2)], ",")+`}}]`)
			}
			if r.IntN(4) == 0 {
				parts = append(parts, `"when":[{"key":"request.headers[`+pick(r, []string{"x-user", "User-Agent", ":authority"})+`]",`+list("values", "beta", "beta*", "*beta", "*", "catalog*")+`}]`)
			}
			rules = append(rules, "{"+strings.Join(parts, ",")+"}")
		}
		spec := fmt.Sprintf(`"action":%q,"rules":[%s]`, pick(r, []string{"ALLOW", "ALLOW", "ALLOW", "DENY"}), strings.Join(rules, ","))
		if r.IntN(5) > 0 {
			spec += `,"selector":{"matchLabels":` + pick(r, []string{`{"app":"catalog"}`, `{"version":"v1"}`, `{"version":"v2"}`, `{"version":"v3"}`, `{"app":"none"}`}) + "}"
		}
		docs = append(docs, fmt.Sprintf(`{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p%d","namespace":%q},"spec":{%s}}`, i, pick(r, []string{"shop", "shop", "shop", "istio-system", "lab"}), spec))
	}
	return strings.Join(docs, "\n")
}

// nativeObjects reads objects for the judge, as a person wrote them.
func nativeObjects(t *testing.T, text string) (out []native) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	for dec.More() {
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		o := tree{v}
		out = append(out, native{o.at("kind").text(), o.at("metadata").at("namespace").text(), o.at("metadata").at("name").text(), o.at("spec")})
	}
	return out
}

// TestImportSafe holds that what is read admits no more than what was written did, and as much where nothing is reported.
func TestImportSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	w := world(shop()...)
	both, neither, exactly := 0, 0, 0
	for range 1500 {
		text := nativePolicies(r)
		in, back := imported(t, w, text)
		policies := nativeObjects(t, text)
		sure := !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
		if sure {
			exactly++
		}
		for range 12 {
			q := randomRequest(r)
			q.Host = pick(r, []string{"catalog.shop.svc.cluster.local", "Catalog", "other"})
			for _, wl := range w.Selected(name("catalog")) {
				port := wl.TargetPort(w.Service(name("catalog")).Port(q.Port))
				j := admitJudge{q: q, port: port, host: q.Host}
				if q.From.ServiceAccount != "" {
					j.caller = "cluster.local/ns/" + q.From.Namespace + "/sa/" + q.From.ServiceAccount
				}
				before := j.admits(policies, wl)
				a, _ := model.JoinAccess(back, wl.Identity())
				after, _, why := a.Admit(wl, port, q, q.Host)
				switch {
				case after && !before, before && !after && sure:
					t.Fatalf("%s port %d, %+v: admitted %v, as read %v (%s)\n%s\n%+v", wl.Ref(), port, q, before, after, why, text, in.Findings)
				case before && after:
					both++
				case !before:
					neither++
				}
			}
		}
	}
	if both < 1000 || neither < 1000 || exactly < 50 {
		t.Errorf("the test tests too little: %d admitted, %d refused, %d policies read exactly", both, neither, exactly)
	}
}
