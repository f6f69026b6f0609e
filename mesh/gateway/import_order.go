// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

// gather brings together what goes to the same backends, where that changes nothing, and leaves out what is part of another or comes
// behind it: the inverse of settle. What one object says of several ports then reads as the same splits.
func gather(list []taken) []taken {
	var before []entry
	for k := range list {
		dead := func(e entry) bool { return slices.ContainsFunc(before, func(c entry) bool { return c.within(&e, &e) }) }
		list[k].entries = slices.DeleteFunc(list[k].entries, dead)
		before = append(before, list[k].entries...)
	}
	list = slices.DeleteFunc(list, func(t taken) bool { return len(t.entries) == 0 })
	for k := 0; k < len(list); k++ {
		for j := k + 1; j < len(list); j++ {
			if !alikeShares(list[k].shares, list[j].shares) || !rises(list[k:j], list[j].entries) {
				continue
			}
			list[k].entries = append(slices.Clip(list[k].entries), list[j].entries...)
			list, j = slices.Delete(list, j, j+1), k
		}
		list[k].entries = essential(list[k].entries)
	}
	return list
}

// rises says whether matches may be asked together with the first of some splits instead of after the last: whatever they have in common
// with those between has to be in the first already.
func rises(list []taken, matches []entry) bool {
	for _, e := range matches {
		for _, between := range list[1:] {
			for _, l := range between.entries {
				if !apartFrom(&e, &l) && !slices.ContainsFunc(list[0].entries, func(c entry) bool { return c.within(&e, &l) }) {
					return false
				}
			}
		}
	}
	return true
}

// within says whether every condition is one of either of two matches: then what these have in common meets it.
func (e *entry) within(a, b *entry) bool {
	return (e.path.all == "" || e.path == a.path || e.path == b.path) && (e.method == "" || e.method == a.method || e.method == b.method) &&
		!slices.ContainsFunc(e.header, func(h model.Header) bool { return !slices.Contains(a.header, h) && !slices.Contains(b.header, h) })
}

// apartFrom says whether no request meets both, as far as their methods tell.
func apartFrom(a, b *entry) bool { return a.method != "" && b.method != "" && a.method != b.method }

// essential are the matches that are not part of another.
func essential(list []entry) (out []entry) {
	for i := range list {
		e := &list[i]
		part := false
		for k := range list {
			o := &list[k]
			part = part || k != i && o.within(e, e) && !(e.within(o, o) && k > i)
		}
		if !part {
			out = append(out, *e)
		}
	}
	return out
}
