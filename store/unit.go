// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

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

// UnitsOf lists the units in which an SMI object takes part: as what they are made for, or as a route group, port route or binding of that.
func (s *Store) UnitsOf(r model.Ref) (out []Unit) {
	switch r.Kind {
	case model.KindSplit:
		if sp := s.splits[r.Name]; sp != nil {
			out = append(out, Unit{UnitRoute, s.root(sp)})
		}
	case model.KindPermission:
		out = s.unitsOf(out, s.perms[r.Name])
	case model.KindGroup, model.KindTCPRoute, model.KindUDPRoute:
		if r.Kind == model.KindGroup {
			for _, sp := range s.splitsGroup[r.Name] {
				out = append(out, Unit{UnitRoute, s.root(sp)})
			}
		}
		for _, p := range s.permsRoute[r] {
			out = s.unitsOf(out, p)
		}
	case model.KindBinding:
		for _, p := range s.permsBind[r.Name] {
			out = s.unitsOf(out, p)
		}
	}
	slices.SortFunc(out, Unit.Compare)
	return slices.Compact(out)
}

func (s *Store) unitsOf(out []Unit, p *model.Permission) []Unit {
	if p == nil {
		return out
	}
	for _, id := range s.placed(p) {
		out = append(out, Unit{UnitAccess, model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}})
	}
	return out
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
