// SPDX-License-Identifier: Apache-2.0

// Package ask is the Source of TrafficMetrics: it decides which mesh answers, asks all that an answer needs at once, and keeps answers for one
// scrape interval.
//
// A resource is answered for by the mesh that its namespace is in. An edge has two sides, and each is counted by the proxy that stands there: what
// a caller's proxy says counts in the caller's mesh alone, and what a callee's says in the callee's, so that an edge between two meshes is whole
// and nothing stands twice.
package ask

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/kept"
	"github.com/anymesh/anymesh/metrics/lens"
)

// Mesh is one mesh whose numbers can be asked for.
type Mesh struct {
	Name       string             // as World.Mesh names it
	Queries    *mesh.Queries      // of its driver; nil: it has no series of its own, and answers nothing
	Prometheus metrics.Prometheus // where its series are; nil: nobody said
	Interval   time.Duration      // between two scrapes; 0: 15 s
}

// Budget is how long an answer may take before it is Unavailable: what asks may have promised to answer within a second.
const Budget = 900 * time.Millisecond

const (
	interval = 15 * time.Second
	// Bound is how many measures an answer has at most. Whoever can make up names of callers can make up any number of edges.
	Bound = 10_000
)

// Source answers from the meshes that are there. It implements metrics.Source.
type Source struct {
	world  metrics.World
	meshes []*served
	budget time.Duration
	now    func() time.Time
	kept   kept.Answers[metrics.Answer]
	memory lens.Memory
}

// served is a mesh with what has been found out about it.
type served struct {
	Mesh
	found found
}

// Option changes a Source.
type Option func(*Source)

// WithBudget sets how long an answer may take.
func WithBudget(d time.Duration) Option { return func(s *Source) { s.budget = d } }

// WithClock sets what time it is.
func WithClock(now func() time.Time) Option { return func(s *Source) { s.now = now } }

// New makes a Source of meshes. When the meshes change, make another: all that is lost is what was kept of answers.
func New(world metrics.World, meshes []Mesh, options ...Option) *Source {
	s := &Source{world: world, budget: Budget, now: time.Now}
	for _, m := range meshes {
		if m.Interval <= 0 {
			m.Interval = interval
		}
		s.meshes = append(s.meshes, &served{Mesh: m})
	}
	for _, o := range options {
		o(s)
	}
	return s
}

// Measure answers a question. An error that is, or holds, a *metrics.Unavailable says that a Prometheus that is needed did not answer in time.
// Answers are shared between callers: they are read, never changed.
func (s *Source) Measure(ctx context.Context, q metrics.Question) (metrics.Answer, error) {
	if err := s.world.Ready(); err != nil {
		return metrics.Answer{}, fmt.Errorf("it is not known yet which resources there are: %w", err)
	}
	now := s.now()
	longest := s.longest()
	live := q.At.IsZero() || now.Sub(q.At) < longest && q.At.Sub(now) < longest
	if live && q.At.IsZero() {
		q.At = now
	}
	return s.kept.Get(ctx, name(&q, live), now, longest, func(ctx context.Context) (metrics.Answer, error) {
		ctx, cancel := context.WithTimeout(ctx, s.budget)
		defer cancel()
		return s.measure(ctx, &q)
	})
}

// longest is the longest interval between two scrapes: for that long an answer is as good as another.
func (s *Source) longest() time.Duration {
	d := interval
	for i, m := range s.meshes {
		if i == 0 || m.Interval > d {
			d = m.Interval
		}
	}
	return d
}

// name is what tells a question from others.
func name(q *metrics.Question, live bool) string {
	var b strings.Builder
	b.Grow(64 + 32*len(q.Of))
	fmt.Fprintf(&b, "%s %s %t %t %s", q.Kind.Name, q.Peer.Name, q.Edges, q.Routes, q.Window)
	if !live {
		fmt.Fprintf(&b, " %d", q.At.UnixMilli())
	}
	for _, r := range q.Of {
		b.WriteByte('\n')
		b.WriteString(r.Namespace)
		b.WriteByte('/')
		b.WriteString(r.Name)
	}
	return b.String()
}

// measure makes one answer: the queries of all meshes, one round of them, and what they come to.
func (s *Source) measure(ctx context.Context, q *metrics.Question) (metrics.Answer, error) {
	s.memory.Begin(s.now(), s.longest())
	p := &plan{source: s, question: q, window: max(q.Window, time.Millisecond), finder: lens.New(s.world, &s.memory)}
	if q.Window <= 0 {
		p.window = metrics.DefaultWindow
	}
	if err := s.find(ctx, q, p); err != nil {
		return metrics.Answer{}, err
	}
	for _, m := range p.meshes {
		p.window = max(p.window, 2*m.Interval)
	}
	p.make()
	g := newGather(p)
	if err := g.run(ctx); err != nil {
		return metrics.Answer{}, err
	}
	a := metrics.Answer{Measures: g.measures(), At: q.At, Window: p.window, Notes: p.notes}
	slices.Sort(a.Notes)
	a.Notes = slices.Compact(a.Notes)
	return a, nil
}
