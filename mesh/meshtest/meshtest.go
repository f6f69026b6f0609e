// SPDX-License-Identifier: Apache-2.0
// sizes: package: one story in ten suites over the same worlds, requests and translations; what changes trees of JSON is a package of its own

// Package meshtest is the conformance story that every driver passes. A driver's own test calls [Run] in one line.
//
// The suites ask, in this order: what does the driver say of every case of the corpus (cases: goldens that a person reads); does what
// it claims reach its output, and nothing else (claims); does it ever allow more than was permitted (safe); does it
// mean what the evaluator means, in the mesh's own terms (meaning); would all that be noticed (mutants); does it read back what it wrote (round trip); does the mesh's own
// schema accept it (schema). Each suite is a function that returns the problems it found, so that the suites are tested
// themselves with faults put in on purpose.
package meshtest

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

var update = flag.Bool("update", false, "write the goldens anew; then read the difference")

// Judge reads native objects as the mesh would. It is written from the mesh's documents, and shares no code with the driver.
type Judge struct {
	// Route says which part of such requests goes where, by "namespace/service:port". The parts make 1.
	Route func(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error)
	// Admit says whether a workload's proxy lets a request through to one of its ports.
	Admit func(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool
}

// Subject is a driver under test.
type Subject struct {
	Driver *mesh.Driver
	Judge  Judge
	CRDs   []string // files with the mesh's own schemas, beside the checkout: see Shared
	// Show writes an object in goldens, where most of it is the same in every object; nil: as YAML, whole.
	Show func(*mesh.Object) string
	// Spec makes the content of an object of a tree of JSON, for a judge that does not read JSON, or nil where the
	// type cannot be so; a nil Spec: the tree is the content.
	Spec func(o *mesh.Object, tree any) any
	// Same is the reason why a change of one of the objects ("delete http[0].name", "drop") means nothing to the mesh, from the mesh's
	// documents; empty where it may mean something. It is asked of changes alone that no request tells.
	Same func(objs []mesh.Object, o *mesh.Object, change string) string
	// Given says whether a finding tells nothing but what the judge takes as given, such as that clients have to call the mesh by its name: what is
	// said so counts as exact. nil: none does.
	Given func(w *store.Store, u store.Unit, f model.Finding) bool
	// Unnoticed is why fewer than nineteen of twenty mistakes are noticed; empty where they are.
	Unnoticed string
}

// Run asks everything of a driver.
func Run(t *testing.T, s Subject) {
	if Soaked(t, s) {
		return
	}
	cases := Cases(t)
	t.Run("cases", func(t *testing.T) { goldens(t, s, cases) })
	report := func(name string, suite func() []string) {
		t.Run(name, func(t *testing.T) {
			for _, p := range suite() {
				t.Error(p)
			}
		})
	}
	report("claims", func() []string { return Claims(s.Driver, cases) })
	worlds := Worlds(cases)
	ask := sync.OnceValues(func() (wider, wrong []string) { return Ask(s, worlds) })
	report("safe", func() []string { wider, _ := ask(); return wider })
	report("meaning", func() []string { _, wrong := ask(); return wrong })
	var tally Tally
	t.Run("mutants", func(t *testing.T) { tally = kill(t, s, worlds) })
	if s.Driver.Import != nil {
		report("roundtrip", func() []string { return RoundTrip(s.Driver, worlds) })
	}
	t.Run("schema", func(t *testing.T) { schema(t, s, cases) })
	if d := s.Driver; tally.Made > 0 { // none where -run left it out
		r := Result{d.Name, d.Title, d.Version, len(cases), tally.Made, int(100 * tally.Share()), s.Unnoticed, d.Import != nil, len(s.CRDs) > 0}
		t.Run("result", r.fresh)
	}
}

// Case is one input of the corpus.
type Case struct {
	Name string // of the file
	Text []byte
}

// Cases reads the corpus, testdata/cases at the root of the module.
func Cases(t testing.TB) []Case {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root(), "testdata", "cases", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in %s: %v", root(), err)
	}
	var out []Case
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Case{strings.TrimSuffix(filepath.Base(p), ".yaml"), text})
	}
	return out
}

// Shared is a file or folder of the data that stands beside a checkout, for tests alone; ok is false where it is missing.
func Shared(elem ...string) (path string, ok bool) {
	path = filepath.Join(append([]string{filepath.Dir(root()), "shared"}, elem...)...)
	_, err := os.Stat(path)
	return path, err == nil
}

// root is the folder of the module.
func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(here)))
}

// settingsComment is how a case sets what no object says: a first line `# settings: access=deny`.
const settingsComment = "# settings:"

// World reads the case into a store of its own.
func (c *Case) World() (*store.Store, []model.Finding) {
	in := file.Parse(c.Name+".yaml", c.Text, file.Options{})
	s := store.New()
	s.Set(store.Event{Object: model.Ref{Kind: model.KindSettings}, Facts: []model.Fact{c.settings()}})
	findings := slices.Clone(in.Findings)
	for _, e := range in.Events {
		s.Set(e)
		findings = append(findings, e.Findings...)
	}
	return s, findings
}

func (c *Case) settings() *model.Settings {
	out := model.Defaults()
	line, _, _ := strings.Cut(string(c.Text), "\n")
	text, ok := strings.CutPrefix(line, settingsComment)
	if !ok {
		return out
	}
	for _, f := range strings.Fields(text) {
		switch f {
		case "access=deny":
			out.Access = model.AccessDeny
		case "access=allow":
			out.Access = model.AccessAllow
		case "cross-namespace":
			out.CrossNamespace = true
		default:
			panic("case " + c.Name + ": no such setting: " + f)
		}
	}
	return out
}

// translated is all that a driver says of a world.
type translated struct {
	objects  []mesh.Object
	faults   []model.Finding
	findings map[store.Unit][]model.Finding // of the driver
	outputs  map[store.Unit]*mesh.Output
}

func translate(d *mesh.Driver, s *store.Store) *translated {
	t := &translated{findings: map[store.Unit][]model.Finding{}, outputs: map[store.Unit]*mesh.Output{}}
	units := slices.SortedFunc(s.Units, store.Unit.Compare)
	for _, u := range slices.Compact(units) {
		o, faults := one(d, s, u)
		for i := range o.Objects {
			if obj := &o.Objects[i]; !obj.Shared || !slices.ContainsFunc(t.objects, func(x mesh.Object) bool { return x.Key() == obj.Key() }) {
				t.objects = append(t.objects, *obj)
			}
		}
		t.faults = append(t.faults, faults...)
		t.outputs[u] = o
		if len(o.Findings) > 0 {
			t.findings[u] = o.Findings
		}
	}
	return t
}

func one(d *mesh.Driver, s *store.Store, u store.Unit) (*mesh.Output, []model.Finding) {
	switch u.Kind {
	case store.UnitRoute:
		r, faults := model.JoinRoute(s, u.Name)
		return d.Routes(r), faults
	case store.UnitAccess:
		a, faults := model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
		return d.Accesses(a), faults
	case store.UnitEndpoints:
		return d.Addresses(model.JoinEndpoints(s, u.Name)), nil
	}
	return d.Globals(s.Settings()), nil
}
