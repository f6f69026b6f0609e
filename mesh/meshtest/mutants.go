// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest/mutate"
)

var mutants = flag.Int("mutants", 1, "how many mutants are made of what a driver says of each world")

// mutantEdges is how many questions at the edges of a world its mutants are asked: one that lives was asked all of them, and most die
// of the first few.
const mutantEdges = 1000

// Tally is what became of a driver's mutants.
type Tally struct {
	Made     int
	Killed   int
	Excluded map[string]int // those that are no mistakes, by the reason
	Survived []string       // the others
}

// Share of the mutants that are mistakes which are noticed, from 0 to 1.
func (t *Tally) Share() float64 {
	return float64(t.Killed) / float64(max(1, t.Killed+len(t.Survived)))
}

// Mutants changes what the driver said of each world in small ways, one at a time, and asks whether the suites notice. One that they do not
// notice is a mistake that the driver could make unseen, unless it changes nothing or takes only what the driver said is not exact.
func Mutants(s Subject, worlds []World) Tally {
	t := Tally{Excluded: map[string]int{}}
	schemas, _ := s.schemas()
	for i, w := range worlds {
		if s.Unnoticed != "" && i%4 > 0 {
			continue // no figure is held: a part tells as much
		}
		r := rand.New(rand.NewPCG(17, seed(w.Name)))
		b := bench{hearing: s.hearing(w), schemas: schemas}
		for range *mutants {
			if m := b.make(r); m != nil {
				t.Made++
				t.take(b.verdict(m))
			}
		}
	}
	return t
}

// kill holds that nineteen of twenty mistakes are noticed.
func kill(t *testing.T, s Subject, worlds []World) Tally {
	tally := Mutants(s, worlds)
	t.Logf("%d mutants, %d killed, %d survived: %.1f %%", tally.Made, tally.Killed, len(tally.Survived), 100*tally.Share())
	for _, why := range slices.Sorted(maps.Keys(tally.Excluded)) {
		t.Logf("%d are no mistakes: %s", tally.Excluded[why], why)
	}
	for _, m := range tally.Survived {
		t.Logf("survived: %s", m)
	}
	if _, missing := s.schemas(); tally.Share() < 0.95 && missing != "" {
		t.Skipf("the mesh's CRDs, which refuse some of the mistakes, are not here: %s", missing)
	}
	if tally.Share() < 0.95 && s.Unnoticed == "" {
		t.Error("the suites notice too few mistakes")
	}
	return tally
}

func (t *Tally) take(killed bool, reason, survivor string) {
	switch {
	case killed:
		t.Killed++
	case reason != "":
		t.Excluded[reason]++
	default:
		t.Survived = append(t.Survived, survivor)
	}
}

func seed(name string) (n uint64) {
	for _, c := range name {
		n = n*31 + uint64(c)
	}
	return n
}

// bench tries mutants of one world.
type bench struct {
	*hearing
	schemas Schemas // of the mesh; none where they are not here
	trees   []any   // the objects as JSON
	asked   []*question
	was     []string // what the driver's own objects answer
}

// mutant is a change of one object.
type mutant struct {
	object int
	change *mutate.Mutation // nil: the object is not there
	objs   []mesh.Object
}

// make is a mutant of a random object; nil where there is none, or where its type cannot be so.
func (b *bench) make(r *rand.Rand) *mutant {
	if len(b.said.objects) == 0 {
		return nil
	}
	if b.trees == nil {
		for i := range b.said.objects {
			b.trees = append(b.trees, tree(&b.said.objects[i]))
		}
		b.asked = b.questions(mutantEdges)
	}
	m := &mutant{object: r.IntN(len(b.trees))}
	if all := mutate.All(b.trees[m.object]); r.IntN(12) > 0 && len(all) > 0 {
		m.change = &all[r.IntN(len(all))]
	}
	if m.objs = b.with(m.object, m.change); m.objs == nil {
		return nil
	}
	return m
}

func tree(o *mesh.Object) (v any) {
	text, err := json.Marshal(o.Spec)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", o.Key(), err))
	}
	return v
}

// with are the driver's objects with one changed; nil where no such object can be said.
func (b *bench) with(i int, m *mutate.Mutation) []mesh.Object {
	objs := slices.Clone(b.said.objects)
	if m == nil {
		return slices.Delete(objs, i, i+1)
	}
	spec := m.Apply(b.trees[i])
	if b.subject.Spec != nil {
		if spec = b.subject.Spec(&objs[i], spec); spec == nil {
			return nil
		}
	}
	objs[i].Spec = spec
	return objs
}

func (b *bench) verdict(m *mutant) (killed bool, reason, survivor string) {
	for _, q := range b.asked {
		if b.notices(m.objs, q) {
			return true, "", ""
		}
	}
	if m.change != nil && b.refused(m) {
		return true, "", ""
	}
	o := &b.said.objects[m.object]
	what := "drop"
	if m.change != nil {
		what = m.change.String()
	}
	text, _ := json.Marshal(b.trees[m.object])
	survivor = fmt.Sprintf("world %s: %s: %s of %s", b.world.Name, o.Key(), what, text)
	if b.differs(m.objs) {
		return false, "less where the driver says that it is not exact, or of callers without an identity", ""
	}
	return false, b.equivalent(m), survivor
}

// notices says whether the suites do; a judge that cannot read an object refuses it.
func (b *bench) notices(objs []mesh.Object, q *question) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = true
		}
	}()
	return b.wider(objs, q) != "" || b.wrong(objs, q) != ""
}

// refused says whether the mesh's own schema does not accept the object that a mutant changed.
func (b *bench) refused(m *mutant) bool {
	return len(b.schemas) > 0 && len(b.schemas.Check(jsonOf(&m.objs[m.object]))) > 0
}

// filled says whether the API server makes of the object that a mutant changed what it makes of the driver's own.
func (b *bench) filled(m *mutant) bool {
	if len(b.schemas) == 0 {
		return false
	}
	was, _, err := b.schemas.whole(jsonOf(&b.said.objects[m.object]))
	is, _, err2 := b.schemas.whole(jsonOf(&m.objs[m.object]))
	return err == nil && err2 == nil && reflect.DeepEqual(was, is)
}

func jsonOf(o *mesh.Object) []byte {
	out, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", o.Key(), err))
	}
	return out
}

// answers is all that objects make of a question.
func (b *bench) answers(objs []mesh.Object, q *question) (all string) {
	defer func() {
		if recover() != nil {
			all = "cannot be read"
		}
	}()
	var out strings.Builder
	shares, err := b.subject.Judge.Route(objs, b.world.Store, q.Request)
	for _, k := range slices.Sorted(maps.Keys(shares)) {
		fmt.Fprintf(&out, "%s=%.6f ", k, shares[k])
	}
	fmt.Fprint(&out, err != nil)
	for _, d := range q.doors {
		fmt.Fprint(&out, " ", b.subject.Judge.Admit(objs, b.world.Store, d.workload, d.port, q.Request))
	}
	return out.String()
}

// differs says whether objects answer any question in another way than the driver's own.
func (b *bench) differs(objs []mesh.Object) bool {
	if b.was == nil {
		for _, q := range b.asked {
			b.was = append(b.was, b.answers(b.said.objects, q))
		}
	}
	for i, q := range b.asked {
		if b.answers(objs, q) != b.was[i] {
			return true
		}
	}
	return false
}

// equivalent is the reason why a mutant which answers as the driver does is none, or nothing.
func (b *bench) equivalent(m *mutant) string {
	o := &b.said.objects[m.object]
	if m.change == nil {
		if b.subject.Same != nil {
			return b.subject.Same(b.said.objects, o, "drop")
		}
		return ""
	}
	if b.filled(m) {
		return "a field that the mesh's own schema fills in"
	}
	if b.subject.Same != nil {
		if why := b.subject.Same(b.said.objects, o, m.change.String()); why != "" {
			return why
		}
	}
	return b.shadowed(m)
}

// shadowed says that a part around the change is met by requests, and that other parts answer all of them in the same way.
func (b *bench) shadowed(m *mutant) string {
	for _, h := range m.change.Holders() {
		gone, alone, none := b.with(m.object, &h.Gone), b.with(m.object, &h.Alone), b.with(m.object, &h.None)
		if gone == nil || alone == nil || none == nil || b.differs(gone) {
			continue
		}
		if slices.ContainsFunc(b.asked, func(q *question) bool { return b.answers(alone, q) != b.answers(none, q) }) {
			return "a part that is met, and beside which others answer the same"
		}
	}
	return ""
}
