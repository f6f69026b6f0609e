// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"cmp"
	"regexp"
	"strings"
)

// Kuma asks matches by how much they say and not by their place in a list: an exact path before a prefix, a longer one before a shorter, both
// before any expression, a longer expression before a shorter, and what says nothing of the path last; then those with a method, then those
// with more headers (pkg/plugins/policies/meshhttproute/api/v1alpha1/compare.go). A prefix / is asked before every expression, so that what takes
// all that is left over must say nothing at all.

// before says whether Kuma asks one match before another: negative, or 0 where their place in the list decides.
func before(a, b *match) int {
	first := func(x, y bool) int {
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	}
	c := first(a.Path != nil, b.Path != nil)
	if a.Path != nil && b.Path != nil {
		rank := map[string]int{pathExact: 0, pathPrefix: 1, expression: 2}
		if c = cmp.Compare(rank[a.Path.Type], rank[b.Path.Type]); c == 0 && a.Path.Type != pathExact {
			c = cmp.Compare(len(b.Path.Value), len(a.Path.Value))
		}
	}
	return cmp.Or(c, first(a.Method != "", b.Method != ""), cmp.Compare(len(b.Headers), len(a.Headers)))
}

// arrange sees to it that Kuma asks arms in their order. Where it would not of itself, all of their paths become expressions, and those of
// an earlier arm are made longer than those of the later ones by ^ at their beginning, which says nothing: an expression covers the
// whole path anyway.
func arrange(arms [][]match) {
	if inOrder(arms) {
		return
	}
	longest := 0
	for k := len(arms) - 1; k >= 0; k-- {
		least := longest + 1
		for i := range arms[k] {
			p := asExpression(arms[k][i].Path)
			p.Value = strings.Repeat("^", max(0, least-len(p.Value))) + p.Value
			longest = max(longest, len(p.Value))
			arms[k][i].Path = p
		}
	}
}

// inOrder says whether every match of an arm is asked before all of the later arms, wherever they stand in lists.
func inOrder(arms [][]match) bool {
	for k := range arms {
		for _, later := range arms[k+1:] {
			for i := range arms[k] {
				for j := range later {
					if before(&arms[k][i], &later[j]) >= 0 {
						return false
					}
				}
			}
		}
	}
	return true
}

func asExpression(p *pathMatch) *pathMatch {
	switch {
	case p == nil:
		return &pathMatch{expression, ".*"}
	case p.Type == pathExact:
		return &pathMatch{expression, regexp.QuoteMeta(p.Value)}
	case p.Type == pathPrefix:
		return &pathMatch{expression, regexp.QuoteMeta(strings.TrimSuffix(p.Value, "/")) + "(?:/.*)?"}
	}
	return &pathMatch{expression, p.Value}
}
