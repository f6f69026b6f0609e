// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
)

// tally counts what passes by caller, service and the split that decided: requests that a match picks out are a row of their own, or the
// shares of the others would not be those of their weights.
type tally struct {
	mu      sync.Mutex
	flows   map[way]*count
	total   count
	refused map[[2]string]int   // connections that a callee has just ended, by caller and workload: the caller only sees an end
	behind  map[string][]string // the workloads of each service, by host
}

// way is who calls what, and by which split.
type way struct{ source, service, rule string }

// count is what became of the requests of one way.
type count struct {
	admitted, refused, failed int
	backends                  map[string]int
	took                      []time.Duration
}

func newTally() *tally {
	return &tally{flows: map[way]*count{}, refused: map[[2]string]int{}}
}

// learn notes who stands behind which service.
func (t *tally) learn(e *engine.Engine) {
	s := e.Store
	behind := map[string][]string{}
	for f := range s.Facts {
		svc, ok := f.(*model.Service)
		if !ok {
			continue
		}
		host := s.Settings().Host(svc.Name)
		for _, w := range s.Selected(svc.Name) {
			behind[host] = append(behind[host], w.Name.String())
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.behind = behind
}

// add counts one request or connection. Proxies tell of a refused connection at the callee before the caller's can see its end.
func (t *tally) add(a proxy.Access) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Side == stats.Server {
		if a.Denied && a.Method == "" {
			t.refused[[2]string{a.Source, a.Workload}]++
		}
		return
	}
	if a.Side == "" {
		return // it named no service
	}
	denied := a.Denied || a.Method == "" && t.ended(&a)
	w := way{a.Source, a.Service, a.Rule}
	if denied {
		w.rule = "" // refused requests are one row, whichever split led them
	}
	c := t.flows[w]
	if c == nil {
		c = &count{backends: map[string]int{}}
		t.flows[w] = c
	}
	if denied {
		c.refused++
		t.total.refused++
		return
	}
	if a.Code == 0 || a.Code >= 500 {
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

// ended says whether a connection ended because the callee refused it.
func (t *tally) ended(a *proxy.Access) bool {
	host, _, _ := strings.Cut(a.Backend, ":")
	for _, w := range t.behind[host] {
		if k := [2]string{a.Source, w}; t.refused[k] > 0 {
			t.refused[k]--
			return true
		}
	}
	return false
}

// row is what one caller did to one service since the last time.
type row struct {
	way
	count
}

// take empties the tally into rows, by caller, service and split. What was refused stands in the first row of its caller and service.
func (t *tally) take() []row {
	t.mu.Lock()
	flows := t.flows
	t.flows = map[way]*count{}
	t.mu.Unlock()
	all := make([]row, 0, len(flows))
	for w, c := range flows {
		all = append(all, row{w, *c})
	}
	slices.SortFunc(all, func(a, b row) int {
		return strings.Compare(a.source+" "+a.service+" "+a.rule, b.source+" "+b.service+" "+b.rule)
	})
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && out[n-1].admitted == 0 && out[n-1].source == r.source && out[n-1].service == r.service {
			r.refused += out[n-1].refused
			out = out[:n-1]
		}
		out = append(out, r)
	}
	return out
}

// short leaves of a host its service.
func short(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return name
}

// last is what stands behind the last slash: the account of an identity, the name of an object.
func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
