// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what Consul is told as SMI. A condition that SMI cannot say removes what it restricts: what is read allows no more than what was
// written.
func importAll(in *mesh.Input) {
	r := reader{in: in, used: map[model.Ref]bool{}, routers: map[model.Name]*router{}, splitters: map[model.Name]*splitter{}, lead: map[model.Name]bool{}}
	for _, o := range in.Objects {
		if group, _, _ := strings.Cut(o.APIVersion, "/"); group != "consul.hashicorp.com" {
			continue
		}
		switch o.Kind {
		case kindRouter:
			r.router(o)
		case kindSplitter:
			r.splitter(o)
		case kindResolver:
			r.resolver(o)
		case kindIntentions:
			r.intentions(o)
		case kindDefaults:
			r.decode(o, &struct {
				Spec serviceDefaults `json:"spec"`
			}{}) // what a Service carries, SMI's Services say themselves
		default:
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
	r.splits()
	if s := r.in.World.Settings(); len(r.spoken) > 0 && s.Access != model.AccessDeny && !r.used[s.Ref()] {
		in.Leave(r.spoken[0], model.Notice, model.CodeNotUnderstood, "spec.destination", "services without intentions are up to the default of the mesh, which is to refuse where it has ACLs; SMI leaves them open",
			"Set --access-default deny, if the mesh refuses.")
	}
}

// reader makes facts of native objects.
type reader struct {
	in        *mesh.Input
	used      map[model.Ref]bool
	order     []model.Name // roots, as they come
	routers   map[model.Name]*router
	splitters map[model.Name]*splitter
	lead      map[model.Name]bool // a route leads to it
	spoken    []*object.Object    // intentions for one service
}

type router struct {
	o      *object.Object
	faults faults
	spec   serviceRouter
}

type splitter struct {
	o      *object.Object
	shares []model.Backend
	ok     bool
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

// leave reports a part that was not understood.
func (r *reader) leave(o *object.Object, path, message string) {
	r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, path, message, "")
}

func nameOf(o *object.Object) model.Name { return model.Name{Namespace: o.Namespace, Name: o.Name} }
