// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// taken is a TrafficTarget as it was read.
type taken struct {
	o       *object.Object
	base    *model.Permission
	ports   []uint16 // of TCPRoutes; none: any
	web     []model.Rule
	matches []model.Match // of the rules
}

// overlaps says of TrafficTargets for one destination what OSM made of them together: it added up the ports of a caller, and apart from them
// the requests; and of two routes that take a request it asked one alone. SMI permits what each says for itself.
func (r *reader) overlaps() {
	for i, b := range r.taken {
		for k, a := range r.taken {
			if i == k || a.base.Destination != b.base.Destination {
				continue
			}
			shared := slices.ContainsFunc(a.base.Sources, func(s model.Subject) bool { return slices.Contains(b.base.Sources, s) })
			if shared && !slices.Equal(a.ports, b.ports) && !slices.EqualFunc(a.web, b.web, sameRule) {
				r.leave(model.Approximate, b.o, "spec.rules", "OSM added up the ports and, apart from them, the requests of this TrafficTarget and "+a.base.Name.String()+" for the callers of both: SMI permits each request on the ports beside it alone")
			}
			others := slices.ContainsFunc(b.base.Sources, func(s model.Subject) bool { return !slices.Contains(a.base.Sources, s) })
			if others && overlap(a.matches, b.matches) {
				r.leave(model.Approximate, b.o, "spec.rules", "requests that "+a.base.Name.String()+" takes too may have been decided by that one alone, which does not name all callers of this: SMI also permits what this one does")
			}
		}
	}
}

func sameRule(a, b model.Rule) bool {
	return a.Name == b.Name && a.All == b.All && slices.Equal(a.Matches, b.Matches)
}

// overlap says whether a request of the second list may be decided by a match of the first that the second does not have too: what both have is
// one route, with the callers of both.
func overlap(a, b []model.Match) bool {
	for i := range a {
		if slices.ContainsFunc(b, func(m model.Match) bool { return sameMatch(&m, &a[i]) }) {
			continue
		}
		for k := range b {
			if !apart(&a[i], &b[k]) {
				return true
			}
		}
	}
	return false
}

func sameMatch(a, b *model.Match) bool {
	return a.Path == b.Path && slices.Equal(a.Methods, b.Methods) && slices.Equal(a.Headers, b.Headers)
}

// take keeps a TrafficTarget for overlaps.
func (t *target) take() {
	x := taken{o: t.o, base: &t.base, ports: model.PortSet(t.ports...).List, web: t.web}
	for _, rule := range t.web {
		g := t.groups[model.Name{Namespace: t.f.Name.Namespace, Name: rule.Name}]
		if g == nil {
			continue
		}
		for _, m := range g.Matches {
			if slices.Contains(rule.Matches, m.Name) {
				x.matches = append(x.matches, m)
			}
		}
	}
	t.taken = append(t.taken, x)
}
