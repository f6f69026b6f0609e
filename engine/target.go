// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func newTarget(t Target) *target {
	t.Name = cmp.Or(t.Name, t.Driver.Name)
	return &target{Target: t, said: map[store.Unit][]said{}, shared: map[mesh.Key]int{}, fresh: map[mesh.Key]bool{}, findings: map[store.Unit][]model.Finding{}, failed: map[mesh.Key]Failure{}, pending: map[mesh.Key]mesh.Change{}, waiting: map[model.Ref]int{}}
}

// Retarget replaces the targets. One that was there by the same name keeps what it said, so that only what it says otherwise from now on is
// changed; one that is there no more removes what it said. The next Flush says so. Where a target's namespaces alone have changed, call
// Again for them besides. It returns whether anything is otherwise than it was, namespaces apart.
func (e *Engine) Retarget(targets ...Target) bool {
	old := e.targets
	var now []*target
	changed := false
	for _, want := range targets {
		t := newTarget(want)
		if i := slices.IndexFunc(old, func(o *target) bool { return o.Name == t.Name }); i >= 0 {
			o := old[i]
			old = slices.Delete(slices.Clone(old), i, i+1)
			changed = changed || differs(&o.Target, &t.Target)
			o.Target, t = t.Target, o
		} else {
			changed = true
		}
		if slices.ContainsFunc(now, func(o *target) bool { return o.Name == t.Name }) {
			panic(fmt.Sprintf("engine: two targets are called %q", t.Name))
		}
		now = append(now, t)
	}
	e.targets = now
	e.leaving = append(e.leaving, old...)
	if changed = changed || len(old) > 0; changed {
		e.Store.Again(nil)
	}
	return changed
}

// differs says whether a target is to say something else than before: functions cannot be compared, so that only whether there is one counts.
func differs(a, b *Target) bool {
	same := a.Settings == b.Settings || a.Settings != nil && b.Settings != nil && *a.Settings == *b.Settings
	return a.Driver != b.Driver || a.Scope != b.Scope || a.Every != b.Every || !same || (a.Where == nil) != (b.Where == nil)
}

// Again has the units of some namespaces translated by the next Flush although nothing is known to have changed; nil: all.
func (e *Engine) Again(where func(namespace string) bool) { e.Store.Again(where) }

// Lost says that objects of a target are not any more as they were said: the next Flush says them again. What the target did not say is
// passed over.
func (e *Engine) Lost(name string, keys ...mesh.Key) {
	i := slices.IndexFunc(e.targets, func(t *target) bool { return t.Name == name })
	if i < 0 || len(keys) == 0 {
		return
	}
	lost := make(map[mesh.Key]bool, len(keys))
	for _, k := range keys {
		lost[k] = true
	}
	for u, list := range e.targets[i].said {
		for k := range list {
			if lost[list[k].key] {
				list[k].hash = 0 // of no content: whatever is said next is news
				e.Store.Mark(u)
			}
		}
	}
}

// withdraw is a plan to remove all that a target said.
func (t *target) withdraw() []mesh.Change {
	var out []mesh.Change
	for _, list := range t.said {
		for i := range list {
			out = append(out, mesh.Change{Key: list[i].key})
		}
	}
	slices.SortFunc(out, func(a, b mesh.Change) int { return b.Key.Compare(a.Key) })
	return slices.CompactFunc(out, func(a, b mesh.Change) bool { return a.Key == b.Key })
}

// Failed is the error of a sink that made some of the changes that it was given.
type Failed struct{ Failures []Failure }

// Failure is one change that a sink could not make.
type Failure struct {
	Change  mesh.Change
	Code    model.Code // of the finding that it becomes
	Message string     // why, for the one who wrote the SMI object
	Hint    string     // what to do about it
	Err     error
}

// Error names the first failures.
func (f *Failed) Error() string {
	s := fmt.Sprintf("%s: %v", f.Failures[0].Change.Key, f.Failures[0].Err)
	if n := len(f.Failures) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// Unwrap lists the causes.
func (f *Failed) Unwrap() []error {
	out := make([]error, len(f.Failures))
	for i := range f.Failures {
		out[i] = f.Failures[i].Err
	}
	return out
}

// await notes changes that go to the sink now.
func (t *target) await(changes []mesh.Change) {
	for _, c := range changes {
		t.made(c.Key)
		t.pending[c.Key] = c
		for _, r := range c.For {
			t.waiting[r]++
		}
	}
}

// made notes that nothing is awaited of an object any more.
func (t *target) made(k mesh.Key) {
	for _, r := range t.pending[k].For {
		if t.waiting[r]--; t.waiting[r] == 0 {
			delete(t.waiting, r)
		}
	}
	delete(t.pending, k)
}

// applied takes what became of changes: the failures, and that all others were made.
func (e *Engine) applied(t *target, batch []mesh.Change, failures []Failure) {
	for i := range batch {
		k := batch[i].Key
		if c, ok := t.pending[k]; ok && c.Object == batch[i].Object { // and not one that was said since
			t.made(k)
			e.touch(c.For...)
		}
		if f, ok := t.failed[k]; ok {
			delete(t.failed, k)
			e.touch(f.Change.For...)
		}
	}
	for _, f := range failures {
		t.failed[f.Change.Key] = f
	}
}

// finding lists a failure as findings of the objects that the change was written for.
func (t *target) finding(f *Failure) (out []model.Finding) {
	for _, r := range f.Change.For {
		out = append(out, model.Finding{Mesh: t.Driver.Name, Level: model.Unsupported, Code: f.Code, Object: r, Message: f.Message, Hint: f.Hint})
	}
	return out
}
