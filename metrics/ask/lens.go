// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/query"
)

// lens sees resources of a kind in the names at one end of a view: those of the kind itself, or pods and Services that stand for them.
type lens struct {
	plan *plan
	name mesh.Name
	kind metrics.Kind
	by   means
	many bool                          // names that are told apart may be one resource
	pods map[metrics.Ref][]metrics.Ref // by pods: whose they are, where the question names the resources
}

type means int

const (
	itself means = iota
	byPods
	byServices
)

// sight is what a name turned out to be.
type sight int

const (
	seen      sight = iota
	nobody          // outside of the mesh
	elsewhere       // known, and of another kind
	unclear         // it may be one or the other
)

// lens finds the best way to see resources of a kind at an end of a view, of those that are allowed.
func (p *plan) lens(v *mesh.View, end mesh.Side, kind metrics.Kind, allowed ...means) *lens {
	for _, by := range allowed {
		l := &lens{plan: p, kind: kind, by: by}
		var ok bool
		switch by {
		case itself:
			l.name, ok = v.Named(end, kind.Name, kind.Workload())
		case byPods:
			if kind.Workload() || kind.Name == "Node" || kind.Name == "Namespace" || kind.Name == "Service" {
				l.name, ok = v.Named(end, "Pod", false)
			}
			l.many = true
		case byServices:
			if kind.Workload() || kind.Name == "Namespace" {
				l.name, ok = v.Named(end, "Service", false)
			}
			l.many = true
		}
		if ok {
			return l
		}
	}
	return nil
}

// means are the ways to see a kind that is asked for, best first. What is made by something else is called after its maker in labels, so that
// its pods tell it better.
func ways(kind metrics.Kind) []means {
	switch kind.Name {
	case "ReplicaSet", "Job", "CronJob":
		return []means{byPods, itself, byServices}
	case "Service":
		return []means{itself}
	}
	return []means{itself, byPods, byServices}
}

// part is a part of the resources of a question, which one query can name.
type part struct {
	where []mesh.Matcher
	of    map[metrics.Ref]bool // nil: all
}

// bytes is how long the names in one query may become: what servers and what stands before them take with ease.
const bytes = 8 << 10

// parts are the conditions for resources, in as many queries as must be.
func (l *lens) parts(refs []metrics.Ref) (out []part) {
	var terms []query.Term
	from, size := 0, 0
	for i := range refs {
		more := l.terms(refs[i : i+1])
		for _, t := range more {
			size += t.Size(l.name)
		}
		if size > bytes && len(terms) > 0 {
			out = append(out, l.part(refs[from:i], terms))
			from, size, terms = i, 0, nil
		}
		terms = append(terms, more...)
	}
	if len(terms) > 0 {
		out = append(out, l.part(refs[from:], terms))
	}
	if len(out) == 1 {
		out[0].of = nil
	}
	return out
}

func (l *lens) part(refs []metrics.Ref, terms []query.Term) part {
	p := part{query.Where(l.name, l.kind.Name, terms), make(map[metrics.Ref]bool, len(refs))}
	for _, r := range refs {
		p.of[r] = true
	}
	return p
}

// terms are the names that stand for resources.
func (l *lens) terms(refs []metrics.Ref) (out []query.Term) {
	switch {
	case l.by == itself && l.kind.Name == "Namespace":
		for _, r := range refs {
			out = append(out, query.Term{Name: r.Name})
		}
	case l.by == itself:
		for _, r := range refs {
			out = append(out, query.Term{Namespace: r.Namespace, Name: r.Name})
		}
	case l.by == byPods:
		if l.pods == nil {
			l.pods = map[metrics.Ref][]metrics.Ref{}
		}
		for _, r := range refs {
			out = append(out, l.podTerms(r)...)
		}
	case l.by == byServices:
		out = l.serviceTerms(refs)
	}
	return out
}

func (l *lens) podTerms(r metrics.Ref) (out []query.Term) {
	if r.Kind == "Namespace" {
		return []query.Term{{Namespace: r.Name, Name: ".+", Expression: true}}
	}
	pattern := query.PodPattern(r)
	if pattern != "" {
		out = append(out, query.Term{Namespace: r.Namespace, Name: pattern, Expression: true})
	}
	for _, pod := range l.plan.source.world.Pods(r) {
		l.pods[pod] = append(l.pods[pod], r)
		if pattern == "" || !query.MadeBy(r, pod.Name) {
			out = append(out, query.Term{Namespace: pod.Namespace, Name: pod.Name})
		}
	}
	return out
}

func (l *lens) serviceTerms(refs []metrics.Ref) (out []query.Term) {
	service, _ := metrics.KindOf("Service")
	var spaces []string
	for _, r := range refs {
		ns := r.Namespace
		if r.Kind == "Namespace" {
			ns = r.Name
		}
		if !slices.Contains(spaces, ns) {
			spaces = append(spaces, ns)
		}
	}
	for _, ns := range spaces {
		for _, s := range l.plan.source.world.List(service, ns) {
			if l.kind.Name == "Namespace" || l.plan.behind(s.Ref, l.kind).state == seen {
				out = append(out, query.Term{Namespace: s.Namespace, Name: s.Name})
			}
		}
	}
	return out
}

// read gives the resources that a sample's labels name.
func (l *lens) read(labels map[string]string) ([]metrics.Ref, sight) {
	all := query.Read(l.name, labels)
	if len(all) == 0 {
		if l.name.Composed == nil && l.name.Namespace != "" && l.name.Namespace != l.name.Name {
			if ns := labels[l.name.Namespace]; ns != "" && !slices.Contains(l.name.Unknown, ns) {
				return nil, elsewhere // it is in the mesh, and of a kind that this label does not name
			}
		}
		return nil, nobody
	}
	n, state := l.choose(all)
	if state != seen {
		return nil, state
	}
	switch l.by {
	case byPods:
		return l.ofPod(metrics.Ref{Kind: "Pod", Namespace: n.Namespace, Name: n.Name})
	case byServices:
		return l.ofService(metrics.Ref{Kind: "Service", Namespace: n.Namespace, Name: n.Name})
	}
	if l.kind.Name == "Namespace" {
		return []metrics.Ref{{Kind: "Namespace", Name: n.Name}}, seen
	}
	r := metrics.Ref{Kind: l.kind.Name, Namespace: n.Namespace, Name: n.Name}
	if l.name.Kind == mesh.Workload && !l.plan.isKind(r, query.Kind(l.name, labels)) {
		return nil, elsewhere
	}
	return []metrics.Ref{r}, seen
}

// choose is the one name that several readings of a label come to, by what there is.
func (l *lens) choose(all []mesh.Named) (mesh.Named, sight) {
	if len(all) == 1 && (all[0].Namespace != "" || l.name.Kind == "Namespace") {
		return all[0], seen
	}
	var fit []mesh.Named
	for _, n := range all {
		switch {
		case n.Namespace == "":
			fit = append(fit, l.plan.called(n.Name)...)
		case l.plan.there(metrics.Ref{Kind: "Service", Namespace: n.Namespace, Name: n.Name}):
			fit = append(fit, n)
		}
	}
	switch len(fit) {
	case 0:
		return mesh.Named{}, elsewhere
	case 1:
		return fit[0], seen
	}
	return mesh.Named{}, unclear
}

func (l *lens) ofPod(pod metrics.Ref) ([]metrics.Ref, sight) {
	if of := l.pods[pod]; len(of) > 0 {
		return of, seen
	}
	if l.kind.Name == "Namespace" {
		return []metrics.Ref{{Kind: "Namespace", Name: pod.Namespace}}, seen
	}
	w := l.plan.source.world
	if r, ok := w.Owner(pod, l.kind); ok {
		return []metrics.Ref{r}, seen
	}
	if _, alive := w.Find(pod); alive {
		return nil, elsewhere
	}
	if r, ok := query.Maker(pod, l.kind); ok && l.plan.there(r) { // it died in the window
		return []metrics.Ref{r}, seen
	}
	return nil, elsewhere
}

func (l *lens) ofService(s metrics.Ref) ([]metrics.Ref, sight) {
	if l.kind.Name == "Namespace" {
		return []metrics.Ref{{Kind: "Namespace", Name: s.Namespace}}, seen
	}
	b := l.plan.behind(s, l.kind)
	if b.state != seen {
		return nil, b.state
	}
	return []metrics.Ref{b.of}, seen
}
