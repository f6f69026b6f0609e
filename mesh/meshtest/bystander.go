// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// bystanders puts into a world those of whom nobody speaks: in each namespace with workloads one that has nothing in common with them,
// and for each of them that is found by several labels one that lacks one. What is said of the others must leave them as they are.
func bystanders(s *store.Store) {
	var list []*model.Workload
	for f := range s.Facts {
		if w, ok := f.(*model.Workload); ok {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	found := func(ns string, labels map[string]string) bool {
		return slices.ContainsFunc(list, func(o *model.Workload) bool { return o.Name.Namespace == ns && model.Selects(o.Finder(), labels) })
	}
	met := map[string]int{}
	for _, w := range list {
		ns, finder := w.Name.Namespace, w.Finder()
		if met[ns]++; met[ns] == 1 && !found(ns, nil) {
			stand(s, ns, bystander, map[string]string{})
		}
		for _, k := range slices.Sorted(maps.Keys(finder)) {
			labels := maps.Clone(finder)
			if delete(labels, k); len(labels) > 0 && met[ns] < 3 && !found(ns, labels) {
				stand(s, ns, fmt.Sprintf("%s-%d", bystander, met[ns]), labels)
			}
		}
	}
}

// bystander is the name of those, and their label.
const bystander = "bystander"

// stand puts one into a namespace, which listens where others there do.
func stand(s *store.Store, namespace, name string, labels map[string]string) {
	n, own := model.Name{Namespace: namespace, Name: name}, map[string]string{bystander: name}
	labels[bystander] = name
	numbers := []uint16{8080}
	for f := range s.Facts {
		switch f := f.(type) {
		case *model.Service:
			for _, p := range f.Ports {
				if f.Name.Namespace == namespace && p.Target != 0 && p.Protocol != model.UDP {
					numbers = append(numbers, p.Target)
				}
			}
		case *model.Workload:
			for _, p := range f.Ports {
				if f.Name.Namespace == namespace && p.Protocol != model.UDP {
					numbers = append(numbers, p.Number)
				}
			}
		}
	}
	slices.Sort(numbers)
	svc := &model.Service{Name: n, Selector: own}
	for _, p := range slices.Compact(numbers) {
		svc.Ports = append(svc.Ports, model.ServicePort{Name: fmt.Sprintf("http-%d", p), Number: p, Target: p, Protocol: model.HTTP})
	}
	w := &model.Workload{Kind: model.KindDeployment, Name: n, Labels: labels, Selector: own, Account: name}
	s.Set(store.Event{Object: svc.Ref(), Facts: []model.Fact{svc}})
	s.Set(store.Event{Object: w.Ref(), Facts: []model.Fact{w}})
}
