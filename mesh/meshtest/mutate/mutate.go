// SPDX-License-Identifier: Apache-2.0

// Package mutate makes small changes to trees of JSON: the mistakes that a driver could make, one at a time. It knows no mesh, so
// that no mesh's tests are written towards its own mutants.
package mutate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mutation is one change of a tree.
type Mutation struct {
	Path   string // of what is changed: rules[0].to[1].operation.methods
	What   string // delete, swap, or what a scalar becomes
	steps  []any  // keys and positions that lead to the place
	change func(at any) any
}

// String writes the mutation as a person would say it.
func (m Mutation) String() string { return m.What + " " + m.Path }

// All lists every change of a tree that is known here, in the order of the tree.
func All(tree any) []Mutation {
	var w walk
	w.value(tree, nil)
	return w.out
}

// Apply makes the change in a copy of the tree.
func (m Mutation) Apply(tree any) any { return apply(tree, m.steps, m.change) }

// Holder is one element of a list, around a change.
type Holder struct {
	Gone  Mutation // the list without the element
	Alone Mutation // the list with the element alone
	None  Mutation // the empty list
}

// Holders are the elements of lists around the change, from the innermost.
func (m Mutation) Holders() (out []Holder) {
	for n := len(m.steps); n > 0; n-- {
		i, ok := m.steps[n-1].(int)
		if !ok {
			continue
		}
		list, at := m.steps[:n-1], path(m.steps[:n])
		out = append(out, Holder{
			Gone:  Mutation{at, "delete", m.steps[:n], remove},
			Alone: Mutation{at, "keep only", list, func(at any) any { return []any{at.([]any)[i]} }},
			None:  Mutation{at, "empty the list of", list, func(any) any { return []any{} }},
		})
	}
	return out
}

type gone struct{}

func remove(any) any { return gone{} }

// apply copies what is on the way and shares the rest.
func apply(tree any, steps []any, change func(at any) any) any {
	if len(steps) == 0 {
		return change(tree)
	}
	switch v := tree.(type) {
	case map[string]any:
		out, key := maps.Clone(v), steps[0].(string)
		if got := apply(v[key], steps[1:], change); !isGone(got) {
			out[key] = got
			return out
		}
		delete(out, key)
		return out
	case []any:
		out, i := slices.Clone(v), steps[0].(int)
		if got := apply(v[i], steps[1:], change); !isGone(got) {
			out[i] = got
			return out
		}
		return slices.Delete(out, i, i+1)
	}
	panic(fmt.Sprintf("mutate: no %v in %T", steps, tree))
}

func isGone(v any) bool { _, ok := v.(gone); return ok }

type walk struct{ out []Mutation }

func (w *walk) add(steps []any, what string, change func(at any) any) {
	steps = slices.Clone(steps)
	w.out = append(w.out, Mutation{path(steps), what, steps, change})
}

func (w *walk) value(v any, steps []any) {
	switch v := v.(type) {
	case map[string]any:
		w.fields(v, steps)
	case []any:
		for i, e := range v {
			at := append(slices.Clone(steps), i)
			w.add(at, "delete", remove)
			w.value(e, at)
			if i > 0 && !same(v[i-1], e) {
				w.add(steps, fmt.Sprintf("swap %d and %d of", i-1, i), func(at any) any {
					list := slices.Clone(at.([]any))
					list[i-1], list[i] = list[i], list[i-1]
					return list
				})
			}
		}
	case string:
		for _, s := range texts(v) {
			w.add(steps, fmt.Sprintf("write %q at", s), func(any) any { return s })
		}
	case float64:
		w.add(steps, fmt.Sprintf("write %v at", v+1), func(any) any { return v + 1 })
	case bool:
		w.add(steps, fmt.Sprintf("write %v at", !v), func(any) any { return !v })
	}
}

// wider are names of fields by which meshes tell how a text is compared, and what each is mistaken for.
var wider = map[string]string{"exact": "prefix", "prefix": "exact", "regex": "prefix", "suffix": "exact", "contains": "prefix"}

func (w *walk) fields(v map[string]any, steps []any) {
	for _, k := range slices.Sorted(maps.Keys(v)) {
		at := append(slices.Clone(steps), k)
		w.add(at, "delete", remove)
		if m, ok := v[k].(map[string]any); ok && len(m) > 0 {
			w.add(at, "empty", func(any) any { return map[string]any{} })
		}
		if other := wider[strings.ToLower(k)]; other != "" {
			if _, text := v[k].(string); text {
				w.add(steps, "write "+other+" for "+k+" in", func(at any) any {
					m := maps.Clone(at.(map[string]any))
					m[other] = m[k]
					delete(m, k)
					return m
				})
			}
		}
		w.value(v[k], at)
	}
}

// opposites are words that decide, and their opposites.
var opposites = map[string]string{
	"ALLOW": "DENY", "DENY": "ALLOW", "allow": "deny", "deny": "allow", "Allow": "Deny", "Deny": "Allow",
	"Exact": "PathPrefix", "PathPrefix": "Exact", "RegularExpression": "Exact", "GET": "POST", "POST": "GET",
}

// texts are what a text may be mistaken for: its opposite, one that is longer or shorter, and an expression without its ends.
func texts(s string) []string {
	if o := opposites[s]; o != "" {
		return []string{o}
	}
	out := []string{s + "x"}
	for _, c := range []string{strings.TrimSuffix(s, "$"), strings.TrimPrefix(s, "^"), strings.TrimSuffix(s, "*"), strings.TrimSuffix(s, ".*"), s + "*", "*"} {
		if c != s && c != "" && !slices.Contains(out, c) && (c != s+"*" && c != "*" || strings.HasPrefix(s, "/")) {
			out = append(out, c)
		}
	}
	return out
}

func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func path(steps []any) string {
	var b strings.Builder
	for _, s := range steps {
		switch s := s.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s)
		}
	}
	return b.String()
}
