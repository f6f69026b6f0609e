// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// requests is how many random ones are asked of each world, and borders how many at the edges of what it speaks of.
const requests, borders = 60, 120

// Safe asks that a mesh never admits what was not permitted, whatever the driver says of its exactness.
func Safe(s Subject, worlds []World) (problems []string) {
	problems, _ = Ask(s, worlds)
	return problems
}

// Meaning asks that a mesh does what SMI means wherever the driver says that it is exact: requests go where the evaluator sends them, and
// those that are permitted are admitted.
func Meaning(s Subject, worlds []World) (problems []string) {
	_, problems = Ask(s, worlds)
	return problems
}

// Ask is both at once: what is admitted and was not permitted, and what else is not as SMI means it.
func Ask(s Subject, worlds []World) (wider, wrong []string) {
	for _, w := range worlds {
		h := s.hearing(w)
		for _, q := range h.questions(borders) {
			if p := h.wider(h.said.objects, q); p != "" && len(wider) < 50 {
				wider = append(wider, h.tell(q, p))
			}
			if p := h.wrong(h.said.objects, q); p != "" && len(wrong) < 50 {
				wrong = append(wrong, h.tell(q, p))
			}
		}
	}
	return wider, wrong
}

// questions are random requests of the world, and some at its edges; the same in every run.
func (h *hearing) questions(edges int) (out []*question) {
	r := rand.New(rand.NewPCG(7, uint64(len(h.world.Name))))
	v := words(h.world.Store)
	var list []*model.Request
	for range requests {
		if q := v.request(r); q != nil {
			list = append(list, q)
		}
	}
	for _, q := range append(list, v.edges(r, edges)...) {
		if h.carried(q) {
			out = append(out, h.question(q))
		}
	}
	return out
}

// RoundTrip asks that what a driver wrote reads back as the same meaning, where all of it was said exactly.
func RoundTrip(d *mesh.Driver, worlds []World) (problems []string) {
	for _, w := range worlds {
		t := translate(d, w.Store)
		if slices.ContainsFunc(slices.Collect(maps.Values(t.findings)), wishes) {
			continue
		}
		back, findings, err := readBack(d, w.Store, t)
		if err != nil {
			problems = append(problems, fmt.Sprintf("world %s: %v", w.Name, err))
			continue
		}
		for _, f := range findings {
			if f.Level >= model.Approximate {
				problems = append(problems, fmt.Sprintf("world %s: %s does not read back %s %s: %s", w.Name, d.Name, f.Object, f.Path, f.Message))
			}
		}
		problems = append(problems, compare(w, back)...)
	}
	return problems
}

// compare asks random requests of a world and of what was read back from a mesh.
func compare(w World, back *store.Store) (problems []string) {
	r := rand.New(rand.NewPCG(11, uint64(len(w.Name))))
	vocabulary := words(w.Store)
	for range requests {
		q := vocabulary.request(r)
		if q == nil {
			break
		}
		a, err := model.Evaluate(w.Store, q)
		b, err2 := model.Evaluate(back, q)
		if err != nil || err2 != nil {
			problems = append(problems, fmt.Sprintf("world %s: %v, read back: %v", w.Name, err, err2))
			break
		}
		if !alike(a, b) {
			problems = append(problems, fmt.Sprintf("world %s: %s %s from %s to %s port %d headers %v: %+v, read back: %+v", w.Name, q.Method, q.Path, q.From, q.Service, q.Port, q.Headers, a, b))
			break
		}
	}
	return problems
}

func alike(a, b *model.Verdict) bool {
	return slices.EqualFunc(sorted(a.Backends), sorted(b.Backends), func(x, y model.Outcome) bool {
		return x.Service == y.Service && x.Port == y.Port && x.Allowed == y.Allowed && math.Abs(x.Share-y.Share) < 1e-6
	})
}

func sorted(list []model.Outcome) []model.Outcome {
	return slices.SortedFunc(slices.Values(list), func(x, y model.Outcome) int { return x.Service.Compare(y.Service) })
}
