// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// profile reads a ServiceProfile, as linkerd-smi wrote them: its overrides are a split, and its routes name sets of requests.
func (r *reader) profile(o *object.Object) {
	var v written[serviceProfile]
	f := r.decode(o, &v)
	root, ok := model.ParseServiceName(strings.TrimSuffix(o.Name, "."), o.Namespace, r.in.World.Settings().ClusterDomain)
	if !ok || root.Namespace != o.Namespace {
		r.leave(o, "metadata.name", "SMI splits for every client of a Service beside the profile, and this is none: it is left out")
		return
	}
	if len(v.Spec.Routes)+len(v.Spec.DstOverrides) > 0 {
		r.root(root).profile = o
	}
	if s, ok := r.overrides(o, f, root, v.Spec.DstOverrides); ok {
		r.in.Add(s)
		r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec.dstOverrides", "the profile overrides all routes of its Service, also those that its split may become",
			"Delete it in the step that applies them.")
	}
	if len(v.Spec.Routes) > 0 {
		r.profileRoutes(o, f, root, v.Spec.Routes)
	}
}

// overrides reads the split of a profile. Weights are quantities, which are made whole together.
func (r *reader) overrides(o *object.Object, f faults, root model.Name, list []override) (*model.Split, bool) {
	if len(list) == 0 || f.below("spec.dstOverrides") {
		return nil, false // the faults are reported
	}
	s := &model.Split{Name: model.Name{Namespace: root.Namespace, Name: root.Name}, Root: root.Name}
	whole := true
	for i, d := range list {
		host, port, named := strings.Cut(d.Authority, ":")
		n, ours := model.ParseServiceName(strings.TrimSuffix(host, "."), root.Namespace, r.in.World.Settings().ClusterDomain)
		at := fmt.Sprintf("spec.dstOverrides[%d].authority", i)
		if !ours || n.Namespace != root.Namespace {
			r.leave(o, at, d.Authority+" is no Service beside "+root.String()+": the overrides are left out")
			return nil, false
		}
		if own := r.in.World.Service(root); named && (own == nil || len(own.Ports) != 1 || fmt.Sprint(own.Ports[0].Number) != port) {
			r.leave(o, at, "SMI keeps the port, and "+d.Authority+" names one for all: the overrides are left out")
			return nil, false
		}
		whole = whole && d.Weight.N%1000 == 0
		s.Backends = append(s.Backends, model.Backend{Service: n.Name, Weight: d.Weight.N})
	}
	for i := range s.Backends {
		if b := &s.Backends[i]; whole {
			b.Weight /= 1000
		}
	}
	s.Name = r.free(model.KindSplit, s.Name)
	return s, true
}

// profileRoutes reads the routes of a profile as a route group, which splits and permissions may name. Linkerd has them cover the whole path.
func (r *reader) profileRoutes(o *object.Object, f faults, root model.Name, list []profileRoute) {
	g := &model.RouteGroup{Name: r.free(model.KindGroup, root), FullPath: true}
	for i, p := range list {
		if f.below("spec.routes[%d].condition", i) {
			continue // reported
		}
		m := model.Match{Name: p.Name, Path: p.Condition.PathRegex}
		if m.Path != "" {
			if forked(m.Path) {
				r.leave(o, fmt.Sprintf("spec.routes[%d].condition.pathRegex", i), "Linkerd ties the beginning and the end of a path to the first and the last of these alternatives: the route is left out")
				continue
			}
		}
		if p.Condition.Method != "" {
			m.Methods = []string{p.Condition.Method}
		}
		g.Matches = append(g.Matches, m)
	}
	if len(g.Matches) > 0 {
		r.in.Add(g)
	}
}

// forked says whether an expression has alternatives that no parenthesis holds together, or is none.
func forked(expression string) bool {
	depth, class := 0, false
	for i := 0; i < len(expression); i++ {
		switch c := expression[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return true
		}
	}
	_, err := regexp.Compile(expression)
	return err != nil
}
