// SPDX-License-Identifier: Apache-2.0

// Package apply writes a mesh's objects to a Kubernetes API, as a sink of the engine.
//
// It writes by server-side apply under one field manager, and knows from a watch of the metadata alone what is there: who wrote it, and by the
// fingerprint that each object of ours carries, what for. So nothing is written that is there already, a restart over any number of
// objects included; what someone changed or removed is said again; what nobody says any more is removed; and what is not ours is never touched.
package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// What our objects carry besides the label that marks them as ours.
const (
	Target = "anymesh.dev/mesh" // label: the name of the target that says the object
	Wish   = "anymesh.dev/wish" // annotation: the fingerprint of what was said
)

// Options of a Sink.
type Options struct {
	Target  string          // its name
	Kinds   []mesh.Kind     // that it may write or find from earlier
	Adopt   bool            // take over objects that are there and nobody's
	Rate    float32         // writes a second; 0: 50
	Burst   int             // 0: twice the rate
	Leading <-chan struct{} // closed when this process may write; nil: it may
	Logger  *slog.Logger
	Lost    func(keys []mesh.Key)           // told of objects that are not any more as they were said
	Made    func(c mesh.Change, wrote bool) // told of each change that is made, and whether there was anything to write; may be nil
}

// Sink writes the objects of one target.
type Sink struct {
	c       *kube.Cluster
	o       Options
	limit   flowcontrol.RateLimiter
	served  kube.Latest[kube.Served]
	changed chan struct{} // closed and replaced when something was read

	mu     sync.Mutex
	known  kube.Served
	lists  map[string]*list // by group and kind
	there  map[id]state
	wanted map[id]string // the apiVersion in which an object was said last
	lost   []mesh.Key
	begun  bool // the first batch was taken
}

// id tells an object from all others, in whatever version of its API it is said.
type id struct {
	group, kind string
	name        model.Name
}

func of(k mesh.Key) id { return id{group(k.APIVersion), k.Kind, k.Name} }

func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return g
}

// New is a sink that knows nothing yet: Serve tells it what there is, and Run reads.
func New(c *kube.Cluster, o Options) *Sink {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.Burst == 0 {
		o.Burst = int(2 * o.Rate)
	}
	return &Sink{c: c, o: o, limit: flowcontrol.NewTokenBucketRateLimiter(o.Rate, o.Burst), served: kube.NewLatest[kube.Served](),
		changed: make(chan struct{}), lists: map[string]*list{}, there: map[id]state{}, wanted: map[id]string{}}
}

// Serve says which kinds the API serves now.
func (s *Sink) Serve(v kube.Served) { s.served.Say(v) }

// together is how long losses are gathered: whoever removes a namespace removes many objects.
const together = 20 * time.Millisecond

// Run watches what is there until the context ends.
func (s *Sink) Run(ctx context.Context) error {
	client, err := metadata.NewForConfig(s.c.Config)
	if err != nil {
		return err
	}
	r := kube.NewReaders(ctx, s.o.Logger)
	defer r.Close()
	for {
		s.mu.Lock()
		changed := s.changed
		lost := s.lost
		s.lost = nil
		s.mu.Unlock()
		if len(lost) > 0 && s.o.Lost != nil {
			s.o.Lost(lost)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case v := <-s.served:
			s.follow(r, client, v)
		case <-changed:
			time.Sleep(together)
		}
	}
}

// follow has every kind that is served watched, in one of its versions.
func (s *Sink) follow(r *kube.Readers, client metadata.Interface, v kube.Served) {
	watched := map[string]bool{}
	for _, k := range s.o.Kinds {
		name := group(k.APIVersion) + "/" + k.Kind
		where, ok := v.Find(k.APIVersion, k.Kind)
		if !ok || watched[name] {
			continue
		}
		watched[name] = true
		res := client.Resource(where.GroupVersionResource)
		r.Read(name, where, func() (cache.ListerWatcher, cache.ReflectorStore) {
			return kube.ListWatch(res), s.list(name, k)
		})
	}
	for _, k := range s.o.Kinds {
		if name := group(k.APIVersion) + "/" + k.Kind; !watched[name] && r.Stop(name) {
			s.drop(name, k)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = v
	s.stir()
}

// stir wakes who waits for something to be read. The caller holds the lock.
func (s *Sink) stir() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// settled waits until everything is read that is there, and this process may write.
func (s *Sink) settled(ctx context.Context) error {
	if s.o.Leading != nil {
		select {
		case <-s.o.Leading:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		s.mu.Lock()
		done, changed := s.known != nil, s.changed
		for _, l := range s.lists {
			done = done && l.synced
		}
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// workers is how many writes are under way at once.
const workers = 8

// Apply makes changes: first what is to be, then what is to go. With the first batch, which says everything, goes what is of ours and
// not in it. It returns a *engine.Failed where some could not be made.
func (s *Sink) Apply(ctx context.Context, changes []mesh.Change) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	if !s.begun {
		s.begun = true
		changes = append(slices.Clone(changes), s.orphans(changes)...)
	}
	s.mu.Unlock()
	var failed engine.Failed
	for _, gone := range []bool{false, true} {
		var part []mesh.Change
		for _, c := range changes {
			if (c.Object == nil) == gone {
				part = append(part, c)
			}
		}
		if gone {
			part = held(part, &failed)
		}
		failed.Failures = append(failed.Failures, s.each(ctx, part)...)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(failed.Failures) > 0:
		return &failed
	}
	return nil
}

// held leaves out the deletes that are made for the same SMI objects as something that could not be written, and lists them as failures: a
// policy must not go before the one that takes its place has come, for what has none is open.
func held(deletes []mesh.Change, failed *engine.Failed) (out []mesh.Change) {
	waits := map[model.Ref]mesh.Key{}
	for _, f := range failed.Failures {
		for _, r := range f.Change.For {
			waits[r] = f.Change.Key
		}
	}
	for _, c := range deletes {
		i := slices.IndexFunc(c.For, func(r model.Ref) bool { return waits[r] != mesh.Key{} })
		if i < 0 {
			out = append(out, c)
			continue
		}
		text := fmt.Sprintf("%s stays until %s can be written", c.Key, waits[c.For[i]])
		failed.Failures = append(failed.Failures, engine.Failure{Change: c, Code: model.CodeRefused, Err: errors.New(text), Message: text})
	}
	return out
}

// orphans are deletes of what is there of ours and not among the changes. The caller holds the lock.
func (s *Sink) orphans(changes []mesh.Change) (out []mesh.Change) {
	said := make(map[id]bool, len(changes))
	for _, c := range changes {
		said[of(c.Key)] = true
	}
	for i, st := range s.there {
		if st.ours && !said[i] {
			out = append(out, mesh.Change{Key: s.key(i)})
		}
	}
	slices.SortFunc(out, func(a, b mesh.Change) int { return b.Key.Compare(a.Key) })
	return out
}

// key is how an object is called in the version in which its kind is watched.
func (s *Sink) key(i id) mesh.Key {
	k := mesh.Key{APIVersion: s.wanted[i], Kind: i.kind, Name: i.name}
	if l := s.lists[i.group+"/"+i.kind]; k.APIVersion == "" && l != nil {
		k.APIVersion = l.kind.APIVersion
	}
	return k
}

// each makes changes, several at once.
func (s *Sink) each(ctx context.Context, changes []mesh.Change) (out []engine.Failure) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan mesh.Change)
	for range min(workers, len(changes)) {
		wg.Go(func() {
			for c := range next {
				wrote, f := s.make(ctx, c)
				switch {
				case f != nil:
					mu.Lock()
					out = append(out, *f)
					mu.Unlock()
				case s.o.Made != nil:
					s.o.Made(c, wrote)
				}
			}
		})
	}
	for _, c := range changes {
		if ctx.Err() != nil {
			break
		}
		next <- c
	}
	close(next)
	wg.Wait()
	slices.SortFunc(out, func(a, b engine.Failure) int { return a.Change.Key.Compare(b.Change.Key) })
	return out
}
