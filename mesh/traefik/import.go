// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads Traefik Mesh's SMI objects as what it made of them: paths behind the first slash, headers matched anywhere, matches without
// conditions that say nothing beside others.
func importAll(in *mesh.Input) {
	r := reader{in: in, groups: map[model.Name]*model.RouteGroup{}, wrote: map[model.Name][]model.Match{}, broken: map[model.Name][]string{}, streams: map[model.Name]bool{}, used: map[model.Ref]bool{}}
	said := versions.Read(in)
	for _, s := range said {
		switch f := s.Fact.(type) {
		case *model.RouteGroup:
			r.group(s.Object, f)
		case *model.PortRoute:
			r.streams[f.Name] = true
			continue
		}
		r.used[s.Fact.Ref()] = true
	}
	warned := false
	for _, s := range said {
		switch f := s.Fact.(type) {
		case *model.Split:
			r.split(s.Object, f)
		case *model.Permission:
			if !warned {
				warned = true
				in.Findings = append(in.Findings, model.Finding{Mesh: in.Mesh, Level: model.Notice, Code: model.CodeNotUnderstood, Object: in.World.Settings().Ref(), Path: "accessDefault",
					Message: "whether Traefik Mesh controls access (acl: true) stands in no object: it heeds no TrafficTarget where it does not, and closes all of the mesh where it does",
					Hint:    "Run what is imported with --access-default deny, or with allow."})
			}
			r.permission(s.Object, f)
		}
	}
	r.overlaps()
}

// reader makes facts of what Traefik Mesh read.
type reader struct {
	in      *mesh.Input
	groups  map[model.Name]*model.RouteGroup // as SMI has them
	wrote   map[model.Name][]model.Match     // as they were written
	broken  map[model.Name][]string          // matches that Traefik's router refuses
	streams map[model.Name]bool              // TCPRoutes
	used    map[model.Ref]bool
	taken   []taken
}

func (r *reader) leave(l model.Level, o *object.Object, path, message string) {
	r.in.Leave(o, l, model.CodeNotUnderstood, path, message, "")
}

// name is one that no fact of the kind has yet.
func (r *reader) name(k model.Kind, n model.Name) model.Name {
	out := n
	for i := 2; r.used[model.Ref{Kind: k, Name: out}]; i++ {
		out.Name = fmt.Sprintf("%s-%d", n.Name, i)
	}
	r.used[model.Ref{Kind: k, Name: out}] = true
	return out
}

// group reads a route group. One expression that the router refuses takes all rules with it that the group is in.
func (r *reader) group(o *object.Object, f *model.RouteGroup) {
	out := &model.RouteGroup{Name: f.Name}
	for i := range f.Matches {
		m := f.Matches[i]
		at := fmt.Sprintf("spec.matches[%d]", i)
		if m.Path != "" {
			if !routable(m.Path) {
				r.broken[f.Name] = append(r.broken[f.Name], m.Name)
				r.leave(model.Unsupported, o, at+".pathRegex", "Traefik's router refuses this expression (a capture group, braces that do not go in pairs, or nothing at all): no TrafficTarget and no split that takes this match had an effect")
			}
			m.Path = behind(m.Path)
		}
		if dialect.Twice(&f.Matches[i]) {
			r.leave(model.Approximate, o, at+".headers", "Traefik Mesh kept one of two conditions on a header, and SMI has both")
		}
		m.Headers = slices.Clone(m.Headers)
		for k := range m.Headers {
			if m.Headers[k].Authority() {
				m.Never = true
				r.leave(model.Notice, o, at+".headers", "Traefik does not look for the host among the headers: no request matched")
			}
			m.Headers[k].Value = dialect.Anywhere(m.Headers[k].Value)
		}
		out.Matches = append(out.Matches, m)
	}
	r.groups[f.Name], r.wrote[f.Name] = out, f.Matches
	r.in.Add(out)
}

// behind is SMI's expression for a path that Traefik Mesh looked for behind the first slash.
func behind(path string) string {
	rest := strings.TrimPrefix(path, "/")
	if strings.Contains(rest, "|") {
		return "/(?:" + rest + ")"
	}
	return "/" + rest
}

// spoken are the matches of a group that say something. Those without conditions say nothing beside others.
func spoken(list []model.Match) (names []string) {
	for i := range list {
		if !anyRequest(&list[i]) {
			names = append(names, list[i].Name)
		}
	}
	return names
}

// split reads a split.
func (r *reader) split(o *object.Object, f *model.Split) {
	n := model.Name{Namespace: f.Name.Namespace, Name: f.Root}
	root := r.in.World.Service(n)
	if strings.Contains(f.Root, ".") {
		r.leave(model.Unsupported, o, "spec.service", "Traefik Mesh knows a root by the name of its Service alone: the split had no effect")
		return
	}
	for i, b := range f.Backends {
		s := r.in.World.Service(model.Name{Namespace: n.Namespace, Name: b.Service})
		at := fmt.Sprintf("spec.backends[%d].service", i)
		if b.Service == f.Root {
			r.leave(model.Unsupported, o, at, "Traefik Mesh drops a split that names its own root: it had no effect")
			return
		}
		if root != nil && s != nil && slices.ContainsFunc(root.Ports, func(p model.ServicePort) bool { return s.Port(p.Number) == nil }) {
			r.leave(model.Approximate, o, at, "Traefik Mesh drops a backend that lacks a port of the root, on all ports, and SMI on that port")
		}
	}
	out := *f
	out.Groups = nil
	for i, g := range f.Groups {
		x := r.groups[model.Name{Namespace: n.Namespace, Name: g}]
		if x == nil || len(r.broken[x.Name]) > 0 {
			r.leave(model.Unsupported, o, fmt.Sprintf("spec.matches[%d].name", i), "there is no such HTTPRouteGroup, or none that Traefik's router takes: the split had no effect")
			return
		}
		if names := spoken(x.Matches); len(names) > 0 && len(names) < len(x.Matches) {
			x = r.part(x, names)
		}
		out.Groups = append(out.Groups, x.Name.Name)
	}
	if len(f.Groups) > 0 && r.silent(n.Namespace, out.Groups) {
		out.Groups = nil // all of it is split, and SMI's match without conditions says so too; raw TCP is as well
	}
	r.in.Add(&out)
}

// silent says whether no match of groups has a condition.
func (r *reader) silent(ns string, groups []string) bool {
	for _, g := range groups {
		if x := r.groups[model.Name{Namespace: ns, Name: g}]; x == nil || len(spoken(x.Matches)) > 0 {
			return false
		}
	}
	return true
}

// part is a group of some matches of another.
func (r *reader) part(g *model.RouteGroup, names []string) *model.RouteGroup {
	out := &model.RouteGroup{Name: r.name(model.KindGroup, g.Name)}
	for _, m := range g.Matches {
		if slices.Contains(names, m.Name) {
			out.Matches = append(out.Matches, m)
		}
	}
	r.groups[out.Name] = out
	r.in.Add(out)
	return out
}
