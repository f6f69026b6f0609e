// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Try says what would be said of an SMI object if it said something else, and changes nothing. It must be called where the engine may be read.
func (e *Engine) Try(ev store.Event) About {
	var before []model.Fact
	if f := e.Store.Fact(ev.Object); f != nil {
		before = []model.Fact{f}
	}
	dirty := e.Store.Dirty()
	e.Store.Set(ev)
	a := About{Object: ev.Object, Findings: ev.Findings}
	for _, u := range e.Store.UnitsOf(ev.Object) {
		r := e.unit(u)
		a.own(&a.Findings, r.faults)
		for i, t := range e.targets {
			if t.Where == nil || t.Where(ev.Object.Namespace) {
				m := AboutMesh{Target: t.Name, Driver: t.Driver.Name}
				a.own(&m.Findings, r.outputs[i].findings)
				a.Meshes = append(a.Meshes, m)
			}
		}
	}
	a.Findings = Sort(a.Findings)
	e.Store.Set(store.Event{Object: ev.Object, Facts: before})
	e.Store.Dirty()
	for _, u := range dirty {
		e.Store.Mark(u)
	}
	return a
}

// own takes the findings that are about the object.
func (a *About) own(into *[]model.Finding, all []model.Finding) {
	for _, f := range all {
		if f.Object == a.Object {
			*into = append(*into, f)
		}
	}
}

// Said counts the objects that a target says now, by kind.
func (e *Engine) Said(name string) map[string]int64 {
	out := map[string]int64{}
	for _, t := range e.targets {
		if t.Name != name {
			continue
		}
		for _, list := range t.said {
			for i := range list {
				out[list[i].key.Kind]++
			}
		}
		for k, units := range t.shared {
			out[k.Kind] -= int64(units - 1)
		}
	}
	return out
}

// Waiting says how many changes each target's sink has yet to make.
func (e *Engine) Waiting(yield func(target string, changes int) bool) {
	for _, t := range e.targets {
		if !yield(t.Name, len(t.pending)) {
			return
		}
	}
}
