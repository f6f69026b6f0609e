// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/lens"
	"github.com/anymesh/anymesh/metrics/query"
)

// plan is all that one question makes necessary.
type plan struct {
	source   *Source
	question *metrics.Question
	window   time.Duration
	meshes   []*asked
	tasks    []*task
	notes    []string
	finder   *lens.Finder
}

// asked is a mesh in a plan.
type asked struct {
	*served
	views []mesh.View
	of    []metrics.Ref // the resources that it answers for
	far   []metrics.Ref // resources of other meshes: it knows the other side of their edges alone
}

// task is a selection of series to be asked for, with what its samples mean.
type task struct {
	mesh *asked
	query.Selection
	many bool                 // several samples may be one measure: their histograms have to be added up
	far  bool                 // the answer does without it
	of   map[metrics.Ref]bool // the resources that it was asked of; nil: all
	keys func(out []key, labels map[string]string) []key

	labels []label
	named  map[string]int // of labels, by name
}

// key is what a measure is of.
type key struct {
	of       metrics.Ref
	isEdge   bool
	edge     metrics.Edge
	backend  metrics.Backend
	route    metrics.Route
	hasRoute bool
}

// find decides which meshes are asked about which resources, and how their series are called.
func (s *Source) find(ctx context.Context, q *metrics.Question, p *plan) error {
	var foreign []string
	byName := map[string]*asked{}
	for _, m := range s.meshes {
		a := &asked{served: m}
		p.meshes = append(p.meshes, a)
		byName[m.Name] = a
	}
	for _, r := range q.Of {
		home := ""
		if ns := space(r); ns != "" {
			home = s.world.Mesh(ns)
		}
		if home != "" && byName[home] == nil && !slices.Contains(foreign, home) {
			foreign = append(foreign, home)
		}
		for _, m := range p.meshes {
			switch {
			case home == "" || home == m.Name:
				m.of = append(m.of, r)
			case q.Edges:
				m.far = append(m.far, r)
			}
		}
	}
	for _, m := range foreign {
		p.note("nobody said where the metrics of " + m + " are")
	}
	p.meshes = slices.DeleteFunc(p.meshes, func(m *asked) bool { return len(m.of)+len(m.far) == 0 })
	errs := make([]error, len(p.meshes))
	var all sync.WaitGroup
	for i, m := range p.meshes {
		all.Go(func() {
			ctx := ctx
			if len(m.of) == 0 { // the answer does without it, and must not wait for it
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, s.budget/2)
				defer cancel()
			}
			m.views, errs[i] = m.served.views(ctx, s.now())
		})
	}
	all.Wait()
	for i, m := range p.meshes {
		switch {
		case errs[i] == nil:
		case len(m.of) == 0:
			p.note("the side of edges that " + m.Name + " counts is missing: " + errs[i].Error())
		case metrics.IsUnavailable(errs[i]):
			return errs[i]
		default:
			return &metrics.Unavailable{Mesh: m.Name, Err: errs[i]}
		}
	}
	return nil
}

// space is the namespace that a resource is in; a Namespace is in itself.
func space(r metrics.Ref) string {
	if r.Kind == "Namespace" {
		return r.Name
	}
	return r.Namespace
}

func (p *plan) note(n string) {
	if !slices.Contains(p.notes, n) {
		p.notes = append(p.notes, n)
	}
}

// make plans every mesh.
func (p *plan) make() {
	for _, m := range p.meshes {
		before := len(p.tasks)
		switch q := p.question; {
		case len(m.views) == 0:
			if len(m.of) > 0 {
				p.note(m.Name + " has no series of its own: what counts there is the mesh that carries its traffic")
			}
		case q.Kind.Name == "TrafficSplit":
			p.splits(m)
		case q.Routes:
			p.routes(m)
		case q.Edges:
			p.edges(m)
		default:
			p.own(m)
		}
		if len(p.tasks) == before && len(m.views) > 0 && len(m.of) > 0 {
			p.note(p.cannot(m))
		}
	}
}

func (p *plan) cannot(m *asked) string {
	what := p.question.Kind.Plural
	if p.question.Edges {
		what = "the edges of " + what
		if peer := p.peer(); peer.Name != p.question.Kind.Name {
			what += " to " + peer.Plural
		}
	}
	if p.question.Routes {
		return m.Name + " does not tell routes of " + what
	}
	if o := p.others(m); p.question.Edges && len(o) > 0 {
		what += ": ask for the other side of them as " + strings.Join(o, " or ")
	}
	return m.Name + " does not tell " + what
}

// own plans the traffic of the resources themselves.
func (p *plan) own(m *asked) {
	kind := p.question.Kind
	v, l := p.ownView(m.views, kind)
	if v == nil {
		return
	}
	if v.Side == mesh.ClientSide {
		p.note(m.Name + " counts the traffic of " + kind.Plural + " at their callers: callers outside the mesh are not in it")
	}
	if kind.Name == "Service" && l.By == lens.ByPods {
		p.note(m.Name + " knows no Services: what their pods answered is counted, whichever Service it came through")
	}
	for _, part := range l.Parts(m.of) {
		p.add(m, v, part, func(out []key, labels map[string]string) []key { return p.ownKeys(out, l, labels) }, l)
	}
}

// ownView is the view that tells a kind's own traffic: where it is called, or else where it is called from. Pods may stand behind several Services:
// what names the Service is better, whoever counts it.
func (p *plan) ownView(views []mesh.View, kind metrics.Kind) (*mesh.View, *lens.Lens) {
	type try struct {
		side mesh.Side
		by   []lens.Means
	}
	tries := []try{{mesh.ServerSide, lens.Ways(kind)}, {mesh.ClientSide, lens.Ways(kind)}}
	if kind.Name == "Service" {
		byPods := []lens.Means{lens.ByPods}
		tries = append(tries, try{mesh.ServerSide, byPods}, try{mesh.ClientSide, byPods})
	}
	for _, t := range tries {
		for i := range views {
			if v := &views[i]; v.Side == t.side && v.Route == nil {
				if l := p.finder.Lens(v, mesh.ServerSide, kind, t.by...); l != nil {
					return v, l
				}
			}
		}
	}
	return nil, nil
}

func (p *plan) ownKeys(out []key, l *lens.Lens, labels map[string]string) []key {
	refs, _ := l.Read(labels)
	for _, r := range refs {
		out = append(out, key{of: r})
	}
	return out
}

// add plans a selection which is told apart by what lenses see.
func (p *plan) add(m *asked, v *mesh.View, of lens.Part, keys func([]key, map[string]string) []key, by ...*lens.Lens) *task {
	t := &task{mesh: m, Selection: query.Selection{View: v, Where: of.Where}, of: of.Of, keys: keys}
	for _, l := range by {
		for _, label := range query.Labels(l.Name) {
			if !slices.Contains(t.By, label) {
				t.By = append(t.By, label)
			}
		}
		t.many = t.many || l.Many
	}
	p.tasks = append(p.tasks, t)
	return t
}

// routes plans the traffic by entry of a route group.
func (p *plan) routes(m *asked) {
	for i := range m.views {
		v := &m.views[i]
		if v.Route == nil {
			continue
		}
		l := p.finder.Lens(v, mesh.ServerSide, p.question.Kind, lens.Ways(p.question.Kind)...)
		if l == nil {
			continue
		}
		for _, part := range l.Parts(m.of) {
			t := p.add(m, v, part, func(out []key, labels map[string]string) []key {
				values := make([]string, len(v.Route.Labels))
				for i, name := range v.Route.Labels {
					values[i] = labels[name]
				}
				group, match, ok := v.Route.Parse(values)
				if !ok {
					return out
				}
				out = p.ownKeys(out, l, labels)
				for i := range out {
					out[i].route, out[i].hasRoute = metrics.Route{Group: group, Match: match}, true
				}
				return out
			}, l)
			for _, name := range v.Route.Labels {
				if !slices.Contains(t.By, name) {
					t.By = append(t.By, name)
				}
			}
		}
		return
	}
}
