// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// TestTrapOrder holds that an older split is asked first, although Kuma would ask the younger one's exact path before its expression.
func TestTrapOrder(t *testing.T) {
	w := world(append(shop(), split("a", 1, "api", "catalog-v1"), split("b", 2, "exact", "catalog-v2"), split("c", 3, "", "catalog-v2"),
		routeGroup("api", model.Match{Path: "/api"}, model.Match{Headers: []model.Header{{Name: "x-user", Value: "beta"}}}), routeGroup("exact", model.Match{Path: "/api/x$"}, model.Match{Path: "/other(/.*)?$"}))...)
	objs, _ := said(Driver, w)
	for path, want := range map[string]string{"/api/x": "shop/catalog-v1:80", "/other": "shop/catalog-v2:80", "/": "shop/catalog-v2:80"} {
		got, err := judgeRoute(objs, w, &model.Request{Service: name("catalog"), Port: 80, Method: "GET", Path: path})
		if err != nil || got[want] != 1 {
			t.Errorf("%s goes to %v (%v), want %s\n%s", path, got, err, want, written(t, objs))
		}
	}
	got, err := judgeRoute(objs, w, &model.Request{Service: name("catalog"), Port: 80, Method: "GET", Path: "/api/x", Headers: map[string][]string{"x-user": {"beta"}}})
	if err != nil || got["shop/catalog-v1:80"] != 1 {
		t.Errorf("a header that is asked first leads to %v (%v)", got, err)
	}
	for i := range objs {
		if r, ok := objs[i].Spec.(*httpRoute); ok {
			slices.Reverse(r.To[0].Rules)
		}
	}
	again, err := judgeRoute(slices.Clone(objs), w, &model.Request{Service: name("catalog"), Port: 80, Method: "GET", Path: "/api/x"})
	if err != nil || again["shop/catalog-v1:80"] != 1 {
		t.Errorf("the order of the list matters: %v (%v)", again, err)
	}
}

// TestTrapRest holds that what takes the rest is no prefix / beside others: Kuma would ask it before every expression.
func TestTrapRest(t *testing.T) {
	w := world(append(shop(), split("a", 1, "g", "catalog-v1"), routeGroup("g", model.Match{Path: "/v[0-9]+"}))...)
	objs, _ := said(Driver, w)
	if s := written(t, objs); strings.Contains(s, "PathPrefix") || !strings.Contains(s, `"matches":[{}]`) {
		t.Error(s)
	}
}

// TestTrapPrefix holds that a prefix of text is none of Kuma's, which end where a segment ends and not in a slash.
func TestTrapPrefix(t *testing.T) {
	for expression, want := range map[string]string{"/api": `"type":"RegularExpression","value":"(?:/api).*"`, "/api/": `RegularExpression`, "/api(/.*)?$": `"type":"PathPrefix","value":"/api"`, "/api$": `"type":"Exact","value":"/api"`} {
		w := world(append(shop(), split("a", 1, "g", "catalog-v1"), routeGroup("g", model.Match{Path: expression}))...)
		if objs, _ := said(Driver, w); !strings.Contains(written(t, objs), want) {
			t.Errorf("%s: %s", expression, written(t, objs))
		}
	}
}

// TestTrapMethods holds that a match has one method, so that several make several, and that a method which Kuma does not know takes its match with it.
func TestTrapMethods(t *testing.T) {
	w := world(append(shop(), split("a", 1, "g", "catalog-v1"), routeGroup("g", model.Match{Path: "/a", Methods: []string{"GET", "POST"}}, model.Match{Path: "/b", Methods: []string{"GET", "PURGE"}}))...)
	objs, findings := said(Driver, w)
	s := written(t, objs)
	if strings.Count(s, `"method":`) != 2 || strings.Contains(s, "/b") || !hasFinding(findings, model.Unsupported, "PURGE") {
		t.Error(s, findings)
	}
}

// TestTrapRequests holds that a permission for requests never becomes one for connections.
func TestTrapRequests(t *testing.T) {
	for _, m := range []model.Match{{}, {Path: "/api"}, {Methods: []string{"GET"}}} {
		w := world(append(shop(), permit("t", model.KindGroup, "g"), routeGroup("g", m))...)
		objs, findings := said(Driver, w)
		if s := written(t, objs); strings.Contains(s, "allow") || !strings.Contains(s, `"deny"`) || !hasFinding(findings, model.Unsupported, l4) {
			t.Error(s, findings)
		}
	}
}

const allowAll = `{"kind":"MeshTrafficPermission","metadata":{"name":"allow-all","namespace":"kuma-system","labels":{"kuma.io/mesh":"default"}},
"spec":{"targetRef":{"kind":"Mesh"},"rules":[{"default":{"allow":[{"spiffeID":{"type":"Prefix","value":"spiffe://"}}]}}]}}`

// TestTrapAllowAll holds that a policy which admits everybody is spoken of, since it opens whatever is granted to somebody; and that an identity to
// which nobody is admitted stays closed all the same: a refusal comes first.
func TestTrapAllowAll(t *testing.T) {
	intruder := &model.Request{Service: name("catalog"), Port: 5432, Layer: model.LayerStream, From: model.Identity{Namespace: "shop", ServiceAccount: "intruder"}}
	for _, c := range []struct {
		facts  []model.Fact
		opened bool
	}{
		{[]model.Fact{permit("t", model.KindTCPRoute, "p"), ports("p", 5432)}, true},
		{[]model.Fact{permit("t", model.KindGroup, "none")}, false},
	} {
		w := world(append(shop(), c.facts...)...)
		objs, findings := said(Driver, w)
		wl := w.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
		policies := slices.Clone(read(objs))
		if admits(policies, w, wl, 5432, intruder, false, true) {
			t.Error("it is open of itself")
		}
		if got := admits(append(policies, parse([]byte(allowAll))), w, wl, 5432, intruder, false, true); got != c.opened {
			t.Errorf("a policy that admits everybody opens it: %v", got)
		}
		if !hasFinding(findings, model.Notice, "add up") {
			t.Error("nobody is told")
		}
	}
}

// TestTrapDefault holds that Kuma, closed of itself, admits to what SMI leaves open nobody unless the mesh has a policy for it: that is said.
func TestTrapDefault(t *testing.T) {
	w := world(shop()...)
	objs, findings := said(Driver, w)
	if len(objs) > 0 || !hasFinding(findings, model.Notice, "identities that no TrafficTarget names") {
		t.Error(written(t, objs), findings)
	}
}

// TestTrapSection holds that a name which leads to another port too selects neither.
func TestTrapSection(t *testing.T) {
	admin := &model.Service{Name: name("admin"), Selector: map[string]string{"app": "catalog"}, Ports: []model.ServicePort{{Name: "tcp-db", Number: 9, Target: 9999, Protocol: model.TCP}}}
	w := world(append(shop(), admin, permit("t", model.KindTCPRoute, "p"), ports("p", 5432))...)
	objs, findings := said(Driver, w)
	if s := written(t, objs); strings.Contains(s, "allow") || !hasFinding(findings, model.Unsupported, "") {
		t.Error(s, findings)
	}
	admin.Ports[0].Name = "admin"
	if objs, _ = said(Driver, world(append(shop(), admin, permit("t", model.KindTCPRoute, "p"), ports("p", 5432))...)); !strings.Contains(written(t, objs), `"sectionName":"tcp-db"`) {
		t.Error(written(t, objs))
	}
}

// TestTrapSubset holds that a permission for some workloads of an identity opens no other: neither one that their labels find too, nor a port of it that
// is called alike.
func TestTrapSubset(t *testing.T) {
	only := permit("t", model.KindTCPRoute, "p")
	only.Destination = model.Subject{Kind: model.KindBinding, Namespace: "shop", Name: "some"}
	facts := func(label string, more ...model.Fact) []model.Fact {
		return append(append(shop(), only, ports("p", 5432), &model.Binding{Name: name("some"), Pods: map[string]string{"version": label}}), more...)
	}
	objs, findings := said(Driver, world(facts("v1")...))
	if s := written(t, objs); strings.Count(s, "allow") != 1 || !strings.Contains(s, `"version":"v1"`) || hasFinding(findings, model.Unsupported, "") {
		t.Error(s, findings)
	}
	for _, other := range []*model.Workload{
		{Kind: model.KindPod, Name: name("bare"), Account: "catalog", Labels: map[string]string{"app": "catalog", "version": "v1", "x": "y"}, Selector: map[string]string{"x": "y"}},
		{Kind: model.KindPod, Name: name("without"), Account: "catalog"},
	} {
		objs, findings = said(Driver, world(facts("v1", other, &model.Service{Name: name("other"), Selector: map[string]string{"x": "y"},
			Ports: []model.ServicePort{{Name: "tcp-db", Number: 5432, Target: 1, Protocol: model.TCP}}})...))
		if s := written(t, objs); other.Labels != nil && strings.Contains(s, "allow") {
			t.Error(s, findings)
		}
	}
}

// TestTrapTrustDomain holds that mesh and zone are those of the trust domain, and that callers are named in it.
func TestTrapTrustDomain(t *testing.T) {
	s := model.Defaults()
	s.TrustDomain = "shops.east.mesh.local"
	w := world(append(shop(), s, split("a", 1, "", "catalog-v1"), permit("t", model.KindTCPRoute, "p"), ports("p", 5432))...)
	objs, findings := said(Driver, w)
	got := written(t, objs)
	for _, want := range []string{`"kuma.io/mesh":"shops"`, `"kuma.io/zone":"east"`, `"spiffe://shops.east.mesh.local/ns/shop/sa/web"`, `"k8s.kuma.io/service-account":"catalog"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if hasFinding(findings, model.Notice, "unless it says another") {
		t.Error("a trust domain of MeshIdentity's own form is spoken of")
	}
}

// TestTrapTags holds that Kuma 2 names Services by the tag of their port, and closes by tags what nobody may be admitted to.
func TestTrapTags(t *testing.T) {
	w := world(append(shop(), split("a", 1, "", "catalog-v1"), permit("t", model.KindTCPRoute, "p"), ports("p", 5432))...)
	objs, findings := said(Legacy, w)
	got := written(t, objs)
	for _, want := range []string{`"name":"catalog_shop_svc_80"`, `"name":"catalog-v1_shop_svc_5432"`, `"action":"Deny"`, `"kind":"MeshSubset"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, `"Allow"`) || !hasFinding(findings, model.Unsupported, "tags and not its service account") {
		t.Error(got, findings)
	}
}

// TestNewest holds that a place without workload identities is given the driver of Kuma 2.
func TestNewest(t *testing.T) {
	served := []string{"MeshHTTPRoute", "MeshTCPRoute", "MeshTrafficPermission"}
	if d := Driver.For(func(k mesh.Kind) bool { return slices.Contains(served, k.Kind) }); d != Legacy {
		t.Error(d)
	}
	if d := Driver.For(func(k mesh.Kind) bool { return true }); d != Driver {
		t.Error(d)
	}
}

// TestNames holds that no two selections share the name of an object, and that every name is one that Kubernetes takes.
func TestNames(t *testing.T) {
	long := strings.Repeat("a", 253)
	for _, n := range []string{"identity.web", "port.http.identity." + long} {
		if got := short(n); len(got) > 253 || len(n) > 253 && got == short(n+"b") {
			t.Error(got)
		}
	}
	if out, err := json.Marshal(&permission{TargetRef: &targetRef{Kind: "Mesh"}}); err != nil || string(out) != `{"targetRef":{"kind":"Mesh"}}` {
		t.Error(string(out), err)
	}
}
