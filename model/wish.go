// SPDX-License-Identifier: Apache-2.0

package model

import "strconv"

// wish is an intent whose path is not written out yet. Wishes are walked through at each change and nearly all of their paths are read by
// nobody.
type wish struct {
	feature Feature
	object  Ref
	at      spot
}

func (w *wish) intent() Intent { return Intent{w.feature, w.object, w.at.String()} }

// spot is the place of a field: list, list[0], list[0].field or list[0].field[key].
type spot struct {
	list  string
	item  int // from 1; 0 for the list itself
	field string
	key   string
}

func item(list string, index int, field string) spot {
	return spot{list: list, item: index + 1, field: field}
}

// String writes the path.
func (s spot) String() string {
	if s.item == 0 {
		return s.list
	}
	i := strconv.Itoa(s.item - 1)
	switch {
	case s.key != "":
		return s.list + "[" + i + "]." + s.field + "[" + s.key + "]"
	case s.field != "":
		return s.list + "[" + i + "]." + s.field
	}
	return s.list + "[" + i + "]"
}

func at(list string, i int, field string) string { return item(list, i, field).String() }

// few is the number of wishes up to which it is cheaper to look through them than to keep a map.
const few = 16

// once writes out wishes, each the first time that it is met: a split stands on every port of its root, and a match in every permission
// that names it.
type once struct {
	yield func(Intent) bool
	n     int
	first [few]wish
	more  map[wish]struct{} // beyond the first
}

func (o *once) add(w wish) bool {
	for i := range o.first[:o.n] {
		if o.first[i] == w {
			return true
		}
	}
	if o.n < few {
		o.first[o.n] = w
		o.n++
		return o.yield(w.intent())
	}
	if _, ok := o.more[w]; ok {
		return true
	}
	if o.more == nil {
		o.more = map[wish]struct{}{}
	}
	o.more[w] = struct{}{}
	return o.yield(w.intent())
}
