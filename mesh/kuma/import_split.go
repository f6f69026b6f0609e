// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"fmt"
	"maps"
	"slices"

	"github.com/anymesh/anymesh/model"
)

// splits says what was read of each root, where all of its ports agree, as they do in SMI.
func (r *reader) splits() {
	for _, x := range r.roots {
		ports := r.ports(x)
		arms := x.joined(ports)
		for i := range ports {
			if !r.agrees(x, arms, &ports[i]) {
				r.leave(x.from, "spec.to", fmt.Sprintf("the ports of %s are not all routed alike, as SMI's are: what is said of it is left out", x.name))
				arms = nil
				break
			}
		}
		r.say(x, arms)
	}
}

// ports are those of a root; where its Service is not in the input, those that routes name.
func (r *reader) ports(x *root) []model.ServicePort {
	if s := r.in.World.Service(x.name); s != nil {
		return slices.DeleteFunc(slices.Clone(s.Ports), func(p model.ServicePort) bool { return p.Protocol == model.UDP })
	}
	var out []model.ServicePort
	for _, n := range slices.Sorted(maps.Keys(x.web)) {
		out = append(out, model.ServicePort{Number: n, Protocol: model.HTTP})
	}
	for _, n := range slices.Sorted(maps.Keys(x.raw)) {
		if _, both := x.web[n]; !both {
			out = append(out, model.ServicePort{Number: n, Protocol: model.TCP})
		}
	}
	return out
}

// at is what routes say of one port: arms for requests, and shares for connections, which requests follow where nothing is said of them.
func (x *root) at(p *model.ServicePort) (web []arm, raw []model.Backend) {
	web, spoken := x.web[p.Number]
	if !spoken {
		web, spoken = x.web[0]
	}
	if raw = x.raw[p.Number]; raw == nil {
		raw = x.raw[0]
	}
	if !spoken && raw != nil {
		web = []arm{{shares: raw}}
	}
	return web, raw
}

// joined are the arms of all ports. What takes every request takes raw TCP too, unless a port says otherwise.
func (x *root) joined(ports []model.ServicePort) (out []arm) {
	var web, raw *arm
	wants := func(a *arm, shares []model.Backend) *arm {
		if a == nil || len(shares) > len(a.shares) {
			return &arm{shares: shares}
		}
		return a
	}
	requests, bytes := false, false
	for i := range ports {
		p := &ports[i]
		list, shares := x.at(p)
		requests = requests || p.Protocol.CarriesHTTP()
		bytes = bytes || p.Protocol.CarriesBytes()
		if p.Protocol.CarriesBytes() && shares != nil {
			raw = wants(raw, shares)
		}
		at := 0
		for _, a := range list {
			k := slices.IndexFunc(out, func(o arm) bool { return key(o.matches) == key(a.matches) })
			switch {
			case !p.Protocol.CarriesHTTP():
			case len(a.matches) == 0:
				web = wants(web, a.shares)
			case k < 0:
				out, at = slices.Insert(out, at, a), at+1
			default:
				if at = k + 1; len(a.shares) > len(out[k].shares) {
					out[k].shares = a.shares
				}
			}
		}
	}
	all := []condition{{}}
	switch {
	case web != nil && raw != nil:
		return append(out, *wants(web, raw.shares))
	case web != nil && !bytes:
		return append(out, *web)
	case web != nil:
		return append(out, arm{all, web.shares})
	case raw != nil && requests:
		return append(out, arm{all, []model.Backend{{Service: x.name.Name, Weight: 1}}}, *raw)
	case raw != nil:
		return append(out, *raw)
	}
	return out
}

// agrees says whether arms that hold for all ports are what is said of one of them. A backend without the port has no part in it.
func (r *reader) agrees(x *root, arms []arm, p *model.ServicePort) bool {
	var left []arm
	for _, a := range arms {
		shares := slices.DeleteFunc(slices.Clone(a.shares), func(b model.Backend) bool {
			s := r.in.World.Service(model.Name{Namespace: x.name.Namespace, Name: b.Service})
			return s != nil && s.Like(p) == nil
		})
		if slices.ContainsFunc(shares, func(b model.Backend) bool { return b.Weight > 0 }) {
			left = append(left, arm{a.matches, shares})
		}
	}
	web, raw := x.at(p)
	same := func(a, b arm) bool { return key(a.matches) == key(b.matches) && sameShares(a.shares, b.shares) }
	if p.Protocol.CarriesHTTP() && !slices.EqualFunc(x.reached(left), x.reached(web), same) {
		return false
	}
	if !p.Protocol.CarriesBytes() {
		return true
	}
	var native []arm
	if raw != nil {
		native = []arm{{shares: raw}}
	}
	left = slices.DeleteFunc(left, func(a arm) bool { return len(a.matches) > 0 })
	return slices.EqualFunc(x.reached(left), x.reached(native), same)
}

// reached are the arms up to one that takes every request, which is none where it is only the root itself.
func (x *root) reached(list []arm) []arm {
	for k, a := range list {
		if len(a.matches) > 0 && key(a.matches) != key([]condition{{}}) {
			continue
		}
		if len(a.shares) == 1 && a.shares[0].Service == x.name.Name {
			return list[:k]
		}
		return append(list[:k:k], arm{shares: a.shares})
	}
	return list
}

// sameShares compares ratios, by backend.
func sameShares(a, b []model.Backend) bool {
	part := func(list []model.Backend) (map[string]int64, int64) {
		out, total := map[string]int64{}, int64(0)
		for _, s := range list {
			out[s.Service] += s.Weight
			total += s.Weight
		}
		maps.DeleteFunc(out, func(_ string, w int64) bool { return w == 0 })
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

// say makes splits of arms. SMI asks matched splits in the order of their names: they are numbered.
func (r *reader) say(x *root, arms []arm) {
	for k, a := range arms {
		if len(a.matches) == 0 && len(a.shares) == 1 && a.shares[0].Service == x.name.Name {
			continue // what SMI does too
		}
		n := x.name
		if len(a.matches) > 0 {
			n.Name = fmt.Sprintf("%s-%02d", n.Name, k+1)
		}
		s := &model.Split{Name: r.in.Free(model.KindSplit, n), Root: x.name.Name, Backends: a.shares}
		if len(a.matches) > 0 {
			g := r.group(a.matches)
			g.Name = r.in.Free(model.KindGroup, s.Name)
			s.Groups = []string{g.Name.Name}
			r.in.Add(g)
		}
		r.in.Add(s)
	}
}

// group makes a route group of matches, with expressions that cover the beginning of a path wherever none was written to cover the whole.
// Matches that differ in their method alone are one.
func (r *reader) group(list []condition) *model.RouteGroup {
	g := &model.RouteGroup{FullPath: slices.ContainsFunc(list, func(c condition) bool { return c.Whole })}
	for _, c := range list {
		m := c.Match
		if m.Path = c.Begin; g.FullPath {
			m.Path = c.All
		}
		if n := len(g.Matches) - 1; n >= 0 && len(m.Methods) > 0 && len(g.Matches[n].Methods) > 0 && g.Matches[n].Path == m.Path && slices.Equal(g.Matches[n].Headers, m.Headers) {
			g.Matches[n].Methods = append(g.Matches[n].Methods, m.Methods...)
			continue
		}
		m.Name = fmt.Sprintf("m%d", len(g.Matches))
		g.Matches = append(g.Matches, m)
	}
	return g
}
