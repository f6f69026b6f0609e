// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// Import reads routes whose parent is a Service as splits. What is in them beside matches and weights is reported, and kept.
func Import(in *mesh.Input) {
	r := Reader{in: in, roots: map[model.Name]*root{}}
	for _, o := range in.Objects {
		if group, _, _ := strings.Cut(o.APIVersion, "/"); group == Group && !r.Route(o) {
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
	r.Splits()
}

// NewReader reads routes for a driver that also reads other objects.
func NewReader(in *mesh.Input) *Reader {
	return &Reader{in: in, roots: map[model.Name]*root{}}
}

// Reader makes splits of routes.
type Reader struct {
	in    *mesh.Input
	roots map[model.Name]*root
}

// root is a Service with the routes whose parent it is.
type root struct {
	name   model.Name
	routes []*attached
}

// attached is a route at one of its parents.
type attached struct {
	o     *object.Object
	kind  string
	port  uint16 // 0: all
	rules []rule
	all   bool // of a TCPRoute or UDPRoute
}

// rule is one of a route's, with what it sends where.
type rule struct {
	at      string
	entries []entry
	refs    []BackendRef
	sound   bool // its backends were understood
}

// entry is one native match, with what tells it from others.
type entry struct {
	path   reading
	method string
	header []model.Header
	rank   []int
}

// bare says whether every request meets it.
func (e *entry) bare() bool { return e.path.all == "" && e.method == "" && len(e.header) == 0 }

// Route reads an object where it is a route; false where it is none.
func (r *Reader) Route(o *object.Object) bool {
	a := attached{o: o, kind: o.Kind}
	var parents []ParentRef
	switch o.Kind {
	case KindHTTP:
		var v struct {
			Spec HTTPRoute `json:"spec"`
		}
		faults := r.decode(o, &v)
		parents = v.Spec.ParentRefs
		if len(v.Spec.Hostnames) > 0 {
			r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec.hostnames", "a mesh takes no notice of the hostnames of a route", "")
		}
		a.rules = r.httpRules(o, faults, v.Spec.Rules)
	case KindGRPC:
		var v struct {
			Spec grpcRoute `json:"spec"`
		}
		faults := r.decode(o, &v)
		parents, a.rules = v.Spec.ParentRefs, r.grpcRules(o, faults, v.Spec.Rules)
	case KindTCP, KindUDP:
		var v struct {
			Spec PortRoute `json:"spec"`
		}
		faults := r.decode(o, &v)
		parents, a.all = v.Spec.ParentRefs, true
		for i, native := range v.Spec.Rules {
			at := fmt.Sprintf("spec.rules[%d]", i)
			a.rules = append(a.rules, rule{at: at, refs: native.BackendRefs, sound: !faults.below("%s.backendRefs", at)})
		}
	default:
		return false
	}
	r.attach(a, parents)
	return true
}

// attach puts a route to the Services that are its parents.
func (r *Reader) attach(a attached, parents []ParentRef) {
	for i, p := range parents {
		at := fmt.Sprintf("spec.parentRefs[%d]", i)
		switch {
		case p.Group == nil || *p.Group != "" && *p.Group != "core" || p.Kind != string(model.KindService):
			r.leave(a.o, at, "SMI splits what is sent to a Service through the mesh, and "+cmp.Or(p.Kind, "Gateway")+" "+p.Name+" is none: the route is left out there")
		case p.Namespace != "" && p.Namespace != a.o.Namespace:
			r.leave(a.o, at, "SMI splits for every client, and a route beside its clients is for those alone: it is left out")
		default:
			n := model.Name{Namespace: a.o.Namespace, Name: p.Name}
			if r.roots[n] == nil {
				r.roots[n] = &root{name: n}
			}
			a.port = p.Port
			here := a
			r.roots[n].routes = append(r.roots[n].routes, &here)
		}
	}
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
func (r *Reader) decode(o *object.Object, into any) faults {
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

// leave reports a part that was not understood, once.
func (r *Reader) leave(o *object.Object, path, message string) {
	r.say(o, model.Unsupported, path, message)
}

func (r *Reader) say(o *object.Object, l model.Level, path, message string) {
	ref := model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
	if !slices.ContainsFunc(r.in.Findings, func(f model.Finding) bool { return f.Object == ref && f.Path == path && f.Message == message }) {
		r.in.Leave(o, l, model.CodeNotUnderstood, path, message, "")
	}
}

// httpRules reads the matches of rules.
func (r *Reader) httpRules(o *object.Object, f faults, list []HTTPRule) (out []rule) {
	for i, native := range list {
		at := fmt.Sprintf("spec.rules[%d]", i)
		one := rule{at: at, refs: native.BackendRefs, sound: !f.below("%s.backendRefs", at)}
		matches := native.Matches
		if len(matches) == 0 && !f.below("%s.matches", at) {
			matches = []HTTPMatch{{}}
		}
		for k := range matches {
			where := fmt.Sprintf("%s.matches[%d]", at, k)
			if f.below("%s", where) {
				continue // reported
			}
			if e, ok := r.httpMatch(o, where, &matches[k]); ok {
				one.entries = append(one.entries, e)
			}
		}
		out = append(out, one)
	}
	return out
}

// httpMatch reads one match; false where it has conditions that SMI cannot say.
func (r *Reader) httpMatch(o *object.Object, at string, m *HTTPMatch) (e entry, ok bool) {
	e.method = m.Method
	kind, text := Prefix, "/"
	if m.Path != nil {
		kind, text = cmp.Or(m.Path.Type, Prefix), cmp.Or(m.Path.Value, "/")
	}
	if e.path, ok = readPath(kind, text); !ok {
		r.leave(o, at+".path", text+" is no path that SMI could say: the match is left out")
		return e, false
	}
	if e.header, ok = r.headers(o, at, m.Headers); !ok {
		return e, false
	}
	// Where expressions stand is each mesh's own: before the prefixes, a prefix / leaves them something.
	e.rank = []int{map[string]int{Exact: 3, Expression: 2, Prefix: 1}[kind], len(text), min(1, len(m.Method)), len(e.header)}
	return e, true
}

// headers reads conditions on headers.
func (r *Reader) headers(o *object.Object, at string, list []HeaderMatch) (out []model.Header, ok bool) {
	for i, h := range list {
		where, name := fmt.Sprintf("%s.headers[%d]", at, i), strings.ToLower(h.Name)
		if slices.ContainsFunc(out, func(o model.Header) bool { return o.Name == name }) {
			r.say(o, model.Notice, where, "of two conditions on one header the first alone counts")
			continue
		}
		value, ok := readValue(cmp.Or(h.Type, Exact), h.Value)
		if !ok || name == "host" {
			r.leave(o, where, "this is no condition that SMI could say: the match is left out")
			return nil, false
		}
		out = append(out, model.Header{Name: name, Value: value})
	}
	return out, true
}
