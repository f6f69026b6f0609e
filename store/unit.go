// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/anymesh/anymesh/model"

// Again marks the units of the namespaces that where says, all of them for nil: someone is to translate them who has not, or otherwise.
func (s *Store) Again(where func(namespace string) bool) {
	for u := range s.Units {
		if where == nil || u.Kind == UnitSettings || where(u.Name.Namespace) {
			s.touch(u.Kind, u.Name)
		}
	}
}

// Pending says whether any unit is marked.
func (s *Store) Pending() bool { return len(s.dirty) > 0 }

// Askers lists the splits or permissions that a unit is made for.
func (s *Store) Askers(u Unit) []model.Ref {
	var out []model.Ref
	switch u.Kind {
	case UnitRoute:
		for _, sp := range s.splitsOf[u.Name] {
			out = append(out, sp.Ref())
		}
	case UnitAccess:
		for _, p := range s.permsOf[model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name}] {
			out = append(out, p.Ref())
		}
	}
	return out
}

// UnitsOf lists the units that are made for a split or a permission: none for any other object.
func (s *Store) UnitsOf(r model.Ref) []Unit {
	switch r.Kind {
	case model.KindSplit:
		if sp := s.splits[r.Name]; sp != nil {
			return []Unit{{UnitRoute, s.root(sp)}}
		}
	case model.KindPermission:
		p := s.perms[r.Name]
		if p == nil {
			return nil
		}
		var out []Unit
		for _, id := range s.placed(p) {
			out = append(out, Unit{UnitAccess, model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}})
		}
		return out
	}
	return nil
}

// Mark marks one unit.
func (s *Store) Mark(u Unit) { s.touch(u.Kind, u.Name) }

// Fact is what an SMI object says; nil where it says nothing, or is not SMI's.
func (s *Store) Fact(r model.Ref) model.Fact {
	switch r.Kind {
	case model.KindSplit:
		return fact(s.splits[r.Name])
	case model.KindGroup:
		return fact(s.groups[r.Name])
	case model.KindTCPRoute, model.KindUDPRoute:
		return fact(s.routes[r])
	case model.KindPermission:
		return fact(s.perms[r.Name])
	case model.KindBinding:
		return fact(s.bindings[r.Name])
	}
	return nil
}

// fact is a nil interface for a nil pointer.
func fact[T any, F interface {
	*T
	model.Fact
}](f F) model.Fact {
	if f == nil {
		return nil
	}
	return f
}
