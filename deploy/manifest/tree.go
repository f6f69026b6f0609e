// SPDX-License-Identifier: Apache-2.0

// Package manifest describes once what anymesh is in a cluster. The manifests, what `anymesh install` applies and the Helm chart are all made
// from this description, so that they cannot differ.
//
// A description is a tree whose leaves may be values that a user chooses. Rendered, it is objects; written as a template, it is the
// text that Helm renders to the same objects.
package manifest

import "maps"

// dict is an object: its fields in the order in which they are written.
type dict []field

// field is one field; with a condition it is there only where that holds.
type field struct {
	key   string
	value any // string, bool, int, dict, list, expr, block
	when  *cond
}

// list is a list; its items may be of type item.
type list []any

// item is a conditional item of a list.
type item struct {
	value any
	when  *cond
}

// expr is a scalar that depends on the values.
type expr struct {
	text string // for Helm, without braces
	eval func(*Values) any
}

// block is a tree that the user gives whole; the field is not there where it is empty.
type block struct{ path string }

// spliced stands among the items of a list for those that the user adds.
type spliced struct{ path string }

// merged is an object to which the user adds fields.
type merged struct {
	dict
	path string
}

// cond is a condition on the values.
type cond struct {
	text string // for Helm
	eval func(*Values) bool
}

// f is a field.
func f(key string, value any) field { return field{key, value, nil} }

// if_ makes a field conditional.
func (f field) if_(c cond) field {
	f.when = &c
	return f
}

// ref is the value at a path, as it is; a text is quoted by Helm where it must be.
func ref(path string) expr {
	return expr{".Values." + path, func(v *Values) any { return v.at(path) }}
}

// on holds where the value at a path says something: true, a number but 0, a text or a tree that is not empty.
func on(path string) cond {
	return cond{".Values." + path, func(v *Values) bool { return truth(v.at(path)) }}
}

// has holds where a list among the values has an item.
func has(path, what string) cond {
	return cond{`has "` + what + `" .Values.` + path, func(v *Values) bool {
		all, _ := v.at(path).([]any)
		for _, x := range all {
			if x == what {
				return true
			}
		}
		return false
	}}
}

// render is a node as values make it; ok is false where it is not there.
func render(n any, v *Values) (out any, ok bool) {
	switch n := n.(type) {
	case dict:
		m := map[string]any{}
		for _, x := range n {
			if x.when != nil && !x.when.eval(v) {
				continue
			}
			if y, ok := render(x.value, v); ok {
				m[x.key] = y
			}
		}
		return m, true
	case list:
		all := []any{}
		for _, x := range n {
			if i, ok := x.(item); ok {
				if !i.when.eval(v) {
					continue
				}
				x = i.value
			}
			if s, ok := x.(spliced); ok {
				all = append(all, v.at(s.path).([]any)...)
			} else if y, ok := render(x, v); ok {
				all = append(all, y)
			}
		}
		return all, true
	case merged:
		m, _ := render(n.dict, v)
		more, _ := v.at(n.path).(map[string]any)
		maps.Copy(m.(map[string]any), more)
		return m, true
	case expr:
		return n.eval(v), true
	case block:
		x := v.at(n.path)
		return x, truth(x)
	case int:
		return int64(n), true
	}
	return n, true
}

// truth is what Helm's if holds of a value.
func truth(x any) bool {
	switch x := x.(type) {
	case nil:
		return false
	case bool:
		return x
	case string:
		return x != ""
	case int64:
		return x != 0
	case []any:
		return len(x) > 0
	case map[string]any:
		return len(x) > 0
	}
	return true
}
