// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// say makes splits of arms. SMI asks matched splits in the order of their age and then of their names: where there are several, they are
// numbered.
func (i *routeReader) say(all []arm) {
	root := i.root.Name
	for k, a := range all {
		n := model.Name{Namespace: i.root.Namespace, Name: i.vs.Name}
		if len(all) > 1 && len(a.matches) > 0 {
			n.Name = fmt.Sprintf("%s-%02d", i.vs.Name, k+1)
		}
		s := &model.Split{Name: i.name(model.KindSplit, n), Root: root, Backends: a.shares}
		if len(a.matches) > 0 {
			g := routeGroup(a.matches)
			g.Name = i.name(model.KindGroup, s.Name)
			s.Groups = []string{g.Name.Name}
			i.in.Add(g)
		}
		i.in.Add(s)
	}
}

// merge joins what two ports say. A port that some backends lack has fewer of them, or has no such arm.
func merge(a, b []arm) []arm {
	out, at := slices.Clone(a), 0
	for _, y := range b {
		k := at + slices.IndexFunc(out[at:], func(x arm) bool { return slices.EqualFunc(x.matches, y.matches, samePath) })
		if k < at {
			out, at = slices.Insert(out, at, y), at+1
			continue
		}
		if at = k + 1; len(y.shares) > len(out[k].shares) {
			out[k].shares = y.shares
		}
	}
	return out
}

// agrees says whether arms that hold for all ports are what the router says of one of them. A backend without the port has no part in it.
func (i *routeReader) agrees(all []arm, p *model.ServicePort) bool {
	var left []arm
	for _, a := range all {
		shares := slices.DeleteFunc(slices.Clone(a.shares), func(b model.Backend) bool {
			s := i.in.World.Service(model.Name{Namespace: i.root.Namespace, Name: b.Service})
			return s != nil && s.Port(p.Number) == nil
		})
		weighty := slices.ContainsFunc(shares, func(b model.Backend) bool { return b.Weight > 0 })
		if weighty && (len(a.matches) == 0 || p.Protocol.CarriesHTTP()) && !(len(a.matches) == 0 && i.self(shares)) {
			left = append(left, arm{matches: a.matches, shares: shares})
		}
	}
	return slices.EqualFunc(left, i.arms(p), func(a, b arm) bool {
		return slices.EqualFunc(a.matches, b.matches, samePath) && sameShares(a.shares, b.shares)
	})
}

func samePath(a, b path) bool {
	return a.begin == b.begin && a.all == b.all && slices.Equal(a.match.Methods, b.match.Methods) && slices.Equal(a.match.Headers, b.match.Headers)
}

// sameShares compares ratios, by backend.
func sameShares(a, b []model.Backend) bool {
	part := func(list []model.Backend) (map[string]int64, int64) {
		out, total := map[string]int64{}, int64(0)
		for _, s := range list {
			if s.Weight > 0 {
				out[s.Service] += s.Weight
				total += s.Weight
			}
		}
		return out, total
	}
	x, n := part(a)
	y, m := part(b)
	same := len(x) == len(y)
	for k, v := range x {
		w, ok := y[k]
		same = same && ok && v*m == w*n
	}
	return same
}

// routeGroup makes a route group of matches, with expressions that cover the beginning of a path wherever none was written to cover the
// whole.
func routeGroup(list []path) *model.RouteGroup {
	g := &model.RouteGroup{FullPath: slices.ContainsFunc(list, func(p path) bool { return p.whole })}
	for n, p := range list {
		m := p.match
		if m.Path = p.begin; g.FullPath {
			m.Path = p.all
		}
		m.Name = fmt.Sprintf("m%d", n)
		if p.name != "" && !slices.ContainsFunc(g.Matches, func(o model.Match) bool { return o.Name == p.name }) {
			m.Name = strings.ToLower(p.name)
		}
		g.Matches = append(g.Matches, m)
	}
	return g
}
