// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/query"
)

// gather collects what the queries of a plan answer.
type gather struct {
	plan  *plan
	asked map[metrics.Ref]int // the question's resources, in their order
	cells []*cell
	slab  []cell // room for the next ones
	lost  bool   // there were more than can be
	name  []byte // of the labels at hand
	keys  []key  // that they mean
}

// cell is one measure as it comes together; of one key there may be several until the end.
type cell struct {
	key
	metrics.Counts
	mesh  string
	times map[*task]*query.Histogram // by the series that they are of: units differ
}

// label is what the labels of a sample have turned out to mean.
type label struct {
	name  string
	cells []*cell
}

// number is which of a task's queries an answer is of.
type number int

const (
	success number = iota
	failure
	p50
	p90
	p99
	buckets
)

type result struct {
	task    *task
	number  number
	samples []metrics.Sample
	err     error
}

func newGather(p *plan) *gather {
	g := &gather{plan: p, asked: make(map[metrics.Ref]int, len(p.question.Of))}
	for i, r := range p.question.Of {
		g.asked[r] = i
	}
	return g
}

// texts are the queries of a task.
func (t *task) texts(window time.Duration) map[number]string {
	out := map[number]string{success: t.Success(window), failure: t.Failure(window)}
	switch {
	case t.View.Latency == "":
	case t.many:
		out[buckets] = t.Buckets(window)
	default:
		out[p50], out[p90], out[p99] = t.Quantile(0.5, window), t.Quantile(0.9, window), t.Quantile(0.99, window)
	}
	return out
}

// run asks everything at once and reads the answers as they come.
func (g *gather) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waiting := map[*task]int{}
	results := make(chan result, 6*len(g.plan.tasks)) // nobody who asks waits for us
	for _, t := range g.plan.tasks {
		for n, text := range t.texts(g.plan.window) {
			waiting[t]++
			go func() {
				samples, err := t.mesh.Prometheus.Query(ctx, text, g.plan.question.At)
				results <- result{t, n, samples, err}
			}()
		}
	}
	some := map[*asked]bool{}
	for len(waiting) > 0 {
		select {
		case r := <-results:
			if waiting[r.task]--; waiting[r.task] == 0 {
				delete(waiting, r.task)
			}
			if r.err != nil {
				if !r.task.far {
					return &metrics.Unavailable{Mesh: r.task.mesh.Name, Err: r.err}
				}
				g.plan.missing(r.task, r.err)
			}
			some[r.task.mesh] = some[r.task.mesh] || len(r.samples) > 0
			g.read(&r)
		case <-ctx.Done():
			for t := range waiting {
				if !t.far {
					return &metrics.Unavailable{Mesh: t.mesh.Name, Err: fmt.Errorf("no answer within %s: %w", g.plan.source.budget, ctx.Err())}
				}
				g.plan.missing(t, ctx.Err())
			}
			waiting = nil
		}
	}
	for _, m := range g.plan.meshes {
		if len(m.of) > 0 && !some[m] {
			m.nothing()
		}
	}
	return nil
}

func (p *plan) missing(t *task, err error) {
	p.note("the side of edges that " + t.mesh.Name + " counts is missing: " + err.Error())
}

// later notes what came up while answers were read.
func (p *plan) later(n string) { p.note(n) }

// read adds the samples of one answer to the measures that they are of.
func (g *gather) read(r *result) {
	t, unit := r.task, r.task.View.Unit
	first := len(t.labels) == 0 && r.number != buckets // then all labels are new
	for i := range r.samples {
		s := &r.samples[i]
		for _, c := range g.named(t, i, s.Labels, first) {
			switch r.number {
			case success:
				c.Success = query.Count(c.Success + query.Count(s.Value))
			case failure:
				c.Failure = query.Count(c.Failure + query.Count(s.Value))
			case p50:
				c.P50 = max(c.P50, query.Duration(s.Value, unit))
			case p90:
				c.P90 = max(c.P90, query.Duration(s.Value, unit))
			case p99:
				c.P99 = max(c.P99, query.Duration(s.Value, unit))
			case buckets:
				c.bucket(t, s)
			}
		}
	}
}

// named are the measures that labels name. The queries of a task are answered with the same labels, mostly in the same order: what they mean is
// found out once.
func (g *gather) named(t *task, i int, labels map[string]string, first bool) []*cell {
	g.name = g.name[:0]
	for _, l := range t.By {
		g.name = append(append(g.name, labels[l]...), 0xff) // which is in no label: they are UTF-8
	}
	if i < len(t.labels) && t.labels[i].name == string(g.name) {
		return t.labels[i].cells
	}
	if !first {
		if t.named == nil {
			t.named = make(map[string]int, len(t.labels))
			for i := range t.labels {
				t.named[t.labels[i].name] = i
			}
		}
		if i, ok := t.named[string(g.name)]; ok {
			return t.labels[i].cells
		}
	}
	n := label{string(g.name), g.mean(t, labels)}
	if len(t.labels) < most {
		if t.named != nil {
			t.named[n.name] = len(t.labels)
		}
		t.labels = append(t.labels, n)
	}
	return n.cells
}

// mean makes the measures that labels name.
func (g *gather) mean(t *task, labels map[string]string) (out []*cell) {
	g.keys = t.keys(g.keys[:0], labels)
	for _, k := range g.keys {
		if _, ok := g.asked[k.of]; !ok || t.of != nil && !t.of[k.of] {
			continue
		}
		if len(g.cells) >= most {
			g.lost = true
			break
		}
		c := g.cell()
		c.key, c.mesh = k, t.mesh.Name
		out = append(out, c)
	}
	return out
}

// most is how many measures come together at most before those with the most requests are kept.
const most = 4 * Bound

func (g *gather) cell() *cell {
	if len(g.slab) == 0 {
		g.slab = make([]cell, min(len(g.cells)+4, 256))
	}
	c := &g.slab[0]
	g.slab = g.slab[1:]
	g.cells = append(g.cells, c)
	return c
}

func (c *cell) bucket(t *task, s *metrics.Sample) {
	le, ok := query.Bound(s.Labels["le"])
	if !ok {
		return
	}
	if c.times == nil {
		c.times = map[*task]*query.Histogram{}
	}
	if c.times[t] == nil {
		c.times[t] = &query.Histogram{}
	}
	c.times[t].Add(query.Bucket{Le: le, Count: s.Value})
}

// settle reads the quantiles out of histograms. Where several Prometheis tell of one resource, the longest of their answers stands: quantiles cannot
// be added up.
func (c *cell) settle() {
	for t, h := range c.times {
		c.P50 = max(c.P50, query.Duration(h.Quantile(0.5), t.View.Unit))
		c.P90 = max(c.P90, query.Duration(h.Quantile(0.9), t.View.Unit))
		c.P99 = max(c.P99, query.Duration(h.Quantile(0.99), t.View.Unit))
	}
}

// measures are what came together, and zeros for what is there and had no traffic.
func (g *gather) measures() []metrics.Measure {
	q := g.plan.question
	switch {
	case q.Kind.Name == "TrafficSplit":
		g.idleArms()
	case !q.Edges && !q.Routes:
		g.idle()
	}
	all := g.merge()
	if len(all) > Bound || g.lost {
		slices.SortFunc(all, func(a, b *cell) int { return cmp.Compare(b.Total(), a.Total()) })
		all = all[:min(len(all), Bound)]
		g.plan.note(fmt.Sprintf("there are more than %d measures: those with the most requests are here", Bound))
		slices.SortFunc(all, g.order)
	}
	out := make([]metrics.Measure, len(all))
	for i, c := range all {
		out[i] = metrics.Measure{Of: c.of, Counts: c.Counts, Mesh: c.mesh}
		if c.isEdge {
			out[i].Edge = &c.edge
		}
		if c.backend.Name != "" {
			out[i].Backend = &c.backend
		}
		if c.hasRoute {
			out[i].Route = &c.route
		}
	}
	return out
}

// merge makes one cell of those of one key, in the order of the answer.
func (g *gather) merge() []*cell {
	slices.SortStableFunc(g.cells, g.order)
	out := g.cells[:0]
	for _, c := range g.cells {
		if n := len(out); n > 0 && out[n-1].key == c.key {
			out[n-1].add(c)
		} else {
			out = append(out, c)
		}
	}
	return slices.DeleteFunc(out, func(c *cell) bool {
		c.settle()
		return (c.isEdge && c.backend.Name == "" || c.hasRoute) && c.Total() == 0 // an edge is there where there was traffic
	})
}

// add adds what another cell counted of the same.
func (c *cell) add(o *cell) {
	if c.Total() == 0 {
		c.mesh = o.mesh
	}
	c.Success, c.Failure = query.Count(c.Success+o.Success), query.Count(c.Failure+o.Failure)
	c.P50, c.P90, c.P99 = max(c.P50, o.P50), max(c.P90, o.P90), max(c.P99, o.P99)
	for t, h := range o.times {
		if c.times == nil {
			c.times = map[*task]*query.Histogram{}
		}
		if c.times[t] == nil {
			c.times[t] = h
		} else {
			c.times[t].Merge(h)
		}
	}
}

// idle adds zeros for resources without traffic.
func (g *gather) idle() {
	have := make([]bool, len(g.plan.question.Of))
	for _, c := range g.cells {
		have[g.asked[c.of]] = true
	}
	for i, r := range g.plan.question.Of {
		if !have[i] {
			c := g.cell()
			c.of, c.mesh = r, g.plan.home(r)
		}
	}
}

// idleArms adds zeros for backends without traffic.
func (g *gather) idleArms() {
	type of struct {
		split   metrics.Ref
		backend string
	}
	have := map[of]bool{}
	for _, c := range g.cells {
		have[of{c.of, c.backend.Name}] = true
	}
	for _, a := range g.plan.arms(g.plan.question.Of) {
		if !have[of{a.split, a.Name}] {
			c := g.cell()
			c.key, c.mesh = a.key(mesh.ClientSide, metrics.Ref{}), g.plan.home(a.split)
		}
	}
}

// home is the mesh that knows a resource, though it had nothing to count; empty: none does, or it cannot be told.
func (p *plan) home(r metrics.Ref) string {
	home := ""
	if ns := space(r); ns != "" {
		home = p.source.world.Mesh(ns)
	}
	for _, m := range p.meshes {
		if m.Name == home {
			return home
		}
	}
	return ""
}

// order is that of the question, and of an edge: whom it calls, who calls it, by name.
func (g *gather) order(a, b *cell) int {
	if a.of != b.of {
		return cmp.Compare(g.asked[a.of], g.asked[b.of])
	}
	if c := strings.Compare(a.backend.Name, b.backend.Name); c != 0 {
		return c
	}
	x, y := &a.edge, &b.edge
	if c := -strings.Compare(string(x.Direction), string(y.Direction)); c != 0 {
		return c
	}
	if c := strings.Compare(x.Peer.Namespace, y.Peer.Namespace); c != 0 {
		return c
	}
	if c := strings.Compare(x.Peer.Name, y.Peer.Name); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(x.Peer.Kind, y.Peer.Kind), strings.Compare(string(x.Side), string(y.Side)),
		strings.Compare(a.route.Group, b.route.Group), strings.Compare(a.route.Match, b.route.Match))
}
