// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

// About is all that is to be said of one SMI object.
type About struct {
	Object     model.Ref
	Generation int64           // of its text, where the source counts them
	Findings   []model.Finding // of its text, and those that hold for every mesh
	Meshes     []AboutMesh     // of the targets that the object concerns, in their order
}

// AboutMesh is what one target makes of an object.
type AboutMesh struct {
	Target   string
	Driver   string
	Pending  bool // not all of it has reached the mesh yet
	Findings []model.Finding
}

// About gathers what is to be said of an object. The work is of the size of the units that the object is in.
func (e *Engine) About(r model.Ref) About {
	a := About{Object: r, Generation: e.counted[r], Findings: slices.Clone(e.sources[r])}
	units := e.Store.UnitsOf(r)
	for _, u := range units {
		a.own(&a.Findings, e.faults[u])
	}
	a.Findings = Sort(a.Findings)
	for _, t := range e.targets {
		if len(units) == 0 || t.Where != nil && !t.Where(r.Namespace) {
			continue
		}
		m := AboutMesh{Target: t.Name, Driver: t.Driver.Name, Pending: t.waiting[r] > 0}
		for _, u := range units {
			a.own(&m.Findings, t.findings[u])
		}
		for _, f := range t.failed {
			a.own(&m.Findings, t.finding(&f))
		}
		m.Findings = Sort(m.Findings)
		a.Meshes = append(a.Meshes, m)
	}
	return a
}

// touch notes that there may be news of objects.
func (e *Engine) touch(refs ...model.Ref) {
	if e.touched == nil {
		return
	}
	for _, r := range refs {
		e.touched[r] = struct{}{}
	}
}

// news lists the objects that were touched since it was asked last, in order.
func (e *Engine) news() []model.Ref {
	if len(e.touched) == 0 {
		return nil
	}
	out := make([]model.Ref, 0, len(e.touched))
	for r := range e.touched {
		out = append(out, r)
	}
	e.touched = map[model.Ref]struct{}{} // to clear a map that was large once costs that size for ever
	slices.SortFunc(out, model.Ref.Compare)
	return out
}
