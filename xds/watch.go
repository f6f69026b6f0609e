// SPDX-License-Identifier: Apache-2.0

package xds

import (
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// chunk is the number of resource bytes at which a delta message ends and the next begins: gRPC clients refuse messages
// of more than four megabytes unless told otherwise.
const chunk = 1 << 20

// ranks is the order in which types are added; they are removed in the reverse. What others refer to comes first.
// Types not listed come last.
var ranks = map[string]int{
	resource.SecretType:          1,
	resource.ExtensionConfigType: 2,
	resource.ClusterType:         3,
	resource.EndpointType:        4,
	resource.ListenerType:        5,
	resource.ScopedRouteType:     6,
	resource.RouteType:           7,
	resource.VirtualHostType:     8,
}

func rank(url string) int {
	if r, ok := ranks[url]; ok {
		return r
	}
	return len(ranks) + 1
}

// wholeState tells whether a state-of-the-world message of this type is the whole truth, so that what is missing in it
// is gone. For all other types a message says something about the resources it holds only.
func wholeState(url string) bool {
	return url == resource.ListenerType || url == resource.ClusterType
}

// watch is what one stream wants to know about one type, and how far it was told.
type watch struct {
	stream *stream
	shelf  *shelf
	rank   int
	delta  bool

	names map[string]struct{} // subscribed by name
	wild  bool                // subscribed to everything
	owes  bool                // an answer is due, even an empty one

	// changed are names to be told of, gone are names whose removal is to be told; no name is in both. A wildcard's share
	// of that is in the change log instead: what came after added and removed (sequence numbers). Its gone is empty, and
	// its changed holds what the log does not.
	changed, gone  map[string]struct{}
	added, removed uint64
	// known are versions that a client brought from an earlier stream, until the first round is over.
	known map[string]string

	progress progress
}

// mark notes a change of a name followed.
func (w *watch) mark(name string, dead bool) {
	if w.wild || !w.visible(name) {
		return
	}
	if !dead {
		w.ask(name)
	} else {
		delete(w.changed, name)
		if w.tellsRemovals() {
			w.gone[name] = struct{}{}
		}
	}
	w.stream.wake()
}

// tellsRemovals is false for the state of the world of types whose messages cannot say that something is gone.
func (w *watch) tellsRemovals() bool { return w.delta || wholeState(w.shelf.url) }

func (w *watch) visible(name string) bool {
	v := w.stream.server.options.Visible
	return v == nil || v(w.stream.node, w.shelf.url, name)
}

// listed tells whether the subscription to everything covers a name: always, where the client asked for it by name too.
func (w *watch) listed(name string) bool {
	if !w.visible(name) {
		return false
	}
	l := w.stream.server.options.Listed
	if l == nil || l(w.stream.node, w.shelf.url, name) {
		return true
	}
	_, named := w.names[name]
	return named
}

// look is the resource of a name, or nil if there is none for this client.
func (w *watch) look(name string) *discovery.Resource {
	e := w.shelf.entries[name]
	if e == nil || e.dead || !w.visible(name) {
		return nil
	}
	return e.resource
}

// hasAdditions tells whether there is something new to tell.
func (w *watch) hasAdditions() bool {
	if w.owes || len(w.changed) > 0 {
		return true
	}
	return w.wild && w.logged(&w.added, false)
}

// hasRemovals tells whether there is a removal to tell.
func (w *watch) hasRemovals() bool {
	if len(w.gone) > 0 {
		return true
	}
	return w.wild && w.tellsRemovals() && w.logged(&w.removed, true)
}

// logged looks for a live or dead entry after a mark; if there is none, the mark moves up, so that it is not looked
// for again.
func (w *watch) logged(mark *uint64, dead bool) bool {
	for e := w.shelf.tail; e != nil && e.seq > *mark; e = e.prev {
		if e.dead == dead && w.listed(e.resource.GetName()) {
			return true
		}
	}
	*mark = w.stream.server.store.seq
	return false
}

// message is the content of one response.
type message struct {
	resources []*discovery.Resource
	removed   []string
	size      int
}

func (m *message) add(r *discovery.Resource) {
	m.resources = append(m.resources, r)
	m.size += len(r.GetResource().GetValue()) + len(r.GetName())
}

// collect takes what is to be told: additions, removals or both. What it returns counts as told.
func (w *watch) collect(additions, removals bool) message {
	var m message
	w.owes = false
	if additions && !(w.takeNames(&m) && w.takeLog(&m)) {
		removals = false // the rest of the additions comes first
	}
	if removals {
		w.takeRemovals(&m)
	}
	if !w.delta && wholeState(w.shelf.url) {
		m.resources, m.removed = w.state(removals), nil
	}
	return m
}

// takeNames takes the changed names, and reports whether that was all of them.
func (w *watch) takeNames(m *message) bool {
	for name := range w.changed {
		if w.delta && m.size >= chunk {
			return false
		}
		delete(w.changed, name)
		if e := w.shelf.entries[name]; w.wild && e != nil && w.listed(name) && (e.dead && e.seq > w.removed || !e.dead && e.seq > w.added) {
			continue // the log holds it too, and a message must not name it twice
		}
		if r := w.look(name); r != nil {
			m.add(r)
		} else if w.delta {
			m.removed = append(m.removed, name) // asked for, and does not exist: say so at once
		}
	}
	return true
}

// takeLog takes what a wildcard has not heard, oldest first, and reports whether that was all.
func (w *watch) takeLog(m *message) bool {
	if !w.wild {
		return true
	}
	for e := w.shelf.after(w.added); e != nil; e = e.next {
		if w.delta && m.size >= chunk {
			return false
		}
		w.added = e.seq
		name := e.resource.GetName()
		version, known := w.known[name]
		if known {
			delete(w.known, name)
		}
		if e.dead || known && version == e.resource.GetVersion() || !w.listed(name) {
			continue
		}
		m.add(e.resource)
	}
	w.added, w.known = w.stream.server.store.seq, nil
	return true
}

func (w *watch) takeRemovals(m *message) {
	for name := range w.gone {
		m.removed = append(m.removed, name)
	}
	clear(w.gone)
	if !w.wild {
		return
	}
	for e := w.shelf.after(w.removed); e != nil; e = e.next {
		if e.dead && w.listed(e.resource.GetName()) {
			m.removed = append(m.removed, e.resource.GetName())
		}
	}
	w.removed = w.stream.server.store.seq
}

// state is everything subscribed, as a state-of-the-world client needs it. While removals have to wait for other types,
// a resource that is gone is still among it.
func (w *watch) state(removals bool) []*discovery.Resource {
	var all []*discovery.Resource
	if w.wild {
		for e := w.shelf.head; e != nil; e = e.next {
			if (!e.dead || !removals && e.seq > w.removed) && w.listed(e.resource.GetName()) {
				all = append(all, e.resource)
			}
		}
		return all
	}
	for name := range w.names {
		e := w.shelf.entries[name]
		_, leaving := w.gone[name]
		if e != nil && (!e.dead || leaving) && w.visible(name) {
			all = append(all, e.resource)
		}
	}
	return all
}

// setWild begins or ends the subscription to everything.
func (w *watch) setWild(wild bool) {
	if w.wild == wild {
		return
	}
	w.wild = wild
	if wild {
		w.shelf.wild[w] = struct{}{}
		w.owes = true // a client with nothing to hear still waits for the first answer
		w.added = 0
		for name := range w.gone {
			w.ask(name)
		}
		// If it had a wildcard before, a message from then may reach the client after this request: removals since are
		// told, so that it is not the last word.
		if w.removed == 0 {
			w.removed = w.stream.server.store.seq
		}
		return
	}
	delete(w.shelf.wild, w)
	w.known = nil
	for name := range w.names { // what the log would have told of them
		switch e := w.shelf.entries[name]; {
		case e == nil:
		case !e.dead && e.seq > w.added:
			w.mark(name, false)
		case e.dead && e.seq > w.removed:
			w.mark(name, true)
		}
	}
}

// join subscribes to a name.
func (w *watch) join(name string) {
	w.names[name] = struct{}{}
	w.shelf.follow(name, w)
}

// ask has a name told, whether or not there is such a resource.
func (w *watch) ask(name string) {
	delete(w.gone, name)
	w.changed[name] = struct{}{}
}

// leave ends the subscription to a name.
func (w *watch) leave(name string) {
	delete(w.names, name)
	delete(w.changed, name)
	delete(w.gone, name)
	w.shelf.unfollow(name, w)
}
