// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

func world(facts ...model.Fact) *store.Store {
	s := store.New()
	for _, f := range facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return s
}

var web = model.Identity{Namespace: "shop", ServiceAccount: "web"}

// shop is a root with two versions behind it, of one account, and a caller.
func shop() []model.Fact {
	ports := []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}, {Name: "tcp-db", Number: 5432, Target: 5432, Protocol: model.TCP}}
	service := func(n string, selector map[string]string) *model.Service {
		return &model.Service{Name: name(n), Ports: ports, Selector: selector}
	}
	deployment := func(n, account string, labels map[string]string) *model.Workload {
		return &model.Workload{Kind: model.KindDeployment, Name: name(n), Account: account, Labels: labels, Selector: labels}
	}
	v1, v2 := map[string]string{"app": "catalog", "version": "v1"}, map[string]string{"app": "catalog", "version": "v2"}
	return []model.Fact{
		service("catalog", map[string]string{"app": "catalog"}), service("catalog-v1", v1), service("catalog-v2", v2),
		service("web", map[string]string{"app": "web"}),
		deployment("catalog-v1", "catalog", v1), deployment("catalog-v2", "catalog", v2), deployment("web", "web", map[string]string{"app": "web"}),
		deployment("intruder", "intruder", map[string]string{"app": "intruder"}),
	}
}

func split(n string, created int64, group string, to string) *model.Split {
	s := &model.Split{Name: name(n), Created: created, Root: "catalog", Backends: []model.Backend{{Service: to, Weight: 1}}}
	if group != "" {
		s.Groups = []string{group}
	}
	return s
}

func routeGroup(n string, matches ...model.Match) *model.RouteGroup {
	return &model.RouteGroup{Name: name(n), Matches: matches}
}

// permission lets web call the catalog by one rule.
func permit(n string, kind model.Kind, route string) *model.Permission {
	return &model.Permission{Name: name(n), Rules: []model.Rule{{Kind: kind, Name: route, All: true}},
		Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "catalog"},
		Sources:     []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}}
}

func ports(n string, list ...uint16) *model.PortRoute {
	return &model.PortRoute{Kind: model.KindTCPRoute, Name: name(n), Ports: model.PortSet(list...)}
}

// said is all that a driver says of a world.
func said(d *mesh.Driver, s *store.Store) (objs []mesh.Object, findings []model.Finding) {
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var o *mesh.Output
		switch u.Kind {
		case store.UnitRoute:
			r, _ := model.JoinRoute(s, u.Name)
			o = d.Routes(r)
		case store.UnitAccess:
			a, _ := model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
			o = d.Accesses(a)
		case store.UnitSettings:
			o = d.Globals(s.Settings())
		default:
			continue
		}
		objs = append(objs, o.Objects...)
		findings = append(findings, o.Findings...)
	}
	return objs, findings
}

func written(t *testing.T, objs []mesh.Object) string {
	t.Helper()
	out, err := json.Marshal(objs)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func hasFinding(list []model.Finding, level model.Level, part string) bool {
	return slices.ContainsFunc(list, func(f model.Finding) bool { return f.Level == level && strings.Contains(f.Message, part) })
}

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
	in := &mesh.Input{Objects: objects, World: back, Mesh: "kuma"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

func ask(t *testing.T, w *store.Store, q model.Request) *model.Verdict {
	t.Helper()
	q.Service = name("catalog")
	v, err := model.Evaluate(w, &q)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
