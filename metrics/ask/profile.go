// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/query"
)

// Profile is how the series of a mesh are called in this installation, for status and checks.
type Profile struct {
	Mesh string
	query.Profile
	Err error // it could not be looked at
}

// found is what was found out about a mesh's series.
type found struct {
	mu      sync.Mutex
	at      time.Time // when it was looked at; zero: never
	profile query.Profile
	empty   bool // an answer found no series since
}

// fresh is for how long what was found is taken to hold. A scrape configuration changes rarely; when answers are empty it is looked at again
// after one interval.
const fresh = 10 * time.Minute

// Profiles says how each mesh's series are called, and looks where that is not known.
func (s *Source) Profiles(ctx context.Context) []Profile {
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	out := make([]Profile, len(s.meshes))
	var all sync.WaitGroup
	for i, m := range s.meshes {
		all.Go(func() {
			_, err := m.views(ctx, s.now())
			m.found.mu.Lock()
			defer m.found.mu.Unlock()
			out[i] = Profile{m.Name, m.found.profile, err}
		})
	}
	all.Wait()
	return out
}

// errNone is a mesh that has nothing to be asked.
var errNone = errors.New("no Prometheus is given for it")

// views are the mesh's views as they are spelt here.
func (m *served) views(ctx context.Context, now time.Time) ([]mesh.View, error) {
	if m.Queries == nil || len(m.Queries.Shapes) == 0 {
		return nil, nil
	}
	if m.Prometheus == nil {
		return nil, errNone
	}
	f := &m.found
	f.mu.Lock()
	age := now.Sub(f.at)
	known := !f.at.IsZero() && (age < m.Interval || age < fresh && f.profile.Found && !f.empty)
	views := f.profile.Views
	f.mu.Unlock()
	if known {
		return views, nil
	}
	p, err := query.Look(ctx, m.Prometheus, m.Queries, now)
	if err != nil {
		return nil, &metrics.Unavailable{Mesh: m.Name, Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.profile, f.empty = now, p, false
	return p.Views, nil
}

// nothing remembers that a whole answer found no series: the labels may have been renamed.
func (m *served) nothing() {
	m.found.mu.Lock()
	m.found.empty = true
	m.found.mu.Unlock()
}
