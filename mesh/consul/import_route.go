// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

func (r *reader) router(o *object.Object) {
	var v struct {
		Spec serviceRouter `json:"spec"`
	}
	f := r.decode(o, &v)
	n := nameOf(o)
	r.order = append(r.order, n)
	r.routers[n] = &router{o, f, v.Spec}
	for _, route := range v.Spec.Routes {
		if to := route.Destination.Service; to != "" && to != n.Name {
			r.lead[model.Name{Namespace: n.Namespace, Name: to}] = true
		}
	}
}

func (r *reader) splitter(o *object.Object) {
	var v struct {
		Spec serviceSplitter `json:"spec"`
	}
	f := r.decode(o, &v)
	n := nameOf(o)
	s := &splitter{o: o, ok: len(v.Spec.Splits) > 0 && !f.below("spec.splits")}
	for i, part := range v.Spec.Splits {
		switch {
		case part.ServiceSubset != "":
			r.leave(o, fmt.Sprintf("spec.splits[%d].serviceSubset", i), "SMI shares among Services, and "+part.ServiceSubset+" is a subset of one: the splitter is left out")
			s.ok = false
		case part.Namespace != "" && part.Namespace != n.Namespace:
			r.leave(o, fmt.Sprintf("spec.splits[%d].namespace", i), "SMI shares among Services of one namespace: the splitter is left out")
			s.ok = false
		}
		b := model.Backend{Service: part.Service, Weight: int64(math.Round(float64(part.Weight) * 100))}
		if b.Service == "" {
			b.Service = n.Name
		}
		s.shares = append(s.shares, b)
	}
	reduce(s.shares)
	r.order = append(r.order, n)
	r.splitters[n] = s
}

// reduce makes weights as small as their ratio allows.
func reduce(list []model.Backend) {
	var divisor int64
	for _, b := range list {
		for a, c := divisor, b.Weight; ; a, c = c, a%c {
			if c == 0 {
				divisor = a
				break
			}
		}
	}
	for i := range list {
		list[i].Weight /= max(1, divisor)
	}
}

// resolver reads where all of a service is led elsewhere: as a split with one backend.
func (r *reader) resolver(o *object.Object) {
	var v struct {
		Spec serviceResolver `json:"spec"`
	}
	f := r.decode(o, &v)
	n := nameOf(o)
	if d := v.Spec.Redirect; d != nil && d.Service != "" && len(f) == 0 && r.splitters[n] == nil {
		r.order = append(r.order, n)
		r.splitters[n] = &splitter{o: o, shares: []model.Backend{{Service: d.Service, Weight: 1}}, ok: true}
	}
}

// arm is a split as a router has it.
type arm struct {
	matches []condition // none: every request
	shares  []model.Backend
}

// splits says what was read of each root. A service that no Service stands for and to which a route leads is not one, but what the route splits to.
func (r *reader) splits() {
	done := map[model.Name]bool{}
	for _, n := range r.order {
		if done[n] || r.virtual(n) {
			continue
		}
		done[n] = true
		r.say(n, r.arms(n))
	}
}

func (r *reader) virtual(n model.Name) bool { return r.lead[n] && r.in.World.Service(n) == nil }

// arms lists what happens to the requests of a root, in the order in which Consul asks.
func (r *reader) arms(n model.Name) (out []arm) {
	own := []model.Backend{{Service: n.Name, Weight: 1}}
	rest, ok := own, true
	if s := r.splitters[n]; s != nil {
		rest, ok = r.flat(n, n, s)
	}
	x := r.routers[n]
	if x == nil {
		x = &router{}
	}
	last := ""
	for i := range x.spec.Routes {
		route, at := &x.spec.Routes[i], fmt.Sprintf("spec.routes[%d]", i)
		shares, understood := r.led(x, n, i, rest)
		c, every, can := readMatch(route.Match)
		if x.faults.below("%s", at) || !understood || !can || &rest[0] == &shares[0] && !ok {
			if last = ""; can && !x.faults.below("%s", at) && understood {
				r.leave(x.o, at, "where this leads was not understood: the route is left out, and its requests go where unmatched ones go")
			}
			continue
		}
		if every {
			return append(out, arm{shares: shares})
		}
		if k := key(shares); k == last {
			out[len(out)-1].matches = append(out[len(out)-1].matches, c)
		} else {
			out, last = append(out, arm{[]condition{c}, shares}), k
		}
	}
	if ok && key(rest) != key(own) {
		out = append(out, arm{shares: rest})
	}
	return out
}

// led says where a route leads.
func (r *reader) led(x *router, n model.Name, i int, rest []model.Backend) ([]model.Backend, bool) {
	d, at := &x.spec.Routes[i].Destination, fmt.Sprintf("spec.routes[%d].destination", i)
	to := model.Name{Namespace: n.Namespace, Name: d.Service}
	switch {
	case d.ServiceSubset != "":
		r.leave(x.o, at+".serviceSubset", "SMI shares among Services, and "+d.ServiceSubset+" is a subset of one: the route is left out")
		return nil, false
	case d.Namespace != "" && d.Namespace != n.Namespace:
		r.leave(x.o, at+".namespace", "SMI shares among Services of one namespace: the route is left out")
		return nil, false
	case d.Service == "" || d.Service == n.Name:
		return rest, true
	}
	s := r.splitters[to]
	if s == nil {
		return []model.Backend{{Service: d.Service, Weight: 1}}, true
	}
	if !r.virtual(to) {
		r.leave(x.o, at+".service", "Consul follows the split of "+d.Service+", and SMI does not: the route is left out")
		return nil, false
	}
	return r.flat(n, to, s)
}

// flat are the shares of a splitter, where none of them is split again.
func (r *reader) flat(root, n model.Name, s *splitter) ([]model.Backend, bool) {
	for i, b := range s.shares {
		to := model.Name{Namespace: n.Namespace, Name: b.Service}
		if s.ok && to != n && r.splitters[to] != nil {
			s.ok = false
			r.leave(s.o, fmt.Sprintf("spec.splits[%d].service", i), "Consul follows the split of "+b.Service+", and SMI does not: the splitter is left out")
		}
	}
	if len(s.shares) == 0 {
		return []model.Backend{{Service: root.Name, Weight: 1}}, false
	}
	return s.shares, s.ok
}

func key(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// say makes splits of arms. SMI asks matched splits in the order of their names: they are numbered.
func (r *reader) say(root model.Name, arms []arm) {
	for k, a := range arms {
		n := root
		if len(a.matches) > 0 {
			n.Name = fmt.Sprintf("%s-%02d", n.Name, k+1)
		}
		s := &model.Split{Name: r.in.Free(model.KindSplit, n), Root: root.Name, Backends: a.shares}
		if len(a.matches) > 0 {
			g := group(a.matches)
			g.Name = r.in.Free(model.KindGroup, s.Name)
			s.Groups = []string{g.Name.Name}
			r.in.Add(g)
		}
		r.in.Add(s)
	}
}

// group makes a route group of matches, with expressions that cover the beginning of a path wherever none was written to cover the whole.
func group(list []condition) *model.RouteGroup {
	g := &model.RouteGroup{FullPath: slices.ContainsFunc(list, func(c condition) bool { return c.whole })}
	for i, c := range list {
		m := c.match
		if m.Path = c.begin; g.FullPath {
			m.Path = c.all
		}
		m.Name = fmt.Sprintf("m%d", i)
		g.Matches = append(g.Matches, m)
	}
	return g
}
