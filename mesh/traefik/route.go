// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
)

// route says the splits of a root. A split of Traefik Mesh holds on all ports of its root, all of which every backend must have, and takes
// HTTP; of several that take a request the one with the longest rule decides.
func route(r *model.Route, o *mesh.Output) {
	w := routeWriter{r: r, o: o, carried: map[model.Intent]bool{}}
	for _, s := range r.Splits {
		w.split(s)
	}
	for _, l := range w.left {
		w.leave(l.split, l.why)
	}
	for i := range w.said {
		for k := range i {
			if a, b := &w.said[k], &w.said[i]; length(a.matches) <= length(b.matches) && !disjoint(a.matches, b.matches) {
				o.Say(model.Intent{Feature: model.SplitMatch, Object: a.split.Ref(), Path: "spec.matches"}, model.Approximate,
					"the longest of Traefik's rules is asked first: requests that "+b.split.Name.Name+" matches too may be split by that", "Let the matches of a root's splits have nothing in common.")
			}
		}
	}
}

type routeWriter struct {
	r    *model.Route
	o    *mesh.Output
	said []saidSplit
	left []leftSplit
	full bool // a split takes every request: none after it is asked

	carried map[model.Intent]bool // wishes of route groups that some split carries
}

type leftSplit struct {
	split *model.Split
	why   string
}

type saidSplit struct {
	split   *model.Split
	matches []model.Match
}

// split says one split, or why it is left out.
func (w *routeWriter) split(s *model.Split) {
	arms := w.arms(s)
	if len(arms) == 0 {
		w.out(s, "nothing was written for this split: its root is no Service that carries requests, or no backend has a weight")
		return
	}
	a := arms[0]
	for _, x := range arms {
		if len(x.Shares) != len(s.Backends) && len(x.Shares) != distinct(s) || len(x.Shares) != len(a.Shares) {
			w.out(s, "every backend has to have all ports of the root: otherwise Traefik Mesh drops the backend, or the split")
			return
		}
	}
	if slices.ContainsFunc(a.Shares, func(x model.Share) bool { return x.Service == w.r.Name }) {
		w.out(s, w.o.Claim(model.SplitSelf).Note)
		return
	}
	if w.full {
		w.out(s, "nothing was written for this split: one before it takes every request")
		return
	}
	matches, ok := w.matches(a)
	if !ok {
		w.out(s, "nothing was written for this split: none of its matches can be said")
		return
	}
	w.full = len(matches) == 0
	w.write(a, matches)
}

// distinct is how many backends a split names, each once.
func distinct(s *model.Split) int {
	seen := map[string]bool{}
	for _, b := range s.Backends {
		seen[b.Service] = true
	}
	return len(seen)
}

// arms are those of a split, one for each port of its root; none where a port has none, or the root carries no requests.
func (w *routeWriter) arms(s *model.Split) (out []*model.Arm) {
	if w.r.Service == nil {
		return nil
	}
	for i := range w.r.Ports {
		p := &w.r.Ports[i]
		if !p.Protocol.CarriesHTTP() {
			return nil // one Service is of one kind of traffic
		}
		k := slices.IndexFunc(p.Arms, func(a model.Arm) bool { return a.Split == s })
		if k < 0 {
			return nil
		}
		out = append(out, &p.Arms[k])
	}
	return out
}

// matches are those of an arm; none where it takes every request, and not ok where it takes none that can be said.
func (w *routeWriter) matches(a *model.Arm) (out []model.Match, ok bool) {
	if a.Any {
		return nil, true
	}
	for i := range a.Matches {
		m := &a.Matches[i]
		x, why := written(m.Match, m.Group.FullPath)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
			continue
		}
		for in := range m.Intents {
			w.carried[in] = true
		}
		if anyRequest(&x) { // which would say nothing beside others
			x.Path = "/.*"
		}
		x.Name = fmt.Sprintf("m%d", len(out))
		out = append(out, x)
	}
	return out, len(out) > 0
}

func (w *routeWriter) write(a *model.Arm, matches []model.Match) {
	n := model.Name{Namespace: w.r.Name.Namespace, Name: fmt.Sprintf("%s.%d", w.r.Name.Name, len(w.said)+1)}
	out := &model.Split{Name: n, Root: w.r.Name.Name}
	list, exact := dialect.Weights(a.Shares)
	for i, s := range a.Shares {
		out.Backends = append(out.Backends, model.Backend{Service: s.Service.Name, Weight: list[i]})
		if !exact {
			w.o.Say(model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}, model.Approximate,
				fmt.Sprintf("the sum of weights is at most %d: this share is rounded to %d", dialect.Heaviest, list[i]), "")
		}
	}
	if len(matches) > 0 {
		out.Groups = []string{n.Name}
		w.o.Add(versions.Object(&model.RouteGroup{Name: n, Matches: matches}))
	}
	w.o.Add(versions.Object(out))
	w.said = append(w.said, saidSplit{a.Split, matches})
}

// out takes note of a split that is left out.
func (w *routeWriter) out(s *model.Split, why string) { w.left = append(w.left, leftSplit{s, why}) }

// leave says of a split that it was left out, with all that it asks.
func (w *routeWriter) leave(s *model.Split, why string) {
	groups := map[model.Ref]bool{s.Ref(): true}
	for _, g := range s.Groups {
		groups[model.Ref{Kind: model.KindGroup, Name: model.Name{Namespace: s.Name.Namespace, Name: g}}] = true
	}
	for in := range w.r.Intents {
		if groups[in.Object] && !w.carried[in] && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, why, "")
		}
	}
}

func disjoint(a, b []model.Match) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	for i := range a {
		for k := range b {
			if !apart(&a[i], &b[k]) {
				return false
			}
		}
	}
	return true
}
