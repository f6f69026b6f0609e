// SPDX-License-Identifier: Apache-2.0

// Package world is what metrics know of the resources that facts tell of: those of the mesh on one machine, and those of files.
package world

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/model"
)

// World implements metrics.World over facts. One goroutine tells it, any number ask.
type World struct {
	mesh string
	now  atomic.Pointer[view]
}

var _ metrics.World = (*World)(nil)

// New makes a world all of whose namespaces are in one mesh. It is ready when it has been told.
func New(mesh string) *World { return &World{mesh: mesh} }

// view is the world at one moment, and never changes.
type view struct {
	kinds  map[string]map[metrics.Ref]*thing // by Kind.Name
	spots  map[string][]*thing               // pods of a namespace, by name
	owned  map[metrics.Ref][]metrics.Ref     // pods of a workload
	splits map[metrics.Ref]metrics.Split
}

type thing struct {
	metrics.Resource
	owner   metrics.Ref       // of a pod
	selects map[string]string // of a service
}

// Tell says all that there is: every fact, and the suffix of service names.
func (w *World) Tell(facts func(yield func(model.Fact) bool), clusterDomain string) {
	v := &view{kinds: map[string]map[metrics.Ref]*thing{}, spots: map[string][]*thing{}, owned: map[metrics.Ref][]metrics.Ref{}, splits: map[metrics.Ref]metrics.Split{}}
	for f := range facts {
		switch f := f.(type) {
		case *model.Pod:
			v.add(&thing{Resource: metrics.Resource{Ref: ref(f.Ref()), Labels: f.Labels}, owner: ref(f.Workload)})
		case *model.Workload:
			if f.Kind != model.KindPod { // a bare pod is there as a pod
				v.add(&thing{Resource: metrics.Resource{Ref: ref(f.Ref()), Labels: f.Labels}})
			}
		case *model.Service:
			v.add(&thing{Resource: metrics.Resource{Ref: ref(f.Ref())}, selects: f.Selector})
		case *model.Split:
			v.split(f, clusterDomain)
		}
	}
	v.settle()
	w.now.Store(v)
}

func ref(r model.Ref) metrics.Ref {
	return metrics.Ref{Kind: string(r.Kind), Namespace: r.Namespace, Name: r.Name.Name}
}

func (v *view) add(t *thing) {
	if _, ok := metrics.KindOf(t.Kind); !ok {
		return // a Rollout: its pods are known, it is not asked for
	}
	if v.kinds[t.Kind] == nil {
		v.kinds[t.Kind] = map[metrics.Ref]*thing{}
	}
	v.kinds[t.Kind][t.Ref] = t
}

func (v *view) split(s *model.Split, domain string) {
	t := &thing{Resource: metrics.Resource{Ref: ref(s.Ref())}}
	if s.Created != 0 {
		t.Created = time.Unix(s.Created, 0)
	}
	v.add(t)
	name := func(written string) string {
		if n, ok := model.ParseServiceName(written, s.Name.Namespace, domain); ok {
			return n.Name
		}
		return written
	}
	out := metrics.Split{Apex: name(s.Root)}
	for _, b := range s.Backends {
		n := name(b.Service)
		if i := slices.IndexFunc(out.Backends, func(o metrics.Backend) bool { return o.Name == n }); i >= 0 {
			out.Backends[i].Weight += b.Weight // the same backend twice: weights add up
			continue
		}
		out.Backends = append(out.Backends, metrics.Backend{Apex: out.Apex, Name: n, Weight: b.Weight})
	}
	v.splits[t.Ref] = out
}

// settle finds what follows from the rest: namespaces, and whose the pods are.
func (v *view) settle() {
	spaces := map[string]bool{}
	for _, all := range v.kinds {
		for r := range all {
			spaces[r.Namespace] = true
		}
	}
	for n := range spaces {
		v.add(&thing{Resource: metrics.Resource{Ref: metrics.Ref{Kind: "Namespace", Name: n}, Labels: map[string]string{"kubernetes.io/metadata.name": n}}})
	}
	for _, r := range slices.SortedFunc(maps.Keys(v.kinds["Pod"]), compare) {
		t := v.kinds["Pod"][r]
		v.spots[r.Namespace] = append(v.spots[r.Namespace], t)
		v.owned[t.owner] = append(v.owned[t.owner], r)
	}
}

func compare(a, b metrics.Ref) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Ready implements metrics.World.
func (w *World) Ready() error {
	if w.now.Load() == nil {
		return errors.New("what there is has not been read yet")
	}
	return nil
}

var nothing view

func (w *World) view() *view {
	if v := w.now.Load(); v != nil {
		return v
	}
	return &nothing
}

// List implements metrics.World.
func (w *World) List(k metrics.Kind, namespace string) []metrics.Resource {
	var out []metrics.Resource
	for r, t := range w.view().kinds[k.Name] {
		if namespace == "" || r.Namespace == namespace {
			out = append(out, t.Resource)
		}
	}
	slices.SortFunc(out, func(a, b metrics.Resource) int { return compare(a.Ref, b.Ref) })
	return out
}

// Find implements metrics.World.
func (w *World) Find(r metrics.Ref) (metrics.Resource, bool) {
	if t := w.view().kinds[r.Kind][r]; t != nil {
		return t.Resource, true
	}
	return metrics.Resource{}, false
}

// Pods implements metrics.World.
func (w *World) Pods(r metrics.Ref) []metrics.Ref {
	v := w.view()
	switch r.Kind {
	case "Pod":
		if v.kinds["Pod"][r] == nil {
			return nil
		}
		return []metrics.Ref{r}
	case "Namespace":
		return pick(v.spots[r.Name], nil)
	case "Service":
		s := v.kinds["Service"][r]
		if s == nil || len(s.selects) == 0 {
			return nil
		}
		return pick(v.spots[r.Namespace], s.selects)
	}
	return slices.Clone(v.owned[r])
}

// pick gives the pods that have all of some labels.
func pick(pods []*thing, want map[string]string) (out []metrics.Ref) {
	for _, p := range pods {
		fits := true
		for k, v := range want {
			has, ok := p.Labels[k]
			fits = fits && ok && has == v
		}
		if fits {
			out = append(out, p.Ref)
		}
	}
	return out
}

// Owner implements metrics.World.
func (w *World) Owner(pod metrics.Ref, k metrics.Kind) (metrics.Ref, bool) {
	v := w.view()
	t := v.kinds["Pod"][pod]
	if t == nil {
		return metrics.Ref{}, false
	}
	switch k.Name {
	case "Pod":
		return pod, true
	case "Namespace":
		return metrics.Ref{Kind: k.Name, Name: pod.Namespace}, true
	}
	return t.owner, t.owner.Kind == k.Name
}

// Split implements metrics.World.
func (w *World) Split(r metrics.Ref) (metrics.Split, bool) {
	s, ok := w.view().splits[r]
	return s, ok
}

// Mesh implements metrics.World.
func (w *World) Mesh(string) string { return w.mesh }
