// SPDX-License-Identifier: Apache-2.0

package metricstest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/anymesh/anymesh/metrics"
)

// World is a metrics.World that a test writes down. It is filled before it is read.
type World struct {
	Resources []metrics.Resource
	Owners    map[metrics.Ref][]metrics.Ref // of a pod: workloads, Services, its node
	Splits    map[metrics.Ref]metrics.Split
	Meshes    map[string]string // by namespace; the empty one: of all others
	Err       error             // why nothing is known yet
}

// Ref reads "Deployment shop/web", or "Node n1" without a namespace.
func Ref(text string) metrics.Ref {
	kind, name, _ := strings.Cut(text, " ")
	r := metrics.Ref{Kind: kind, Name: name}
	if ns, n, ok := strings.Cut(name, "/"); ok {
		r.Namespace, r.Name = ns, n
	}
	return r
}

// Refs reads several.
func Refs(texts ...string) (out []metrics.Ref) {
	for _, t := range texts {
		out = append(out, Ref(t))
	}
	return out
}

// Add adds resources.
func (w *World) Add(texts ...string) *World {
	for _, r := range Refs(texts...) {
		w.Resources = append(w.Resources, metrics.Resource{Ref: r, Created: At(-time.Hour)})
	}
	return w
}

// Pod adds a pod and what it belongs to, with whatever of that is not there yet.
func (w *World) Pod(name string, of ...string) *World {
	pod := Ref("Pod " + name)
	w.Add("Pod " + name)
	if w.Owners == nil {
		w.Owners = map[metrics.Ref][]metrics.Ref{}
	}
	for _, r := range Refs(of...) {
		w.Owners[pod] = append(w.Owners[pod], r)
		if _, ok := w.Find(r); !ok {
			w.Resources = append(w.Resources, metrics.Resource{Ref: r, Created: At(-time.Hour)})
		}
	}
	return w
}

// Ready implements metrics.World.
func (w *World) Ready() error { return w.Err }

// List implements metrics.World.
func (w *World) List(kind metrics.Kind, namespace string) (out []metrics.Resource) {
	for _, r := range w.Resources {
		if r.Kind == kind.Name && (namespace == "" || r.Namespace == namespace) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b metrics.Resource) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Find implements metrics.World.
func (w *World) Find(r metrics.Ref) (metrics.Resource, bool) {
	i := slices.IndexFunc(w.Resources, func(x metrics.Resource) bool { return x.Ref == r })
	if i < 0 {
		return metrics.Resource{}, false
	}
	return w.Resources[i], true
}

// Pods implements metrics.World.
func (w *World) Pods(r metrics.Ref) (out []metrics.Ref) {
	for pod, of := range w.Owners {
		if slices.Contains(of, r) || r.Kind == "Namespace" && pod.Namespace == r.Name {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b metrics.Ref) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	return out
}

// Owner implements metrics.World.
func (w *World) Owner(pod metrics.Ref, kind metrics.Kind) (metrics.Ref, bool) {
	if kind.Name == "Namespace" {
		return metrics.Ref{Kind: "Namespace", Name: pod.Namespace}, true
	}
	for _, r := range w.Owners[pod] {
		if r.Kind == kind.Name && kind.Name != "Service" {
			return r, true
		}
	}
	return metrics.Ref{}, false
}

// Split implements metrics.World.
func (w *World) Split(r metrics.Ref) (metrics.Split, bool) {
	s, ok := w.Splits[r]
	return s, ok
}

// Mesh implements metrics.World.
func (w *World) Mesh(namespace string) string {
	if m, ok := w.Meshes[namespace]; ok {
		return m
	}
	return w.Meshes[""]
}
