// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/anymesh/anymesh/model"
)

// taken is a split as routes have it on one port.
type taken struct {
	entries []entry // none: all
	shares  []model.Backend
}

func (t *taken) key() string {
	var out string
	for _, e := range t.entries {
		out += fmt.Sprint(e.path, e.method, e.header, ";")
	}
	return out
}

// Splits says what the routes that were read make of each root.
func (r *Reader) Splits() {
	for _, n := range slices.SortedFunc(maps.Keys(r.roots), model.Name.Compare) {
		r.root(r.roots[n])
	}
}

// root says the splits of one root where all of its ports agree, as SMI's do.
func (r *Reader) root(t *root) {
	slices.SortStableFunc(t.routes, func(a, b *attached) int {
		return cmp.Or(cmp.Compare(a.o.Created(), b.o.Created()), cmp.Compare(a.o.Name, b.o.Name))
	})
	ports := t.ports(r.in.World.Service(t.name))
	web, bytes := make([][]taken, len(ports)), make([][]taken, len(ports))
	var all, rest []taken
	for i := range ports {
		if p := &ports[i]; p.Protocol.CarriesHTTP() {
			web[i] = r.web(t, p)
			all = merge(all, web[i])
		}
		if p := &ports[i]; p.Protocol.CarriesBytes() || p.Protocol == model.UDP {
			bytes[i] = r.bytes(t, p)
			rest = merge(rest, bytes[i])
		}
	}
	for _, list := range [][]taken{joined(all, rest), apart(all, rest)} {
		agree := true
		for i := range ports {
			w, b := r.on(t, list, &ports[i])
			agree = agree && (!ports[i].Protocol.CarriesHTTP() || slices.EqualFunc(w, web[i], alike)) && (ports[i].Protocol.CarriesHTTP() && ports[i].Protocol != model.Auto || slices.EqualFunc(b, bytes[i], alike))
		}
		if agree {
			r.splits(t, list)
			return
		}
	}
	for _, a := range t.routes {
		r.leave(a.o, "spec", "the ports of "+t.name.String()+" are not all routed alike, as SMI's are: the route is left out")
	}
}

// ports are those of the Service, or those that the routes name where it is not known.
func (t *root) ports(s *model.Service) (out []model.ServicePort) {
	if s != nil && !s.Assumed {
		return s.Ports
	}
	for _, a := range t.routes {
		p := model.ServicePort{Number: a.port, Protocol: map[string]model.Protocol{KindTCP: model.TCP, KindUDP: model.UDP}[a.kind]}
		if !a.all {
			p.Protocol = model.HTTP
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// at are the routes of some kinds on a port.
func (t *root) at(p *model.ServicePort, kind string) (out []*attached) {
	for _, a := range t.routes {
		if a.kind == kind && (a.port == 0 || p.Number == 0 || a.port == p.Number) {
			out = append(out, a)
		}
	}
	return out
}

// web is what happens to requests on a port, in the order in which a mesh asks the matches of all routes together.
func (r *Reader) web(t *root, p *model.ServicePort) (out []taken) {
	routes := t.at(p, KindGRPC)
	for _, a := range t.at(p, KindHTTP) {
		if len(routes) > 0 && routes[0].kind == KindGRPC {
			r.leave(a.o, "spec", "a GRPCRoute has the port, and no HTTPRoute beside it: the route is left out")
			continue
		}
		routes = append(routes, a)
	}
	if len(routes) == 0 {
		return r.bytes(t, p)
	}
	type ranked struct {
		entry
		shares []model.Backend
		self   bool
	}
	var list []ranked
	for _, a := range routes {
		for i := range a.rules {
			shares, ok := r.shares(t, a, &a.rules[i], p)
			for _, e := range a.rules[i].entries {
				if ok {
					list = append(list, ranked{e, shares, t.self(shares)})
				}
			}
		}
		r.mixed(a)
	}
	slices.SortStableFunc(list, func(x, y ranked) int { return slices.Compare(y.rank, x.rank) })
	for _, e := range list {
		if e.bare() {
			if out = gather(out); !e.self {
				out = append(out, taken{nil, e.shares})
			}
			return out
		}
		if n := len(out) - 1; n >= 0 && alikeShares(out[n].shares, e.shares) {
			out[n].entries = append(out[n].entries, e.entry)
			continue
		}
		out = append(out, taken{[]entry{e.entry}, e.shares})
	}
	for _, a := range routes {
		r.leave(a.o, "spec.rules", "a mesh refuses requests that no rule takes; SMI sends them to the root's own endpoints")
	}
	return gather(out)
}

// mixed reports a route in which expressions stand beside prefixes.
func (r *Reader) mixed(a *attached) {
	kinds := map[int]bool{}
	for _, u := range a.rules {
		for _, e := range u.entries {
			if a.kind == KindHTTP {
				kinds[e.rank[0]] = true
			}
		}
	}
	if kinds[1] && kinds[2] {
		r.say(a.o, model.Approximate, "spec.rules", "whether an expression goes before a prefix is left to each mesh: they are read as if it did")
	}
}

// bytes is what happens to connections or datagrams on a port.
func (r *Reader) bytes(t *root, p *model.ServicePort) []taken {
	kind := KindTCP
	if p.Protocol == model.UDP {
		kind = KindUDP
	}
	for _, a := range t.at(p, kind) { // the oldest has the port
		if len(a.rules) == 0 {
			continue
		}
		if shares, ok := r.shares(t, a, &a.rules[0], p); ok && !t.self(shares) {
			return []taken{{nil, shares}}
		}
		return nil
	}
	return nil
}

// shares reads the backends of a rule; false where one of them is nothing that SMI could name.
func (r *Reader) shares(t *root, a *attached, u *rule, p *model.ServicePort) (out []model.Backend, ok bool) {
	if !u.sound {
		return nil, false // reported
	}
	total := int64(0)
	for i, b := range u.refs {
		at := fmt.Sprintf("%s.backendRefs[%d]", u.at, i)
		switch {
		case b.Group != nil && *b.Group != "" && *b.Group != "core" || b.Kind != "" && b.Kind != string(model.KindService) || b.Namespace != "" && b.Namespace != t.name.Namespace:
			r.leave(a.o, at, "SMI shares among the Services of its own namespace, and "+b.Name+" is none: the rule is left out")
			return nil, false
		case p.Number != 0 && b.Port != p.Number:
			r.leave(a.o, at+".port", fmt.Sprintf("SMI keeps the port, and port %d is led to port %d: the rule is left out", p.Number, b.Port))
			return nil, false
		}
		weight := int64(1)
		if b.Weight != nil {
			weight = int64(max(0, *b.Weight))
		}
		total += weight
		out = append(out, model.Backend{Service: b.Name, Weight: weight})
	}
	if total == 0 {
		r.leave(a.o, u.at+".backendRefs", "the requests of this rule are answered without a backend, and SMI has no word for that: the rule is left out")
	}
	return out, total > 0
}

func (t *root) self(shares []model.Backend) bool {
	return len(shares) == 1 && shares[0].Service == t.name.Name
}

// joined are the splits of requests and of the rest where what takes every request takes the rest too.
func joined(web, rest []taken) []taken {
	n := len(web)
	if n == 0 || len(web[n-1].entries) > 0 {
		return apart(web, rest)
	}
	last := web[n-1]
	if len(rest) > 0 && len(rest[0].shares) > len(last.shares) {
		last.shares = rest[0].shares
	}
	return append(slices.Clone(web[:n-1]), last)
}

// apart are the splits of requests and of the rest where nothing takes both: every request is then a match without conditions.
func apart(web, rest []taken) []taken {
	web = slices.Clone(web)
	for i := range web {
		if len(web[i].entries) == 0 {
			web[i].entries = []entry{{}}
		}
	}
	return append(web, rest...)
}

// merge joins what two ports say. A port that some backends lack has fewer of them, or has no such split.
func merge(a, b []taken) []taken {
	out, at := slices.Clone(a), 0
	for _, y := range b {
		k := slices.IndexFunc(out, func(x taken) bool { return x.key() == y.key() })
		if k < 0 {
			out, at = slices.Insert(out, at, y), at+1
			continue
		}
		if at = k + 1; len(y.shares) > len(out[k].shares) {
			out[k].shares = y.shares
		}
	}
	return out
}

// on is what splits that hold for all ports are on one of them: to requests, and to the rest. A backend without the port has no part in it.
func (r *Reader) on(t *root, list []taken, p *model.ServicePort) (web, rest []taken) {
	for _, x := range list {
		x.shares = slices.DeleteFunc(slices.Clone(x.shares), func(b model.Backend) bool {
			s := r.in.World.Service(model.Name{Namespace: t.name.Namespace, Name: b.Service})
			return s != nil && s.Like(p) == nil
		})
		if !slices.ContainsFunc(x.shares, func(b model.Backend) bool { return b.Weight > 0 }) {
			continue
		}
		every := len(x.entries) == 0 || len(x.entries) == 1 && x.entries[0].bare()
		if len(x.entries) == 0 && rest == nil && !t.self(x.shares) {
			rest = []taken{x}
		}
		switch {
		case len(web) > 0 && len(web[len(web)-1].entries) == 0: // none comes here
		case every && t.self(x.shares):
			return web, rest
		case every:
			web = append(web, taken{nil, x.shares})
		default:
			web = append(web, x)
		}
	}
	return web, rest
}

func alike(a, b taken) bool { return a.key() == b.key() && alikeShares(a.shares, b.shares) }

// alikeShares compares ratios, by backend.
func alikeShares(a, b []model.Backend) bool {
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

// splits says splits, numbered where there are several: SMI asks them in the order of their age and then of their names.
func (r *Reader) splits(t *root, list []taken) {
	for i, x := range list {
		n := t.name
		if len(list) > 1 {
			n.Name = fmt.Sprintf("%s-%0*d", n.Name, len(fmt.Sprint(len(list))), i+1)
		}
		s := &model.Split{Name: r.in.Free(model.KindSplit, n), Root: t.name.Name, Backends: x.shares}
		if len(x.entries) > 0 {
			g := group(x.entries)
			g.Name = r.in.Free(model.KindGroup, s.Name)
			s.Groups = []string{g.Name.Name}
			r.in.Add(g)
		}
		r.in.Add(s)
	}
}
