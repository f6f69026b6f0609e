// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

// FromFacts makes items of the facts that SMI has a kind for, in their order; it passes over the others. What a fact cannot say in SMI
// (a match that takes nothing, a port route without a port, a split without effect) is left out: whoever refers to it is
// granted nothing. A broken permission still names its destination, which stays closed.
func FromFacts(facts []model.Fact) []Item {
	var out []Item
	for _, f := range facts {
		switch f := f.(type) {
		case *model.Split:
			if !f.Broken {
				out = append(out, fromSplit(f))
			}
		case *model.RouteGroup:
			out = append(out, fromGroup(f))
		case *model.PortRoute:
			if !f.Ports.Empty() {
				r := &PortRoute{Meta: metaOf(f)}
				if !f.Ports.Any {
					r.Ports = slices.Clone(f.Ports.List)
				}
				out = append(out, r)
			}
		case *model.Permission:
			out = append(out, fromPermission(f))
		case *model.Binding:
			if !f.Broken {
				out = append(out, &IdentityBinding{Meta: metaOf(f), PodLabels: f.Pods, SPIFFE: f.SPIFFE, ServiceAccount: f.Account})
			}
		}
	}
	return out
}

func metaOf(f model.Fact) Meta {
	ref := f.Ref()
	return Meta{APIVersion: Newest(ref.Kind), Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name.Name}
}

func fromSplit(f *model.Split) *TrafficSplit {
	t := &TrafficSplit{Meta: metaOf(f), Service: f.Root}
	t.Created = f.Created
	for _, b := range f.Backends {
		t.Backends = append(t.Backends, Backend{b.Service, Whole(b.Weight)})
	}
	for _, g := range f.Groups {
		t.Matches = append(t.Matches, GroupRef{Kind: string(model.KindGroup), Name: g})
	}
	return t
}

func fromGroup(f *model.RouteGroup) *HTTPRouteGroup {
	g := &HTTPRouteGroup{Meta: metaOf(f)}
	if f.FullPath {
		g.Annotations = map[string]string{PathRegex: "full"}
	}
	for _, m := range f.Matches {
		if m.Never {
			continue
		}
		n := Match{Name: m.Name, PathRegex: m.Path, Methods: m.Methods}
		for _, h := range m.Headers {
			n.Headers.Items = append(n.Headers.Items, Header{h.Name, h.Value})
		}
		g.Matches = append(g.Matches, n)
	}
	return g
}

func fromPermission(f *model.Permission) *TrafficTarget {
	t := &TrafficTarget{Meta: metaOf(f), Destination: fromSubject(f.Destination), Port: f.Port}
	if f.Broken {
		return t
	}
	for _, s := range f.Sources {
		t.Sources = append(t.Sources, fromSubject(s))
	}
	for _, r := range f.Rules {
		n := Rule{Kind: string(r.Kind), Name: r.Name}
		if !r.All {
			n.Matches = append([]string{}, r.Matches...)
		}
		t.Rules = append(t.Rules, n)
	}
	return t
}

func fromSubject(s model.Subject) Subject {
	out := Subject{Kind: string(s.Kind), Name: s.Name, Namespace: s.Namespace}
	if s.Kind == model.KindBinding {
		out.Group = AccessGroup
	}
	return out
}
