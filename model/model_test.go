// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"slices"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func TestParseServiceName(t *testing.T) {
	for _, c := range []struct {
		name string
		want model.Name
		ours bool
	}{
		{"web", model.Name{Namespace: "shop", Name: "web"}, true},
		{"web.shop", model.Name{Namespace: "shop", Name: "web"}, true},
		{"web.shop.svc", model.Name{Namespace: "shop", Name: "web"}, true},
		{"web.shop.svc.cluster.local", model.Name{Namespace: "shop", Name: "web"}, true},
		{"web.shop.svc.cluster.local.", model.Name{Namespace: "shop", Name: "web"}, true},
		{"web.lab.svc.cluster.local", model.Name{Namespace: "lab", Name: "web"}, true}, // a Service, though not this namespace's
		{"shop.com", model.Name{Namespace: "com", Name: "shop"}, false},
		{"www.shop.com", model.Name{}, false},
		{"web.shop.svc.other.local", model.Name{}, false},
		{"", model.Name{Namespace: "shop"}, false},
	} {
		if got, ours := model.ParseServiceName(c.name, "shop", "cluster.local"); ours != c.ours || c.ours && got != c.want {
			t.Errorf("%q is %v, %v; want %v, %v", c.name, got, ours, c.want, c.ours)
		}
	}
}

func TestParseSPIFFE(t *testing.T) {
	for id, want := range map[string]model.Identity{
		"spiffe://td/ns/shop/sa/web":   {Namespace: "shop", ServiceAccount: "web"},
		"td/ns/shop/sa/web":            {Namespace: "shop", ServiceAccount: "web"},
		"spiffe://other/ns/shop/sa/w":  {},
		"spiffe://td/ns/shop/sa/web/x": {},
		"spiffe://td/ns/a/b/sa/web":    {},
		"spiffe://td/ns//sa/web":       {},
		"spiffe://tdx/ns/shop/sa/web":  {},
		"":                             {},
	} {
		got, ok := model.ParseSPIFFE(id, "td")
		if got != want || ok != (want != model.Identity{}) {
			t.Errorf("%q is %v, %v", id, got, ok)
		}
	}
	id := model.Identity{Namespace: "shop", ServiceAccount: "web"}
	if got, ok := model.ParseSPIFFE(id.SPIFFE("td"), "td"); !ok || got != id {
		t.Errorf("%s does not read back: %v", id.SPIFFE("td"), got)
	}
}

func TestPorts(t *testing.T) {
	a, b := model.PortSet(80, 443, 80), model.PortSet(443, 8080)
	if got := a.Intersect(b); !slices.Equal(got.List, []uint16{443}) || got.Any {
		t.Errorf("intersection is %v", got)
	}
	if got := a.Union(b); !slices.Equal(got.List, []uint16{80, 443, 8080}) {
		t.Errorf("union is %v", got)
	}
	if !a.Union(model.AnyPort).Any || a.Intersect(model.AnyPort).Any || !model.AnyPort.Has(1) {
		t.Error("any port is not the whole")
	}
	if zero := (model.Ports{}); !zero.Empty() || zero.Has(80) || !a.Intersect(zero).Empty() {
		t.Error("the zero value admits something")
	}
}

func TestCovers(t *testing.T) {
	get := func(path string, headers map[string][]string) *model.Request {
		return &model.Request{Method: "GET", Path: path, Headers: headers}
	}
	for _, c := range []struct {
		what string
		m    model.Match
		full bool
		q    *model.Request
		want bool
	}{
		{"no condition", model.Match{}, false, get("/", nil), true},
		{"anchored at the start alone", model.Match{Path: "/metrics"}, false, get("/metricsfoo", nil), true},
		{"not in the middle", model.Match{Path: "/metrics"}, false, get("/x/metrics", nil), false},
		{"alternatives stay together", model.Match{Path: "/a|/b"}, false, get("/x/b", nil), false},
		{"full", model.Match{Path: "/metrics"}, true, get("/metrics/x", nil), false},
		{"the query is not seen", model.Match{Path: "/a$"}, false, get("/a?b=/c", nil), true},
		{"as sent", model.Match{Path: "/admin"}, false, get("/%61dmin", nil), false},
		{"slashes stay", model.Match{Path: "/admin"}, false, get("//admin", nil), false},
		{"method", model.Match{Methods: []string{"POST"}}, false, get("/", nil), false},
		{"methods have case", model.Match{Methods: []string{"get"}}, false, get("/", nil), false},
		{"header whole", model.Match{Headers: []model.Header{{Name: "x", Value: "a"}}}, false, get("/", map[string][]string{"x": {"ab"}}), false},
		{"header joined", model.Match{Headers: []model.Header{{Name: "x", Value: "a,b"}}}, false, get("/", map[string][]string{"x": {"a", "b"}}), true},
		{"absent header", model.Match{Headers: []model.Header{{Name: "x", Value: ".*"}}}, false, get("/", nil), false},
		{"empty header", model.Match{Headers: []model.Header{{Name: "x", Value: ".*"}}}, false, get("/", map[string][]string{"x": {""}}), true},
		{"twice is and", model.Match{Headers: []model.Header{{Name: "x", Value: "a.*"}, {Name: "x", Value: ".*b"}}}, false, get("/", map[string][]string{"x": {"a"}}), false},
		{"authority", model.Match{Headers: []model.Header{{Name: "host", Value: "shop"}}}, false, get("/", nil), true},
		{"bad expression", model.Match{Path: "(["}, false, get("/([", nil), false},
		{"never", model.Match{Never: true}, false, get("/", nil), false},
	} {
		if got := c.m.Covers(c.full, c.q, "shop"); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// TestUnknownRule holds that a rule of a kind that nobody knows is taken for a restriction.
func TestUnknownRule(t *testing.T) {
	n := func(s string) model.Name { return model.Name{Namespace: "shop", Name: s} }
	s := store.New()
	for _, f := range []model.Fact{
		&model.Service{Name: n("web"), Selector: map[string]string{"app": "web"}, Ports: []model.ServicePort{{Number: 80, Target: 80, Protocol: model.HTTP}}},
		&model.Workload{Kind: model.KindDeployment, Name: n("web"), Labels: map[string]string{"app": "web"}, Account: "web"},
		&model.RouteGroup{Name: n("g"), Matches: []model.Match{{Name: "all"}}},
		&model.Permission{Name: n("p"), Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"},
			Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "client"}},
			Rules:   []model.Rule{{Kind: model.KindGroup, Name: "g", All: true}, {Kind: "TcpRoute", Name: "p", All: true}}},
	} {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	v, err := model.Evaluate(s, &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "client"}, Service: n("web"), Method: "GET", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Allowed {
		t.Errorf("a misspelt port route opens the workload: %+v", v)
	}
}
