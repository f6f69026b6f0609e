// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what App Mesh is told as SMI. VirtualServices with their routers become splits. Who may call whom is read from the
// certificates that listeners ask for, and, where they ask for none, from the backends that clients are held to.
func importAll(in *mesh.Input) {
	r := reader{in: in, used: map[model.Ref]bool{}, told: map[told]bool{},
		nodes: map[model.Name]*node{}, routers: map[model.Name]*router{}, services: map[model.Name]*service{}, groups: map[model.Name]*backendGroup{}}
	for _, o := range in.Objects {
		if g, _, _ := strings.Cut(o.APIVersion, "/"); g == group {
			r.object(o)
		}
	}
	for _, s := range r.sorted {
		r.route(s)
	}
	r.enter()
	r.permissions()
}

// reader makes facts of native objects.
type reader struct {
	in       *mesh.Input
	used     map[model.Ref]bool
	told     map[told]bool
	nodes    map[model.Name]*node
	routers  map[model.Name]*router
	services map[model.Name]*service
	groups   map[model.Name]*backendGroup
	sorted   []*service // in the order of the input
	order    []*node    // likewise
	gateways []*node    // that call from outside
	routes   []*object.Object
	free     bool // the mesh lets clients call what they like
}

type node struct {
	o      *object.Object
	spec   virtualNode
	faults faults
	pods   []*model.Workload
}

type router struct {
	o      *object.Object
	spec   virtualRouter
	faults faults
}

type service struct {
	o    *object.Object
	spec virtualService
}

func named(o *object.Object) model.Name { return model.Name{Namespace: o.Namespace, Name: o.Name} }

// of is the name that a reference leads to.
func (f *reference) of(o *object.Object) model.Name {
	return model.Name{Namespace: cmp.Or(f.Namespace, o.Namespace), Name: f.Name}
}

// object reads one object for itself.
func (r *reader) object(o *object.Object) {
	switch o.Kind {
	case kindService:
		var v struct {
			Spec virtualService `json:"spec"`
		}
		r.decode(o, &v)
		s := &service{o, v.Spec}
		r.services[named(o)], r.sorted = s, append(r.sorted, s)
	case kindRouter:
		var v struct {
			Spec virtualRouter `json:"spec"`
		}
		f := r.decode(o, &v)
		r.routers[named(o)] = &router{o, v.Spec, f}
	case kindNode:
		var v struct {
			Spec virtualNode `json:"spec"`
		}
		f := r.decode(o, &v)
		n := &node{o: o, spec: v.Spec, faults: f}
		n.pods = r.selected(n)
		r.nodes[named(o)], r.order = n, append(r.order, n)
	case kindGroup:
		var v struct {
			Spec backendGroup `json:"spec"`
		}
		r.decode(o, &v)
		r.groups[named(o)] = &v.Spec
	case kindMesh:
		r.mesh(o)
	case "VirtualGateway", "GatewayRoute":
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI does not speak of what comes into the mesh from outside: the gateway's pods alone are admitted to what its routes lead to",
			"Move it to a Gateway and an HTTPRoute of the Gateway API.")
		if o.Kind == "GatewayRoute" {
			r.routes = append(r.routes, o)
		} else {
			r.gateway(o)
		}
	default:
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
	}
}

// mesh reads what holds for all clients: whether they may call what is not among their backends. App Mesh's default is that they may not.
func (r *reader) mesh(o *object.Object) {
	var v struct {
		Spec meshSpec `json:"spec"`
	}
	r.decode(o, &v)
	if v.Spec.NamespaceSelector != nil {
		r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec.namespaceSelector", "which namespaces belong to the mesh is nothing that SMI says", "")
	}
	if f := v.Spec.EgressFilter; f != nil && f.Type == "ALLOW_ALL" {
		r.free = true
		r.in.Leave(o, model.Approximate, model.CodeNotUnderstood, "spec.egressFilter.type",
			"clients may call what is not among their backends: SMI closes every destination that some node has among its backends to all others",
			"Read the TrafficTargets before they are enforced, or use --access-default allow at first.")
		return
	}
	s := *r.in.World.Settings()
	s.Access = model.AccessDeny
	r.in.Add(&s)
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

// selected lists the workloads that run as a node. A node without a selector has none; an empty selector finds all of the namespace.
func (r *reader) selected(n *node) []*model.Workload {
	if n.spec.PodSelector == nil || n.faults.below("spec.podSelector") {
		return nil
	}
	labels := n.spec.PodSelector.MatchLabels
	var out []*model.Workload
	if all, ok := r.in.World.(interface {
		Facts(yield func(model.Fact) bool)
	}); ok && len(labels) == 0 {
		for f := range all.Facts {
			if w, ok := f.(*model.Workload); ok && w.Name.Namespace == n.o.Namespace {
				out = append(out, w)
			}
		}
	} else {
		out = slices.Clone(r.in.World.Labelled(n.o.Namespace, labels))
	}
	slices.SortFunc(out, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// faults are the parts of an object that our types do not hold.
type faults []object.Problem

// below says whether there is a fault at a place or below it.
func (f faults) below(path string, args ...any) bool {
	path = fmt.Sprintf(path, args...)
	return slices.ContainsFunc(f, func(p object.Problem) bool {
		rest, ok := strings.CutPrefix(p.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// decode reads an object, and reports what is in it that SMI does not know.
func (r *reader) decode(o *object.Object, into any) faults {
	problems := faults(o.Decode(into))
	for _, p := range problems {
		message, hint := p.Message, p.Hint
		if p.Code == model.CodeUnknownField {
			message, hint = "SMI has no word for "+p.Path[strings.LastIndexByte(p.Path, '.')+1:], ""
		}
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, p.Path, message, hint)
	}
	return problems
}

// told is a report: a part is read once for each port, and reported once.
type told struct {
	o             *object.Object
	path, message string
}

// leave reports a part that was not understood.
func (r *reader) leave(o *object.Object, path, message string) {
	r.say(model.Unsupported, o, path, message)
}

func (r *reader) say(l model.Level, o *object.Object, path, message string) {
	if t := (told{o, path, message}); !r.told[t] {
		r.told[t] = true
		r.in.Leave(o, l, model.CodeNotUnderstood, path, message, "")
	}
}
