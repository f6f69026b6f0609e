// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"errors"
	"fmt"
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
	err     error         // of the last look
	empty   bool          // an answer found no series since
	looking chan struct{} // closed when the look that is on its way has ended; nil: none is
}

const (
	// fresh is for how long what was found is taken to hold: a scrape configuration changes rarely.
	fresh = 10 * time.Minute
	// again is after how long it is looked for again when nothing was found, then or since. To look costs a big Prometheus something.
	again = time.Minute
	// patience is how long a look may take. Questions do not wait so long; the next one finds what it brought.
	patience = 15 * time.Second
)

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

// views are the mesh's views as they are spelt here. What was found before is used while it is looked for again, unless answers are empty.
func (m *served) views(ctx context.Context, now time.Time) ([]mesh.View, error) {
	if m.Queries == nil || len(m.Queries.Shapes) == 0 {
		return nil, nil
	}
	if m.Prometheus == nil {
		return nil, errNone
	}
	f := &m.found
	f.mu.Lock()
	age, before := now.Sub(f.at), f.profile.Views
	if !f.at.IsZero() && f.err == nil && (age < again || age < fresh && f.profile.Found && !f.empty) {
		f.mu.Unlock()
		return before, nil
	}
	if f.looking == nil {
		f.looking = make(chan struct{})
		go m.look(context.WithoutCancel(ctx), now)
	}
	looking, wait := f.looking, before == nil || f.empty
	f.mu.Unlock()
	if !wait {
		return before, nil
	}
	select {
	case <-looking:
	case <-ctx.Done():
		if before == nil {
			return nil, &metrics.Unavailable{Mesh: m.Name, Err: fmt.Errorf("how its series are called was not found in time: %w", ctx.Err())}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.profile.Views == nil {
		return nil, &metrics.Unavailable{Mesh: m.Name, Err: f.err}
	}
	return f.profile.Views, nil
}

// look finds out how the series are called. What fails is tried again by the next question.
func (m *served) look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := query.Look(ctx, m.Prometheus, m.Queries, now)
	f := &m.found
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = err; err == nil {
		f.at, f.profile, f.empty = now, p, false
	}
	close(f.looking)
	f.looking = nil
}

// nothing remembers that a whole answer found no series: the labels may have been renamed.
func (m *served) nothing() {
	m.found.mu.Lock()
	m.found.empty = true
	m.found.mu.Unlock()
}
