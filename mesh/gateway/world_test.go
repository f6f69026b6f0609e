// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway/gatewaytest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// driver says routes and nothing else.
var driver = &mesh.Driver{
	Name: "test", Title: "Test",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight: mesh.Yes(), model.SplitMatch: mesh.Yes(), model.SplitStream: mesh.Yes(), model.SplitDatagram: mesh.Yes(), model.SplitSelf: mesh.Yes(),
		model.RoutePath: mesh.Yes(), model.RouteMethod: mesh.Yes(), model.RouteHeader: mesh.Yes()},
	Route: func(r *model.Route, o *mesh.Output) { Route(r, o, Dialect{TCP: V1, UDP: V1}) },
}

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

func service(n string, ports ...model.ServicePort) *model.Service {
	if len(ports) == 0 {
		ports = []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}}
	}
	return &model.Service{Name: name(n), Ports: ports}
}

// shop is a root with three backends.
func shop(more ...model.Fact) *store.Store {
	return world(append([]model.Fact{service("catalog"), service("v1"), service("v2"), service("v3")}, more...)...)
}

func world(facts ...model.Fact) *store.Store {
	s := store.New()
	for _, f := range facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return s
}

func group1(n string, matches ...model.Match) *model.RouteGroup {
	for i := range matches {
		matches[i].Name = fmt.Sprintf("m%d", i)
	}
	return &model.RouteGroup{Name: name(n), Matches: matches}
}

// split sends requests of groups, or all, to one of the backends.
func split(n, to string, groups ...string) *model.Split {
	return &model.Split{Name: name(n), Root: "catalog", Groups: groups, Backends: []model.Backend{{Service: to, Weight: 1}}}
}

func said(s *store.Store) *mesh.Output {
	r, _ := model.JoinRoute(s, name("catalog"))
	return driver.Routes(r)
}

// specs are the HTTPRoutes of an output.
func specs(o *mesh.Output) (out []*HTTPRoute) {
	for i := range o.Objects {
		if s, ok := o.Objects[i].Spec.(*HTTPRoute); ok {
			out = append(out, s)
		}
	}
	return out
}

func inexact(o *mesh.Output) bool {
	return slices.ContainsFunc(o.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
}

func get(path string, headers map[string][]string) *model.Request {
	return &model.Request{Service: name("catalog"), Port: 80, Method: "GET", Path: path, Headers: headers}
}

// compare asks both sides where a request goes.
func compare(s *store.Store, objs []mesh.Object, q *model.Request) error {
	v, err := model.Evaluate(s, q)
	if err != nil {
		return err
	}
	want := map[string]float64{}
	for _, b := range v.Backends {
		want[fmt.Sprintf("%s:%d", b.Service, b.Port)] += b.Share
	}
	got, err := gatewaytest.Judge{}.Route(objs, s, q)
	if err != nil || !maps.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }) {
		return fmt.Errorf("%s %s %v goes to %v (%v), and should to %v", q.Method, q.Path, q.Headers, got, err, want)
	}
	return nil
}

// imported reads objects beside the Services of a world.
func imported(t *testing.T, s *store.Store, text string) (*mesh.Input, *store.Store) {
	t.Helper()
	list, problems := object.Parse("test", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := mesh.Input{Objects: list, World: s, Mesh: "test"}
	Import(&in)
	for _, f := range in.Facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return &in, s
}

func textOf(objs []mesh.Object) (out string) {
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		out += string(text) + "\n---\n"
	}
	return out
}
