// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"regexp"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/lens"
	"github.com/anymesh/anymesh/metrics/query"
)

// arm is one backend of one split.
type arm struct {
	split metrics.Ref
	metrics.Backend
}

// arms are the backends of splits.
func (p *plan) arms(refs []metrics.Ref) (out []arm) {
	for _, r := range refs {
		s, ok := p.source.world.Split(r)
		if !ok {
			continue
		}
		for _, b := range s.Backends {
			b.Apex = s.Apex
			out = append(out, arm{r, b})
		}
	}
	return out
}

func (a *arm) root() metrics.Ref {
	return metrics.Ref{Kind: "Service", Namespace: a.split.Namespace, Name: a.Apex}
}

func (a *arm) service() metrics.Ref {
	return metrics.Ref{Kind: "Service", Namespace: a.split.Namespace, Name: a.Name}
}

func (a *arm) key(side mesh.Side, peer metrics.Ref) key {
	return key{of: a.split, isEdge: true, edge: metrics.Edge{Direction: metrics.From, Side: metrics.Side(side), Peer: peer}, backend: a.Backend}
}

// splits plans the backends of TrafficSplits: by root and backend where a mesh tells both, or else by backend.
func (p *plan) splits(m *asked) {
	all := p.arms(m.of)
	for len(all) > 0 { // each query names so many that it stays short
		n := min(len(all), 64)
		p.backends(m, all[:n])
		all = all[n:]
	}
}

func (p *plan) backends(m *asked, all []arm) {
	for i := range m.views {
		if v := &m.views[i]; v.Root != nil && p.byRoot(m, v, all) {
			return
		}
	}
	for i := range m.views {
		if v := &m.views[i]; v.Splits != nil {
			p.byLabel(m, v, all)
			return
		}
	}
	for _, t := range []struct {
		side mesh.Side
		by   lens.Means
	}{{mesh.ClientSide, lens.Itself}, {mesh.ServerSide, lens.Itself}, {mesh.ServerSide, lens.ByPods}, {mesh.ClientSide, lens.ByPods}} {
		for i := range m.views {
			if v := &m.views[i]; v.Side == t.side && p.byBackend(m, v, all, t.by) {
				return
			}
		}
	}
}

var service, _ = metrics.KindOf("Service")

// byRoot plans a view that tells the Service that was called from the one that was chosen.
func (p *plan) byRoot(m *asked, v *mesh.View, all []arm) bool {
	backend := p.finder.Lens(v, mesh.ServerSide, service, lens.Itself)
	peer, ok := p.callers(v)
	if backend == nil || !ok {
		return false
	}
	root := p.finder.Named(*v.Root, service)
	byBoth := map[[2]metrics.Ref][]*arm{}
	var terms []query.Term
	for i := range all {
		a := &all[i]
		k := [2]metrics.Ref{a.root(), a.service()}
		byBoth[k] = append(byBoth[k], a)
		terms = append(terms, query.Term{Namespace: a.split.Namespace, Name: a.Apex})
	}
	keys := func(out []key, labels map[string]string) []key {
		roots, _ := root.Read(labels)
		backends, _ := backend.Read(labels)
		if len(roots) == 1 && len(backends) == 1 {
			return append(out, p.armKeys(byBoth[[2]metrics.Ref{roots[0], backends[0]}], v.Side, peer, labels)...)
		}
		return out
	}
	lenses := []*lens.Lens{root, backend}
	if peer != nil {
		lenses = append(lenses, peer)
	}
	p.add(m, v, lens.Part{Where: query.Where(root.Name, "Service", terms)}, keys, lenses...)
	return true
}

// callers sees the other side of a split's edges, where a kind of it is asked for.
func (p *plan) callers(v *mesh.View) (*lens.Lens, bool) {
	kind := p.question.Peer
	if !p.question.Edges || kind.Name == "" || kind.Name == "TrafficSplit" {
		return nil, true
	}
	l := p.finder.Lens(v, mesh.ClientSide, kind, lens.Ways(kind)...)
	return l, l != nil
}

func (p *plan) armKeys(arms []*arm, side mesh.Side, peer *lens.Lens, labels map[string]string) (out []key) {
	peers := []metrics.Ref{{}}
	if peer != nil {
		got, state := peer.Read(labels)
		switch state {
		case lens.Seen:
			peers = got
		case lens.Elsewhere, lens.Unclear:
			return nil
		}
	}
	for _, a := range arms {
		for _, r := range peers {
			out = append(out, a.key(side, r))
		}
	}
	return out
}

// byLabel plans a view in which one label names split and backend together.
func (p *plan) byLabel(m *asked, v *mesh.View, all []arm) {
	type named struct {
		*arm
		re *regexp.Regexp
	}
	var names []named
	text := ""
	for i := range all {
		a := &all[i]
		e := v.Splits.Build(a.split.Namespace, a.split.Name, a.Apex, a.Name)
		names = append(names, named{a, regexp.MustCompile("^(?:" + e + ")$")})
		if i > 0 {
			text += "|"
		}
		text += e
	}
	t := p.add(m, v, lens.Part{Where: []mesh.Matcher{{Label: v.Splits.Label, Op: "=~", Value: text}}}, func(out []key, labels map[string]string) []key {
		for _, n := range names {
			if n.re.MatchString(labels[v.Splits.Label]) {
				out = append(out, n.key(mesh.ClientSide, metrics.Ref{}))
			}
		}
		return out
	})
	t.By, t.many = []string{v.Splits.Label}, true
}

// byBackend plans a view that tells only which Service was chosen.
func (p *plan) byBackend(m *asked, v *mesh.View, all []arm, by lens.Means) bool {
	backend := p.finder.Lens(v, mesh.ServerSide, service, by)
	peer, ok := p.callers(v)
	if backend == nil || !ok || v.Route != nil {
		return false
	}
	byService := map[metrics.Ref][]*arm{}
	var refs []metrics.Ref
	for i := range all {
		s := all[i].service()
		if byService[s] == nil {
			refs = append(refs, s)
		}
		byService[s] = append(byService[s], &all[i])
	}
	lenses := []*lens.Lens{backend}
	if peer != nil {
		lenses = append(lenses, peer)
	}
	for _, part := range backend.Parts(refs) {
		mine := part.Of
		part.Of = nil // it names Services, and not splits
		p.add(m, v, part, func(out []key, labels map[string]string) []key {
			services, _ := backend.Read(labels)
			for _, s := range services {
				if mine != nil && !mine[s] {
					continue
				}
				out = append(out, p.armKeys(byService[s], v.Side, peer, labels)...)
			}
			return out
		}, lenses...)
	}
	p.note(m.Name + " does not tell through which root a backend was reached: calls of a backend by its own name, and through other splits, are counted with those of the split")
	return true
}
