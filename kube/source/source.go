// SPDX-License-Identifier: Apache-2.0

// Package source reads what a Kubernetes API knows, as a source of the engine.
//
// It keeps facts and no objects: every object is said in the words of the model as it comes in, handed to the engine, and let go. What
// is kept here of an object is its name, and of SMI's own what a status has to say besides. The first batch holds everything that is
// there; each further one, what came within a few milliseconds.
package source

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Options of a Source.
type Options struct {
	Logger    *slog.Logger
	Namespace func(name string, labels map[string]string) // told of namespaces, in no order, before the batch that follows; labels are nil for one that is gone
	Own       func(labels map[string]string) bool         // SMI objects that we wrote ourselves and must not read, by their labels; nil: none
}

// Source is a cluster as the engine reads it. Serve tells it which kinds there are.
type Source struct {
	c *kube.Cluster
	o Options

	mu       sync.Mutex
	batch    []store.Event
	place    map[model.Ref]int // in the batch
	lists    map[string]*list  // by kind
	metas    map[model.Ref]Meta
	complete bool // the first batch was taken
	wake     chan struct{}
	served   kube.Latest[kube.Served]
}

// Meta is what is kept of an SMI object besides its facts.
type Meta struct {
	APIVersion string
	UID        types.UID
	Status     uint64 // fingerprint of its status
}

// New is a source of all that a cluster says.
func New(c *kube.Cluster, o Options) *Source {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{c: c, o: o, place: map[model.Ref]int{}, lists: map[string]*list{}, metas: map[model.Ref]Meta{},
		wake: make(chan struct{}, 1), served: kube.NewLatest[kube.Served]()}
}

// Serve says which kinds the API serves now. Until it is called for the first time nothing is read.
func (s *Source) Serve(v kube.Served) { s.served.Say(v) }

// Meta of an SMI object; false where there is none.
func (s *Source) Meta(r model.Ref) (Meta, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.metas[r]
	return m, ok
}

// Missing lists the kinds that have not been read whole yet. It is empty once the first batch can be sent.
func (s *Source) Missing() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missing()
}

func (s *Source) missing() (out []string) {
	if len(s.lists) == 0 {
		return []string{"everything"}
	}
	for _, l := range s.lists {
		if !l.synced {
			out = append(out, l.name)
		}
	}
	slices.Sort(out)
	return out
}

// How long a batch waits for what comes with it: after the last event, and after the first.
const quiet, most = 5 * time.Millisecond, 50 * time.Millisecond

// Run reads until the context ends.
func (s *Source) Run(ctx context.Context, out chan<- []store.Event) error {
	r := kube.NewReaders(ctx, s.o.Logger)
	defer r.Close()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case v := <-s.served:
			s.follow(r, v)
		case <-s.wake:
			if batch := s.take(ctx); batch != nil {
				select {
				case out <- batch:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	}
}

// take waits for quiet and takes the batch; nil where the world is not complete yet.
func (s *Source) take(ctx context.Context) []store.Event {
	for end := time.Now().Add(most); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			continue
		case <-time.After(quiet):
		}
		break
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.complete && len(s.missing()) > 0 {
		return nil
	}
	first := !s.complete
	s.complete = true
	batch := s.batch
	s.batch, s.place = nil, map[model.Ref]int{}
	if first && batch == nil {
		batch = []store.Event{}
	}
	return batch
}

// put adds an event to the batch: of several of one object the last counts. The caller holds the lock.
func (s *Source) put(e store.Event) {
	if i, ok := s.place[e.Object]; ok {
		s.batch[i] = e
	} else {
		s.place[e.Object] = len(s.batch)
		s.batch = append(s.batch, e)
	}
	s.stir()
}

func (s *Source) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// follow has each kind read at the newest version that is served.
func (s *Source) follow(r *kube.Readers, v kube.Served) {
	for i := range kinds {
		k := &kinds[i]
		where, ok := k.at(v)
		if !ok {
			if r.Stop(k.name) {
				s.drop(k.name)
			}
			continue
		}
		r.Read(k.name, where, func() (cache.ListerWatcher, cache.ReflectorStore) { return k.watch(s.c, where), s.list(k) })
	}
	s.stir() // it may be complete by now
}

// Once reads everything that a cluster says, once.
func Once(ctx context.Context, c *kube.Cluster, o Options) ([]store.Event, error) {
	served, err := c.Discover()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := New(c, o)
	s.Serve(served)
	out, done := make(chan []store.Event), make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	defer func() { cancel(); <-done }()
	select {
	case batch := <-out:
		return batch, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the cluster did not say everything: %v is missing: %w", s.Missing(), ctx.Err())
	}
}
