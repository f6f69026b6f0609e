// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/query"
)

// gather collects what the queries of a plan answer.
type gather struct {
	plan  *plan
	asked map[metrics.Ref]int // the question's resources, in their order
	cells map[key]*cell
	lost  bool // there were more than Bound
}

// cell is one measure as it comes together.
type cell struct {
	metrics.Counts
	mesh  string
	times map[*task]*query.Histogram // by the series that they are of: units differ
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
	g := &gather{plan: p, asked: make(map[metrics.Ref]int, len(p.question.Of)), cells: make(map[key]*cell, len(p.question.Of))}
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
	for i := range r.samples {
		s := &r.samples[i]
		for _, k := range t.keys(s.Labels) {
			if _, ok := g.asked[k.of]; !ok || t.of != nil && !t.of[k.of] {
				continue
			}
			c := g.cell(k, t)
			if c == nil {
				continue
			}
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

func (g *gather) cell(k key, t *task) *cell {
	c := g.cells[k]
	if c == nil {
		if len(g.cells) >= 4*Bound {
			g.lost = true
			return nil
		}
		c = &cell{mesh: t.mesh.Name}
		g.cells[k] = c
	}
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
	out := make([]metrics.Measure, 0, len(g.cells))
	for k, c := range g.cells {
		c.settle()
		if k.isEdge && k.backend.Name == "" && c.Total() == 0 || k.hasRoute && c.Total() == 0 {
			continue // an edge is there where there was traffic
		}
		m := metrics.Measure{Of: k.of, Counts: c.Counts, Mesh: c.mesh}
		if k.isEdge {
			m.Edge = &metrics.Edge{Direction: k.edge.Direction, Side: k.edge.Side, Peer: k.edge.Peer}
		}
		if k.backend.Name != "" {
			m.Backend = &metrics.Backend{Apex: k.backend.Apex, Name: k.backend.Name, Weight: k.backend.Weight}
		}
		if k.hasRoute {
			m.Route = &metrics.Route{Group: k.route.Group, Match: k.route.Match}
		}
		out = append(out, m)
	}
	if q.Kind.Name == "TrafficSplit" {
		out = g.idleArms(out)
	} else if !q.Edges && !q.Routes {
		out = g.idle(out)
	}
	if len(out) > Bound || g.lost {
		slices.SortFunc(out, func(a, b metrics.Measure) int { return cmp.Compare(b.Total(), a.Total()) })
		out = out[:min(len(out), Bound)]
		g.plan.note(fmt.Sprintf("there are more than %d measures: those with the most requests are here", Bound))
	}
	slices.SortFunc(out, g.order)
	return out
}

// idle adds zeros for resources without traffic.
func (g *gather) idle(out []metrics.Measure) []metrics.Measure {
	have := make(map[metrics.Ref]bool, len(out))
	for i := range out {
		have[out[i].Of] = true
	}
	for _, r := range g.plan.question.Of {
		if !have[r] {
			out = append(out, metrics.Measure{Of: r, Mesh: g.plan.home(r)})
		}
	}
	return out
}

// idleArms adds zeros for backends without traffic.
func (g *gather) idleArms(out []metrics.Measure) []metrics.Measure {
	type of struct {
		split   metrics.Ref
		backend string
	}
	have := map[of]bool{}
	for i := range out {
		have[of{out[i].Of, out[i].Backend.Name}] = true
	}
	for _, a := range g.plan.arms(g.plan.question.Of) {
		if !have[of{a.split, a.Name}] {
			out = append(out, metrics.Measure{Of: a.split, Edge: &metrics.Edge{Direction: metrics.From, Side: metrics.Client}, Backend: &a.Backend, Mesh: g.plan.home(a.split)})
		}
	}
	return out
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
func (g *gather) order(a, b metrics.Measure) int {
	if c := cmp.Compare(g.asked[a.Of], g.asked[b.Of]); c != 0 {
		return c
	}
	if a.Backend != nil && b.Backend != nil {
		if c := strings.Compare(a.Backend.Name, b.Backend.Name); c != 0 {
			return c
		}
	}
	if a.Edge != nil && b.Edge != nil {
		x, y := a.Edge, b.Edge
		return cmp.Or(-strings.Compare(string(x.Direction), string(y.Direction)), strings.Compare(x.Peer.Namespace, y.Peer.Namespace),
			strings.Compare(x.Peer.Name, y.Peer.Name), strings.Compare(x.Peer.Kind, y.Peer.Kind), strings.Compare(string(x.Side), string(y.Side)))
	}
	if a.Route != nil && b.Route != nil {
		return cmp.Or(strings.Compare(a.Route.Group, b.Route.Group), strings.Compare(a.Route.Match, b.Route.Match))
	}
	return 0
}
