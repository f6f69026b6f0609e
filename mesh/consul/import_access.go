// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// intentions reads who may call one service, which is the account of that name. It is closed to all others, whatever the default of the mesh is.
func (r *reader) intentions(o *object.Object) {
	var v struct {
		Spec serviceIntentions `json:"spec"`
	}
	f := r.decode(o, &v)
	to := model.Identity{Namespace: v.Spec.Destination.Namespace, ServiceAccount: v.Spec.Destination.Name}
	if to.Namespace == "" {
		to.Namespace = o.Namespace
	}
	if to.ServiceAccount == "*" || to.Namespace == "*" {
		r.everywhere(o, &v.Spec)
		return
	}
	if to.ServiceAccount == "" || f.below("spec.destination") {
		return // reported
	}
	r.spoken = append(r.spoken, o)
	bars := f.below("spec.jwt") // a condition on all of it
	granted := false
	for i := range v.Spec.Sources {
		if s := &v.Spec.Sources[i]; !bars && !f.below("spec.sources[%d]", i) {
			granted = r.source(o, i, s, to) || granted
		}
	}
	if !slices.ContainsFunc(v.Spec.Sources, func(s source) bool { return s.Name == "*" }) {
		r.in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec.sources", "whoever is not named here is up to the default of the mesh; SMI refuses him", "")
	}
	if !granted {
		r.in.Add(&model.Permission{Name: r.in.Free(model.KindPermission, model.Name{Namespace: to.Namespace, Name: to.ServiceAccount}), Destination: account(to)})
	}
}

func account(id model.Identity) model.Subject {
	return model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount}
}

// everywhere reads an intention for every destination. Where it refuses anybody, all that has no intention of its own is closed.
func (r *reader) everywhere(o *object.Object, spec *serviceIntentions) {
	whole := len(spec.Sources) == 1 && spec.Sources[0].Name == "*" && spec.Sources[0].Action == deny
	if !whole {
		r.leave(o, "spec.destination", "SMI names each destination, and this is of all: whom it admits is left out, and where it refuses somebody, everybody is refused")
	}
	s := *r.in.World.Settings()
	if r.used[s.Ref()] || !slices.ContainsFunc(spec.Sources, func(s source) bool { return s.Action != allow }) {
		return
	}
	r.used[s.Ref()] = true
	s.Access = model.AccessDeny
	r.in.Add(&s)
}

// source reads one caller, and says whether something was granted.
func (r *reader) source(o *object.Object, i int, s *source, to model.Identity) bool {
	at := fmt.Sprintf("spec.sources[%d]", i)
	from := model.Identity{Namespace: s.Namespace, ServiceAccount: s.Name}
	if from.Namespace == "" {
		from.Namespace = to.Namespace
	}
	switch {
	case s.Action == deny:
		return false // as everybody is whom SMI does not name
	case s.Name == "*" || from.Namespace == "*":
		r.leave(o, at, "SMI names each caller, and this is everybody: it is left out")
		return false
	}
	p := &model.Permission{Destination: account(to), Sources: []model.Subject{account(from)}}
	n := model.Name{Namespace: to.Namespace, Name: to.ServiceAccount}
	if s.Action == allow {
		p.Name = r.in.Free(model.KindPermission, n)
		pr := &model.PortRoute{Kind: model.KindTCPRoute, Name: r.in.Free(model.KindTCPRoute, p.Name), Ports: model.AnyPort}
		p.Rules = []model.Rule{{Kind: model.KindTCPRoute, Name: pr.Name.Name, All: true}}
		r.in.Add(pr)
		r.in.Add(p)
		return true
	}
	list := r.permissions(o, at, s.Permissions)
	if len(list) == 0 {
		return false
	}
	p.Name = r.in.Free(model.KindPermission, n)
	g := group(list)
	g.Name = r.in.Free(model.KindGroup, p.Name)
	p.Rules = []model.Rule{{Kind: model.KindGroup, Name: g.Name.Name, All: true}}
	r.in.Add(g)
	r.in.Add(p)
	return true
}

// permissions reads what a caller may do. Consul lets the first that matches decide; SMI only permits, so that nothing is read after one that refuses.
func (r *reader) permissions(o *object.Object, at string, list []permission) (out []condition) {
	for k := range list {
		p, where := &list[k], fmt.Sprintf("%s.permissions[%d]", at, k)
		c, every, ok := readHTTP(&p.HTTP)
		switch {
		case !ok:
			r.leave(o, where, "a condition without a value")
			return out
		case p.Action == allow:
			out = append(out, c)
		case k < len(list)-1 || !every:
			r.leave(o, where, "SMI permits and does not refuse: this and what comes after it is left out, and stays refused")
			return out
		}
		if every {
			return out // decides all that is left
		}
	}
	r.in.Leave(o, model.Notice, model.CodeNotUnderstood, at+".permissions", "what none of these takes is decided by the default of the mesh; SMI refuses it", "")
	return out
}
