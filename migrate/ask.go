// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// view is a world that is asked much: what was joined once is kept.
type view struct {
	*store.Store
	routes map[model.Name]*model.Route
	access map[model.Identity]*model.Access
}

func look(s *store.Store) *view {
	return &view{s, map[model.Name]*model.Route{}, map[model.Identity]*model.Access{}}
}

func (v *view) route(n model.Name) *model.Route {
	r := v.routes[n]
	if r == nil {
		r, _ = model.JoinRoute(v, n)
		v.routes[n] = r
	}
	return r
}

func (v *view) protects(id model.Identity) *model.Access {
	a := v.access[id]
	if a == nil {
		a, _ = model.JoinAccess(v, id)
		v.access[id] = a
	}
	return a
}

// caller is who calls: an identity with the labels of one of its pods, or an ID of another domain.
type caller struct {
	id     model.Identity
	spiffe string
	pod    map[string]string
}

// shape is all of a request but who calls whom.
type shape struct {
	method, path, host string
	headers            map[string]string
}

// vocabulary is what may be asked of one port of a Service: the callers and the shapes in which its conditions are met, and just not met.
type vocabulary struct {
	service *model.Service
	port    *model.ServicePort
	callers []caller
	shapes  []shape
}

// stranger is an identity that no object names.
var stranger = model.Identity{Namespace: "nowhere", ServiceAccount: "stranger"}

// vocabularies lists what is asked, for every port of every Service that is moved, by both worlds.
func (m *Move) vocabularies(before, after *view) (out []*vocabulary) {
	var services []*model.Service
	for f := range before.Facts {
		if s, ok := f.(*model.Service); ok && m.in(s.Name.Namespace) && !s.Assumed {
			services = append(services, s)
		}
	}
	slices.SortFunc(services, func(a, b *model.Service) int { return a.Name.Compare(b.Name) })
	for _, s := range services {
		for i := range s.Ports {
			v := &vocabulary{service: s, port: &s.Ports[i], callers: []caller{{id: stranger}, {}}, shapes: []shape{{method: "GET", path: "/"}}}
			v.learn(before)
			v.learn(after)
			out = append(out, v)
		}
	}
	return out
}

// learn adds the conditions that a world has for the port: of the splits of its Service, and of the permissions of all that may answer.
func (v *vocabulary) learn(w *view) {
	behind := map[model.Identity]bool{}
	add := func(service model.Name) {
		for _, wl := range w.Selected(service) {
			behind[wl.Identity()] = true
		}
	}
	add(v.service.Name)
	if p := portOf(w.route(v.service.Name), v.port); p != nil {
		for i := range p.Arms {
			for _, m := range p.Arms[i].Matches {
				v.match(m.Match, m.Group.FullPath)
			}
			for _, s := range p.Arms[i].Shares {
				add(s.Service)
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(behind), model.Identity.Compare) {
		for _, g := range w.protects(id).Grants {
			for _, m := range g.HTTP {
				v.match(m.Match, m.Group.FullPath)
			}
			for i := range g.Sources {
				v.source(w, &g.Sources[i])
			}
		}
	}
}

// portOf is the port of a route by its number and protocol; nil where there is none.
func portOf(r *model.Route, p *model.ServicePort) *model.RoutePort {
	for i := range r.Ports {
		if o := &r.Ports[i]; o.Number == p.Number && (o.Protocol == model.UDP) == (p.Protocol == model.UDP) {
			return o
		}
	}
	return nil
}

// source adds the callers that a source names: of pods, each account that runs such.
func (v *vocabulary) source(w *view, s *model.Source) {
	var add []caller
	switch {
	case s.SPIFFE != "":
		add = append(add, caller{spiffe: s.SPIFFE})
	case s.Pods != nil:
		for _, wl := range w.Labelled(s.Namespace, s.Pods) {
			add = append(add, caller{id: wl.Identity(), pod: wl.Labels})
		}
	default:
		c := caller{id: s.Identity}
		for _, wl := range w.Workloads(s.Identity) {
			c.pod = wl.Labels
		}
		add = append(add, c)
	}
	for _, c := range add {
		if !slices.ContainsFunc(v.callers, func(o caller) bool { return o.id == c.id && o.spiffe == c.spiffe && maps.Equal(o.pod, c.pod) }) {
			v.callers = append(v.callers, c)
		}
	}
}

// match adds requests that meet a match, and requests that just do not: each of its conditions in turn, and the boundaries of its path.
func (v *vocabulary) match(m *model.Match, full bool) {
	if m.Never {
		return
	}
	base := shape{method: "GET", path: "/", headers: map[string]string{}}
	paths := []string{"/"}
	if m.Path != "" {
		paths = slices.DeleteFunc(samples(model.PathExpression(m.Path, full)), func(p string) bool { return !strings.HasPrefix(p, "/") })
	}
	if len(paths) == 0 {
		return // no request that can be written meets it
	}
	base.path = paths[0]
	if len(m.Methods) > 0 {
		base.method = m.Methods[0]
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		text := "k"
		if s := samples(h.Value); len(s) > 0 {
			text = s[0]
		}
		if h.Authority() {
			base.host = text
		} else {
			base.headers[h.Name] = text
		}
	}
	v.add(base)
	for _, p := range paths {
		for _, near := range []string{p, p + "x", p + "/x", p[:len(p)-1]} {
			v.add(base.with(func(s *shape) { s.path = near }))
		}
	}
	for _, method := range append(slices.Clone(m.Methods), other(m.Methods)) {
		v.add(base.with(func(s *shape) { s.method = method }))
	}
	v.add(base.with(func(s *shape) { s.host = "" }))
	for _, name := range slices.Sorted(maps.Keys(base.headers)) {
		v.add(base.with(func(s *shape) { delete(s.headers, name) }))
		v.add(base.with(func(s *shape) { s.headers[name] += "x" }))
		v.add(base.with(func(s *shape) { s.headers[name] = "other" }))
	}
}

// other is a method that a list does not have.
func other(methods []string) string {
	for _, m := range []string{"GET", "POST", "DELETE", "PUT", "PATCH"} {
		if !slices.Contains(methods, m) {
			return m
		}
	}
	return "OPTIONS"
}

func (s shape) with(change func(*shape)) shape {
	s.headers = maps.Clone(s.headers)
	change(&s)
	return s
}

func (v *vocabulary) add(s shape) {
	if !strings.HasPrefix(s.path, "/") {
		return
	}
	if !slices.ContainsFunc(v.shapes, func(o shape) bool {
		return o.method == s.method && o.path == s.path && o.host == s.host && maps.Equal(o.headers, s.headers)
	}) {
		v.shapes = append(v.shapes, s)
	}
}

// requests lists every caller in every shape, and the connections that show none.
func (v *vocabulary) requests(yield func(*model.Request) bool) {
	for _, c := range v.callers {
		if v.port.Protocol == model.UDP {
			if !yield(v.request(c, model.LayerDatagram, shape{})) {
				return
			}
			continue
		}
		if v.port.Protocol.CarriesBytes() && !yield(v.request(c, model.LayerStream, shape{})) {
			return
		}
		for _, s := range v.shapes {
			if v.port.Protocol.CarriesHTTP() && !yield(v.request(c, model.LayerHTTP, s)) {
				return
			}
		}
	}
}

func (v *vocabulary) request(c caller, l model.Layer, s shape) *model.Request {
	q := &model.Request{From: c.id, SPIFFE: c.spiffe, Pod: c.pod, Service: v.service.Name, Port: v.port.Number, Layer: l, Method: s.method, Path: s.path, Host: s.host,
		Headers: map[string][]string{}}
	for name, value := range s.headers {
		q.Headers[name] = []string{value}
	}
	return q
}

// random makes up a request of parts of the vocabulary that need not belong together.
func (v *vocabulary) random(r *rand.Rand) *model.Request {
	c := v.callers[r.IntN(len(v.callers))]
	if !v.port.Protocol.CarriesHTTP() {
		return nil // there is nothing to mix
	}
	pick := func() shape { return v.shapes[r.IntN(len(v.shapes))] }
	s := shape{method: pick().method, path: pick().path, host: pick().host, headers: map[string]string{}}
	for range r.IntN(3) {
		h := pick().headers
		for _, name := range slices.Sorted(maps.Keys(h)) {
			s.headers[name] = h[name]
		}
	}
	return v.request(c, model.LayerHTTP, s)
}

// simpler orders requests by how much there is to read in them.
func simpler(a, b *model.Request) int {
	plain := func(q *model.Request) int {
		if q.Method == "GET" || q.Method == "" {
			return 0
		}
		return 1
	}
	who := func(q *model.Request) string { return q.From.String() + q.SPIFFE }
	return cmp.Or(cmp.Compare(len(a.Headers), len(b.Headers)), cmp.Compare(len(a.Host), len(b.Host)), cmp.Compare(len(a.Path), len(b.Path)),
		cmp.Compare(plain(a), plain(b)), strings.Compare(a.Service.String(), b.Service.String()), strings.Compare(who(a), who(b)), strings.Compare(a.Path, b.Path))
}
