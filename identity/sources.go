// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"sync"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Sources holds one Source per identity, for a process that speaks for several workloads.
type Sources struct {
	ctx       context.Context
	stop      context.CancelFunc
	authority Authority
	options   SourceOptions

	mu sync.Mutex
	by map[spiffeid.ID]*entry
}

// entry is a source, or one being made: only those who want the same identity wait for it.
type entry struct {
	once   sync.Once
	source *Source
	err    error
}

// NewSources makes an empty set; ctx bounds the life of all its sources.
func NewSources(ctx context.Context, a Authority, o SourceOptions) *Sources {
	ctx, stop := context.WithCancel(ctx)
	return &Sources{ctx: ctx, stop: stop, authority: a, options: o, by: map[spiffeid.ID]*entry{}}
}

// For is the source of id, made when it is first asked for. A failure is not remembered.
func (s *Sources) For(id spiffeid.ID) (*Source, error) {
	s.mu.Lock()
	e := s.by[id]
	if e == nil {
		e = &entry{}
		s.by[id] = e
	}
	s.mu.Unlock()
	e.once.Do(func() { e.source, e.err = NewSource(s.ctx, s.authority, id, s.options) })
	if e.err != nil {
		s.mu.Lock()
		if s.by[id] == e {
			delete(s.by, id)
		}
		s.mu.Unlock()
	}
	return e.source, e.err
}

// Drop closes the source of id, if there is one.
func (s *Sources) Drop(id spiffeid.ID) {
	s.mu.Lock()
	e := s.by[id]
	delete(s.by, id)
	s.mu.Unlock()
	if e == nil {
		return
	}
	e.once.Do(func() { e.err = context.Canceled }) // not begun: whoever waits for it learns that it was dropped
	if e.source != nil {
		e.source.Close()
	}
}

// Close ends the renewal of all sources.
func (s *Sources) Close() { s.stop() }
