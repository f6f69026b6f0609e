// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// root is what all routes say of one Service, by port; port 0 is what is said of all of them.
type root struct {
	name model.Name
	from *object.Object // that spoke of it first
	web  map[uint16][]arm
	raw  map[uint16][]model.Backend
	lost bool // a part that decides where requests go was not understood
}

// arm is a split as a route has it on one port.
type arm struct {
	matches []condition // none: every request
	shares  []model.Backend
}

func (r *reader) root(n model.Name, o *object.Object) *root {
	for _, x := range r.roots {
		if x.name == n {
			return x
		}
	}
	x := &root{name: n, from: o, web: map[uint16][]arm{}, raw: map[uint16][]model.Backend{}}
	r.roots = append(r.roots, x)
	return x
}

// everyone says whether a route is for all clients, as SMI's are.
func (r *reader) everyone(o *object.Object, t *targetRef, f faults) bool {
	switch {
	case f.below("spec.targetRef"):
		return false // reported
	case t != nil && (t.Kind != "Mesh" && (t.Kind != "Dataplane" || len(t.Labels) > 0) || len(t.ProxyTypes) > 0 || t.SectionName != ""):
		r.leave(o, "spec.targetRef", "SMI splits for every client, and not for those of some proxies: the object is left out")
		return false
	}
	return true
}

func (r *reader) httpRoute(o *object.Object) {
	var v struct {
		Spec httpRoute `json:"spec"`
	}
	f := r.decode(o, &v)
	if !r.everyone(o, v.Spec.TargetRef, f) {
		return
	}
	for k := range v.Spec.To {
		to, at := &v.Spec.To[k], fmt.Sprintf("spec.to[%d]", k)
		n, port, ok := r.destination(o, at, &to.TargetRef, f)
		if !ok {
			continue
		}
		x := r.root(n, o)
		if _, twice := x.web[port]; twice {
			r.leave(o, at, "another route speaks of this Service, and which comes first depends on where it lies: this one is left out")
			continue
		}
		x.web[port] = r.asked(o, at, to, f, x)
	}
}

func (r *reader) tcpRoute(o *object.Object) {
	var v struct {
		Spec tcpRoute `json:"spec"`
	}
	f := r.decode(o, &v)
	if !r.everyone(o, v.Spec.TargetRef, f) {
		return
	}
	for k := range v.Spec.To {
		to, at := &v.Spec.To[k], fmt.Sprintf("spec.to[%d]", k)
		n, port, ok := r.destination(o, at, &to.TargetRef, f)
		if !ok || len(to.Rules) == 0 {
			continue
		}
		x := r.root(n, o)
		shares, ok := r.shares(o, at+".rules[0].default", to.Rules[0].Default, f, n, port)
		if x.raw[port] = shares; !ok {
			x.lost = true
		}
	}
}

// destination is the Service, and the port, that a part of a route speaks of.
//
// sizes: a part of an object, with the object, the place and what is wrong in it
func (r *reader) destination(o *object.Object, at string, t *targetRef, f faults) (n model.Name, port uint16, ok bool) {
	if f.below("%s.targetRef", at) {
		return n, 0, false // reported
	}
	n, port, ok = r.meshService(o, t.Kind, t.Name, t.Namespace, t.Labels)
	if !ok {
		r.leave(o, at+".targetRef", "SMI splits one Service, and this is none that it could name: what is said of it is left out")
		return n, 0, false
	}
	if o.Namespace != n.Namespace && o.Namespace != system {
		r.leave(o, at+".targetRef", "this holds for the clients of namespace "+o.Namespace+" alone, and SMI splits for every client: it is left out")
		return n, 0, false
	}
	if t.SectionName == "" {
		return n, port, true
	}
	if number, err := strconv.ParseUint(t.SectionName, 10, 16); err == nil {
		return n, uint16(number), true
	}
	if s := r.in.World.Service(n); s != nil {
		for i := range s.Ports {
			if s.Ports[i].Name == t.SectionName {
				return n, s.Ports[i].Number, true
			}
		}
	}
	r.leave(o, at+".targetRef.sectionName", "which port of "+n.String()+" is called "+t.SectionName+" is not known: what is said of it is left out")
	return n, 0, false
}

// meshService reads a reference in any of the forms that releases know. The zone says nothing that SMI could say.
//
// sizes: the parts of a reference
func (r *reader) meshService(o *object.Object, kind, name, namespace string, labels map[string]string) (n model.Name, port uint16, ok bool) {
	if kind != "MeshService" {
		return n, 0, false
	}
	if len(labels) > 0 {
		n = model.Name{Namespace: labels[labelNamespace], Name: labels[labelName]}
		for k := range labels {
			ok = k == labelNamespace || k == labelName || k == labelZone || k == labelMesh
			if !ok {
				return n, 0, false
			}
		}
		if n.Namespace == "" && o.Namespace != system {
			n.Namespace = o.Namespace
		}
		return n, 0, n.Name != "" && n.Namespace != ""
	}
	if n, port, ok = r.service(name); ok {
		return n, port, true
	}
	n = model.Name{Namespace: namespace, Name: name}
	if n.Namespace == "" {
		n.Namespace = o.Namespace
	}
	return n, 0, name != ""
}

// taken is a match with what it leads to.
type taken struct {
	native *match
	rule   int
	shares []model.Backend
	ok     bool
}

// asked lists the arms of a part of a route in the order in which Kuma asks its matches.
//
// sizes: a part of an object, with the object, the place, what is wrong in it and what it speaks of
func (r *reader) asked(o *object.Object, at string, to *httpTo, f faults, x *root) (out []arm) {
	var list []taken
	for k := range to.Rules {
		rule, where := &to.Rules[k], fmt.Sprintf("%s.rules[%d]", at, k)
		shares, ok := []model.Backend{{Service: x.name.Name, Weight: 1}}, !f.below("%s", where)
		if ok && len(rule.Default.BackendRefs) > 0 {
			shares, ok = r.shares(o, where+".default", rule.Default, f, x.name, 0)
		}
		x.lost = x.lost || !ok
		for i := range rule.Matches {
			list = append(list, taken{&rule.Matches[i], k, shares, ok})
		}
	}
	slices.SortStableFunc(list, func(a, b taken) int { return before(a.native, b.native) })
	last := -1
	for _, t := range list {
		c, every, ok := readMatch(t.native)
		if !ok {
			x.lost = true
			r.leave(o, fmt.Sprintf("%s.rules[%d].matches", at, t.rule), "SMI has no word for a header that is absent: the match is left out")
		}
		if !t.ok || !ok {
			continue
		}
		if every {
			return append(out, arm{shares: t.shares})
		}
		if n := len(out) - 1; n >= 0 && last == t.rule {
			out[n].matches = append(out[n].matches, c)
			continue
		}
		last = t.rule
		out = append(out, arm{[]condition{c}, t.shares})
	}
	if len(list) > 0 {
		r.report(o, model.Notice, at+".rules", "requests that no match takes go to the root's own endpoints, as they do in Kuma 2; 3.0 refuses them", "")
	}
	return out
}

// shares reads backends; false where one of them is nothing that SMI could name.
//
// sizes: a part of an object, with the object, the place, what is wrong in it and what it speaks of
func (r *reader) shares(o *object.Object, at string, b backends, f faults, root model.Name, port uint16) ([]model.Backend, bool) {
	if f.below("%s", at) {
		return nil, false // reported
	}
	var out []model.Backend
	for k := range b.BackendRefs {
		ref, where := &b.BackendRefs[k], fmt.Sprintf("%s.backendRefs[%d]", at, k)
		n, ok := model.Name{}, false
		if ref.Kind == "MeshServiceSubset" || len(ref.Tags) > 0 {
			tags := map[string]string{tagService: ref.Name}
			for k, v := range ref.Tags {
				tags[k] = v
			}
			n, ok = r.tagged(tags)
		} else {
			n, _, ok = r.meshService(o, ref.Kind, ref.Name, ref.Namespace, ref.Labels)
		}
		if !ok || n.Namespace != root.Namespace {
			r.leave(o, where, "SMI shares among Services beside "+root.String()+", and this is none that it could name: the rule is left out; make a Service that selects these pods")
			return nil, false
		}
		w := int64(1)
		if ref.Weight != nil {
			w = max(0, *ref.Weight)
		}
		out = append(out, model.Backend{Service: n.Name, Weight: w})
	}
	return out, len(out) > 0
}

const tagService = "kuma.io/service"

// tagged finds the Service that leads to exactly what tags select: the one that they name, or where they select some of its pods by their labels,
// another before just these.
func (r *reader) tagged(tags map[string]string) (model.Name, bool) {
	n, _, ok := r.service(tags[tagService])
	if !ok {
		return n, false
	}
	labels := map[string]string{}
	for k, v := range tags {
		if k == tagService || k == labelNamespace && v == n.Namespace {
			continue
		}
		if strings.Contains(k, "kuma.io/") {
			return n, false
		}
		labels[k] = v
	}
	if len(labels) == 0 {
		return n, true
	}
	want := slices.DeleteFunc(r.in.World.Selected(n), func(w *model.Workload) bool { return !model.Selects(labels, w.Labels) })
	same := func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) }
	slices.SortFunc(want, same)
	for _, s := range all[*model.Service](r.in.World) {
		have := slices.Clone(r.in.World.Selected(s.Name))
		if slices.SortFunc(have, same); s.Name.Namespace == n.Namespace && len(want) > 0 && slices.Equal(have, want) {
			return s.Name, true
		}
	}
	return n, false
}

func key(list []condition) string {
	text, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return string(text)
}
