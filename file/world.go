// SPDX-License-Identifier: Apache-2.0

package file

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// world is what a set of files says. Of several texts of one object the first counts, by the order of the files.
type world struct {
	options   Options
	files     map[string]*text
	claims    map[key][]claim
	positions *Positions
	said      map[key]store.Event // what changes said last
}

// claim is one text of an object.
type claim struct {
	rank  string
	place int // in its file
	entry *entry
}

func newWorld(o Options) *world {
	return &world{options: o, files: map[string]*text{}, claims: map[key][]claim{}, said: map[key]store.Event{},
		positions: &Positions{objects: map[model.Ref]*object.Object{}, natives: map[model.Ref]*object.Object{}}}
}

// names lists the files in their order.
func (w *world) names() []string {
	return slices.SortedFunc(maps.Keys(w.files), func(a, b string) int { return strings.Compare(w.files[a].rank, w.files[b].rank) })
}

// put takes what a file says now, nil where it is gone, and lists the objects that it says, or said before.
func (w *world) put(name string, t *text) []key {
	var keys []key
	if t != nil {
		for i := range t.entries {
			keys = append(keys, t.entries[i].key)
			w.claim(&t.entries[i], t.rank, i)
		}
	}
	if old := w.files[name]; old != nil {
		for i := range old.entries {
			e := &old.entries[i]
			if keys = append(keys, e.key); len(w.claims[e.key]) == 1 {
				delete(w.claims, e.key)
			} else {
				w.claims[e.key] = slices.DeleteFunc(w.claims[e.key], func(c claim) bool { return c.entry == e })
			}
		}
	}
	if w.files[name] = t; t == nil {
		delete(w.files, name)
	}
	w.positions.mu.Lock()
	defer w.positions.mu.Unlock()
	for _, k := range keys {
		if c := w.claims[k]; len(c) > 0 {
			w.positions.set(k, c[0].entry.object)
		} else {
			w.positions.set(k, nil)
		}
	}
	return keys
}

func (w *world) claim(e *entry, rank string, place int) {
	c := claim{rank, place, e}
	list := w.claims[e.key]
	i, _ := slices.BinarySearchFunc(list, c, func(a, b claim) int { return cmp.Or(strings.Compare(a.rank, b.rank), cmp.Compare(a.place, b.place)) })
	w.claims[e.key] = slices.Insert(list, i, c)
}

// event is what an object says: that of the first of its texts, and a finding for each further one.
func (w *world) event(k key) store.Event {
	list := w.claims[k]
	if len(list) == 0 {
		return store.Event{Object: k.Ref}
	}
	first := list[0].entry
	ev := first.event
	if len(list) > 1 {
		ev.Findings = slices.Clone(ev.Findings)
	}
	for _, c := range list[1:] {
		f := model.Finding{Level: model.Invalid, Code: model.CodeTwice, Object: k.Ref, Path: "metadata.name",
			Message: fmt.Sprintf("stands twice and not with the same content: the first counts, %s, and not %s", place(first.object), place(c.entry.object)),
			Hint:    "Remove one of the two, or give it another name."}
		if first.ours && reflect.DeepEqual(first.event.Facts, c.entry.event.Facts) {
			f.Level = model.Notice
			f.Message = fmt.Sprintf("stands twice with the same content: %s and %s", place(first.object), place(c.entry.object))
		}
		ev.Findings = append(ev.Findings, f)
	}
	return ev
}

func place(o *object.Object) string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

// changes lists what objects say otherwise than when they were asked about last.
func (w *world) changes(keys []key) []store.Event {
	var out []store.Event
	seen := make(map[key]bool, len(keys))
	for _, k := range keys {
		if seen[k] || k.group != "" {
			continue
		}
		seen[k] = true
		ev := w.event(k)
		old, known := w.said[k]
		switch gone := silent(ev); {
		case gone && !known || known && !gone && reflect.DeepEqual(old, ev):
			continue
		case gone:
			delete(w.said, k)
		default:
			w.said[k] = ev
		}
		out = append(out, ev)
	}
	return out
}

// silent says whether an event says nothing: its object is gone, or of a kind of which nothing is to be known.
func silent(e store.Event) bool { return len(e.Facts) == 0 && len(e.Findings) == 0 }

// lacks says whether an object of the file's present text would be gone with a new one, nil where the file is. One that stands in another
// file too has moved.
func (w *world) lacks(name string, t *text) bool {
	old := w.files[name]
	if old == nil {
		return false
	}
	has := map[key]bool{}
	if t != nil {
		for i := range t.entries {
			has[t.entries[i].key] = true
		}
	}
	return slices.ContainsFunc(old.entries, func(e entry) bool { return !has[e.key] && len(w.claims[e.key]) == 1 })
}
