// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

var _ model.World = (*Store)(nil)

// Settings of the mesh.
func (s *Store) Settings() *model.Settings { return s.settings }

// Service of that name, or nil.
func (s *Store) Service(n model.Name) *model.Service { return s.services[n] }

// Pod is the pod of a name, or nil.
func (s *Store) Pod(n model.Name) *model.Pod { return s.pods[n] }

// Splits of a root.
func (s *Store) Splits(root model.Name) []*model.Split { return s.splitsOf[root] }

// Group of that name, or nil.
func (s *Store) Group(n model.Name) *model.RouteGroup { return s.groups[n] }

// PortRoute of that kind and name, or nil.
func (s *Store) PortRoute(k model.Kind, n model.Name) *model.PortRoute {
	return s.routes[model.Ref{Kind: k, Name: n}]
}

// Binding of that name, or nil.
func (s *Store) Binding(n model.Name) *model.Binding { return s.bindings[n] }

// Permissions whose destination is the identity.
func (s *Store) Permissions(id model.Identity) []*model.Permission { return s.permsOf[id] }

// Workloads that run as the identity.
func (s *Store) Workloads(id model.Identity) []*model.Workload { return s.workloadsOf[id] }

// Selected lists the workloads behind a service.
func (s *Store) Selected(service model.Name) []*model.Workload {
	svc := s.services[service]
	if svc == nil {
		return nil
	}
	return s.Labelled(service.Namespace, svc.Selector)
}

// Selecting lists the services before a workload.
func (s *Store) Selecting(w *model.Workload) []model.Name {
	return s.selecting(w.Name.Namespace, w.Labels)
}

// Labelled lists the workloads of a namespace that have all of the labels; none for no labels.
func (s *Store) Labelled(namespace string, labels map[string]string) []*model.Workload {
	return having(s.labelled, namespace, labels, func(w *model.Workload) map[string]string { return w.Labels })
}

// having lists what has all of the labels. The rarest pair leaves the fewest to look at.
func having[V comparable](x index[label, V], namespace string, labels map[string]string, of func(V) map[string]string) []V {
	var few []V
	chosen := false
	for k, v := range labels {
		if set := x[label{namespace, k, v}]; !chosen || len(set) < len(few) {
			few, chosen = set, true
		}
	}
	var out []V
	for _, v := range few {
		if model.Selects(labels, of(v)) {
			out = append(out, v)
		}
	}
	return out
}

// Addresses lists where a service's port is served: by its slices, or where it has none, by the pods that it selects, as Kubernetes
// itself would slice them.
func (s *Store) Addresses(service model.Name, port *model.ServicePort) []model.Address {
	if list := s.slicesOf[service]; len(list) > 0 {
		return s.sliced(service, list, port)
	}
	svc := s.services[service]
	if svc == nil {
		return nil
	}
	var out []model.Address
	for _, p := range having(s.podsBy, service.Namespace, svc.Selector, func(p *model.Pod) map[string]string { return p.Labels }) {
		n := (&model.Workload{Ports: p.Ports}).TargetPort(port)
		if p.Address != "" && n != 0 {
			out = append(out, model.Address{IP: p.Address, Port: n, Ready: p.Ready, Identity: p.Identity(), Pod: p.Name})
		}
	}
	return out
}

func (s *Store) sliced(service model.Name, list []*model.EndpointSlice, port *model.ServicePort) []model.Address {
	var out []model.Address
	for _, sl := range list {
		i := slices.IndexFunc(sl.Ports, func(p model.EndpointPort) bool { return p.Name == port.Name })
		if i < 0 {
			continue
		}
		for _, e := range sl.Endpoints {
			a := model.Address{IP: e.Address, Port: sl.Ports[i].Number, Ready: e.Ready}
			if e.Pod != "" {
				a.Pod = model.Name{Namespace: service.Namespace, Name: e.Pod}
				if p := s.pods[a.Pod]; p != nil {
					a.Identity = p.Identity()
				}
			}
			out = append(out, a)
		}
	}
	return out
}

// Facts lists all facts but the settings, in no order.
func (s *Store) Facts(yield func(model.Fact) bool) {
	ok := each(s.services, yield) && each(s.workloads, yield) && each(s.pods, yield) && each(s.slices, yield) && each(s.accounts, yield)
	_ = ok && each(s.splits, yield) && each(s.groups, yield) && each(s.routes, yield) && each(s.perms, yield) && each(s.bindings, yield)
}

func each[K comparable, F model.Fact](m map[K]F, yield func(model.Fact) bool) bool {
	for _, f := range m {
		if !yield(f) {
			return false
		}
	}
	return true
}
