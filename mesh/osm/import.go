// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads OSM's SMI objects as what OSM made of them: expressions cover whole paths, a rule without matches grants nothing, ports of
// raw TCP and of requests are permitted apart. What its other objects say is reported; an IngressBackend becomes a permission where it
// names its callers by certificate.
func importAll(in *mesh.Input) {
	r := reader{in: in, routes: map[model.Name]*model.PortRoute{}, groups: map[model.Name]*model.RouteGroup{}, used: map[model.Ref]bool{}}
	said := versions.Read(in)
	for _, s := range said {
		if t, ok := s.Fact.(*model.PortRoute); ok {
			r.routes[t.Name] = t // which of its ports carry what is said anew
			continue
		}
		if g, ok := s.Fact.(*model.RouteGroup); ok {
			r.groups[g.Name] = g
		}
		r.used[s.Fact.Ref()] = true
	}
	for _, s := range said {
		switch f := s.Fact.(type) {
		case *model.Split:
			r.split(s.Object, f)
		case *model.RouteGroup:
			r.group(s.Object, f)
		case *model.Permission:
			r.permission(s.Object, f)
		}
	}
	r.overlaps()
	for _, o := range in.Objects {
		switch g, _, _ := strings.Cut(o.APIVersion, "/"); {
		case g == configs && o.Kind == "MeshConfig":
			r.config(o)
		case g == policies && o.Kind == "IngressBackend":
			r.ingress(o)
		case g == configs || g == policies:
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
}

// reader makes facts of what OSM read.
type reader struct {
	in     *mesh.Input
	routes map[model.Name]*model.PortRoute
	groups map[model.Name]*model.RouteGroup
	used   map[model.Ref]bool
	taken  []taken
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

// split reads a split. OSM looks for the root in the object's own namespace, by the first label of the name.
func (r *reader) split(o *object.Object, f *model.Split) {
	out := *f
	if n, ours := model.ParseServiceName(f.Root, f.Name.Namespace, r.in.World.Settings().ClusterDomain); !ours || n.Namespace != f.Name.Namespace {
		out.Root, _, _ = strings.Cut(f.Root, ".")
		r.leave(model.Notice, o, "spec.service", "OSM reads the first label of "+f.Root+" as a Service of "+f.Name.Namespace)
	}
	r.in.Add(&out)
}

// group reads a route group, whose expressions cover whole paths. Of two conditions on one header OSM keeps one.
func (r *reader) group(o *object.Object, f *model.RouteGroup) {
	out := *f
	out.FullPath = true
	for i := range f.Matches {
		if dialect.Twice(&f.Matches[i]) {
			r.leave(model.Approximate, o, fmt.Sprintf("spec.matches[%d].headers", i), "OSM kept one of two conditions on a header, and SMI has both")
		}
	}
	r.in.Add(&out)
}

// subjects is what a TrafficTarget says of namespaces.
type subjects struct {
	Spec struct {
		Destination struct {
			Namespace string `json:"namespace"`
		} `json:"destination"`
		Sources []struct {
			Namespace string `json:"namespace"`
		} `json:"sources"`
	} `json:"spec"`
}

// permission reads a TrafficTarget as one permission of requests and one of raw TCP.
func (r *reader) permission(o *object.Object, f *model.Permission) {
	var s subjects
	o.DecodeLax(&s)
	if s.Spec.Destination.Namespace == "" {
		r.leave(model.Unsupported, o, "spec.destination.namespace", "OSM refuses a TrafficTarget whose destination names no namespace: it had no effect, and is left out")
		return
	}
	base := model.Permission{Name: f.Name, Destination: f.Destination, Broken: f.Broken}
	for i, src := range f.Sources {
		switch {
		case src.Name == nobody:
		case i < len(s.Spec.Sources) && s.Spec.Sources[i].Namespace == "":
			r.leave(model.Unsupported, o, fmt.Sprintf("spec.sources[%d].namespace", i), "a source without a namespace is nobody to OSM: it is left out")
		default:
			base.Sources = append(base.Sources, src)
		}
	}
	if len(f.Sources) == 0 {
		r.leave(model.Unsupported, o, "spec.sources", "OSM admits everybody where no source is named, and SMI nobody: nobody is admitted")
	}
	t := target{reader: r, o: o, f: f, base: base}
	if !t.rules() {
		r.in.Add(&base)
		return
	}
	t.say()
	t.take()
}

// target is a TrafficTarget while it is read.
type target struct {
	*reader
	o     *object.Object
	f     *model.Permission
	base  model.Permission
	web   []model.Rule // of route groups
	ports []uint16     // of TCPRoutes; none: any
}

// rules reads the rules; false where OSM takes none of them.
func (t *target) rules() bool {
	for i, rule := range t.f.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		switch rule.Kind {
		case model.KindGroup:
			if rule.All || len(rule.Matches) == 0 {
				t.leave(model.Notice, t.o, at+".matches", "to OSM a rule that names no matches grants nothing: it is read so")
				rule.All, rule.Matches = false, []string{}
			}
			t.web = append(t.web, rule)
		case model.KindTCPRoute:
			pr := t.routes[model.Name{Namespace: t.f.Name.Namespace, Name: rule.Name}]
			if pr == nil {
				t.leave(model.Unsupported, t.o, at+".name", "there is no TCPRoute "+rule.Name+": OSM leaves the TrafficTarget out, and nothing is granted")
				return false
			}
			if pr.Ports.Empty() {
				return false // with a fault, which is reported
			}
			t.ports = append(t.ports, pr.Ports.List...)
		default:
			t.leave(model.Unsupported, t.o, at+".kind", "OSM leaves a TrafficTarget out that has a rule of kind "+string(rule.Kind)+": nothing is granted")
			return false
		}
	}
	return len(t.f.Rules) > 0 && !t.f.Broken
}

// carried lists the ports of an account that carry requests, and those that carry raw TCP, as OSM takes them. Known says whether any is.
func (r *reader) carried(id model.Identity) (web, raw []uint16, known bool) {
	for _, w := range r.in.World.Workloads(id) {
		for _, n := range r.in.World.Selecting(w) {
			s := r.in.World.Service(n)
			for i := range s.Ports {
				p := &s.Ports[i]
				switch port := w.TargetPort(p); {
				case port == 0 || p.Protocol == model.UDP:
				case p.Protocol.CarriesHTTP():
					web, known = append(web, port), true
				default:
					raw, known = append(raw, port), true
				}
			}
		}
	}
	return web, raw, known
}

// say says what a TrafficTarget permits: requests where it names route groups, and raw TCP on the ports that carry it.
func (t *target) say() {
	web, raw, known := t.carried(model.Identity{Namespace: t.f.Destination.Namespace, ServiceAccount: t.f.Destination.Name})
	within := func(list []uint16) []uint16 {
		list = model.PortSet(list...).List
		return slices.DeleteFunc(list, func(p uint16) bool { return len(t.ports) > 0 && !slices.Contains(t.ports, p) })
	}
	if !known {
		web = t.ports
		t.in.Leave(t.o, t.unsure(), model.CodeNativeAmbiguous, "spec.rules", "which ports of "+t.f.Destination.Name+" carry raw TCP is not known: what OSM permits there is left out",
			"Add the Services and workloads to the input.")
	}
	said := false
	if len(t.web) > 0 && (len(t.ports) == 0 || len(within(web)) > 0) {
		p := t.base
		p.Rules = slices.Clone(t.web)
		if len(t.ports) > 0 {
			p.Rules = append(p.Rules, t.route(p.Name, within(web)))
		}
		t.in.Add(&p)
		said = true
	}
	if list := within(raw); len(list) > 0 {
		p := t.base
		if said {
			p.Name = t.name(model.KindPermission, model.Name{Namespace: p.Name.Namespace, Name: p.Name.Name + "-tcp"})
		}
		p.Rules = []model.Rule{t.route(p.Name, list)}
		t.in.Add(&p)
		said = true
	}
	if !said {
		t.in.Add(&t.base)
	}
}

// unsure is how much is lost where nothing is known of the ports.
func (t *target) unsure() model.Level {
	if len(t.web) > 0 {
		return model.Approximate
	}
	return model.Unsupported
}

func (r *reader) route(n model.Name, ports []uint16) model.Rule {
	pr := &model.PortRoute{Kind: model.KindTCPRoute, Name: r.name(model.KindTCPRoute, n), Ports: model.PortSet(ports...)}
	r.in.Add(pr)
	return model.Rule{Kind: model.KindTCPRoute, Name: pr.Name.Name, All: true}
}
