// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
)

// sole is the one resource of a kind that stands behind a Service, if it is one.
type sole struct {
	of    metrics.Ref
	state sight
}

// behind is the workload behind a Service, where all of its pods are of one.
func (p *plan) behind(service metrics.Ref, kind metrics.Kind) sole {
	key := behindKey{service, kind.Name}
	if s, ok := p.owners[key]; ok {
		return s
	}
	s := sole{state: elsewhere}
	for i, pod := range p.source.world.Pods(service) {
		of, ok := p.source.world.Owner(pod, kind)
		switch {
		case i == 0 && ok:
			s = sole{of, seen}
		case i > 0 && (ok != (s.state == seen) || ok && of != s.of):
			s = sole{state: unclear}
		}
		if s.state == unclear {
			break
		}
	}
	p.owners[key] = s
	return s
}

type behindKey struct {
	service metrics.Ref
	kind    string
}

// there says whether a resource is there.
func (p *plan) there(r metrics.Ref) bool {
	_, ok := p.source.world.Find(r)
	return ok
}

// isKind says whether a workload is of the kind that its reference says, where a label may tell it. What is there no more is taken to be, unless
// a workload of another kind has its name.
func (p *plan) isKind(r metrics.Ref, told string) bool {
	if told != "" {
		return told == r.Kind
	}
	if p.there(r) {
		return true
	}
	for _, k := range metrics.Kinds() {
		if k.Workload() && k.Name != r.Kind && p.there(metrics.Ref{Kind: k.Name, Namespace: r.Namespace, Name: r.Name}) {
			return false
		}
	}
	return true
}

// called are the Services of a name, where a label does not tell the namespace.
func (p *plan) called(name string) (out []mesh.Named) {
	if p.services == nil {
		service, _ := metrics.KindOf("Service")
		p.services = map[string][]mesh.Named{}
		for _, s := range p.source.world.List(service, "") {
			p.services[s.Name] = append(p.services[s.Name], mesh.Named{Namespace: s.Namespace, Name: s.Name})
		}
	}
	return p.services[name]
}
