// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// plan puts the move into steps, and the way back.
func (m *Move) plan(world *store.Store, r *Result, moved []*object.Object) (p Plan) {
	from, to := &side{driver: m.From}, &side{driver: m.To, smi: true}
	for _, o := range moved {
		from.items = append(from.items, item{keyOf(o), o, m.From.Title})
	}
	for _, o := range r.Kept {
		from.kept = append(from.kept, item{keyOf(o), o, m.From.Title})
	}
	for _, o := range r.SMI {
		if it := (item{keyOf(o), o, "SMI"}); !speaks(m.To) { // else the mesh is given SMI in its own dialect, maybe by the same names
			to.items = append(to.items, it)
		}
	}
	if !m.To.Direct() { // else anymesh tells the proxies itself
		for _, o := range r.Native {
			to.items = append(to.items, item{o.Key(), o, m.To.Title})
		}
	}
	there := turn{move: m, world: world, leave: from, enter: to, same: proxies(m.From, m.To)}
	back := turn{move: m, world: world, leave: to, enter: from, same: there.same, back: true}
	cuts := m.cuts(world)
	for _, ns := range m.order(from, to, cuts) {
		part, home := there.part(ns), back.part(ns)
		if !there.same {
			part.Cut, part.Together = cuts.of(ns), cuts.tied(ns)
			home.Cut, home.Together = part.Cut, part.Together
		}
		p.Parts, p.Back = append(p.Parts, part), append(p.Back, home)
	}
	slices.Reverse(p.Back) // the last is left first
	return p
}

// proxies says whether both meshes have the same proxies: then what is said in either language has effect at once.
func proxies(a, b *mesh.Driver) bool {
	x, y := a.Injection, b.Injection
	return x != nil && y != nil && (x.Guest || y.Guest || reflect.DeepEqual(x, y))
}

// order lists the namespaces of the move: those without workloads first, then those that are tied by calls together.
func (m *Move) order(from, to *side, c calls) (out []string) {
	seen := map[string]bool{}
	for _, it := range slices.Concat(from.items, from.kept, to.items) {
		seen[it.key.Name.Namespace] = true
	}
	for ns, l := range m.Namespaces {
		if i := m.From.Injection; i != nil && m.in(ns) && (holds(l.Labels, slices.Concat(slices.Collect(maps.Keys(i.Labels)), i.Others)) || holds(l.Annotations, slices.Collect(maps.Keys(i.Annotations)))) {
			seen[ns] = true
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(seen)) {
		if slices.Contains(out, ns) {
			continue
		}
		out = append(out, ns)
		for _, tied := range c.tied(ns) {
			if seen[tied] && !slices.Contains(out, tied) {
				out = append(out, tied)
			}
		}
	}
	return out
}

// holds says whether a namespace has any of some marks, and not to keep the proxies out.
func holds(marks map[string]string, any []string) bool {
	return slices.ContainsFunc(any, func(k string) bool {
		v, ok := marks[k]
		return ok && v != "disabled" && v != "false"
	})
}

// turn is one direction of a move.
type turn struct {
	move         *Move
	world        *store.Store
	leave, enter *side
	same         bool
	back         bool
}

func (t *turn) part(ns string) Part {
	prepare, change, clean := Step{Name: Prepare}, Step{Name: Switch}, Step{Name: Clean}
	for _, it := range t.enter.at(ns) {
		a := Action{Do: Create, Key: it.key, Object: it.object, Of: it.of}
		old, why := t.leave.find(it.key), t.soon(it)
		if old != nil {
			a.Do, why = Replace, "it has the name of one of "+old.of+", whose place it takes"
		}
		if a.Why = why; why == "" {
			prepare.Actions = append(prepare.Actions, a)
		} else {
			change.Actions = append(change.Actions, a)
		}
	}
	for _, it := range t.leave.at(ns) {
		if t.enter.find(it.key) != nil {
			continue
		}
		a := Action{Do: Remove, Key: it.key, Object: it.object, Of: it.of, Why: t.stands(it)}
		if a.Why != "" {
			change.Actions = append(change.Actions, a)
		} else {
			a.Why = "nobody follows it once every namespace that calls this one has moved; until then it keeps the way back short"
			clean.Actions = append(clean.Actions, a)
		}
	}
	if !t.back && len(change.Actions) > 0 && speaks(t.leave.driver) {
		change.Actions = append(change.Actions, Action{Do: Mind, Why: t.leave.driver.Title + " reads these objects too until it is gone, in its own way, for the clients that have not moved: move them soon after"})
	}
	change.Actions = append(change.Actions, t.kept(ns)...)
	change.Actions = append(change.Actions, t.swap(ns)...)
	p := Part{Namespace: ns}
	for _, s := range []Step{prepare, change, {Name: Verify, Actions: t.verify(ns)}, clean} {
		if len(s.Actions) > 0 {
			p.Steps = append(p.Steps, s)
		}
	}
	return p
}

// speaks says whether a mesh reads SMI itself.
func speaks(d *mesh.Driver) bool {
	return slices.ContainsFunc(slices.Concat(d.Kinds, d.Reads), func(k mesh.Kind) bool { return smi.Speaks(k.APIVersion, k.Kind) })
}

// soon says why an object cannot be created before the switch; empty: it has no effect until then.
func (t *turn) soon(it *item) string {
	k := it.key
	if _, ok := t.leave.follows(it); ok {
		return t.leave.driver.Title + " follows it too: it would have effect at once"
	}
	if t.leave.smi && smi.Speaks(k.APIVersion, k.Kind) {
		return "anymesh reads it too: it would have effect at once"
	}
	switch spoken := smi.Speaks(k.APIVersion, k.Kind); {
	case t.same && spoken && t.enter.smi:
		return "the proxies stay, and anymesh, where it runs, tells them at once"
	case t.same:
		return "the proxies stay: it has effect at once"
	}
	return ""
}

// stands says why an object has to go in the same step; empty: it does not, since nobody follows it any more.
func (t *turn) stands(it *item) string {
	k := it.key
	if kind, ok := t.enter.follows(it); ok {
		why := t.enter.driver.Title + " follows it too"
		if kind.Clash != "" {
			why += ": " + kind.Clash
		}
		return why
	}
	if t.enter.smi && smi.Speaks(k.APIVersion, k.Kind) {
		return "anymesh reads it too, by the page of SMI and not as " + t.leave.driver.Title + " did"
	}
	if t.same && t.leave.smi && smi.Speaks(k.APIVersion, k.Kind) {
		return "the proxies stay, and anymesh, where it runs, would tell them again"
	}
	if t.same {
		why := "the proxies stay, and follow it"
		if kind, ok := t.leave.follows(it); ok && kind.Clash != "" {
			why += ": " + kind.Clash
		}
		return why
	}
	return ""
}

// kept lists the objects that were not understood whole: they stay, and what they do then is to be known.
func (t *turn) kept(ns string) (out []Action) {
	for _, it := range t.leave.kept {
		if it.key.Name.Namespace != ns {
			continue
		}
		why := "a part of it was not understood, and is lost once the proxies are " + t.enter.driver.Title + "'s: see the report"
		if _, ok := t.enter.follows(&it); ok || t.same {
			why = "a part of it was not understood, and all of it stays in effect beside what was moved: see the report, and take out of it what was"
		}
		if t.enter.find(it.key) != nil {
			why = "a part of it was not understood, and an object of its name takes its place: carry over by hand what the report names"
		}
		out = append(out, Action{Do: Keep, Key: it.key, Object: it.object, Of: it.of, Why: why})
	}
	return out
}

// swap takes one mesh's proxies out of a namespace, and lets the other's in.
func (t *turn) swap(ns string) (out []Action) {
	if t.same || ns == "" {
		return nil
	}
	running := t.workloads(ns)
	l, known := t.move.Namespaces[ns]
	if len(running) == 0 && !known {
		return nil
	}
	off, on := t.leave.driver.Injection, t.enter.driver.Injection
	for _, m := range []struct {
		do   Verb
		args []string
	}{{Label, t.labels(l)}, {Annotate, t.annotations()}} {
		if len(m.args) > 0 {
			out = append(out, Action{Do: m.do, Key: mesh.Key{APIVersion: "v1", Kind: "Namespace", Name: model.Name{Name: ns}},
				Why:     "new pods have the proxies of " + t.enter.driver.Title,
				Command: fmt.Sprintf("kubectl %s namespace %s --overwrite %s", m.do, ns, strings.Join(m.args, " "))})
		}
	}
	for _, d := range []*mesh.Driver{t.leave.driver, t.enter.driver} {
		note := d.Title + " puts no proxies into pods by a mark on the namespace: see its guide"
		if i := d.Injection; i != nil && d == t.leave.driver {
			note = i.Leave
		} else if i != nil {
			note = i.Enter
		}
		if note != "" {
			out = append(out, Action{Do: Mind, Why: note})
		}
	}
	if off != nil && off.Sidecars || on != nil && on.Sidecars {
		out = append(out, t.restarts(running)...)
	}
	return out
}

// labels are those that kubectl takes from a namespace and puts on it. On the way back it has again what it had.
func (t *turn) labels(has Labels) []string {
	var off []string
	on := map[string]string{}
	if i := t.leave.driver.Injection; i != nil {
		off = slices.Concat(slices.Sorted(maps.Keys(i.Labels)), i.Others)
	}
	if i := t.enter.driver.Injection; i != nil {
		had := map[string]string{}
		for _, k := range slices.Concat(slices.Collect(maps.Keys(i.Labels)), i.Others) {
			if v, ok := has.Labels[k]; ok && t.back {
				had[k] = v
			}
		}
		if on = had; len(had) == 0 {
			on = i.Labels
		}
	}
	return marks(off, on)
}

func (t *turn) annotations() []string {
	var off []string
	on := map[string]string{}
	if i := t.leave.driver.Injection; i != nil {
		off = slices.Sorted(maps.Keys(i.Annotations))
	}
	if i := t.enter.driver.Injection; i != nil {
		on = i.Annotations
	}
	return marks(off, on)
}

// marks are the arguments by which kubectl takes some marks off and puts others on.
func marks(off []string, on map[string]string) (out []string) {
	for _, k := range off {
		if _, again := on[k]; !again {
			out = append(out, k+"-")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(on)) {
		out = append(out, k+"="+on[k])
	}
	return out
}

func (t *turn) workloads(ns string) (out []*model.Workload) {
	for f := range t.world.Facts {
		if w, ok := f.(*model.Workload); ok && w.Name.Namespace == ns {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// rolls are the kinds that kubectl makes anew, one pod after the other.
var rolls = map[model.Kind]string{model.KindDeployment: "deployment", model.KindStatefulSet: "statefulset", model.KindDaemonSet: "daemonset"}

func (t *turn) restarts(running []*model.Workload) (out []Action) {
	for _, w := range running {
		a := Action{Do: Restart, Key: mesh.Key{Kind: string(w.Kind), Name: w.Name}, Why: "its pods have to be made anew: no pod has two proxies"}
		if kind := rolls[w.Kind]; kind != "" {
			a.Command = fmt.Sprintf("kubectl rollout restart -n %s %s/%s", w.Name.Namespace, kind, w.Name.Name)
		} else {
			a.Why = "make it anew by what made it: nothing that kubectl knows restarts it"
		}
		out = append(out, a)
	}
	return out
}
