// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

func (s *Store) setPermission(n model.Name, v *model.Permission) {
	if old := keep(s.perms, n, v); old != nil {
		s.indexPermission(old, false)
	}
	if v != nil {
		s.indexPermission(v, true)
	}
}

func (s *Store) indexPermission(p *model.Permission, in bool) {
	for _, r := range p.Rules {
		ref := model.Ref{Kind: r.Kind, Name: model.Name{Namespace: p.Name.Namespace, Name: r.Name}}
		if in {
			s.permsRoute.add(ref, p)
		} else {
			s.permsRoute.del(ref, p)
		}
	}
	for i := range len(p.Sources) + 1 {
		o := p.Destination
		if i > 0 {
			o = p.Sources[i-1]
		}
		if o.Kind != model.KindBinding {
			continue
		}
		if n := (model.Name{Namespace: o.Namespace, Name: o.Name}); in {
			s.permsBind.add(n, p)
		} else {
			s.permsBind.del(n, p)
		}
	}
	if in {
		s.place(p)
	} else {
		s.displace(p)
	}
}

// place indexes a permission by the identities that it names now. Those behind a binding are remembered, since the binding may have
// changed when they are asked for again; an account is its own name.
func (s *Store) place(p *model.Permission) {
	ids := s.named(p)
	if p.Destination.Kind == model.KindBinding {
		s.destinations[p.Name] = ids
	}
	for _, id := range ids {
		s.permsOf.add(id, p)
		s.touchAccess(id)
	}
}

func (s *Store) displace(p *model.Permission) {
	for _, id := range s.placed(p) {
		s.permsOf.del(id, p)
		s.touchAccess(id)
	}
	delete(s.destinations, p.Name)
}

// placed lists the identities that a permission was placed by.
func (s *Store) placed(p *model.Permission) []model.Identity {
	if ids, ok := s.destinations[p.Name]; ok {
		return ids
	}
	return s.named(p)
}

// named lists the identities that a permission names as destination; the namespace's nobody where it names none, so that its
// faults have a unit to be told in.
func (s *Store) named(p *model.Permission) []model.Identity {
	if ids := p.Destinations(s); len(ids) > 0 {
		return ids
	}
	return []model.Identity{{Namespace: p.Name.Namespace}}
}

func (s *Store) reindex(p *model.Permission) {
	s.displace(p)
	s.place(p)
}

func (s *Store) touchPermission(p *model.Permission) {
	for _, id := range s.placed(p) {
		s.touchAccess(id)
	}
}

func (s *Store) setBinding(n model.Name, v *model.Binding) {
	if old := keep(s.bindings, n, v); old != nil && len(old.Pods) > 0 {
		s.bindPods.del(n.Namespace, old)
	}
	if v != nil && len(v.Pods) > 0 {
		s.bindPods.add(n.Namespace, v)
	}
	s.touchBinding(n)
}

// touchBinding marks what a binding, or the workloads behind it, decide: the permissions that name it may now have other destinations.
func (s *Store) touchBinding(n model.Name) {
	for _, p := range slices.Clone(s.permsBind[n]) {
		s.reindex(p)
	}
}
