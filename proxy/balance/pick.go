// SPDX-License-Identifier: Apache-2.0

// Package balance chooses among the endpoints of a cluster, sets aside those that fail, and bounds what is under way.
//
// It knows endpoints by their place in a list and nothing of how they are reached.
package balance

import (
	"math/rand/v2"
	"sync/atomic"
)

// Kind is a way to choose.
type Kind uint8

// The kinds, as xDS names them. Hash sends what has the same key to the same endpoint for as long as it is there (Maglev).
const (
	LeastRequest Kind = iota
	RoundRobin
	Random
	Hash
)

// Endpoints are what is chosen from.
type Endpoints interface {
	Len() int
	Busy(i int) int64  // how much is under way there
	Usable(i int) bool // not set aside
}

// Picker chooses among the endpoints of one list. It is safe for concurrent use.
type Picker struct {
	kind  Kind
	next  atomic.Uint64 // of RoundRobin
	table []uint16      // of Hash
}

// New returns a picker for the endpoints of the given names, in their order.
func New(k Kind, names []string) *Picker {
	p := &Picker{kind: k}
	switch k {
	case RoundRobin:
		p.next.Store(rand.Uint64()) // many proxies start at once: not all at the first
	case Hash:
		p.table = maglev(names)
	}
	return p
}

// Pick chooses one; -1 where there is none. not is avoided where there is another, -1 avoids none. Where all are set aside, all are
// chosen from: a service that answers badly is better than none. key is of Hash alone.
func (p *Picker) Pick(e Endpoints, not int, key uint64) int {
	n := e.Len()
	switch {
	case n == 0:
		return -1
	case n == 1:
		return 0
	}
	switch p.kind {
	case RoundRobin:
		return p.walk(e, not, func(int) int { return int(p.next.Add(1) % uint64(n)) })
	case Hash:
		return p.walk(e, not, func(i int) int { return int(p.table[(key+uint64(i))%uint64(len(p.table))]) })
	case Random:
		return p.walk(e, not, func(int) int { return rand.IntN(n) })
	}
	// The less busy of two that are drawn at random: nearly as good as the least busy of all, and no stampede to it.
	draw := func(int) int { return rand.IntN(n) }
	a := p.walk(e, not, draw)
	b := p.walk(e, a, draw)
	if b != not && e.Busy(b) < e.Busy(a) && (e.Usable(b) || !e.Usable(a)) {
		return b
	}
	return a
}

// walk takes the first of a row that is neither set aside nor to be avoided. A row that goes on for too long is given up: then any
// other will do.
func (p *Picker) walk(e Endpoints, not int, at func(step int) int) int {
	for step := range 3 * e.Len() {
		if i := at(step); i != not && e.Usable(i) {
			return i
		}
	}
	start, second := rand.IntN(e.Len()), -1
	for k := range e.Len() {
		i := (start + k) % e.Len()
		switch {
		case i != not && e.Usable(i):
			return i
		case i != not:
			second = i
		}
	}
	if second < 0 || not >= 0 && e.Usable(not) {
		return max(not, 0)
	}
	return second
}
