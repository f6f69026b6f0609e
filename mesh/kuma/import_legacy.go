// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/pattern"
)

// trafficRoute reads a route of Kuma 1: what is asked first stands first.
func (r *reader) trafficRoute(o *object.Object) {
	var v struct {
		Mesh string       `json:"mesh"`
		Spec trafficRoute `json:"spec"`
	}
	f := r.decode(o, &v)
	r.report(o, model.Notice, "spec", "Kuma 3.0 has no TrafficRoute, and takes no notice of this one", "Translate what was read here to --to kuma.")
	anybody := func(s selector) bool { return len(s.Match) == 0 || len(s.Match) == 1 && s.Match[tagService] == "*" }
	if f.below("spec.sources") || !slices.ContainsFunc(v.Spec.Sources, anybody) {
		r.leave(o, "spec.sources", "SMI splits for every client, and not for those of some tags: the object is left out")
		return
	}
	for k, d := range v.Spec.Destinations {
		if anybody(d) && len(v.Spec.Conf.HTTP)+len(v.Spec.Conf.Split) == 0 && v.Spec.Conf.Destination[tagService] == "*" {
			continue // to where it asked to go, as in SMI
		}
		n, port, ok := r.service(d.Match[tagService])
		if !ok || len(d.Match) > 1 {
			r.leave(o, fmt.Sprintf("spec.destinations[%d]", k), "SMI splits one Service, and this is none that it could name: what is said of it is left out")
			continue
		}
		r.conf(o, f, &v.Spec.Conf, n, port)
	}
}

// sizes: a part of an object, with the object, what is wrong in it and what it speaks of
func (r *reader) conf(o *object.Object, f faults, c *routeConf, n model.Name, port uint16) {
	x := r.root(n, o)
	if _, twice := x.web[port]; twice {
		r.leave(o, "spec.destinations", "another route speaks of "+n.String()+", and the younger or more particular one counts: this one is left out")
		return
	}
	var arms []arm
	for i := range c.HTTP {
		h, at := &c.HTTP[i], fmt.Sprintf("spec.conf.http[%d]", i)
		shares, ok := r.receivers(o, at, h.Split, h.Destination, n)
		cond, understood := h.Match.read()
		if f.below("%s", at) || !ok || !understood {
			r.leave(o, at, "this is a rule that SMI cannot say: it is left out, and its requests go where unmatched ones go")
			continue
		}
		arms = append(arms, arm{[]condition{cond}, shares})
	}
	shares, ok := r.receivers(o, "spec.conf", c.Split, c.Destination, n)
	if !ok {
		return // reported
	}
	x.web[port] = append(arms, arm{shares: shares})
	if len(shares) != 1 || shares[0].Service != n.Name {
		x.raw[port] = shares
	}
}

// receivers reads where a rule sends: to several, or to one.
//
// sizes: a part of an object, with the object, the place and what it speaks of
func (r *reader) receivers(o *object.Object, at string, split []splitConf, to map[string]string, root model.Name) ([]model.Backend, bool) {
	if len(split) == 0 {
		split = []splitConf{{1, to}}
	}
	var out []model.Backend
	for _, s := range split {
		n, ok := r.tagged(s.Destination)
		if s.Destination[tagService] == "*" {
			n, ok = root, len(s.Destination) == 1
		}
		if !ok || n.Namespace != root.Namespace {
			r.leave(o, at, "SMI shares among Services beside "+root.String()+", and none leads to the pods with "+tags(s.Destination)+": it is left out; make a Service that selects them")
			return nil, false
		}
		out = append(out, model.Backend{Service: n.Name, Weight: max(0, s.Weight)})
	}
	return out, true
}

func tags(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

// read reads a match of Kuma 1; false where SMI cannot say it.
func (m *matchConf) read() (c condition, ok bool) {
	if t := m.Path; t != nil {
		switch {
		case t.Exact != nil:
			c.path(&pathMatch{pathExact, *t.Exact})
		case t.Prefix != "": // of the text, and not of its segments
			c.expression("(?:" + regexp.QuoteMeta(t.Prefix) + ").*")
		default:
			c.expression(t.Regex)
		}
	}
	if t := m.Method; t != nil {
		for _, p := range pattern.Value(t.expression()).Alternatives() {
			if p.Class != pattern.Exact || p.Text == "" {
				return c, false
			}
			c.Match.Methods = append(c.Match.Methods, p.Text)
		}
	}
	for _, h := range slices.Sorted(maps.Keys(m.Headers)) {
		t := m.Headers[h]
		c.Match.Headers = append(c.Match.Headers, model.Header{Name: strings.ToLower(h), Value: t.expression()})
	}
	return c, true
}

// expression is what covers the same whole texts.
func (t *text) expression() string {
	switch {
	case t.Exact != nil:
		return regexp.QuoteMeta(*t.Exact)
	case t.Prefix != "":
		return regexp.QuoteMeta(t.Prefix) + ".*"
	}
	return t.Regex
}
