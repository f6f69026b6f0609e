// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"strings"
	"time"

	rpc "google.golang.org/genproto/googleapis/rpc/status"
)

// NACK is a client's word that it did not take over what it was told.
type NACK struct {
	Node, Peer string // Peer is a SPIFFE ID, empty without TLS
	TypeURL    string
	Version    string // as in Server.Version
	Message    string // the client's own
	Time       time.Time
}

// NodeStatus is how one stream stands. A node with several streams has one for each.
type NodeStatus struct {
	Node, Peer string // Peer is a SPIFFE ID, empty without TLS
	Delta      bool   // or state of the world
	Since      time.Time
	Types      []TypeStatus // in the order in which they are told
}

// TypeStatus is how far a stream is with one type.
type TypeStatus struct {
	TypeURL   string
	Sent      string // version last told; empty if nothing was
	Acked     string // version last acknowledged
	Pending   bool   // there is something that could not be sent yet
	NACK      *NACK  // the last rejection, nil if it was followed by an acknowledgement
	Resources int    // how many the client may see of those it asked for
}

// progress is what a client was sent and has acknowledged.
type progress struct {
	sent, acked string
	waiting     []sent // not yet answered, oldest first
	nack        *NACK
}

type sent struct{ nonce, version string }

// mostWaiting bounds what is remembered for a client that never answers.
const mostWaiting = 64

// told notes a message that is about to be sent.
func (t *stream) told(url, nonce, version string) {
	t.server.store.mu.RLock() // see store: the stream's own watches
	defer t.server.store.mu.RUnlock()
	w := t.find(url)
	if w == nil {
		return
	}
	p := &w.progress
	p.sent = version
	if len(p.waiting) == mostWaiting {
		p.waiting = slices.Delete(p.waiting, 0, 1)
	}
	p.waiting = append(p.waiting, sent{nonce, version})
}

// answered notes a client's answer to a message.
func (t *stream) answered(url, nonce string, detail *rpc.Status) {
	nack := t.settle(url, nonce, detail)
	if nack == nil {
		return
	}
	t.server.options.Logger.Warn("xds: rejected by client", "node", nack.Node, "type", url, "version", nack.Version, "error", nack.Message)
	if tell := t.server.options.OnNACK; tell != nil {
		tell(*nack)
	}
}

func (t *stream) settle(url, nonce string, detail *rpc.Status) *NACK {
	t.server.store.mu.RLock()
	defer t.server.store.mu.RUnlock()
	w := t.find(url)
	if w == nil || nonce == "" {
		return nil
	}
	p := &w.progress
	i := slices.IndexFunc(p.waiting, func(s sent) bool { return s.nonce == nonce })
	if i < 0 {
		return nil // answered before: a state-of-the-world request repeats the nonce
	}
	version := p.waiting[i].version
	p.waiting = slices.Delete(p.waiting, 0, i+1)
	if detail == nil {
		p.acked, p.nack = version, nil
		return nil
	}
	p.nack = &NACK{Node: t.node.GetId(), Peer: t.peer, TypeURL: url, Version: version, Message: detail.GetMessage(), Time: time.Now()}
	return p.nack
}

// Statuses is how all streams stand, by node.
func (s *Server) Statuses() []NodeStatus {
	s.store.mu.Lock() // not for reading: streams alter their watches under the read lock
	defer s.store.mu.Unlock()
	all := make([]NodeStatus, 0, len(s.streams))
	for t := range s.streams {
		n := NodeStatus{Node: t.node.GetId(), Peer: t.peer, Delta: t.delta, Since: t.since}
		for _, w := range t.watches {
			p := &w.progress
			n.Types = append(n.Types, TypeStatus{
				TypeURL: w.shelf.url, Sent: p.sent, Acked: p.acked, NACK: p.nack,
				Pending: w.hasAdditions() || w.hasRemovals(), Resources: w.count(),
			})
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b NodeStatus) int {
		if c := strings.Compare(a.Node, b.Node); c != 0 {
			return c
		}
		return a.Since.Compare(b.Since)
	})
	return all
}

// count is the number of resources subscribed that exist for this client.
func (w *watch) count() int {
	if o := &w.stream.server.options; w.wild && o.Visible == nil && o.Listed == nil {
		return w.shelf.live
	}
	n := 0
	if w.wild {
		for e := w.shelf.head; e != nil; e = e.next {
			if !e.dead && w.listed(e.resource.GetName()) {
				n++
			}
		}
		return n
	}
	for name := range w.names {
		if w.look(name) != nil {
			n++
		}
	}
	return n
}
