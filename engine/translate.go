// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"runtime"
	"slices"
	"sync"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// result is what became of one unit.
type result struct {
	unit    store.Unit
	faults  []model.Finding
	asks    []model.Ref // the SMI objects that the unit is made for
	outputs []output    // one for each target
}

type output struct {
	objects  []mesh.Object
	hashes   []uint64
	findings []model.Finding
}

// few is the number of units up to which it does not pay to wake another core.
const few = 32

// translate joins and translates units, on all cores when they are many. Joins read the store, which nobody changes meanwhile.
func (e *Engine) translate(units []store.Unit) []result {
	out := make([]result, len(units))
	workers := runtime.GOMAXPROCS(0)
	if len(units) <= few || workers == 1 {
		for i, u := range units {
			out[i] = e.unit(u)
		}
		return out
	}
	var wg sync.WaitGroup
	size := (len(units) + 4*workers - 1) / (4 * workers)
	parts := make(chan int, 4*workers)
	for i := 0; i < len(units); i += size {
		parts <- i
	}
	close(parts)
	for range workers {
		wg.Go(func() {
			for i := range parts {
				for k := i; k < min(i+size, len(units)); k++ {
					out[k] = e.unit(units[k])
				}
			}
		})
	}
	wg.Wait()
	return out
}

// unit joins one unit once for all targets of the same settings, and gives it to every target's driver.
func (e *Engine) unit(u store.Unit) result {
	r := result{unit: u, asks: e.Store.Askers(u), outputs: make([]output, len(e.targets))}
	j := e.join(u, e.Store)
	r.faults = j.faults
	for i, t := range e.targets {
		if t.Where != nil && u.Kind != store.UnitSettings && !t.Where(u.Name.Namespace) {
			continue
		}
		mine := j
		if t.Settings != nil {
			mine = e.join(u, view{e.Store, t.Settings})
		}
		r.outputs[i] = t.output(mine.translate(t.Driver))
	}
	return r
}

// view is the world under the settings of one mesh.
type view struct {
	model.World
	settings *model.Settings
}

// Settings of the mesh.
func (v view) Settings() *model.Settings { return v.settings }

// joined is a unit with what is known of it.
type joined struct {
	unit      store.Unit
	settings  *model.Settings
	endpoints *model.Endpoints
	route     *model.Route
	access    *model.Access
	faults    []model.Finding
}

func (e *Engine) join(u store.Unit, w model.World) *joined {
	j := &joined{unit: u}
	switch u.Kind {
	case store.UnitSettings:
		j.settings = w.Settings()
	case store.UnitEndpoints:
		j.endpoints = model.JoinEndpoints(w, u.Name)
	case store.UnitRoute:
		j.route, j.faults = model.JoinRoute(w, u.Name)
	case store.UnitAccess:
		j.access, j.faults = model.JoinAccess(w, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
	}
	return j
}

func (j *joined) translate(d *mesh.Driver) *mesh.Output {
	switch j.unit.Kind {
	case store.UnitSettings:
		return d.Globals(j.settings)
	case store.UnitEndpoints:
		return d.Addresses(j.endpoints)
	case store.UnitRoute:
		return d.Routes(j.route)
	case store.UnitAccess:
		return d.Accesses(j.access)
	}
	panic("engine: a unit of an unknown kind: " + j.unit.String())
}

// output fingerprints objects by their content.
func (t *target) output(o *mesh.Output) output {
	out := output{objects: o.Objects, findings: o.Findings}
	if t.Every {
		out.findings = append(out.findings, o.Granted()...)
	}
	out.findings = slices.Clip(out.findings)
	if len(o.Objects) == 0 {
		return out
	}
	out.hashes = make([]uint64, len(o.Objects))
	p := pens.Get().(*pen)
	for i := range o.Objects {
		out.hashes[i] = p.digest(&o.Objects[i])
	}
	pens.Put(p)
	return out
}
