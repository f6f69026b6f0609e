// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// imported reads objects beside the Services and workloads of a world.
func imported(t *testing.T, s *store.Store, text string) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	said := map[model.Ref][]model.Fact{s.Settings().Ref(): {s.Settings()}}
	for f := range s.Facts {
		switch f.(type) {
		case *model.Service, *model.Workload, *model.Pod, *model.EndpointSlice, *model.ServiceAccount:
			said[f.Ref()] = append(said[f.Ref()], f)
		}
	}
	for r, list := range said {
		back.Set(store.Event{Object: r, Facts: list})
	}
	list, problems := object.Parse("test", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := mesh.Input{Objects: list, World: back, Mesh: "ambient"}
	importAll(&in)
	for _, f := range in.Facts {
		back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return &in, back
}

func textOf(objs []mesh.Object) string {
	var docs []string
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		docs = append(docs, string(text))
	}
	return strings.Join(docs, "\n---\n")
}

// TestBack holds that permissions which were said at both places read back as what they were, and that nothing reads back as more.
func TestBack(t *testing.T) {
	compared, narrower := 0, 0
	for _, w := range meshtest.Worlds(meshtest.Cases(t)) {
		objs, said := say(w.Store)
		if len(objs) == 0 {
			continue
		}
		collide := false // labels that find others too close those as well
		for _, list := range said {
			collide = collide || slices.ContainsFunc(list, func(f model.Finding) bool { return f.Code == model.CodeSelector })
		}
		_, back := imported(t, w.Store, textOf(objs))
		for _, q := range meshtest.Requests(w.Store, 40) {
			for _, wl := range w.Store.Selected(q.Service) {
				a, _ := model.JoinAccess(w.Store, wl.Identity())
				b, _ := model.JoinAccess(back, wl.Identity())
				port := wl.TargetPort(w.Store.Service(q.Service).Port(q.Port))
				want, _, _ := a.Admit(wl, port, q, q.Host)
				got, _, _ := b.Admit(wl, port, q, q.Host)
				sure := !slices.ContainsFunc(said[wl.Identity()], inexact) && !collide && q.Layer != model.LayerDatagram
				if got && !want || got != want && sure {
					t.Fatalf("world %s: %s %s %s from %s to %s port %d: read back as %v, and was %v\n%s", w.Name, q.Service, q.Method, q.Path, q.From, wl.Ref(), port, got, want, textOf(objs))
				}
				if compared++; got != want {
					narrower++
				}
			}
		}
	}
	if t.Logf("%d compared, %d narrower", compared, narrower); compared < 1000 {
		t.Error("the test tests too little")
	}
}

const podPolicy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: %s, namespace: shop}\nspec: %s\n---\n"

// TestImport holds what is understood of policies, and that what is not takes its part with it.
func TestImport(t *testing.T) {
	const web, way = "{source: {principals: [cluster.local/ns/shop/sa/web]}}", "{source: {principals: [cluster.local/ns/shop/sa/w]}}"
	at := func(kind string) string {
		return "targetRefs: [{group: gateway.networking.k8s.io, kind: " + kind + ", name: w}]"
	}
	for title, c := range map[string]struct {
		text           string
		admits, closed bool // web's GET /api; anybody else
		kept           int
	}{
		"direct":                     {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}, rules: [{from: ["+web+"]}]}"), true, true, 0},
		"ztunnel knows no requests":  {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}, rules: [{from: ["+web+"], to: [{operation: {methods: [GET]}}]}]}"), false, true, 1},
		"by a waypoint":              {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}, rules: [{from: ["+way+"]}]}") + fmt.Sprintf(podPolicy, "q", "{"+at("Gateway")+", rules: [{from: ["+web+"], to: [{operation: {paths: [/api]}}]}]}"), true, true, 0},
		"a waypoint that has no way": {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}}") + fmt.Sprintf(podPolicy, "q", "{"+at("Gateway")+", rules: [{from: ["+web+"]}]}"), false, true, 0},
		"a waypoint that also refuses": {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}, rules: [{from: ["+way+"]}]}") + fmt.Sprintf(podPolicy, "q", "{"+at("Gateway")+", rules: [{from: ["+web+"]}]}") +
			fmt.Sprintf(podPolicy, "r", "{"+at("Gateway")+", action: DENY, rules: [{to: [{operation: {paths: [/api]}}]}]}"), false, true, 2},
		"refusing":         {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}, rules: [{from: ["+web+"]}]}") + fmt.Sprintf(podPolicy, "q", "{selector: {matchLabels: {app: catalog}}, action: DENY, rules: [{}]}"), false, true, 2},
		"an unknown field": {fmt.Sprintf(podPolicy, "p", "{selector: {matchLabels: {app: catalog}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web], notNamespaces: [x]}}]}]}"), false, true, 1},
		"at a Service":     {fmt.Sprintf(podPolicy, "q", "{targetRefs: [{kind: Service, name: catalog}], rules: [{from: ["+web+"]}]}"), true, false, 1},
		"everywhere":       {strings.Replace(fmt.Sprintf(podPolicy, "p", "{}"), "namespace: shop", "namespace: istio-system", 1), false, true, 0},
	} {
		t.Run(title, func(t *testing.T) {
			in, w := imported(t, world(service("catalog", http(80, 8080)), workload("catalog", "catalog")), c.text)
			wl := w.Selected(name("catalog"))[0]
			a, _ := model.JoinAccess(w, wl.Identity())
			admits, _, _ := a.Admit(wl, 8080, from("web", "/api"), "")
			other, _, _ := a.Admit(wl, 8080, from("other", "/api"), "")
			if admits != c.admits || other == c.closed || len(in.Kept) != c.kept {
				t.Errorf("web is admitted: %v, others: %v; %d kept; %+v", admits, other, len(in.Kept), in.Findings)
			}
		})
	}
}
