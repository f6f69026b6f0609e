// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Change is a resource set or, if Resource is nil, deleted.
type Change struct {
	TypeURL, Name string
	Resource      proto.Message
}

// wildcard is the name that stands for all resources of a type.
const wildcard = "*"

// store holds every resource of every type.
//
// Its lock also guards the streams' memory of what they told: Apply takes it for writing; a stream that composes a
// message holds it for reading and alters nothing but its own watches.
type store struct {
	mu      sync.RWMutex
	version uint64 // counts the Applies that changed something
	seq     uint64 // counts changes; no two entries share one
	shelves map[string]*shelf
}

// shelf holds the resources of one type, and who follows them.
type shelf struct {
	url     string
	entries map[string]*entry
	// head and tail end the list of entries in the order of their last change: the change log, in which a name stands
	// only once.
	head, tail *entry
	live, dead int // entries that exist, and tombstones
	watches    int // streams that know the type
	pruneAt    int // number of tombstones at which those everybody was told of are dropped
	named      map[string]map[*watch]struct{}
	wild       map[*watch]struct{}
}

// entry is one resource. A dead one is a tombstone: it stays, with its last content, until everybody was told.
type entry struct {
	resource   *discovery.Resource // shared by all streams, never altered
	dead       bool
	seq        uint64
	prev, next *entry
}

const leastPrune = 1024

func (s *store) shelf(url string) *shelf {
	f := s.shelves[url]
	if f == nil {
		f = &shelf{url: url, entries: map[string]*entry{}, named: map[string]map[*watch]struct{}{}, wild: map[*watch]struct{}{}, pruneAt: leastPrune}
		s.shelves[url] = f
	}
	return f
}

// encode marshals a change once for all streams. The version is that of the content, so that it means the same to a
// client that comes back after a restart of the server.
func (c Change) encode() (*discovery.Resource, error) {
	if c.Name == "" || c.Name == wildcard {
		return nil, fmt.Errorf("%s: a resource cannot be named %q", c.TypeURL, c.Name)
	}
	if c.Resource == nil {
		return nil, nil
	}
	if url := "type.googleapis.com/" + string(proto.MessageName(c.Resource)); url != c.TypeURL {
		return nil, fmt.Errorf("%s %q: the resource is a %s", c.TypeURL, c.Name, url)
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.Resource)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", c.TypeURL, c.Name, err)
	}
	sum := sha256.Sum256(value)
	return &discovery.Resource{
		Name:     c.Name,
		Version:  hex.EncodeToString(sum[:8]),
		Resource: &anypb.Any{TypeUrl: c.TypeURL, Value: value},
	}, nil
}

// put enters one change and reports whether it was one: the same content again is not.
func (s *store) put(f *shelf, name string, resource *discovery.Resource) bool {
	e := f.entries[name]
	switch {
	case e == nil && resource == nil:
		return false
	case e == nil:
		e = &entry{}
		f.entries[name] = e
		f.live++
	case resource == nil && e.dead:
		return false
	case resource == nil:
		f.unlink(e)
		e.dead = true
		f.live--
		f.dead++
	case e.dead:
		f.unlink(e)
		e.dead = false
		f.live++
		f.dead--
	case e.resource.GetVersion() == resource.GetVersion():
		return false
	default:
		f.unlink(e)
	}
	if resource != nil {
		e.resource = resource
	}
	s.seq++
	e.seq = s.seq
	f.append(e)
	return true
}

func (f *shelf) append(e *entry) {
	e.prev = f.tail
	if f.tail == nil {
		f.head = e
	} else {
		f.tail.next = e
	}
	f.tail = e
}

func (f *shelf) unlink(e *entry) {
	if e.prev == nil {
		f.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		f.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// after is the oldest entry changed since seq, or nil.
func (f *shelf) after(seq uint64) *entry {
	var found *entry
	for e := f.tail; e != nil && e.seq > seq; e = e.prev {
		found = e
	}
	return found
}

// prune drops the tombstones that every follower was told of, once there are many.
func (f *shelf) prune() {
	if f.dead < f.pruneAt {
		return
	}
	told := ^uint64(0)
	for w := range f.wild {
		if w.tellsRemovals() {
			told = min(told, w.removed)
		}
	}
	for e := f.head; e != nil && e.seq <= told; {
		next := e.next
		if e.dead {
			f.unlink(e)
			delete(f.entries, e.resource.GetName())
			f.dead--
		}
		e = next
	}
	f.pruneAt = max(leastPrune, f.live, 2*f.dead)
}

func (f *shelf) follow(name string, w *watch) {
	if f.named[name] == nil {
		f.named[name] = map[*watch]struct{}{}
	}
	f.named[name][w] = struct{}{}
}

func (f *shelf) unfollow(name string, w *watch) {
	delete(f.named[name], w)
	if len(f.named[name]) == 0 {
		delete(f.named, name)
	}
}

// Apply makes changes, all of them at once or, on an error, none. Of several changes to one name the last counts; the
// same content again is no change. It returns before clients are told.
func (s *Server) Apply(changes []Change) error {
	resources := make([]*discovery.Resource, len(changes))
	for i, c := range changes {
		var err error
		if resources[i], err = c.encode(); err != nil {
			return fmt.Errorf("xds: apply: %w", err)
		}
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	touched := map[*shelf]bool{}
	for i, c := range changes {
		f := s.store.shelf(c.TypeURL)
		if !s.store.put(f, c.Name, resources[i]) {
			continue
		}
		touched[f] = true
		for w := range f.named[c.Name] {
			w.mark(c.Name, resources[i] == nil)
		}
	}
	if len(touched) == 0 {
		return nil
	}
	s.store.version++
	for f := range touched {
		for w := range f.wild {
			w.stream.wake()
		}
		f.prune()
	}
	return nil
}

// Version counts the changes made so far; it is what clients are told and acknowledge.
func (s *Server) Version() uint64 {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return s.store.version
}

// Dump is all resources of a type, by name. They are shared: look, and do not alter.
func (s *Server) Dump(typeURL string) []*discovery.Resource {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	f := s.store.shelves[typeURL]
	if f == nil {
		return nil
	}
	var all []*discovery.Resource
	for e := range maps.Values(f.entries) {
		if !e.dead {
			all = append(all, e.resource)
		}
	}
	slices.SortFunc(all, func(a, b *discovery.Resource) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}
