// SPDX-License-Identifier: Apache-2.0

// Package ask is the Source of TrafficMetrics: it decides which mesh answers, asks all that an answer needs at once, and keeps answers for one
// scrape interval.
package ask

import (
	"context"
	"errors"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
)

// Mesh is one mesh whose numbers can be asked for.
type Mesh struct {
	Name       string             // as World.Mesh names it
	Queries    *mesh.Queries      // of its driver; nil: it has no series of its own, and answers nothing
	Prometheus metrics.Prometheus // where its series are
	Interval   time.Duration      // between two scrapes; 0: 15 s, Prometheus' own default in its examples
}

// Budget is how long an answer may take before it is Unavailable.
const Budget = 900 * time.Millisecond

// Source answers from the meshes that are there. It implements metrics.Source.
type Source struct {
	world  metrics.World
	meshes []Mesh
	budget time.Duration
	now    func() time.Time
}

// Option changes a Source.
type Option func(*Source)

// WithBudget sets how long an answer may take.
func WithBudget(d time.Duration) Option { return func(s *Source) { s.budget = d } }

// WithClock sets what time it is, for questions that say no time.
func WithClock(now func() time.Time) Option { return func(s *Source) { s.now = now } }

// New makes a Source of meshes. When the meshes change, make another: all that is lost is what was kept of answers.
func New(world metrics.World, meshes []Mesh, options ...Option) *Source {
	s := &Source{world: world, meshes: meshes, budget: Budget, now: time.Now}
	for _, o := range options {
		o(s)
	}
	return s
}

// Profile is how the labels of a mesh are spelt in this installation, for status and checks.
type Profile struct {
	Mesh  string
	Shape string   // the name of the mesh.Shape in use
	Found bool     // whether any series of it is there; if not, the newest shape is taken for granted
	Uses  []string // "pod labels: pod, namespace", one for each mesh.Choice
	Err   error    // it could not be looked at
}

// Profiles says how each mesh's series are spelt, looking for them where that is not known yet.
func (s *Source) Profiles(ctx context.Context) []Profile { return nil }

// Measure answers a question. An error that is, or holds, a *metrics.Unavailable says that a needed Prometheus did not answer in time.
// Answers are shared between callers: they are read, never changed.
func (s *Source) Measure(ctx context.Context, q metrics.Question) (metrics.Answer, error) {
	return metrics.Answer{}, errors.New("not built yet")
}
