// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
)

// route says the split of a root that takes every request. It holds for all ports; OSM itself leaves a backend out on a port that it lacks.
func route(r *model.Route, o *mesh.Output) {
	var split *model.Split
	var shares []model.Share
	for i := range r.Ports {
		p := &r.Ports[i]
		a := p.Stream()
		if r.Service == nil || p.Protocol == model.UDP || a == nil {
			continue
		}
		split = a.Split
		for _, s := range a.Shares {
			if !slices.ContainsFunc(shares, func(x model.Share) bool { return x.Service == s.Service }) {
				shares = append(shares, s)
			}
		}
	}
	for _, s := range r.Splits {
		if s != split {
			leave(r, s, o)
		}
	}
	if split == nil {
		return
	}
	slices.SortFunc(shares, func(a, b model.Share) int { return a.Index - b.Index })
	out := &model.Split{Name: r.Name, Root: r.Name.Name}
	list, exact := dialect.Weights(shares)
	for i, s := range shares {
		out.Backends = append(out.Backends, model.Backend{Service: s.Service.Name, Weight: list[i]})
		if !exact {
			o.Say(model.Intent{Feature: model.SplitWeight, Object: split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}, model.Approximate,
				fmt.Sprintf("the sum of weights is at most %d: this share is rounded to %d", dialect.Heaviest, list[i]), "")
		}
	}
	o.Add(versions.Object(out))
	for i := range r.Ports {
		unlike(r, &r.Ports[i], split, o)
	}
}

// leave says of a split that it was left out.
func leave(r *model.Route, s *model.Split, o *mesh.Output) {
	for in := range r.Intents {
		if in.Object == s.Ref() && o.Claim(in.Feature).Level != model.Unsupported {
			why := "nothing was written for this split: the root carries only UDP, or is no Service"
			if len(s.Groups) > 0 {
				why = noMatch
			}
			o.Say(in, model.Unsupported, why, "")
		}
	}
}

// unlike says of a port that OSM treats it otherwise than SMI.
func unlike(r *model.Route, p *model.RoutePort, split *model.Split, o *mesh.Output) {
	why := ""
	switch {
	case p.Protocol == model.Auto:
		why = fmt.Sprintf("port %d says nothing of what it carries, and OSM takes it for HTTP: raw TCP is refused", p.Number)
	case p.Protocol != model.UDP && p.Stream() == nil:
		why = fmt.Sprintf("on port %d no backend has a weight: OSM refuses what comes to it, and SMI sends it to the root's own endpoints", p.Number)
	default:
		return
	}
	for in := range r.Intents {
		if in.Object == split.Ref() && in.Feature == model.SplitWeight {
			o.Say(in, model.Approximate, why, "Name the port http-… or tcp-…, or set its appProtocol.")
			return
		}
	}
}
