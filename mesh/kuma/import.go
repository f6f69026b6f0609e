// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what Kuma is told, of every release, as SMI. What is read allows no more than what was written: callers and workloads that
// the input does not name are not read into a selection that would have covered them.
func importAll(in *mesh.Input) {
	r := reader{in: in, used: map[model.Ref]bool{}, told: map[told]bool{}}
	r.meshes()
	for _, o := range in.Objects {
		if group, _, _ := strings.Cut(o.APIVersion, "/"); group != "kuma.io" {
			continue
		}
		switch {
		case o.Labels["kuma.io/effect"] == "shadow":
			r.report(o, model.Notice, "metadata.labels", "the policy is a dry run and has no effect: it is left out", "")
			continue
		case r.other(o) && o.Kind != kindPermission && o.Kind != "TrafficPermission":
			r.report(o, model.Unsupported, "metadata.labels", "this is of another mesh than "+r.mesh+", and SMI knows one: it is left out", "Import one mesh at a time.")
			continue
		}
		switch o.Kind {
		case kindHTTPRoute:
			r.httpRoute(o)
		case kindTCPRoute:
			r.tcpRoute(o)
		case "TrafficRoute":
			r.trafficRoute(o)
		case kindPermission:
			r.permission(o)
		case "TrafficPermission":
			r.trafficPermission(o)
		case "Mesh":
			r.certificates(o)
		case kindIdentity:
			r.identity(o)
		default:
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
	r.splits()
	r.grants()
}

// meshes decides which mesh is read: the only one that objects are of, or the one of the trust domain.
func (r *reader) meshes() {
	var names []string
	for _, o := range r.in.Objects {
		if n := meshOf(o); strings.HasPrefix(o.APIVersion, "kuma.io/") && o.Kind != "Mesh" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if r.mesh, _ = place(r.in.World.Settings().TrustDomain); len(names) == 1 {
		r.mesh = names[0]
	}
}

// meshOf is the mesh that an object belongs to.
func meshOf(o *object.Object) string {
	var v struct {
		Mesh string `json:"mesh"`
	}
	if o.DecodeLax(&v); o.Kind == "Mesh" {
		return o.Name
	}
	return cmp.Or(o.Labels[labelMesh], v.Mesh, "default")
}

func (r *reader) other(o *object.Object) bool { return meshOf(o) != r.mesh }

// reader makes facts of native objects.
type reader struct {
	in       *mesh.Input
	mesh     string
	used     map[model.Ref]bool
	told     map[told]bool
	roots    []*root
	policies []policy
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

// told is a report: a part may be read more than once, and is reported once.
type told struct {
	o             *object.Object
	path, message string
}

// leave reports a part that was not understood.
func (r *reader) leave(o *object.Object, path, message string) {
	r.report(o, model.Unsupported, path, message, "")
}

// sizes: the parts of a finding, in the order in which they are read
func (r *reader) report(o *object.Object, l model.Level, path, message, hint string) {
	if t := (told{o, path, message}); !r.told[t] {
		r.told[t] = true
		r.in.Leave(o, l, model.CodeNotUnderstood, path, message, hint)
	}
}

// certificates reads a Mesh. One with certificates is closed wherever no policy admits.
func (r *reader) certificates(o *object.Object) {
	var v struct {
		Spec struct {
			MTLS struct {
				EnabledBackend string `json:"enabledBackend"`
			} `json:"mtls"`
		} `json:"spec"`
	}
	o.DecodeLax(&v)
	if v.Spec.MTLS.EnabledBackend != "" {
		r.closed()
		r.report(o, model.Notice, "spec.mtls", "Kuma 3.0 takes no notice of it, and would send and accept plain text", "Give the mesh a MeshIdentity before the upgrade.")
	}
	r.report(o, model.Notice, "spec", "SMI does not speak of certificates, logs or metrics of a mesh", "")
}

// identity reads a MeshIdentity: what it names is the trust domain, which the settings have to name too.
func (r *reader) identity(o *object.Object) {
	r.closed()
	r.report(o, model.Notice, "spec", "SMI does not speak of where certificates come from", "Give its trust domain as --trust-domain.")
}

// closed says that the mesh is closed where nothing admits, as Kuma is.
func (r *reader) closed() {
	s := *r.in.World.Settings()
	if s.Access != model.AccessDeny && !r.used[s.Ref()] {
		r.used[s.Ref()] = true
		s.Access = model.AccessDeny
		r.in.Add(&s)
	}
}

// all lists the facts of a kind that the input holds.
func all[F model.Fact](w model.World) (out []F) {
	facts, ok := w.(interface {
		Facts(yield func(model.Fact) bool)
	})
	if !ok {
		return nil
	}
	for f := range facts.Facts {
		if x, ok := f.(F); ok {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b F) int { return a.Ref().Compare(b.Ref()) })
	return out
}

// service finds the Service that a tag kuma.io/service names, and the port.
func (r *reader) service(tagged string) (model.Name, uint16, bool) {
	part := strings.Split(tagged, "_")
	if len(part) != 4 || part[2] != "svc" {
		return model.Name{}, 0, false
	}
	var port uint16
	_, err := fmt.Sscanf(part[3], "%d", &port)
	return model.Name{Namespace: part[1], Name: part[0]}, port, err == nil
}
