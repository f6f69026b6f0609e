// SPDX-License-Identifier: Apache-2.0

// Package migrate plans how one mesh is left for another: what is created, removed and restarted, in which order, what changes in
// meaning, and the way back.
//
// It is pure. Native objects and what is known beside them come in; a plan, findings and differences come out; nothing is read and
// nothing is written. The objects of the mesh that is left are imported, and translated for the other. Then both sides are asked the same
// requests: the one that is left means what its importer made of it, the other what its own importer makes of what was written for it.
// A mesh without an importer cannot be asked, and the result says so.
package migrate

import (
	"slices"
	"strings"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// Move is a migration as it is asked for.
type Move struct {
	From, To   *mesh.Driver
	Objects    []*object.Object  // all that is there, in the order of the input: what is not of From's APIs is passed over
	Events     []store.Event     // what is known: settings, Services, workloads, accounts; SMI among it is passed over
	Namespaces map[string]Labels // that are known, by name
	Namespace  string            // that alone is moved; empty: all
	Requests   int               // how many random ones are asked of both sides, beside those of the objects' own conditions
	Seed       uint64            // of the random ones
	Files      string            // by which the commands of the plan read what was moved: -f smi.yaml
}

// Labels are what is written on a namespace.
type Labels struct{ Labels, Annotations map[string]string }

// Result is a migration as it would be.
type Result struct {
	Plan     Plan
	Access   model.AccessDefault // that the mesh had settled: no object of SMI holds it, so that anymesh has to be told
	Flags    string              // by which commands read what was moved: the Files of the Move, and what was settled
	SMI      []*object.Object    // what was understood, in the newest versions
	Native   []*mesh.Object      // the same for the mesh that is entered
	Kept     []*object.Object    // of which a part was not understood, as they were
	Whole    int                 // objects that were understood whole
	Findings []model.Finding     // of the import and of the translation, the exact ones too
	Check    Check
}

// Run plans the move and asks both sides. From must have an importer.
func (m *Move) Run() *Result {
	beside := m.beside()
	in := &mesh.Input{Objects: m.native(), World: gather(beside), Mesh: m.From.Name}
	m.From.Import(in)
	before := gather(beside, events(in.Facts))

	r := &Result{Access: before.Settings().Access, Flags: m.with(before.Settings()), Kept: m.within(in.Kept)}
	e := engine.New(engine.Target{Driver: m.To, Every: true, Where: m.where()})
	e.Set(beside...)
	e.Set(events(in.Facts)...)
	for _, c := range e.Flush()[0].Changes {
		r.Native = append(r.Native, c.Object)
	}
	slices.SortStableFunc(r.Native, func(a, b *mesh.Object) int { return a.Name.Compare(b.Name) })
	for _, f := range in.Facts {
		if m.in(f.Ref().Namespace) {
			r.SMI = append(r.SMI, encode(f)...)
		}
	}
	said := ours(e.Findings())
	for _, f := range slices.Concat(said, in.Findings, m.texts(beside)) {
		if f.Object.Namespace == "" || m.in(f.Object.Namespace) {
			r.Findings = append(r.Findings, f)
		}
	}
	r.Findings = engine.Sort(r.Findings)
	moved := m.moved(in)
	r.Whole = len(moved)
	r.Check = m.check(before, r.Native, said)
	r.Plan = m.plan(before, r, moved)
	return r
}

// ours are findings about SMI that the import wrote, and no user: what it closed on purpose is no fault, and another fault means that a part
// of what the mesh was told has no effect.
func ours(list []model.Finding) []model.Finding {
	for i := range list {
		switch f := &list[i]; {
		case f.Code == model.CodeNothingGranted:
			f.Level, f.Hint = model.Notice, ""
		case f.Level == model.Invalid:
			f.Level = model.Unsupported
		}
	}
	return list
}

// in says whether a namespace is moved.
func (m *Move) in(namespace string) bool { return m.Namespace == "" || m.Namespace == namespace }

func (m *Move) where() func(string) bool {
	if m.Namespace == "" {
		return nil
	}
	return m.in
}

// beside is what is known without any wish: the settings, and what runs. What SMI objects say beside the mesh's own is not what the mesh
// did.
func (m *Move) beside() (out []store.Event) {
	for _, e := range m.Events {
		var keep []model.Fact
		for _, f := range e.Facts {
			switch f.(type) {
			case *model.Settings, *model.Service, *model.Workload, *model.Pod, *model.EndpointSlice, *model.ServiceAccount:
				keep = append(keep, f)
			}
		}
		if len(keep) > 0 {
			out = append(out, store.Event{Object: e.Object, Facts: keep})
		}
	}
	return out
}

// texts are the findings about the texts of what is known beside, and a word about each object of SMI that is passed over.
func (m *Move) texts(beside []store.Event) (out []model.Finding) {
	kept := map[model.Ref]bool{}
	for _, e := range beside {
		kept[e.Object] = true
	}
	for _, e := range m.Events {
		switch {
		case kept[e.Object]:
			out = append(out, e.Findings...)
		case len(e.Facts) > 0 && !speaks(m.From):
			out = append(out, model.Finding{Level: model.Notice, Code: model.CodeIgnored, Object: e.Object, Message: "passed over: what is moved is what " + m.From.Title + " was told"})
		case len(e.Facts) == 0:
			out = append(out, e.Findings...)
		}
	}
	return out
}

// group is the group of an API; empty for Kubernetes' own core.
func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return g
}

// groups are those of a driver's kinds.
func groups(d *mesh.Driver) map[string]bool {
	out := map[string]bool{}
	for _, k := range slices.Concat(d.Kinds, d.Reads) {
		out[group(k.APIVersion)] = true
	}
	return out
}

// native lists the objects that the importer is given: all but SMI's, which are native only to a mesh that reads SMI itself.
func (m *Move) native() (out []*object.Object) {
	theirs, seen := groups(m.From), map[mesh.Key]bool{}
	for _, o := range m.Objects {
		k := keyOf(o)
		if !seen[k] && (theirs[group(o.APIVersion)] || !smi.Speaks(o.APIVersion, o.Kind)) {
			seen[k] = true
			out = append(out, o)
		}
	}
	return out
}

// moved lists the objects of the mesh that were understood whole: what they said is said anew.
func (m *Move) moved(in *mesh.Input) (out []*object.Object) {
	theirs := groups(m.From)
	for _, o := range m.within(in.Objects) {
		if theirs[group(o.APIVersion)] && !slices.Contains(in.Kept, o) && meshes(o) {
			out = append(out, o)
		}
	}
	return out
}

// within are the objects of the namespaces that are moved.
func (m *Move) within(list []*object.Object) []*object.Object {
	return slices.DeleteFunc(slices.Clone(list), func(o *object.Object) bool { return !m.in(o.Namespace) })
}

// gatewayGroup is that of the Gateway API.
const gatewayGroup = "gateway.networking.k8s.io"

// meshes says whether an object is a mesh's: the Gateway API is shared with ingress, whose routes have Gateways for parents.
func meshes(o *object.Object) bool {
	if group(o.APIVersion) != gatewayGroup {
		return true
	}
	parents := object.Field(object.Field(o.Node(), "spec"), "parentRefs")
	if parents == nil || len(parents.Content) == 0 {
		return false
	}
	for _, p := range parents.Content {
		kind := object.Field(p, "kind")
		if kind == nil || kind.Value == "Gateway" {
			return false
		}
	}
	return true
}

func keyOf(o *object.Object) mesh.Key {
	return mesh.Key{APIVersion: o.APIVersion, Kind: o.Kind, Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
}

// events are facts as a source would tell them.
func events(facts []model.Fact) (out []store.Event) {
	for _, f := range facts {
		out = append(out, store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return out
}

func gather(lists ...[]store.Event) *store.Store {
	s := store.New()
	for _, l := range lists {
		for _, e := range l {
			s.Set(e)
		}
	}
	return s
}

// encode writes a fact as SMI, in the newest version; nothing where SMI has no kind for it.
func encode(f model.Fact) (out []*object.Object) {
	for _, it := range smi.FromFacts([]model.Fact{f}) {
		o, findings := smi.Encode(it, "")
		if o == nil {
			panic("migrate: " + f.Ref().String() + " has no newest version: " + findings[0].Message)
		}
		out = append(out, o)
	}
	return out
}
