// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/lens"
)

// peer is the kind of the other side.
func (p *plan) peer() metrics.Kind {
	if p.question.Peer.Name == "" {
		return p.question.Kind
	}
	return p.question.Peer
}

// edges plans both directions, each by what either side counts.
func (p *plan) edges(m *asked) {
	for _, side := range []mesh.Side{mesh.ServerSide, mesh.ClientSide} {
		for _, d := range []metrics.Direction{metrics.From, metrics.To} {
			p.side(m, d, side, m.of, false)
		}
	}
	// Of resources of other meshes this one counts what its own callees were asked, and what its own callers asked.
	p.side(m, metrics.To, mesh.ServerSide, m.far, true)
	p.side(m, metrics.From, mesh.ClientSide, m.far, true)
}

// side plans one direction as one side counts it.
func (p *plan) side(m *asked, d metrics.Direction, side mesh.Side, refs []metrics.Ref, far bool) {
	if len(refs) == 0 {
		return
	}
	v, of, to := p.edgeView(m.views, d, side, p.peer())
	if v == nil {
		return
	}
	e := &ends{plan: p, mesh: m.Name, direction: d, side: metrics.Side(side), of: of, peer: to}
	for _, part := range of.Parts(refs) {
		p.add(m, v, part, e.keys, of, to).far = far
	}
	p.lost(m, v, e, refs, far)
}

// edgeView is the first view of a side that tells both ends: the resource's, and the other.
func (p *plan) edgeView(views []mesh.View, d metrics.Direction, side mesh.Side, peer metrics.Kind) (*mesh.View, *lens.Lens, *lens.Lens) {
	ofEnd, peerEnd := mesh.ServerSide, mesh.ClientSide
	if d == metrics.To {
		ofEnd, peerEnd = peerEnd, ofEnd
	}
	for i := range views {
		v := &views[i]
		if v.Side != side || v.Route != nil {
			continue
		}
		of := p.finder.Lens(v, ofEnd, p.question.Kind, lens.Ways(p.question.Kind)...)
		to := p.finder.Lens(v, peerEnd, peer, lens.Ways(peer)...)
		if of != nil && to != nil {
			return v, of, to
		}
	}
	return nil, nil, nil
}

// others are the kinds that the other side of edges is told by, where it is not by the one that was asked for.
func (p *plan) others(m *asked) (out []string) {
	for _, name := range []string{"Deployment", "Service", "Namespace"} {
		k, _ := metrics.KindOf(name)
		for _, side := range []mesh.Side{mesh.ServerSide, mesh.ClientSide} {
			for _, d := range []metrics.Direction{metrics.From, metrics.To} {
				if v, _, _ := p.edgeView(m.views, d, side, k); v != nil && !slices.Contains(out, k.Plural) {
					out = append(out, k.Plural)
				}
			}
		}
	}
	return out
}

// lost plans requests that never arrived: their caller's proxy knows which Service was meant, and no workload that was reached.
func (p *plan) lost(m *asked, v *mesh.View, e *ends, refs []metrics.Ref, far bool) {
	end := e.peer
	if e.direction == metrics.From {
		end = e.of
	}
	if v.Side != mesh.ClientSide || end.By != lens.Itself || !end.Kind.Workload() || len(end.Name.Unknown) == 0 {
		return
	}
	service := p.finder.Lens(v, mesh.ServerSide, end.Kind, lens.ByServices)
	if service == nil {
		return
	}
	lost := *e
	if e.direction == metrics.From {
		lost.of = service
	} else {
		lost.peer = service
	}
	never := mesh.Matcher{Label: end.Name.Name, Op: "=", Value: end.Name.Unknown[0]}
	for _, part := range lost.of.Parts(refs) {
		part.Where = append(part.Where, never)
		p.add(m, v, part, lost.keys, lost.of, lost.peer).far = far
	}
	// what is counted here is not to be counted as calls of nobody
	e.without = &never
}

// ends read both ends of an edge.
type ends struct {
	plan      *plan
	mesh      string
	direction metrics.Direction
	side      metrics.Side
	of, peer  *lens.Lens
	without   *mesh.Matcher
}

func (e *ends) keys(out []key, labels map[string]string) []key {
	if e.without != nil && e.direction == metrics.To && labels[e.without.Label] == e.without.Value {
		return out
	}
	refs, state := e.of.Read(labels)
	if state != lens.Seen {
		return out
	}
	peers, state := e.peer.Read(labels)
	switch state {
	case lens.Nobody:
		peers = []metrics.Ref{{}}
	case lens.Elsewhere, lens.Unclear:
		e.drop(state)
		return out
	}
	for _, r := range refs {
		for _, peer := range peers {
			if e.ours(r, peer) {
				out = append(out, key{of: r, isEdge: true, edge: metrics.Edge{Direction: e.direction, Side: e.side, Peer: peer}})
			}
		}
	}
	return out
}

// ours says whether it is this mesh's proxy that stands at the side which counts.
func (e *ends) ours(of, peer metrics.Ref) bool {
	at := peer
	if (e.direction == metrics.To) == (e.side == metrics.Client) {
		at = of
	}
	ns := space(at)
	if ns == "" || len(e.plan.source.meshes) == 1 {
		return true
	}
	home := e.plan.source.world.Mesh(ns)
	return home == "" || home == e.mesh
}

// drop says what kind of edges is not in the answer.
func (e *ends) drop(why lens.Sight) {
	kind := e.plan.peer()
	if why == lens.Unclear {
		e.plan.later(e.mesh + " names a Service at the other side of some edges, behind which there is more than one of " + kind.Plural + ", or more than one Service has its name: these are left out")
		return
	}
	e.plan.later("edges with other resources than " + kind.Plural + " are left out: ask for the kind of the other side")
}
