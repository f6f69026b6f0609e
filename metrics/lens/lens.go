// SPDX-License-Identifier: Apache-2.0

// Package lens tells which resources the names in a mesh's labels stand for: themselves, or pods and Services of theirs, by what there is.
package lens

import (
	"maps"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/query"
)

// Lens sees resources of a kind in the names at one end of a view: those of the kind itself, or pods and Services that stand for them.
type Lens struct {
	Name mesh.Name
	Kind metrics.Kind
	By   Means
	Many bool // names that are told apart may be one resource

	finder *Finder
	named  []mesh.Named                  // what was read last
	one    []metrics.Ref                 // which is mostly one
	pods   map[metrics.Ref][]metrics.Ref // by pods: whose they are, where the question names the resources
}

// Means is how a lens sees.
type Means int

// The means: by labels of the kind itself, or of pods or Services that stand for it.
const (
	Itself Means = iota
	ByPods
	ByServices
)

// Sight is what a name turned out to be.
type Sight int

// What there is to see.
const (
	Seen      Sight = iota
	Nobody          // outside of the mesh
	Elsewhere       // known, and of another kind
	Unclear         // it may be one or the other
)

// Lens finds the best way to see resources of a kind at an end of a view, of those that are allowed.
func (f *Finder) Lens(v *mesh.View, end mesh.Side, kind metrics.Kind, allowed ...Means) *Lens {
	for _, by := range allowed {
		l := &Lens{Kind: kind, By: by, finder: f}
		var ok bool
		switch by {
		case Itself:
			l.Name, ok = v.Named(end, kind.Name, kind.Workload())
		case ByPods:
			if kind.Workload() || kind.Name == "Node" || kind.Name == "Namespace" || kind.Name == "Service" {
				l.Name, ok = v.Named(end, "Pod", false)
			}
			l.Many = true
		case ByServices:
			if kind.Workload() || kind.Name == "Namespace" {
				l.Name, ok = v.Named(end, "Service", false)
			}
			l.Many = true
		}
		if ok {
			return l
		}
	}
	return nil
}

// Ways are the means to see a kind that is asked for, best first. What is made by something else is called after its maker in labels, so that
// its pods tell it better.
func Ways(kind metrics.Kind) []Means {
	switch kind.Name {
	case "ReplicaSet", "Job", "CronJob":
		return []Means{ByPods, Itself, ByServices}
	case "Service":
		return []Means{Itself}
	}
	return []Means{Itself, ByPods, ByServices}
}

// Part is a part of the resources of a question, which one query can name.
type Part struct {
	Where []mesh.Matcher
	Of    map[metrics.Ref]bool // nil: all
}

// bytes is how long the names in one query may become: what servers and what stands before them take with ease.
const bytes = 8 << 10

// Parts are the conditions for resources, in as many queries as must be.
func (l *Lens) Parts(refs []metrics.Ref) (out []Part) {
	var terms []query.Term
	from, size := 0, 0
	for i := range refs {
		more := l.terms(refs[i : i+1])
		for _, t := range more {
			size += t.Size(l.Name)
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
	if len(out) > many {
		return []Part{l.all(refs)}
	}
	if len(out) == 1 {
		out[0].Of = nil
	}
	return out
}

// many is how many queries resources are named in: for more of them than these hold, all names of their namespaces are asked for, and sorted out here.
const many = 8

func (l *Lens) all(refs []metrics.Ref) Part {
	where := query.Known(l.Name)
	if l.Name.KindLabel != "" {
		where = append(where, mesh.Matcher{Label: l.Name.KindLabel, Op: "=", Value: l.Kind.Name})
	}
	spaces := map[string]bool{}
	for _, r := range refs {
		spaces[r.Namespace] = true
	}
	if l.By == Itself && l.Name.Namespace != "" && len(spaces) <= 100 {
		where = append(where, query.In(l.Name.Namespace, slices.Sorted(maps.Keys(spaces))))
	}
	return Part{Where: where}
}

func (l *Lens) part(refs []metrics.Ref, terms []query.Term) Part {
	p := Part{query.Where(l.Name, l.Kind.Name, terms), make(map[metrics.Ref]bool, len(refs))}
	for _, r := range refs {
		p.Of[r] = true
	}
	return p
}

// terms are the names that stand for resources.
func (l *Lens) terms(refs []metrics.Ref) (out []query.Term) {
	switch {
	case l.By == Itself && l.Kind.Name == "Namespace":
		for _, r := range refs {
			out = append(out, query.Term{Name: r.Name})
		}
	case l.By == Itself:
		for _, r := range refs {
			out = append(out, query.Term{Namespace: r.Namespace, Name: r.Name})
		}
	case l.By == ByPods:
		if l.pods == nil {
			l.pods = map[metrics.Ref][]metrics.Ref{}
		}
		for _, r := range refs {
			out = append(out, l.podTerms(r)...)
		}
	case l.By == ByServices:
		out = l.serviceTerms(refs)
	}
	return out
}

func (l *Lens) podTerms(r metrics.Ref) (out []query.Term) {
	if r.Kind == "Namespace" {
		return []query.Term{{Namespace: r.Name, Name: ".+", Expression: true}}
	}
	pattern := query.PodPattern(r)
	if pattern != "" {
		out = append(out, query.Term{Namespace: r.Namespace, Name: pattern, Expression: true})
	}
	for _, pod := range l.finder.world.Pods(r) {
		l.pods[pod] = append(l.pods[pod], r)
		if pattern == "" || !query.MadeBy(r, pod.Name) {
			out = append(out, query.Term{Namespace: pod.Namespace, Name: pod.Name})
		}
	}
	return out
}

func (l *Lens) serviceTerms(refs []metrics.Ref) (out []query.Term) {
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
		for _, s := range l.finder.world.List(service, ns) {
			if l.Kind.Name == "Namespace" || l.finder.behind(s.Ref, l.Kind).state == Seen {
				out = append(out, query.Term{Namespace: s.Namespace, Name: s.Name})
			}
		}
	}
	return out
}

// Read gives the resources that a sample's labels name. They are good until the next reading.
func (l *Lens) Read(labels map[string]string) ([]metrics.Ref, Sight) {
	l.named = query.Read(l.named[:0], &l.Name, labels)
	if len(l.named) == 0 {
		if l.Name.Composed == nil && l.Name.Namespace != "" && l.Name.Namespace != l.Name.Name {
			if ns := labels[l.Name.Namespace]; ns != "" && !slices.Contains(l.Name.Unknown, ns) {
				return nil, Elsewhere // it is in the mesh, and of a kind that this label does not name
			}
		}
		return nil, Nobody
	}
	n, state := l.choose(l.named)
	if state != Seen {
		return nil, state
	}
	switch l.By {
	case ByPods:
		return l.ofPod(metrics.Ref{Kind: "Pod", Namespace: n.Namespace, Name: n.Name})
	case ByServices:
		return l.ofService(metrics.Ref{Kind: "Service", Namespace: n.Namespace, Name: n.Name})
	}
	if l.Kind.Name == "Namespace" {
		return []metrics.Ref{{Kind: "Namespace", Name: n.Name}}, Seen
	}
	r := metrics.Ref{Kind: l.Kind.Name, Namespace: n.Namespace, Name: n.Name}
	if l.Name.Kind == mesh.Workload && !l.finder.isKind(r, query.Kind(&l.Name, labels)) {
		return nil, Elsewhere
	}
	l.one = append(l.one[:0], r)
	return l.one, Seen
}

// choose is the one name that several readings of a label come to, by what there is.
func (l *Lens) choose(all []mesh.Named) (mesh.Named, Sight) {
	if len(all) == 1 && (all[0].Namespace != "" || l.Name.Kind == "Namespace") {
		return all[0], Seen
	}
	var fit []mesh.Named
	for _, n := range all {
		switch {
		case n.Namespace == "":
			fit = append(fit, l.finder.called(n.Name)...)
		case l.finder.there(metrics.Ref{Kind: "Service", Namespace: n.Namespace, Name: n.Name}):
			fit = append(fit, n)
		}
	}
	switch len(fit) {
	case 0:
		return mesh.Named{}, Elsewhere
	case 1:
		return fit[0], Seen
	}
	return mesh.Named{}, Unclear
}

func (l *Lens) ofPod(pod metrics.Ref) ([]metrics.Ref, Sight) {
	if of := l.pods[pod]; len(of) > 0 {
		return of, Seen
	}
	if l.Kind.Name == "Namespace" {
		return []metrics.Ref{{Kind: "Namespace", Name: pod.Namespace}}, Seen
	}
	w := l.finder.world
	if r, ok := w.Owner(pod, l.Kind); ok {
		return []metrics.Ref{r}, Seen
	}
	if _, alive := w.Find(pod); alive {
		return nil, Elsewhere
	}
	if r, ok := query.Maker(pod, l.Kind); ok && l.finder.there(r) { // it died in the window
		return []metrics.Ref{r}, Seen
	}
	return nil, Elsewhere
}

func (l *Lens) ofService(s metrics.Ref) ([]metrics.Ref, Sight) {
	if l.Kind.Name == "Namespace" {
		return []metrics.Ref{{Kind: "Namespace", Name: s.Namespace}}, Seen
	}
	b := l.finder.behind(s, l.Kind)
	if b.state != Seen {
		return nil, b.state
	}
	return []metrics.Ref{b.of}, Seen
}
