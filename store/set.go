// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
	"slices"

	"github.com/anymesh/anymesh/model"
)

// Event is what one object says now: it replaces all that the object said before. No facts: the object is gone.
type Event struct {
	Object     model.Ref
	Facts      []model.Fact
	Findings   []model.Finding // what is wrong with the object's own text
	Generation int64           // of the object's text, where its source counts them
}

// Set takes what an object says now.
func (s *Store) Set(e Event) {
	for _, f := range e.Facts {
		if f.Ref().Name != e.Object.Name && f.Ref().Kind != model.KindSettings {
			panic(fmt.Sprintf("%s says a fact of %s", e.Object, f.Ref()))
		}
	}
	s.remove(e.Object, e.Facts)
	for _, f := range e.Facts {
		s.put(f)
	}
}

// remove takes back the facts of an object that it does not say again.
func (s *Store) remove(r model.Ref, again []model.Fact) {
	says := func(pod bool) bool {
		return slices.ContainsFunc(again, func(f model.Fact) bool {
			_, isPod := f.(*model.Pod)
			return f.Ref() == r && isPod == pod
		})
	}
	if r.Kind == model.KindPod && !says(true) {
		s.setPod(r.Name, nil)
	}
	if says(false) {
		return
	}
	switch r.Kind {
	case model.KindService:
		s.setService(r.Name, nil)
	case model.KindEndpointSlice:
		s.setSlice(r.Name, nil)
	case model.KindServiceAccount:
		delete(s.accounts, r.Name)
	case model.KindSplit:
		s.setSplit(r.Name, nil)
	case model.KindGroup:
		s.setGroup(r.Name, nil)
	case model.KindTCPRoute, model.KindUDPRoute:
		s.setPortRoute(r, nil)
	case model.KindPermission:
		s.setPermission(r.Name, nil)
	case model.KindBinding:
		s.setBinding(r.Name, nil)
	case model.KindSettings:
		s.setSettings(model.Defaults())
	default: // workloads are of many kinds
		s.setWorkload(r, nil)
	}
}

func (s *Store) put(f model.Fact) {
	switch f := f.(type) {
	case *model.Settings:
		s.setSettings(f)
	case *model.Service:
		s.setService(f.Name, f)
	case *model.Workload:
		s.setWorkload(f.Ref(), f)
	case *model.Pod:
		s.setPod(f.Name, f)
	case *model.EndpointSlice:
		s.setSlice(f.Name, f)
	case *model.ServiceAccount:
		s.accounts[f.Name] = f
	case *model.Split:
		s.setSplit(f.Name, f)
	case *model.RouteGroup:
		s.setGroup(f.Name, f)
	case *model.PortRoute:
		s.setPortRoute(f.Ref(), f)
	case *model.Permission:
		s.setPermission(f.Name, f)
	case *model.Binding:
		s.setBinding(f.Name, f)
	default:
		panic(fmt.Sprintf("store: a fact of type %T", f))
	}
}

// keep sets or removes one fact and returns the one before.
func keep[K comparable, V any](m map[K]*V, k K, v *V) *V {
	old := m[k]
	if v == nil {
		delete(m, k)
	} else {
		m[k] = v
	}
	return old
}

func (s *Store) setSettings(v *model.Settings) {
	old := s.settings
	if *old == *v {
		return
	}
	for _, x := range s.splits { // what is indexed depends on the settings: taken out by the old, put in by the new
		s.indexSplit(x, false)
	}
	for _, p := range s.perms {
		s.displace(p)
	}
	s.settings = v
	for _, x := range s.splits {
		s.indexSplit(x, true)
	}
	for _, p := range s.perms {
		s.place(p)
	}
	s.Again(nil) // the settings are read by all of them
}

// Units lists every unit that there is, in no order; some more than once.
func (s *Store) Units(yield func(Unit) bool) {
	access := func(id model.Identity) Unit {
		return Unit{UnitAccess, model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}}
	}
	ok := yield(Unit{Kind: UnitSettings})
	for n := range s.services {
		ok = ok && yield(Unit{UnitRoute, n}) && yield(Unit{UnitEndpoints, n})
	}
	for n := range s.splitsOf {
		ok = ok && yield(Unit{UnitRoute, n})
	}
	for id := range s.workloadsOf {
		ok = ok && yield(access(id))
	}
	for id := range s.permsOf {
		ok = ok && yield(access(id))
	}
}

func (s *Store) setService(n model.Name, v *model.Service) {
	old := keep(s.services, n, v)
	for _, x := range []*model.Service{old, v} {
		if x == nil {
			continue
		}
		if l, ok := first(n.Namespace, x.Selector); ok {
			if x == old {
				s.selectors.del(l, x)
			} else {
				s.selectors.add(l, x)
			}
		}
		for _, w := range s.Labelled(n.Namespace, x.Selector) {
			s.touchAccess(w.Identity()) // its ports
		}
	}
	s.touch(UnitRoute, n)
	s.touch(UnitEndpoints, n)
	for _, sp := range s.splitsBy[n] {
		s.touch(UnitRoute, s.root(sp))
	}
}

func (s *Store) setWorkload(r model.Ref, v *model.Workload) {
	old := keep(s.workloads, r, v)
	for _, x := range []*model.Workload{old, v} {
		if x == nil {
			continue
		}
		s.indexWorkload(x, x == v)
		s.touchAccess(x.Identity())
		for _, n := range s.Selecting(x) {
			s.touch(UnitEndpoints, n)
			for _, o := range s.Selected(n) { // which may now share the Service with another account
				if o.Account != x.Account {
					s.touchAccess(o.Identity())
				}
			}
		}
		s.touchOverlap(x)
	}
	for _, b := range s.bindPods[r.Namespace] {
		s.touchBinding(b.Name)
	}
}

// touchOverlap marks the identities whose selectors find the workload: whether they tell one account from another depends on it.
func (s *Store) touchOverlap(x *model.Workload) {
	for k, v := range x.Labels {
		for _, o := range s.finders[label{x.Name.Namespace, k, v}] {
			if o.Account != x.Account && model.Selects(o.Finder(), x.Labels) {
				s.touchAccess(o.Identity())
			}
		}
	}
}

// indexWorkload files a workload under its labels, its identity and its selector.
func (s *Store) indexWorkload(x *model.Workload, in bool) {
	set := s.labelled.add
	if !in {
		set = s.labelled.del
	}
	for k, v := range x.Labels {
		set(label{x.Name.Namespace, k, v}, x)
	}
	l, found := first(x.Name.Namespace, x.Finder())
	switch {
	case in:
		s.workloadsOf.add(x.Identity(), x)
		if found {
			s.finders.add(l, x)
		}
	default:
		s.workloadsOf.del(x.Identity(), x)
		if found {
			s.finders.del(l, x)
		}
	}
}

func (s *Store) setPod(n model.Name, v *model.Pod) {
	old := keep(s.pods, n, v)
	for _, x := range []*model.Pod{old, v} {
		if x == nil {
			continue
		}
		for k, val := range x.Labels {
			if l := (label{n.Namespace, k, val}); x == old {
				s.podsBy.del(l, x)
			} else {
				s.podsBy.add(l, x)
			}
		}
		for _, svc := range s.selecting(n.Namespace, x.Labels) {
			s.touch(UnitEndpoints, svc)
		}
	}
}

func (s *Store) setSlice(n model.Name, v *model.EndpointSlice) {
	if old := keep(s.slices, n, v); old != nil {
		s.slicesOf.del(old.Service, old)
		s.touch(UnitEndpoints, old.Service)
	}
	if v != nil {
		s.slicesOf.add(v.Service, v)
		s.touch(UnitEndpoints, v.Service)
	}
}

func (s *Store) root(sp *model.Split) model.Name {
	n, ours := model.ParseServiceName(sp.Root, sp.Name.Namespace, s.settings.ClusterDomain)
	if ours {
		return n
	}
	return model.Name{Namespace: sp.Name.Namespace, Name: sp.Root}
}

func (s *Store) setSplit(n model.Name, v *model.Split) {
	if old := keep(s.splits, n, v); old != nil {
		s.indexSplit(old, false)
	}
	if v != nil {
		s.indexSplit(v, true)
	}
}

func (s *Store) indexSplit(x *model.Split, in bool) {
	set := func(i index[model.Name, *model.Split], n model.Name) {
		if in {
			i.add(n, x)
		} else {
			i.del(n, x)
		}
	}
	root := s.root(x)
	set(s.splitsOf, root)
	s.touch(UnitRoute, root)
	for _, o := range s.splitsBy[root] { // for which this one is, or was, the next of a chain
		s.touch(UnitRoute, s.root(o))
	}
	if n, ours := model.ParseServiceName(x.Root, x.Name.Namespace, s.settings.ClusterDomain); !ours && n.Namespace != "" {
		set(s.splitsBy, n)
	}
	for _, b := range x.Backends {
		if n, _ := model.ParseServiceName(b.Service, x.Name.Namespace, s.settings.ClusterDomain); n.Name != "" {
			set(s.splitsBy, n)
		}
	}
	for _, g := range x.Groups {
		set(s.splitsGroup, model.Name{Namespace: x.Name.Namespace, Name: g})
	}
}

func (s *Store) setGroup(n model.Name, v *model.RouteGroup) {
	keep(s.groups, n, v)
	for _, sp := range s.splitsGroup[n] {
		s.touch(UnitRoute, s.root(sp))
	}
	s.touchRoute(model.Ref{Kind: model.KindGroup, Name: n})
}

func (s *Store) setPortRoute(r model.Ref, v *model.PortRoute) {
	keep(s.routes, r, v)
	s.touchRoute(r)
}

func (s *Store) touchRoute(r model.Ref) {
	for _, p := range s.permsRoute[r] {
		s.touchPermission(p)
	}
}

// selecting lists the services whose selector labels meet.
func (s *Store) selecting(namespace string, labels map[string]string) []model.Name {
	var out []model.Name
	for k, v := range labels {
		for _, svc := range s.selectors[label{namespace, k, v}] {
			if model.Selects(svc.Selector, labels) {
				out = append(out, svc.Name)
			}
		}
	}
	return out
}

// first is the pair of a selector under which it is indexed.
func first(namespace string, selector map[string]string) (label, bool) {
	if len(selector) == 0 {
		return label{}, false
	}
	k := slices.Min(slices.Collect(maps.Keys(selector)))
	return label{namespace, k, selector[k]}, true
}
