// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
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
	outputs []output // one for each target
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

// unit joins one unit once, and gives it to every target's driver.
func (e *Engine) unit(u store.Unit) result {
	r := result{unit: u, outputs: make([]output, len(e.targets))}
	var run func(*mesh.Driver) *mesh.Output
	switch u.Kind {
	case store.UnitSettings:
		run = func(d *mesh.Driver) *mesh.Output { return d.Globals(e.Store.Settings()) }
	case store.UnitEndpoints:
		x := model.JoinEndpoints(e.Store, u.Name)
		run = func(d *mesh.Driver) *mesh.Output { return d.Addresses(x) }
	case store.UnitRoute:
		x, faults := model.JoinRoute(e.Store, u.Name)
		r.faults = faults
		run = func(d *mesh.Driver) *mesh.Output { return d.Routes(x) }
	case store.UnitAccess:
		x, faults := model.JoinAccess(e.Store, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
		r.faults = faults
		run = func(d *mesh.Driver) *mesh.Output { return d.Accesses(x) }
	}
	for i, t := range e.targets {
		if t.Where == nil || u.Kind == store.UnitSettings || t.Where(u.Name.Namespace) {
			r.outputs[i] = t.output(run(t.Driver))
		}
	}
	return r
}

// output hashes objects by their content.
func (t *target) output(o *mesh.Output) output {
	out := output{objects: o.Objects, findings: o.Findings}
	if t.Every {
		out.findings = append(out.findings, o.Granted()...)
	}
	out.findings = slices.Clip(out.findings)
	out.hashes = make([]uint64, len(o.Objects))
	for i := range o.Objects {
		out.hashes[i] = hash(&o.Objects[i])
	}
	return out
}

var seed = maphash.MakeSeed()

// Digester is a Spec that knows a cheaper fingerprint than that of its JSON.
type Digester interface{ Digest(maphash.Seed) uint64 }

func hash(o *mesh.Object) uint64 {
	if d, ok := o.Spec.(Digester); ok {
		return d.Digest(seed)
	}
	b, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("engine: %s does not marshal: %v", o.Key(), err))
	}
	return maphash.Bytes(seed, b)
}
