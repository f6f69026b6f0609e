// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"maps"
	"slices"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// mostTypes bounds what one client can make the store keep for types that nobody says anything about.
const mostTypes = 32

// stream is one client's ADS stream. To go-control-plane's protocol loop it is the cache behind the loop.
//
// A stream that has something to say puts one turn into the loop's channel, never more: what the turn says is composed
// when the loop gets to it. Apply never blocks, whatever a client does, and changes that come faster than a client can
// read become one.
type stream struct {
	server *Server
	delta  bool
	peer   string // SPIFFE ID; empty without TLS
	since  time.Time
	node   *core.Node // of the first request; constant from then on

	// All below is guarded by the store's lock, in the way that store explains.
	watches []*watch // by rank
	push    func()   // puts a turn into the loop's channel; nil before the first request
	queued  bool     // a turn is in the channel
	held    bool     // the channel must not be used: the loop is about to replace a watch, or to end
	speaker *watch   // state of the world, where each type has a channel: whose carries the turn
}

var _ cache.ConfigWatcher = (*stream)(nil)

func (s *Server) open(ctx context.Context, delta bool) *stream {
	t := &stream{server: s, delta: delta, since: time.Now()}
	if id, err := PeerID(ctx); err == nil {
		t.peer = id.String()
	}
	return t
}

// greet keeps the node of a stream's first request if it is authorized.
func (t *stream) greet(ctx context.Context, node *core.Node) error {
	if t.node != nil {
		if node.GetId() != "" && node.GetId() != t.node.GetId() {
			return status.Errorf(codes.InvalidArgument, "node %q has become node %q: open another stream", t.node.GetId(), node.GetId())
		}
		return nil
	}
	if node.GetId() == "" {
		return status.Error(codes.InvalidArgument, "the first request on a stream has to say which node asks")
	}
	if authorize := t.server.options.Authorize; authorize != nil {
		if err := authorize(ctx, node); err != nil {
			t.server.options.Logger.Warn("xds: refused", "node", node.GetId(), "peer", t.peer, "error", err)
			return status.Errorf(codes.PermissionDenied, "node %q: %v", node.GetId(), err)
		}
	}
	t.server.store.mu.Lock()
	defer t.server.store.mu.Unlock()
	t.node = node
	t.server.streams[t] = struct{}{}
	return nil
}

// close forgets the stream.
func (t *stream) close() {
	s := &t.server.store
	s.mu.Lock()
	defer s.mu.Unlock()
	t.held = true
	delete(t.server.streams, t)
	for _, w := range t.watches {
		for name := range w.names {
			w.shelf.unfollow(name, w)
		}
		delete(w.shelf.wild, w)
		w.shelf.watches--
		if f := w.shelf; f.watches+len(f.entries) == 0 {
			delete(s.shelves, f.url) // a type that only this client knew
		}
	}
	t.watches = nil
}

// find is the watch of a type, or nil.
func (t *stream) find(url string) *watch {
	for _, w := range t.watches {
		if w.shelf.url == url {
			return w
		}
	}
	return nil
}

// ensure is the watch of a type, made if it is missing.
func (t *stream) ensure(url string) (w *watch, made bool, err error) {
	if w = t.find(url); w != nil {
		return w, false, nil
	}
	if len(t.watches) == mostTypes {
		return nil, false, status.Errorf(codes.ResourceExhausted, "a stream may ask for %d types at most", mostTypes)
	}
	w = &watch{
		stream: t, shelf: t.server.store.shelf(url), rank: rank(url), delta: t.delta,
		names: map[string]struct{}{}, changed: map[string]struct{}{}, gone: map[string]struct{}{},
	}
	w.shelf.watches++
	at, _ := slices.BinarySearchFunc(t.watches, w.rank+1, func(w *watch, rank int) int { return w.rank - rank })
	t.watches = slices.Insert(t.watches, at, w)
	return w, true, nil
}

// next decides what is to be said next: the first type with additions, else the last type with removals. Both are told
// in one message if nothing else is to come between them.
func (t *stream) next() (w *watch, additions, removals bool) {
	var adds, removes *watch
	more := false
	for _, w := range t.watches {
		if !w.hasAdditions() {
			continue
		}
		if more = adds != nil; more {
			break
		}
		adds = w
	}
	for _, w := range slices.Backward(t.watches) {
		if w.hasRemovals() {
			removes = w
			break
		}
	}
	if adds == nil {
		return removes, false, removes != nil
	}
	return adds, true, !more && (removes == adds || removes == nil)
}

// wake puts a turn into the loop's channel if there is something to say and none is there.
func (t *stream) wake() {
	if t.queued || t.held || t.push == nil {
		return
	}
	if w, _, _ := t.next(); w == nil {
		return
	}
	t.queued = true
	t.push()
}

// compose uses up the turn: it takes the next message, and asks for another turn if there is more.
func (t *stream) compose() (w *watch, m message, version uint64) {
	s := &t.server.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	t.queued = false
	w, additions, removals := t.next()
	if w == nil {
		// A request has just taken back the interest in what there was to say. The loop has to send something: an empty
		// message, or the unchanged state, is allowed and changes nothing.
		w, additions, removals = t.watches[0], true, false
	}
	m = w.collect(additions, removals)
	t.wake()
	return w, m, s.version
}

// CreateDeltaWatch implements cache.ConfigWatcher: it takes in a delta request.
func (t *stream) CreateDeltaWatch(r *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	s := &t.server.store
	s.mu.Lock()
	defer s.mu.Unlock()
	w, first, err := t.ensure(r.GetTypeUrl())
	if err != nil {
		return nil, err
	}
	w.setWild(sub.IsWildcard())
	if first {
		w.known = maps.Clone(sub.ReturnedResources())
	}
	subscribed := sub.SubscribedResources()
	for _, name := range r.GetResourceNamesSubscribe() {
		if _, ok := subscribed[name]; !ok {
			continue // the wildcard, or unsubscribed in the same request
		}
		w.join(name)
		// A name asked for again is told again, unless the client brought the present version.
		version, known := w.known[name]
		if here := w.look(name); !known || here == nil || here.GetVersion() != version {
			w.ask(name)
		}
	}
	for _, name := range r.GetResourceNamesUnsubscribe() {
		if _, ok := subscribed[name]; ok || name == wildcard {
			continue
		}
		w.leave(name)
		if w.wild && w.listed(name) {
			w.changed[name] = struct{}{} // the client forgets it by unsubscribing, but the wildcard still wants it
		}
	}
	if first {
		w.forget(subscribed)
	}
	if t.push == nil {
		t.push = func() { out <- &deltaTurn{stream: t} }
	}
	t.held = false
	t.wake()
	return t.hold, nil
}

// forget has a returning client told which of the resources it knows are no more.
func (w *watch) forget(subscribed map[string]struct{}) {
	for name := range w.known {
		if _, ok := subscribed[name]; (ok || w.wild) && w.look(name) == nil {
			w.ask(name)
		}
	}
	if !w.wild {
		w.known = nil
	}
}

// hold stops the use of the loop's channel; the loop calls it before it replaces a watch and before it ends.
func (t *stream) hold() {
	t.server.store.mu.Lock()
	defer t.server.store.mu.Unlock()
	t.held = true
}

// CreateWatch implements cache.ConfigWatcher: it takes in a state-of-the-world request.
func (t *stream) CreateWatch(r *cache.Request, sub cache.Subscription, out chan cache.Response) (func(), error) {
	s := &t.server.store
	s.mu.Lock()
	defer s.mu.Unlock()
	w, first, err := t.ensure(r.GetTypeUrl())
	if err != nil {
		return nil, err
	}
	w.setWild(sub.IsWildcard())
	if first && wholeState(w.shelf.url) {
		w.owes = true // a client that comes back learns what is gone, be it everything
	}
	names := sub.SubscribedResources()
	for name := range names {
		if _, ok := w.names[name]; !ok {
			w.join(name)
			if w.look(name) != nil {
				w.ask(name)
			}
		}
	}
	for name := range w.names {
		if _, ok := names[name]; !ok {
			w.leave(name)
		}
	}
	// The loop has a new channel for each request and gives up the type's former one: a turn in it is lost.
	if t.speaker == w {
		t.queued = false
	}
	t.push = func() {
		t.speaker = w
		out <- &wholeTurn{stream: t}
	}
	t.wake()
	return nil, nil
}
