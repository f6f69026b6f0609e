// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"cmp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/pattern"
)

// ranked puts arms in the order in which SMI has to ask them, so that the first that takes a request is the one that Linkerd prefers. The order
// of the rules is kept where it is that already; otherwise each match becomes an arm of its own, those first that say most. A prefix says as much
// of its own path as whatever takes that whole: there it counts as an exact path.
func ranked(arms []readArm) []readArm {
	if !inOrder(arms) {
		var each []readArm
		for _, a := range arms {
			for _, m := range a.matches {
				if m.reach() < wholePath {
					each = append(each, readArm{[]readMatch{m.itself()}, a.shares, a.o})
				}
				each = append(each, readArm{[]readMatch{m}, a.shares, a.o})
			}
		}
		slices.SortStableFunc(each, func(a, b readArm) int { return compare(&b.matches[0], &a.matches[0]) })
		arms = joined(each)
	}
	for i := range arms {
		if arms[i].matches = needed(arms[i].matches); slices.ContainsFunc(arms[i].matches, readMatch.bare) {
			return arms[:i+1]
		}
	}
	return arms
}

// bare says whether a match takes every request, and says least of any.
func (m readMatch) bare() bool {
	return m.reach() == 1 && m.by == nil && len(m.match.Methods)+len(m.match.Headers) == 0
}

// itself is a prefix's match of its own path alone.
func (m readMatch) itself() readMatch {
	path := "/"
	if m.Path != nil {
		path = cmp.Or(strings.TrimRight(m.Path.Value, "/"), "/")
	}
	m.Path = &stringMatch{exact, path}
	m.all, m.begin, m.whole = quote(path), quote(path)+"$", true
	m.paths = pattern.Path(m.all, true)
	return m
}

// joined makes one arm of neighbours that lead to the same place.
func joined(arms []readArm) (out []readArm) {
	for _, a := range arms {
		if n := len(out); n > 0 && slices.Equal(out[n-1].shares, a.shares) && out[n-1].o == a.o {
			out[n-1].matches = append(out[n-1].matches, a.matches...)
			continue
		}
		out = append(out, a)
	}
	return out
}

// compare orders matches by how much they say: paths that are as long as the request's, then prefixes by their length, then methods and headers.
func compare(a, b *readMatch) int {
	return cmp.Or(cmp.Compare(a.reach(), b.reach()), cmp.Compare(len(a.match.Methods), len(b.match.Methods)), cmp.Compare(len(a.Headers), len(b.Headers)))
}

// wholePath is the reach of a match that takes a path whole: however long it is.
const wholePath = 1 << 20

// reach is how much of a path a match takes, at most.
func (m *readMatch) reach() int {
	switch {
	case m.Path == nil:
		return 1
	case m.Path.Type == exact, m.Path.Type == regularExpression:
		return wholePath
	}
	return len(m.Path.Value)
}

// inOrder says whether each arm is preferred to those behind it wherever both take a request.
func inOrder(arms []readArm) bool {
	for i := range arms {
		for k := range arms[i].matches {
			for _, later := range arms[i+1:] {
				for n := range later.matches {
					if !arms[i].keeps(&arms[i].matches[k], &later.matches[n]) {
						return false
					}
				}
			}
		}
	}
	return true
}

// keeps says whether what a match of the arm and a later one both take stays with the arm: by that match, or by one that says what both say.
func (a *readArm) keeps(m, later *readMatch) bool {
	if m.apart(&later.native) || compare(m, later) >= 0 && m.keepsItself(later) {
		return true
	}
	up, ok := m.raised(&later.native)
	return ok && m.reach() >= later.reach() && slices.ContainsFunc(a.matches, func(o readMatch) bool { return o.equal(up.httpMatch) })
}

// keepsItself says the same of the path of a prefix, which is as long for both.
func (m *readMatch) keepsItself(later *readMatch) bool {
	one, other := *m, *later
	switch {
	case one.reach() == other.reach():
		return true
	case other.reach() < wholePath && (one.reach() == wholePath && one.paths.Match(other.itself().Path.Value)):
		other = other.itself()
	}
	return compare(&one, &other) >= 0
}

// needed leaves out matches that take nothing which another does not; of two that take the same the first stays.
func needed(list []readMatch) (out []readMatch) {
	for i := range list {
		spare := false
		for k := range list {
			spare = spare || k != i && list[k].within(&list[i]) && (k < i || !list[i].within(&list[k]))
		}
		if !spare {
			out = append(out, list[i])
		}
	}
	return out
}

// within says whether all conditions of a match are among those of another.
func (m *readMatch) within(o *readMatch) bool {
	return (m.all == o.all || m.all == "") && (m.Method == "" || m.Method == o.Method) && !slices.ContainsFunc(m.Headers, func(h headerMatch) bool { return !slices.Contains(o.Headers, h) })
}
