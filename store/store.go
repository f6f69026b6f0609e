// SPDX-License-Identifier: Apache-2.0

// Package store keeps what is known now, and knows which units a fact touches.
//
// A fact is set or removed by the object it comes from. Reverse indexes lead from it to the units that read it, so that the
// work which a change causes is of the size of the change: nothing is ever scanned. A store is owned by one loop and
// has no locks; between changes, any number of readers may join units from it.
package store

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

// UnitKind says what a unit is.
type UnitKind uint8

// The units, in the order in which their outputs can be applied: what others refer to comes first.
const (
	UnitSettings  UnitKind = iota
	UnitEndpoints          // one service's addresses
	UnitRoute              // one root
	UnitAccess             // one identity
)

// Unit names one thing that is translated alone. The name of an access unit is namespace and account.
type Unit struct {
	Kind UnitKind
	Name model.Name
}

// String writes the unit for logs: route shop/catalog.
func (u Unit) String() string {
	return [...]string{"settings", "endpoints ", "route ", "access "}[u.Kind] + u.Name.String()
}

// Compare orders units by kind and name.
func (u Unit) Compare(o Unit) int {
	if u.Kind != o.Kind {
		return int(u.Kind) - int(o.Kind)
	}
	return u.Name.Compare(o.Name)
}

// Store is everything that is known. The zero value is not usable: see New.
type Store struct {
	settings  *model.Settings
	services  map[model.Name]*model.Service
	workloads map[model.Ref]*model.Workload
	pods      map[model.Name]*model.Pod
	slices    map[model.Name]*model.EndpointSlice
	accounts  map[model.Name]*model.ServiceAccount
	splits    map[model.Name]*model.Split
	groups    map[model.Name]*model.RouteGroup
	routes    map[model.Ref]*model.PortRoute
	perms     map[model.Name]*model.Permission
	bindings  map[model.Name]*model.Binding

	splitsOf    index[model.Name, *model.Split]          // by root
	splitsBy    index[model.Name, *model.Split]          // by a Service that it mentions
	splitsGroup index[model.Name, *model.Split]          // by route group
	permsOf     index[model.Identity, *model.Permission] // by destination
	permsRoute  index[model.Ref, *model.Permission]      // by route
	permsBind   index[model.Name, *model.Permission]     // by binding
	bindPods    index[string, *model.Binding]            // with a pod selector, by namespace
	workloadsOf index[model.Identity, *model.Workload]   //
	labelled    index[label, *model.Workload]            //
	finders     index[label, *model.Workload]            // by the first label of the selector that finds its pods
	selectors   index[label, *model.Service]             // by the first label of the selector
	slicesOf    index[model.Name, *model.EndpointSlice]  // by service
	podsBy      index[label, *model.Pod]

	destinations map[model.Name][]model.Identity // of the permissions whose destination is a binding
	dirty        []Unit                          // some more than once
}

// New is an empty store with the default settings.
func New() *Store {
	s := &Store{settings: model.Defaults()}
	s.services = map[model.Name]*model.Service{}
	s.workloads = map[model.Ref]*model.Workload{}
	s.pods = map[model.Name]*model.Pod{}
	s.slices = map[model.Name]*model.EndpointSlice{}
	s.accounts = map[model.Name]*model.ServiceAccount{}
	s.splits = map[model.Name]*model.Split{}
	s.groups = map[model.Name]*model.RouteGroup{}
	s.routes = map[model.Ref]*model.PortRoute{}
	s.perms = map[model.Name]*model.Permission{}
	s.bindings = map[model.Name]*model.Binding{}
	s.splitsOf, s.splitsBy, s.splitsGroup = index[model.Name, *model.Split]{}, index[model.Name, *model.Split]{}, index[model.Name, *model.Split]{}
	s.permsOf, s.permsRoute, s.permsBind = index[model.Identity, *model.Permission]{}, index[model.Ref, *model.Permission]{}, index[model.Name, *model.Permission]{}
	s.bindPods = index[string, *model.Binding]{}
	s.workloadsOf, s.labelled = index[model.Identity, *model.Workload]{}, index[label, *model.Workload]{}
	s.finders = index[label, *model.Workload]{}
	s.selectors, s.slicesOf, s.podsBy = index[label, *model.Service]{}, index[model.Name, *model.EndpointSlice]{}, index[label, *model.Pod]{}
	s.destinations = map[model.Name][]model.Identity{}
	s.touch(UnitSettings, model.Name{})
	return s
}

// Dirty takes the units that changed since the last call, in order.
func (s *Store) Dirty() []Unit {
	s.compact()
	out := s.dirty
	s.dirty = nil
	return out
}

func (s *Store) touchAccess(id model.Identity) {
	s.touch(UnitAccess, model.Name{Namespace: id.Namespace, Name: id.ServiceAccount})
}

// touch marks a unit. The list may hold it already: to sort now and then is less work than to keep a set, and the list is of the size of
// what changed all the same.
func (s *Store) touch(k UnitKind, n model.Name) {
	if len(s.dirty) == cap(s.dirty) {
		s.compact()
		s.dirty = slices.Grow(s.dirty, max(few, len(s.dirty)))
	}
	s.dirty = append(s.dirty, Unit{k, n})
}

// few is the number of units for which there is room at once.
const few = 8

func (s *Store) compact() {
	slices.SortFunc(s.dirty, Unit.Compare)
	s.dirty = slices.Compact(s.dirty)
}

// label is one pair of a namespace's labels.
type label struct{ namespace, key, value string }

// index leads from a key to the facts that mention it. Its sets are plain slices: nearly all hold one or two, and a map for each
// would cost three hundred bytes.
type index[K comparable, V comparable] map[K][]V

func (x index[K, V]) add(k K, v V) {
	if set := x[k]; !slices.Contains(set, v) {
		x[k] = append(set, v)
	}
}

func (x index[K, V]) del(k K, v V) {
	set := x[k]
	i := slices.Index(set, v)
	switch {
	case i < 0:
	case len(set) == 1:
		delete(x, k)
	default:
		last := len(set) - 1
		set[i] = set[last]
		var none V
		set[last] = none
		x[k] = set[:last]
	}
}
