// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/mesh/istio"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/migrate"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// other is a mesh that speaks as Istio does, in an API of its own and by proxies of its own: so that a move between two meshes can be looked at
// with one importer.
func other() *mesh.Driver {
	d := *istio.Driver
	d.Name, d.Title, d.Marks = "other", "Other", nil
	d.Injection = &mesh.Injection{Annotations: map[string]string{"other.example/inject": "enabled"}, Sidecars: true}
	d.Kinds = slices.Clone(d.Kinds)
	for i := range d.Kinds {
		d.Kinds[i].APIVersion = foreign(d.Kinds[i].APIVersion)
	}
	said := func(o *mesh.Output) {
		for i := range o.Objects {
			o.Objects[i].APIVersion = foreign(o.Objects[i].APIVersion)
		}
	}
	d.Route = func(r *model.Route, o *mesh.Output) { istio.Driver.Route(r, o); said(o) }
	d.Access = func(a *model.Access, o *mesh.Output) { istio.Driver.Access(a, o); said(o) }
	d.Settings = func(s *model.Settings, o *mesh.Output) { istio.Driver.Settings(s, o); said(o) }
	d.Import = func(in *mesh.Input) {
		own := *in
		own.Objects = nil
		for _, o := range in.Objects {
			c := *o
			c.APIVersion = strings.Replace(c.APIVersion, "other.example", "istio.io", 1)
			own.Objects = append(own.Objects, &c)
		}
		istio.Driver.Import(&own)
		in.Facts, in.Findings, in.Kept = own.Facts, own.Findings, own.Kept
	}
	return &d
}

func foreign(apiVersion string) string {
	return strings.Replace(apiVersion, "istio.io", "other.example", 1)
}

// told is what a mesh would be told for a world.
func told(t *testing.T, d *mesh.Driver, events []store.Event) (out []*object.Object) {
	t.Helper()
	e := engine.New(engine.Target{Driver: d})
	e.Set(events...)
	for _, c := range e.Flush()[0].Changes {
		text, err := json.Marshal(c.Object)
		if err != nil {
			t.Fatal(err)
		}
		list, problems := object.Parse(c.Key.String(), text)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		out = append(out, list...)
	}
	return out
}

// shop is a move of the shop, which is told in Istio's language.
func shop(t *testing.T, to *mesh.Driver, more ...string) *migrate.Move {
	t.Helper()
	got, err := file.Read([]string{"../examples/shop"}, nil, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := got.Events
	for i, text := range more {
		p := file.Parse(fmt.Sprintf("more-%d", i), []byte(text), file.Options{})
		if len(p.Findings) > 0 {
			t.Fatal(p.Findings)
		}
		events = append(events, p.Events...)
	}
	return &migrate.Move{From: istio.Driver, To: to, Objects: told(t, istio.Driver, events), Events: events, Namespaces: map[string]migrate.Labels{}, Requests: 300, Seed: 1, Files: "-f x"}
}

func effects(r *migrate.Result) (out []string) {
	for _, d := range r.Check.Differences {
		out = append(out, fmt.Sprintf("%s %v %s", d.Effect, d.Objects, migrate.Why(&d.Request)))
	}
	return out
}

// TestSame holds that a move between meshes that can say the same shows no difference.
func TestSame(t *testing.T) {
	m := shop(t, other())
	r := m.Run()
	if d := effects(r); len(d) > 0 || r.Check.Unasked != "" || r.Check.Requests < 300 {
		t.Errorf("%d requests: %q %s", r.Check.Requests, d, r.Check.Unasked)
	}
	if len(r.SMI) != 7 || len(r.Native) != 4 || r.Whole != 4 || len(r.Kept) != 0 {
		t.Errorf("%d SMI, %d native, %d whole, %d kept", len(r.SMI), len(r.Native), r.Whole, len(r.Kept))
	}
}

// TestFault holds that what a driver loses silently is found, with the simplest request that shows it.
func TestFault(t *testing.T) {
	type wanted struct {
		effect migrate.Effect
		why    string
		fault  bool
	}
	access := func(change func(g *model.Grant)) func(*mesh.Driver) {
		return func(d *mesh.Driver) {
			say := d.Access
			d.Access = func(a *model.Access, o *mesh.Output) {
				c := *a
				c.Grants = slices.Clone(a.Grants)
				for i := range c.Grants {
					change(&c.Grants[i])
				}
				say(&c, o)
			}
		}
	}
	catalog := func(g *model.Grant) bool { return len(g.HTTP) > 0 }
	for name, c := range map[string]struct {
		break_ func(*mesh.Driver)
		want   []wanted
	}{
		"a match is dropped": {access(func(g *model.Grant) { g.HTTP = nil }), []wanted{{migrate.Narrows, "anymesh why --from shop/web --to shop/catalog:8080 GET /products", false}}},
		"a source is dropped": {access(func(g *model.Grant) {
			if catalog(g) {
				g.Sources = nil
			}
		}), []wanted{{migrate.Narrows, "anymesh why --from shop/web --to shop/catalog:8080 GET /products", false}}},
		"a method is forgotten": {access(func(g *model.Grant) {
			g.HTTP = slices.Clone(g.HTTP)
			for i := range g.HTTP {
				m := *g.HTTP[i].Match
				m.Methods = nil
				g.HTTP[i].Match = &m
			}
		}), []wanted{{migrate.Widens, "anymesh why --from shop/web --to shop/catalog:8080 POST /products", true}}},
		"nobody is closed": {func(d *mesh.Driver) { d.Access = nil }, []wanted{
			{migrate.Widens, "anymesh why --from nobody --to shop/payments:9000 --tcp", true}, {migrate.Widens, "anymesh why --from nobody --to shop/catalog:8080 GET /", true}}},
		"a split is dropped": {func(d *mesh.Driver) { d.Route = nil }, []wanted{
			{migrate.Moves, "anymesh why --from nobody --to shop/catalog:8080 GET /", false}, {migrate.Moves, "anymesh why --from nobody --to shop/catalog:8080 GET / -H 'x-user: beta-'", false}}},
	} {
		d := other()
		c.break_(d)
		r := shop(t, d).Run()
		var got []wanted
		for _, x := range r.Check.Differences {
			got = append(got, wanted{x.Effect, migrate.Why(&x.Request), x.Fault()})
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %v is not among %v", name, w, got)
			}
		}
		for _, g := range got {
			if !slices.ContainsFunc(c.want, func(w wanted) bool { return w.effect == g.effect }) {
				t.Errorf("%s: %v is too much", name, g)
			}
		}
	}
}

// TestSaid holds that a difference which the report tells of is shown as that, and that a mesh which cannot refuse is no fault of ours.
func TestSaid(t *testing.T) {
	d := other()
	d.Access = nil
	d.Claims = map[model.Feature]mesh.Claim{}
	for f, c := range istio.Driver.Claims {
		d.Claims[f] = c
	}
	for _, f := range []model.Feature{model.AccessCaller, model.AccessPath, model.AccessMethod, model.AccessPort, model.AccessStream} {
		d.Claims[f] = mesh.No("Other has no word for access")
	}
	r := shop(t, d).Run()
	if len(r.Check.Differences) == 0 {
		t.Fatal("no difference")
	}
	for _, x := range r.Check.Differences {
		if x.Effect != migrate.Widens || x.Fault() || !strings.Contains(x.Said[0].Message, "no word for access") {
			t.Errorf("%+v", x)
		}
	}
}

// TestBetween holds, between any two meshes and whatever the world, that nothing is admitted after a move which was not before unless the report
// tells of it, and that the report tells of every other difference too, or else that what was written did not read back whole.
func TestBetween(t *testing.T) {
	var meshes []*mesh.Driver
	for _, d := range append(all.Drivers(), other()) {
		if d.Import != nil && d.Writes() {
			meshes = append(meshes, d)
		}
	}
	asked := 0
	for k, from := range meshes {
		for i := range 6 {
			events := random(uint64(10*k + i))
			native := told(t, from, events)
			for _, to := range meshes {
				if to == from {
					continue
				}
				m := &migrate.Move{From: from, To: to, Objects: native, Events: events, Requests: 100, Seed: uint64(i)}
				r := m.Run()
				asked += r.Check.Requests
				for _, d := range r.Check.Differences {
					if d.Fault() {
						t.Errorf("%s to %s, world %d: %s: before %s, after %s", from.Name, to.Name, 10*k+i, migrate.Why(&d.Request), d.Before, d.After)
					}
					if len(d.Said) == 0 && len(r.Check.Unread) == 0 {
						t.Errorf("%s to %s, world %d: nothing tells that it %s: %s: before %s, after %s", from.Name, to.Name, 10*k+i, d.Effect, migrate.Why(&d.Request), d.Before, d.After)
					}
				}
			}
		}
	}
	t.Logf("%d requests between %d meshes", asked, len(meshes))
}

// random is what is known of a made-up world.
func random(seed uint64) (events []store.Event) {
	w := meshtest.Random(rand.New(rand.NewPCG(seed, 3)))
	for f := range w.Facts {
		events = append(events, store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	slices.SortFunc(events, func(a, b store.Event) int { return a.Object.Compare(b.Object) })
	return append(events, store.Event{Object: w.Settings().Ref(), Facts: []model.Fact{w.Settings()}})
}

// TestUnasked holds that a mesh without an importer is said not to have been asked.
func TestUnasked(t *testing.T) {
	r := shop(t, builtin.Driver).Run()
	if r.Check.Unasked == "" || r.Check.Requests != 0 || len(r.Check.Differences) != 0 {
		t.Errorf("%+v", r.Check)
	}
}

const lab = `
apiVersion: v1
kind: Service
metadata: {name: desk, namespace: lab}
spec: {selector: {app: desk}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: desk, namespace: lab}
spec:
  selector: {matchLabels: {app: desk}}
  template: {metadata: {labels: {app: desk}}, spec: {serviceAccountName: desk, containers: [{name: a, image: a, ports: [{containerPort: 8080}]}]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: desk, namespace: lab}
spec:
  destination: {kind: ServiceAccount, name: desk}
  rules: [{kind: TCPRoute, name: any}]
  sources: [{kind: ServiceAccount, name: web, namespace: shop}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: any, namespace: lab}
spec: {matches: {ports: [8080]}}
`

func lines(list []migrate.Part) (out []string) {
	for _, p := range list {
		out = append(out, fmt.Sprintf("%s together %v cut %v", p.Namespace, p.Together, p.Cut))
		for _, s := range p.Steps {
			out = append(out, "  "+s.Name)
			for _, a := range s.Actions {
				l := fmt.Sprintf("    %s %s %s/%s", a.Do, a.Key.Kind, a.Key.Name.Namespace, a.Key.Name.Name)
				if a.Command != "" {
					l = "    " + a.Command
				}
				if s.Name == migrate.Switch {
					l += " | " + a.Why
				}
				out = append(out, l)
			}
		}
	}
	return out
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if flag.Lookup("update").Value.String() == "true" { // of meshtest
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is otherwise now; -update writes it anew:\n%s", path, got)
	}
}

// TestPlan holds the plans of four kinds of moves: to proxies of another mesh, with the same proxies, to a release that has the same kinds, and
// back.
func TestPlan(t *testing.T) {
	later := *istio.Driver // the same mesh in another language
	later.Name, later.Title = "later", "Istio in another language"
	gone := shop(t, other(), lab)
	gone.Namespaces["lab"] = migrate.Labels{Labels: map[string]string{"istio.io/rev": "stable"}}
	gone.Namespaces["idle"] = migrate.Labels{Labels: map[string]string{"istio-injection": "enabled"}}
	gone.Namespaces["kube-system"] = migrate.Labels{Labels: map[string]string{}}
	alone := shop(t, other(), lab)
	alone.Namespace = "lab"
	for name, m := range map[string]*migrate.Move{"other-proxies": gone, "same-proxies": shop(t, &later), "one-namespace": alone} {
		r := m.Run()
		golden(t, name, strings.Join(lines(r.Plan.Parts), "\n")+"\n\nback\n"+strings.Join(lines(r.Plan.Back), "\n")+"\n")
	}
}

// TestMeshWide holds that what closes all of a mesh comes first, in the namespace that it belongs to.
func TestMeshWide(t *testing.T) {
	m := shop(t, other())
	s := *model.Defaults()
	s.Access = model.AccessDeny
	closed := []store.Event{{Object: s.Ref(), Facts: []model.Fact{&s}}}
	m.Objects = told(t, istio.Driver, append(m.Events, closed...))
	r := m.Run()
	if len(r.Check.Differences) > 0 {
		t.Errorf("%q", effects(r))
	}
	if first := r.Plan.Parts[0]; first.Namespace != "istio-system" || len(first.Steps) != 2 || r.Access != model.AccessDeny || r.Flags != "-f x --access-default deny" {
		t.Errorf("%+v", first)
	}
}
