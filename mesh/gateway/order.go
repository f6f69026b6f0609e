// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// The order of SMI is that of the splits: the first whose matches take a request has it. That of the Gateway API is another. Of all matches
// that take a request the most specific has it: one of an exact path, then one of the longest prefix, then one with a method, then
// one with most headers, and only then the one that was written first (HTTPRouteRule). And a path as an expression stands where each
// mesh will have it: Istio and Kuma put all expressions behind the prefix / that a rule without a path has, Cilium puts them
// before any prefix, each the longer text first; Linkerd counts the letters of the path that was matched.
//
// Both are made to mean the same in two steps. First, where one path of a port has to be an expression, all paths of it are, the longer text
// first: then a mesh has nothing but length, or nothing at all, to tell them by. Second, where a match of a later arm is in some
// way more specific than one of an earlier, the earlier arm also gets what the two have in common, which is at least as specific
// as either.

// arm is a part of a route before it is written.
type arm struct {
	matches []match
	refs    []BackendRef
	split   *model.Split // nil: the root itself
}

// arrange makes the arms of a port mean the same in any order in which a mesh may ask them, and writes them as the rules of as many routes as
// that needs. It reports the matches that had to be left out.
func arrange(arms []arm) (routes [][]HTTPRule, left []*model.ArmMatch) {
	for {
		now := slices.Clone(arms)
		for i := range now {
			now[i].matches = slices.Clone(now[i].matches)
		}
		out := settle(now)
		rules := write(now)
		if len(out) == 0 && fit(rules) {
			return [][]HTTPRule{rules}, left
		}
		if len(out) == 0 {
			if now = reached(now); !fit(rules) {
				out = tied(now)
			}
		}
		if len(out) == 0 {
			return part(write(now)), left
		}
		left = append(left, out...)
		for i := range arms {
			arms[i].matches = slices.DeleteFunc(slices.Clone(arms[i].matches), func(m match) bool { return m.of != nil && slices.Contains(out, m.of) })
		}
	}
}

// settle gives earlier arms what they have in common with later ones that are in some way more specific. It reports the matches whose
// expressions grew too long.
func settle(arms []arm) (long []*model.ArmMatch) {
	expressions := uniform(arms)
	for i := len(arms) - 2; i >= 0; i-- {
		for _, m := range arms[i].matches[:len(arms[i].matches):len(arms[i].matches)] {
			for _, later := range arms[i+1:] {
				for _, l := range later.matches {
					if dominates(&m, &l) {
						continue
					}
					if c, ok := meet(m, l, expressions); ok && !slices.ContainsFunc(arms[i].matches, func(o match) bool { return same(&o, &c) }) {
						arms[i].matches = append(arms[i].matches, c)
					}
				}
			}
		}
	}
	if expressions {
		long = lengthen(arms)
	}
	return long
}

// uniform makes expressions of all paths where one of them has to be one, and says whether.
func uniform(arms []arm) bool {
	has := func(a arm) bool {
		return slices.ContainsFunc(a.matches, func(m match) bool { return m.path.kind == expression })
	}
	if !slices.ContainsFunc(arms, has) {
		return false
	}
	for i := range arms {
		for k := range arms[i].matches {
			arms[i].matches[k].path.kind = expression
		}
	}
	return true
}

// lengthen makes no path of an earlier arm shorter than those of the later ones, and reports what grows too long.
func lengthen(arms []arm) (long []*model.ArmMatch) {
	most := 0
	for i := len(arms) - 1; i >= 0; i-- {
		for k := range arms[i].matches {
			p := &arms[i].matches[k].path
			if n := most - len(p.expression); n > 0 {
				p.expression += strings.Repeat("(?:)", (n+3)/4)
			}
			if of := arms[i].matches[k].of; len(p.expression) > longestPath && of != nil && !slices.Contains(long, of) {
				long = append(long, of)
			}
		}
		for _, m := range arms[i].matches {
			most = max(most, len(m.path.expression))
		}
	}
	return long
}

// meet is what two matches have in common, as a match of the first's arm; ok is false where no request can meet both. Where paths are
// expressions, it is the first with the second's other conditions: nothing tells the paths apart then.
func meet(m, l match, expressions bool) (match, bool) {
	out := m
	switch {
	case m.method == "":
		out.method = l.method
	case l.method != "" && l.method != m.method:
		return m, false
	}
	p, ok := m.path.meet(l.path)
	if !ok {
		return m, false
	}
	if !expressions {
		out.path = p
	}
	out.headers = slices.Clone(m.headers)
	for _, h := range l.headers {
		i := slices.IndexFunc(out.headers, func(o HeaderMatch) bool { return o.Name == h.Name })
		if i < 0 {
			out.headers = append(out.headers, h)
			continue
		}
		a, b := out.headers[i].pattern(), h.pattern()
		if a.Class == pattern.Exact && !b.Match(a.Text) || b.Class == pattern.Exact && !a.Match(b.Text) {
			return m, false
		}
		if c, ok := both(a, b); ok {
			out.headers[i] = header(h.Name, c)
		} // otherwise its own condition: as many headers, and no request more
	}
	return out, len(out.headers) <= mostHeaders
}

func (h *HeaderMatch) pattern() pattern.Pattern {
	if h.Type == Exact {
		return pattern.Pattern{Class: pattern.Exact, Text: h.Value, Expression: h.Value}
	}
	return pattern.Value(h.Value)
}

// meet is what two paths have in common: of two expressions it is not known, and then it may be all of the first.
func (p path) meet(o path) (path, bool) {
	switch {
	case p.kind == exact && o.kind == exact:
		return p, p.text == o.text
	case p.kind == exact && o.kind == under:
		return p, o.has(p.text)
	case p.kind == under && o.kind == exact:
		return o, p.has(o.text)
	case p.kind == under && o.kind == under:
		if o.has(p.text) || o.text == "" {
			return p, true
		}
		return o, p.has(o.text) || p.text == ""
	}
	a, b := pattern.Path(p.expression, true), pattern.Path(o.expression, true)
	if a.Class == pattern.Exact && !b.Match(a.Text) || b.Class == pattern.Exact && !a.Match(b.Text) {
		return p, false
	}
	return p, true
}

// has says whether a path is the prefix itself or below it.
func (p path) has(text string) bool {
	rest, ok := strings.CutPrefix(text, p.text)
	return ok && (rest == "" || rest[0] == '/')
}

// dominates says whether a match is in every way at least as specific as another: then every mesh asks it first where it was written first.
func dominates(m, l *match) bool {
	return (m.method != "" || l.method == "") && len(m.headers) >= len(l.headers) &&
		(m.path.kind == expression || m.path.kind == exact || l.path.kind == under && len(m.path.text) >= len(l.path.text))
}

func same(a, b *match) bool {
	return a.path == b.path && a.method == b.method && slices.EqualFunc(a.headers, b.headers, func(x, y HeaderMatch) bool { return x == y })
}

// part divides rules into routes.
func part(rules []HTTPRule) (routes [][]HTTPRule) {
	for start, i := 0, 1; start < len(rules); i++ {
		if i == len(rules) || !fit(rules[start:i+1]) {
			routes = append(routes, rules[start:i])
			start = i
		}
	}
	return routes
}

// reached are the arms up to one that takes every request.
func reached(arms []arm) []arm {
	for i, a := range arms {
		if slices.ContainsFunc(a.matches, func(m match) bool {
			return m.method == "" && len(m.headers) == 0 && strings.TrimRight(m.path.expression, "(?:)") == ".*"
		}) {
			return arms[:i+1]
		}
	}
	return arms
}

// tied lists the matches that no more than order tells from one of an earlier arm. Between routes that order counts for nothing: there it
// is their age.
func tied(arms []arm) (out []*model.ArmMatch) {
	for i := range arms {
		for _, l := range arms[i].matches {
			if l.of != nil && !slices.Contains(out, l.of) && slices.ContainsFunc(arms[:i], func(a arm) bool {
				return slices.ContainsFunc(a.matches, func(m match) bool { return ties(&m, &l) })
			}) {
				out = append(out, l.of)
			}
		}
	}
	return out
}

// ties says whether some request may meet both matches, and neither is the more specific.
func ties(m, l *match) bool {
	if (m.method == "") != (l.method == "") || len(m.headers) != len(l.headers) {
		return false
	}
	if m.path.kind != expression && (m.path.kind != l.path.kind || m.path.text != l.path.text) {
		return false
	}
	_, meets := meet(*m, *l, true)
	return meets
}

func fit(rules []HTTPRule) bool {
	n := 0
	for _, r := range rules {
		n += len(r.Matches)
	}
	return len(rules) <= mostRules && n <= mostMatches
}

// write says the arms as rules.
func write(arms []arm) (out []HTTPRule) {
	for _, a := range arms {
		for list := range slices.Chunk(a.matches, mostInRule) {
			r := HTTPRule{BackendRefs: a.refs}
			for _, m := range list {
				r.Matches = append(r.Matches, m.write())
			}
			out = append(out, r)
		}
	}
	return out
}

func (m *match) write() HTTPMatch {
	out := HTTPMatch{Method: m.method, Headers: m.headers}
	switch m.path.kind {
	case exact:
		out.Path = &TextMatch{Exact, m.path.text}
	case under:
		out.Path = &TextMatch{Prefix, m.path.text}
		if m.path.text == "" {
			out.Path.Value = "/"
		}
	default:
		out.Path = &TextMatch{Expression, m.path.expression}
	}
	return out
}
