// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// agree says whether arms are what the object says of every port.
func (i *routeReader) agree(all []arm) bool {
	for k := range i.ports {
		if !i.agrees(all, &i.ports[k]) {
			return false
		}
	}
	return true
}

// agrees says whether arms that hold for all ports are what the object says of one of them. A backend without the port has no part in it.
func (i *routeReader) agrees(all []arm, p *model.ServicePort) bool {
	var left []arm
	for _, a := range all {
		shares := slices.DeleteFunc(slices.Clone(a.shares), func(b model.Backend) bool {
			s := i.in.World.Service(model.Name{Namespace: i.named.Namespace, Name: b.Service})
			return s != nil && s.Port(p.Number) == nil
		})
		if slices.ContainsFunc(shares, func(b model.Backend) bool { return b.Weight > 0 }) {
			left = append(left, arm{matches: a.matches, shares: shares})
		}
	}
	same := func(a, b arm) bool {
		return slices.EqualFunc(a.matches, b.matches, samePath) && sameShares(a.shares, b.shares)
	}
	all = slices.DeleteFunc(slices.Clone(left), func(a arm) bool { return len(a.matches) > 0 || i.self(a.shares) })
	return (!p.Protocol.CarriesHTTP() || slices.EqualFunc(i.reached(left), i.reached(i.http(p)), same)) &&
		(!p.Protocol.CarriesBytes() || slices.EqualFunc(all, i.stream(p), same))
}

// reached are the arms up to one that takes every request, which is none where it is only the root itself.
func (i *routeReader) reached(list []arm) []arm {
	for k, a := range list {
		if len(a.matches) > 0 && !slices.EqualFunc(a.matches, []path{{}}, samePath) {
			continue
		}
		if i.self(a.shares) {
			return list[:k]
		}
		a.matches = nil
		return append(list[:k:k], a)
	}
	return list
}

func samePath(a, b path) bool {
	return a.begin == b.begin && a.all == b.all && slices.Equal(a.match.Methods, b.match.Methods) && slices.Equal(a.match.Headers, b.match.Headers)
}

// sameShares compares ratios, by backend.
func sameShares(a, b []model.Backend) bool {
	part := func(list []model.Backend) (map[string]int64, int64) {
		out, total := map[string]int64{}, int64(0)
		for _, s := range list {
			out[s.Service] += s.Weight
			total += s.Weight
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

// say makes splits of arms. SMI asks matched splits in the order of their age and then of their names: where the routes have no names that
// sort so, the splits are numbered.
func (i *routeReader) say(all []arm, root string) {
	var names []string
	for _, a := range all {
		if len(a.matches) > 0 {
			names = append(names, a.name)
		}
	}
	sorted := slices.IsSorted(names) && len(slices.Compact(slices.Clone(names))) == len(names) && !slices.ContainsFunc(names, func(n string) bool { return !label(n) })
	for k, a := range all {
		n := model.Name{Namespace: i.named.Namespace, Name: a.name}
		switch {
		case len(a.matches) > 0 && !sorted && len(names) > 1:
			n.Name = fmt.Sprintf("%s-%02d", i.o.Name, k+1)
		case !label(n.Name):
			n.Name = i.o.Name
		}
		s := &model.Split{Name: i.in.Free(model.KindSplit, n), Root: root, Backends: a.shares}
		if len(a.matches) > 0 {
			g := routeGroup(a.matches)
			g.Name = i.in.Free(model.KindGroup, s.Name)
			s.Groups = []string{g.Name.Name}
			i.in.Add(g)
		}
		i.in.Add(s)
	}
}

// label says whether a name is one that Kubernetes takes.
func label(n string) bool {
	return n != "" && strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && strings.Trim(n, "-.") == n
}

// routeGroup makes a route group of matches, with expressions that cover the beginning of a path wherever none was written to cover the whole.
func routeGroup(list []path) *model.RouteGroup {
	g := &model.RouteGroup{FullPath: slices.ContainsFunc(list, func(p path) bool { return p.whole })}
	for n, p := range list {
		m := p.match
		if m.Path = p.begin; g.FullPath {
			m.Path = p.all
		}
		if m.Name == "" || slices.ContainsFunc(g.Matches, func(o model.Match) bool { return o.Name == m.Name }) {
			m.Name = fmt.Sprintf("m%d", n)
		}
		g.Matches = append(g.Matches, m)
	}
	return g
}

// methodNames lists the methods that a native match takes; false where they are not a list of names.
func methodNames(s *stringMatch) ([]string, bool) {
	if s.Exact != nil {
		return []string{*s.Exact}, *s.Exact != ""
	}
	if s.Prefix != "" || s.Regex == "" {
		return nil, false
	}
	var out []string
	for _, p := range pattern.Value(s.Regex).Alternatives() {
		if p.Class != pattern.Exact {
			return nil, false
		}
		out = append(out, p.Text)
	}
	return out, true
}
