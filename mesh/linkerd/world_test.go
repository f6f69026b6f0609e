// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// shop is a Service with one workload, which checks are made of, and one beside it.
const shop = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: catalog-v2, namespace: shop}
spec: {selector: {app: catalog, version: v2}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: catalog, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog}}
  template:
    metadata: {labels: {app: catalog}}
    spec: {serviceAccountName: catalog, containers: [{name: app, image: "example.com/catalog:1", ports: [{name: web, containerPort: 8080}], livenessProbe: {httpGet: {path: /healthz, port: 8080}}}]}
---
`

// target is a permission for one caller by one match.
func target(name, caller, match string) string {
	return `
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: ` + name + `, namespace: shop}
spec: {matches: [{name: m, ` + match + `}]}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: ` + name + `, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: catalog}
  rules: [{kind: HTTPRouteGroup, name: ` + name + `}]
  sources: [{kind: ServiceAccount, name: ` + caller + `}]
---
`
}

// tcpTarget is a permission for one caller to send anything.
func tcpTarget(name, caller string) string {
	return `
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: ` + name + `, namespace: shop}
spec: {matches: {ports: [8080]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: ` + name + `, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: catalog}
  rules: [{kind: TCPRoute, name: ` + name + `}]
  sources: [{kind: ServiceAccount, name: ` + caller + `}]
---
`
}

func world(t *testing.T, text string) *store.Store {
	t.Helper()
	s, findings := (&meshtest.Case{Name: "test", Text: []byte(text)}).World()
	for _, f := range findings {
		if f.Level == model.Invalid {
			t.Fatalf("the world is not sound: %v", f)
		}
	}
	return s
}

// corpus is a case of the corpus.
func corpus(t *testing.T, name string) *store.Store {
	t.Helper()
	cases := meshtest.Cases(t)
	i := slices.IndexFunc(cases, func(c meshtest.Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no case %s", name)
	}
	s, _ := cases[i].World()
	return s
}

// said is all that a driver says of a world.
func said(d *mesh.Driver, s *store.Store) (objects []mesh.Object, findings []model.Finding) {
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var o *mesh.Output
		switch u.Kind {
		case store.UnitRoute:
			r, _ := model.JoinRoute(s, u.Name)
			o = d.Routes(r)
		case store.UnitAccess:
			a, _ := model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
			o = d.Accesses(a)
		default:
			continue
		}
		objects, findings = append(objects, o.Objects...), append(findings, o.Findings...)
	}
	return objects, findings
}

func workload(s *store.Store, name string) *model.Workload {
	for f := range s.Facts {
		if w, ok := f.(*model.Workload); ok && w.Name.Name == name {
			return w
		}
	}
	panic("no workload " + name)
}

// ask is a request of a caller of shop to the catalog.
func ask(caller, method, path string) *model.Request {
	q := &model.Request{Service: model.Name{Namespace: "shop", Name: "catalog"}, Port: 80, Method: method, Path: path, Headers: map[string][]string{}}
	if caller != "" {
		q.From = model.Identity{Namespace: "shop", ServiceAccount: caller}
	}
	return q
}

func kinds(objects []mesh.Object, kind string) (out []mesh.Object) {
	for _, o := range objects {
		if o.Kind == kind {
			out = append(out, o)
		}
	}
	return out
}

// lacking are the objects whose name does not end so.
func lacking(objects []mesh.Object, suffix string) (out []mesh.Object) {
	for _, o := range objects {
		if !strings.HasSuffix(o.Name.Name, suffix) {
			out = append(out, o)
		}
	}
	return out
}

func text(t *testing.T, objects []mesh.Object) string {
	t.Helper()
	var out []string
	for i := range objects {
		b, err := json.Marshal(&objects[i])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return strings.Join(out, "\n")
}

// imported reads native objects beside the Services and workloads of a world.
func imported(t *testing.T, s *store.Store, native string) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for f := range s.Facts {
		switch f.(type) {
		case *model.Service, *model.Workload:
			set(f)
		}
	}
	objects, problems := object.Parse("native.yaml", []byte(native))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "linkerd"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}
