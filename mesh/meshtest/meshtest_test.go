// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// A small mesh of our own, to test the suites with: it can be told to be wrong in one way.
type fault int

const (
	none        fault = iota
	widens            // drops the headers of permissions, and says nothing
	forgets           // writes no methods of splits, and claims them
	overreaches       // says that paths of permissions are unsupported, and writes them
	swaps             // gives each backend of a split the weight of another
)

type toyRoute struct {
	Ports []model.RoutePort `json:"-"`
	Text  []string          // what the claims suite sees
}

type toyAccess struct {
	Closed bool
	Grants []model.Grant `json:"-"`
	Text   []string
}

func toy(f fault) *mesh.Driver {
	claims := map[model.Feature]mesh.Claim{}
	for x := range model.Feature(model.NumFeatures) {
		claims[x] = mesh.Yes()
	}
	if f == overreaches {
		claims[model.AccessPath] = mesh.No("so it says")
	}
	return &mesh.Driver{Name: "toy", Title: "Toy", Claims: claims,
		Route:  func(r *model.Route, o *mesh.Output) { toyWriteRoute(f, r, o) },
		Access: func(a *model.Access, o *mesh.Output) { toyWriteAccess(f, a, o) }}
}

func toyWriteRoute(f fault, r *model.Route, o *mesh.Output) {
	spec := &toyRoute{}
	for _, p := range r.Ports {
		p.Arms = slices.Clone(p.Arms)
		for i := range p.Arms {
			a := &p.Arms[i]
			if f == swaps && len(a.Shares) > 1 {
				a.Shares = slices.Clone(a.Shares)
				a.Shares[0].Weight, a.Shares[1].Weight = a.Shares[1].Weight, a.Shares[0].Weight
			}
			a.Matches = slices.Clone(a.Matches)
			for k := range a.Matches {
				if m := *a.Matches[k].Match; f == forgets {
					m.Methods = nil
					a.Matches[k].Match = &m
				}
			}
			for _, m := range a.Matches {
				spec.Text = append(spec.Text, text(m.Match))
			}
			for _, s := range a.Shares {
				spec.Text = append(spec.Text, s.Service.String(), strings.Repeat("w", int(s.Weight)))
			}
		}
		spec.Ports = append(spec.Ports, p)
	}
	o.Add(mesh.Object{APIVersion: "toy/v1", Kind: "Route", Name: r.Name, Spec: spec})
}

func text(m *model.Match) string {
	out := m.Path + " " + strings.Join(m.Methods, ",")
	for _, h := range m.Headers {
		out += " " + h.Name + "=" + h.Value
	}
	return out
}

func toyWriteAccess(f fault, a *model.Access, o *mesh.Output) {
	for _, w := range a.Workloads {
		spec := &toyAccess{Closed: a.Closed(w.Workload)}
		for _, g := range a.Grants {
			if !g.Covers(w.Workload) {
				continue
			}
			g.HTTP = slices.Clone(g.HTTP)
			for i := range g.HTTP {
				if m := *g.HTTP[i].Match; f == widens {
					m.Headers = nil
					g.HTTP[i].Match = &m
				}
				spec.Text = append(spec.Text, text(g.HTTP[i].Match))
			}
			for _, s := range g.Sources {
				spec.Text = append(spec.Text, s.Identity.String()+s.SPIFFE)
			}
			for _, p := range []model.Ports{g.Stream, g.HTTPPorts, g.Datagram} {
				spec.Text = append(spec.Text, strings.Repeat("p", len(p.List)))
				for _, n := range p.List {
					spec.Text = append(spec.Text, string(rune(n)))
				}
			}
			spec.Grants = append(spec.Grants, g)
		}
		o.Add(mesh.Object{APIVersion: "toy/v1", Kind: "Access", Name: w.Name, Annotations: map[string]string{"kind": string(w.Kind)}, Spec: spec})
	}
}

var toyJudge = Judge{
	Route: func(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
		r := &model.Route{Settings: w.Settings(), Name: q.Service, Service: w.Service(q.Service)}
		for _, o := range objs {
			if spec, ok := o.Spec.(*toyRoute); ok && o.Name == q.Service {
				r.Ports = spec.Ports
			}
		}
		i := slices.IndexFunc(r.Ports, func(p model.RoutePort) bool { return p.Number == q.Port })
		shares, _ := r.Choose(&r.Ports[i], q)
		out, total := map[string]float64{}, 0.0
		for _, s := range shares {
			total += float64(s.Weight)
		}
		for _, s := range shares {
			if s.Weight > 0 {
				out[key(s.Service, s.Port.Number)] = float64(s.Weight) / total
			}
		}
		return out, nil
	},
	Admit: func(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
		for _, o := range objs {
			spec, ok := o.Spec.(*toyAccess)
			if !ok || o.Name != wl.Name || o.Annotations["kind"] != string(wl.Kind) {
				continue
			}
			settings := *w.Settings()
			settings.Access = model.AccessAllow
			if spec.Closed {
				settings.Access = model.AccessDeny
			}
			a := &model.Access{Settings: &settings, Identity: wl.Identity(), Grants: spec.Grants}
			admitted, _, _ := a.Admit(wl, port, q, q.Host)
			return admitted
		}
		return false
	},
}

// TestSuites asks that each suite finds the fault it is there for, and that none finds one where there is none.
func TestSuites(t *testing.T) {
	cases := []Case{{"own", []byte(ownCase)}}
	worlds := Worlds(cases)
	suites := map[string]func(Subject) []string{
		"claims":  func(s Subject) []string { return Claims(s.Driver, cases) },
		"safe":    func(s Subject) []string { return Safe(s, worlds) },
		"meaning": func(s Subject) []string { return Meaning(s, worlds) },
	}
	for _, c := range []struct {
		fault fault
		found []string
	}{
		{none, nil},
		{widens, []string{"claims", "safe"}},
		{forgets, []string{"claims", "meaning"}},
		{overreaches, []string{"claims"}},
		{swaps, []string{"meaning"}},
	} {
		s := Subject{Driver: toy(c.fault), Judge: toyJudge}
		for name, suite := range suites {
			problems := suite(s)
			if want := slices.Contains(c.found, name); want != (len(problems) > 0) {
				t.Errorf("fault %d: %s found %d problems: %v", c.fault, name, len(problems), problems[:min(3, len(problems))])
			}
		}
	}
}

const ownCase = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-v1, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: app, image: web, ports: [{containerPort: 80}]}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: g, namespace: shop}
spec:
  matches:
  - name: a
    pathRegex: /a
    methods: [GET]
    headers: {x-user: beta}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: web, namespace: shop}
spec:
  service: web
  matches: [{kind: HTTPRouteGroup, name: g}]
  backends: [{service: web, weight: 3}, {service: web-v1, weight: 1}]
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: web, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: web}
  rules: [{kind: HTTPRouteGroup, name: g}]
  sources: [{kind: ServiceAccount, name: client}]
`
