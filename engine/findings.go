// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// Findings lists all that is to be said, without repetition, by object, path, mesh and code. The slice is the caller's.
func (e *Engine) Findings() []model.Finding {
	var all []model.Finding
	for _, f := range e.sources {
		all = append(all, f...)
	}
	for _, f := range e.faults {
		all = append(all, f...)
	}
	for _, t := range e.targets {
		for _, f := range t.findings {
			all = append(all, f...)
		}
		for _, f := range t.failed {
			all = append(all, t.finding(&f)...)
		}
	}
	return Sort(all)
}

// Sort orders findings by object, path, mesh, feature and level, and drops repetitions: what two units say of one field is said once,
// at its worst.
func Sort(all []model.Finding) []model.Finding {
	slices.SortFunc(all, func(a, b model.Finding) int {
		return cmp.Or(place(a, b), -cmp.Compare(a.Level, b.Level), strings.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(all, func(a, b model.Finding) bool {
		return place(a, b) == 0 && (a.Wish && b.Wish || a == b)
	})
}

// place compares step by step: most findings differ early, and there may be many.
func place(a, b model.Finding) int {
	if c := a.Object.Compare(b.Object); c != 0 {
		return c
	}
	if c := strings.Compare(a.Path, b.Path); c != 0 {
		return c
	}
	if c := strings.Compare(a.Mesh, b.Mesh); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Feature, b.Feature), strings.Compare(string(a.Code), string(b.Code)))
}
