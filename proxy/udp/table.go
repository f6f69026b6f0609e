// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"container/list"
	"time"
)

// table holds flows by key, at most max of them: the one that was silent for longest gives way to a new one. It is not safe for
// concurrent use.
type table[K comparable, V any] struct {
	max   int
	items map[K]*list.Element
	order *list.List // the most lively first
}

type item[K comparable, V any] struct {
	key   K
	value V
	used  time.Time
}

func newTable[K comparable, V any](max int) *table[K, V] {
	return &table[K, V]{max: max, items: map[K]*list.Element{}, order: list.New()}
}

// get finds a flow, and notes that it is alive.
func (t *table[K, V]) get(k K, now time.Time) (V, bool) {
	e, ok := t.items[k]
	if !ok {
		var none V
		return none, false
	}
	i := e.Value.(*item[K, V])
	i.used = now
	t.order.MoveToFront(e)
	return i.value, true
}

// put adds a flow, and returns the one that gave way for it.
func (t *table[K, V]) put(k K, v V, now time.Time) (gone V, gave bool) {
	if len(t.items) >= t.max {
		gone, gave = t.drop(t.order.Back()), true
	}
	t.items[k] = t.order.PushFront(&item[K, V]{k, v, now})
	return gone, gave
}

// remove takes a flow out.
func (t *table[K, V]) remove(k K) {
	if e, ok := t.items[k]; ok {
		t.drop(e)
	}
}

// silent takes out the flows that were not used since a time.
func (t *table[K, V]) silent(since time.Time) (gone []V) {
	for e := t.order.Back(); e != nil && e.Value.(*item[K, V]).used.Before(since); e = t.order.Back() {
		gone = append(gone, t.drop(e))
	}
	return gone
}

// all takes out every flow.
func (t *table[K, V]) all() (gone []V) {
	for e := t.order.Back(); e != nil; e = t.order.Back() {
		gone = append(gone, t.drop(e))
	}
	return gone
}

func (t *table[K, V]) drop(e *list.Element) V {
	i := t.order.Remove(e).(*item[K, V])
	delete(t.items, i.key)
	return i.value
}
