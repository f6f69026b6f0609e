// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"testing"

	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func subject(surely bool) meshtest.Subject {
	j := judge{surely: surely}
	return meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: j.routed, Admit: j.admit}, Same: same, Unnoticed: "of 1,328 mutants 94.2 % are: the ports of a TCPRoute tell nothing where a workload has one", CRDs: []string{"smi-osm-v1.2.4/smi_http_route_group.yaml",
		"smi-osm-v1.2.4/smi_tcp_route.yaml", "smi-osm-v1.2.4/smi_traffic_access.yaml", "smi-osm-v1.2.4/smi_traffic_split.yaml"}}
}

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) { meshtest.Run(t, subject(true)) }

// TestAnyOrder holds that in whatever order OSM asks routes it admits nothing that was not permitted.
func TestAnyOrder(t *testing.T) {
	for _, p := range meshtest.Safe(subject(false), meshtest.Worlds(meshtest.Cases(t))) {
		t.Error(p)
	}
}

// TestOutTraps names what OSM would make of permissions that are written as SMI means them, and holds that it admits no more.
func TestOutTraps(t *testing.T) {
	web := []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}
	permit := func(n string, sources []model.Subject, rules ...model.Rule) *model.Permission {
		return &model.Permission{Name: name(n), Sources: sources, Rules: rules, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "catalog"}}
	}
	by := func(k model.Kind, n string) model.Rule { return model.Rule{Kind: k, Name: n, All: true} }
	group := func(n string, m ...model.Match) *model.RouteGroup {
		return &model.RouteGroup{Name: name(n), Matches: m}
	}
	http, stream := &model.PortRoute{Kind: model.KindTCPRoute, Name: name("http"), Ports: model.PortSet(8080)}, &model.PortRoute{Kind: model.KindTCPRoute, Name: name("other"), Ports: model.PortSet(7001)}
	for _, c := range []struct {
		name     string
		facts    []model.Fact
		port     uint16
		q        model.Request
		admitted bool
	}{
		{"a permission of requests opens no port of raw TCP", []model.Fact{permit("t", web, by(model.KindGroup, "g")), group("g", model.Match{Name: "m"})}, 5432, model.Request{Layer: model.LayerStream}, false},
		{"a permission of nobody admits nobody", []model.Fact{permit("t", nil, by(model.KindGroup, "g"))}, 5432, model.Request{Layer: model.LayerStream}, false},
		{"ports and requests of two permissions are not mixed", []model.Fact{permit("a", web, by(model.KindGroup, "g"), by(model.KindTCPRoute, "http")), permit("b", web, by(model.KindGroup, "h"), by(model.KindTCPRoute, "other")),
			group("g", model.Match{Name: "m", Path: "/a"}), group("h", model.Match{Name: "m", Path: "/b"}), http, stream}, 7001, model.Request{Method: "GET", Path: "/a"}, false},
		{"raw TCP on one port opens no requests on another", []model.Fact{permit("a", web, by(model.KindGroup, "g"), by(model.KindTCPRoute, "http")), permit("b", web, by(model.KindTCPRoute, "other")),
			group("g", model.Match{Name: "m", Path: "/a"}), http, stream}, 8080, model.Request{Method: "GET", Path: "/b"}, false},
		{"two conditions on a header are not one", []model.Fact{permit("t", web, by(model.KindGroup, "g")), group("g", model.Match{Name: "m", Headers: []model.Header{{Name: "x", Value: "a.*"}, {Name: "x", Value: ".*b"}}})},
			8080, model.Request{Method: "GET", Path: "/", Headers: map[string][]string{"x": {"b"}}}, false},
		{"a rule that names no match means all", []model.Fact{permit("t", web, by(model.KindGroup, "g")), group("g", model.Match{Name: "m", Path: "/a"})}, 8080, model.Request{Method: "GET", Path: "/ab"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store.New()
			for _, f := range append(shop(), c.facts...) {
				s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
			}
			a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: "catalog"})
			out := Driver.Accesses(a)
			c.q.Service, c.q.From = name("catalog"), model.Identity{Namespace: "shop", ServiceAccount: "web"}
			for _, surely := range []bool{true, false} {
				j := judge{surely: surely}
				if got := j.admit(out.Objects, s, a.Workloads[0].Workload, c.port, &c.q); got != c.admitted {
					t.Errorf("admitted: %v\n%+v", got, out)
				}
			}
		})
	}
}
