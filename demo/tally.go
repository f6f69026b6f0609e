// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
)

// tally counts what passes by caller, service and the split that decided: requests that a match picks out are a row of their own, or the
// shares of the others would not be those of their weights.
type tally struct {
	mu      sync.Mutex
	flows   map[way]*count
	refused map[[2]string]int // connections that a callee ended, by caller and workload: the caller only sees an end
	total   count
}

// way is who calls what, and by which split.
type way struct{ source, service, rule string }

// count is what became of the requests of one way.
type count struct {
	admitted, refused, failed int
	backends                  map[string]int
	took                      []time.Duration
}

func newTally() *tally { return &tally{flows: map[way]*count{}, refused: map[[2]string]int{}} }

// add counts one request or connection.
func (t *tally) add(a proxy.Access) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Side == stats.Server {
		if a.Denied && a.Method == "" {
			t.refused[[2]string{a.Source, last(a.Workload)}]++
			t.total.refused++
			t.total.admitted--
		}
		return
	}
	w := way{a.Source, a.Service, a.Rule}
	if a.Denied { // refused requests are one row, whichever split led them
		w.rule = ""
	}
	c := t.flows[w]
	if c == nil {
		c = &count{backends: map[string]int{}}
		t.flows[w] = c
	}
	switch {
	case a.Denied:
		c.refused++
		t.total.refused++
		return
	case a.Method != "" && (a.Code == 0 || a.Code >= 500):
		c.failed++
		t.total.failed++
	}
	c.admitted++
	t.total.admitted++
	c.backends[short(a.Backend)]++
	if a.Method != "" {
		c.took = append(c.took, a.Duration)
	}
}

// row is what one caller did to one service since the last time.
type row struct {
	way
	count
}

// take empties the tally into rows, by caller, service and split. Rows that refused and rows that admitted of one caller and service
// stand together.
func (t *tally) take() []row {
	t.mu.Lock()
	flows, refused := t.flows, t.refused
	t.flows, t.refused = map[way]*count{}, map[[2]string]int{}
	t.mu.Unlock()
	var out []row
	for w, c := range flows {
		for b, n := range c.backends {
			gone := min(n, refused[[2]string{w.source, b}])
			c.admitted, c.refused = c.admitted-gone, c.refused+gone
			if c.backends[b] = n - gone; c.backends[b] == 0 {
				delete(c.backends, b)
			}
		}
		out = append(out, row{w, *c})
	}
	slices.SortFunc(out, func(a, b row) int {
		return strings.Compare(a.source+" "+a.service+" "+a.rule, b.source+" "+b.service+" "+b.rule)
	})
	return out
}

// short leaves of a host its service.
func short(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return name
}

// last is what stands behind the last slash: the account of an identity, the name of an object.
func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
