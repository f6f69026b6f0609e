// SPDX-License-Identifier: Apache-2.0

// Package engine is the loop: events in, changes out, findings kept.
//
// Events are put into the store; the units that they touch are joined, given to the driver of each target, and compared with what
// those units said last. The difference is the plan: `diff` prints it, `up` and the controller apply it, by one code path. One
// goroutine owns all of this state; [Engine.Run] is that goroutine, and [Engine.Ask] is the way in for everyone else.
package engine

import (
	"context"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Source tells what is known. Run sends batches until its context ends: a batch is one step of the world, and is translated as a
// whole or not at all. The first batch holds everything that is there.
type Source interface {
	Run(ctx context.Context, out chan<- []store.Event) error
}

// Sink takes what is to be. Apply is given each change at least once, in order, and may be given it again after an error. An error that is a
// [*Failed] says which changes failed: only those are given again.
type Sink interface {
	Apply(ctx context.Context, changes []mesh.Change) error
}

// Target is one mesh to program: how, where to, and which namespaces.
type Target struct {
	Name     string // that tells it from the other targets; empty: the driver's
	Driver   *mesh.Driver
	Sink     Sink                        // nil: changes are planned and go nowhere; that of a target which runs stays
	Where    func(namespace string) bool // nil: everywhere
	Scope    string                      // what Where goes by, in words: where they change, everything is asked again
	Settings *model.Settings             // of this mesh, where they are not those of the world; nil: those of the world
	Every    bool                        // keep findings of intents that are exact too
}

// Engine holds what is known and what was said of it.
type Engine struct {
	Store   *store.Store
	targets []*target
	leaving []*target                      // taken away, and not yet told to remove what they said
	queues  map[string]*queue              // of targets that are there, or still remove what they said, while the engine runs
	sources map[model.Ref][]model.Finding  // about the text of objects
	faults  map[store.Unit][]model.Finding // what no mesh could help
	asks    chan func()
	counted map[model.Ref]int64    // generations of objects
	touched map[model.Ref]struct{} // SMI objects of which there may be news; nil where nobody asks
}

// target is a Target with what each unit said last.
type target struct {
	Target
	said     map[store.Unit][]said
	shared   map[mesh.Key]int  // how many units say it
	fresh    map[mesh.Key]bool // shared, and said by nobody before this flush
	findings map[store.Unit][]model.Finding
	failed   map[mesh.Key]Failure     // changes that the sink could not make
	pending  map[mesh.Key]mesh.Change // changes that the sink has not made yet
	waiting  map[model.Ref]int        // how many of them are written for an object
}

// said is one object as a unit said it last: its content only as a hash.
type said struct {
	key    mesh.Key
	hash   uint64
	shared bool
}

// Plan is what a target has to change.
type Plan struct {
	Target  string
	Driver  *mesh.Driver
	Changes []mesh.Change
	target  *target
}

// New is an engine that knows nothing yet.
func New(targets ...Target) *Engine {
	e := &Engine{
		Store: store.New(), sources: map[model.Ref][]model.Finding{}, faults: map[store.Unit][]model.Finding{},
		asks: make(chan func()), counted: map[model.Ref]int64{}, queues: map[string]*queue{},
	}
	for _, t := range targets {
		e.targets = append(e.targets, newTarget(t))
	}
	return e
}

// Set takes what objects say now. Nothing is translated before Flush.
func (e *Engine) Set(events ...store.Event) {
	for _, ev := range events {
		e.Store.Set(ev)
		e.touch(ev.Object)
		if ev.Generation != 0 {
			e.counted[ev.Object] = ev.Generation
		} else {
			delete(e.counted, ev.Object)
		}
		if len(ev.Findings) == 0 {
			delete(e.sources, ev.Object)
		} else {
			e.sources[ev.Object] = ev.Findings
		}
	}
}

// Flush translates what changed since the last call, and says what each target has to change: those that are there, in their order, then
// those that were taken away.
func (e *Engine) Flush() []Plan {
	plans := make([]Plan, len(e.targets), len(e.targets)+len(e.leaving))
	for i, t := range e.targets {
		plans[i] = Plan{Target: t.Name, Driver: t.Driver, target: t}
	}
	results := e.translate(e.Store.Dirty())
	for k := range results { // who joins comes before who parts, so that what passes from one to another stays
		for i, t := range e.targets {
			t.joins(results[k].unit, &results[k].outputs[i])
		}
	}
	for k := range results {
		r := &results[k]
		e.keep(e.faults, r.unit, r.faults)
		e.touch(r.asks...)
		for i, t := range e.targets {
			e.keep(t.findings, r.unit, r.outputs[i].findings)
			plans[i].Changes = t.take(plans[i].Changes, r, &r.outputs[i])
		}
	}
	for i := range plans {
		plans[i].Changes = order(plans[i].Changes)
	}
	for _, t := range e.leaving {
		plans = append(plans, Plan{t.Name, t.Driver, t.withdraw(), t})
	}
	e.leaving = nil
	return plans
}

// take compares what a unit says with what it said last, and appends what has to change.
func (t *target) take(changes []mesh.Change, r *result, o *output) []mesh.Change {
	u := r.unit
	last := t.said[u]
	if last == nil && len(o.objects) == 0 {
		return changes
	}
	now := make([]said, len(o.objects))
	for i := range o.objects {
		now[i] = said{o.objects[i].Key(), o.hashes[i], o.objects[i].Shared}
		if !slices.Contains(last, now[i]) && !t.known(&now[i], last) {
			changes = append(changes, mesh.Change{Key: now[i].key, Object: &o.objects[i], For: r.asks})
		}
	}
	for i := range last {
		if !speaks(now, last[i].key) && !t.parts(&last[i]) {
			changes = append(changes, mesh.Change{Key: last[i].key, For: r.asks})
		}
	}
	if len(now) == 0 {
		delete(t.said, u)
	} else {
		t.said[u] = now
	}
	return changes
}

// joins notes that a unit says objects which others may say too, and which of these nobody said before.
func (t *target) joins(u store.Unit, o *output) {
	for i := range o.objects {
		if k := o.objects[i].Key(); o.objects[i].Shared && !speaks(t.said[u], k) {
			if t.shared[k]++; t.shared[k] == 1 {
				t.fresh[k] = true
			}
		}
	}
}

// known says whether others said an object already, and in the same words.
func (t *target) known(s *said, last []said) bool {
	if !s.shared || speaks(last, s.key) {
		return false
	}
	fresh := t.fresh[s.key]
	delete(t.fresh, s.key) // the first who says it now
	return !fresh
}

func speaks(list []said, k mesh.Key) bool {
	return slices.ContainsFunc(list, func(s said) bool { return s.key == k })
}

// parts notes that a unit says an object no more, and says whether others still do.
func (t *target) parts(s *said) bool {
	if !s.shared {
		return false
	}
	if t.shared[s.key]--; t.shared[s.key] > 0 {
		return true
	}
	delete(t.shared, s.key)
	return false
}

// keep keeps the findings of a unit in place of those that it had before.
func (e *Engine) keep(m map[store.Unit][]model.Finding, u store.Unit, f []model.Finding) {
	if e.touched != nil {
		for _, list := range [][]model.Finding{m[u], f} {
			for i := range list {
				e.touch(list[i].Object)
			}
		}
	}
	if len(f) == 0 {
		delete(m, u)
	} else {
		m[u] = f
	}
}

// order puts what is to be before what is to go, and takes the latter in the opposite order: others may refer to it until they have
// changed. An object that moved from one unit to another is not deleted.
func order(changes []mesh.Change) []mesh.Change {
	if !slices.ContainsFunc(changes, func(c mesh.Change) bool { return c.Object == nil }) {
		return changes
	}
	set := map[mesh.Key]bool{}
	for _, c := range changes {
		if c.Object != nil {
			set[c.Key] = true
		}
	}
	out := make([]mesh.Change, 0, len(changes))
	for _, c := range changes {
		if c.Object != nil {
			out = append(out, c)
		}
	}
	for _, c := range slices.Backward(changes) {
		if c.Object == nil && !set[c.Key] {
			out = append(out, c)
		}
	}
	return out
}
