// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/model"
)

// Options of an Inventory.
type Options struct {
	Mesh   func(namespace string) string // name of the mesh that a namespace is in; nil: none
	Logger *slog.Logger                  // nil: silence
}

// Inventory is a metrics.World. Serve tells it which kinds there are.
type Inventory struct {
	c      *kube.Cluster
	o      Options
	served kube.Latest[kube.Served]

	mu    sync.RWMutex
	kinds map[string]map[model.Name]*thing
	nodes map[string]map[model.Name]*thing      // pods by node
	owned map[metrics.Ref]map[model.Name]*thing // pods and what else has a controller, by controller; names of different kinds do not meet: pods are leaves
	spots map[string]map[string]*thing          // pods by namespace
	tags  map[tag]map[string]*thing             // pods by one of their labels: a Service is asked for its pods at every turn
	lacks map[string]bool                       // kinds that have not been read whole
}

var _ metrics.World = (*Inventory)(nil)

// tag is a label of pods in a namespace.
type tag struct{ namespace, key, value string }

// thing is what is kept of an object.
type thing struct {
	metrics.Resource
	owner   metrics.Ref
	node    string        // of a pod
	selects labels.Set    // of a Service; nil: nothing
	split   metrics.Split // of a TrafficSplit
}

// New knows nothing before Run.
func New(c *kube.Cluster, o Options) *Inventory {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	i := &Inventory{c: c, o: o, served: kube.NewLatest[kube.Served](), kinds: map[string]map[model.Name]*thing{},
		nodes: map[string]map[model.Name]*thing{}, owned: map[metrics.Ref]map[model.Name]*thing{}, spots: map[string]map[string]*thing{}, tags: map[tag]map[string]*thing{}, lacks: map[string]bool{}}
	for _, k := range metrics.Kinds() {
		i.kinds[k.Name] = map[model.Name]*thing{}
		i.lacks[k.Name] = true
	}
	return i
}

// Serve says which kinds the API serves now. Until it is called for the first time nothing is read.
func (i *Inventory) Serve(v kube.Served) { i.served.Say(v) }

// Run reads until the context ends.
func (i *Inventory) Run(ctx context.Context) error {
	readers := kube.NewReaders(ctx, i.o.Logger)
	defer readers.Close()
	for {
		var v kube.Served
		select {
		case <-ctx.Done():
			return nil
		case v = <-i.served:
		}
		for _, k := range metrics.Kinds() {
			where, ok := place(k, v)
			if !ok {
				readers.Stop(k.Name)
				i.replace(k.Name, nil)
				continue
			}
			readers.Read(k.Name, where, i.reading(k, where))
		}
	}
}

// Ready implements metrics.World.
func (i *Inventory) Ready() error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	var missing []string
	for k := range i.lacks {
		missing = append(missing, k)
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("not read yet: %s", strings.Join(missing, ", "))
}

// List implements metrics.World.
func (i *Inventory) List(k metrics.Kind, namespace string) []metrics.Resource {
	i.mu.RLock()
	defer i.mu.RUnlock()
	var out []metrics.Resource
	for n, t := range i.kinds[k.Name] {
		if namespace == "" || n.Namespace == namespace {
			out = append(out, t.Resource)
		}
	}
	slices.SortFunc(out, func(a, b metrics.Resource) int { return compare(a.Ref, b.Ref) })
	return out
}

func compare(a, b metrics.Ref) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Find implements metrics.World.
func (i *Inventory) Find(r metrics.Ref) (metrics.Resource, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if t := i.find(r); t != nil {
		return t.Resource, true
	}
	return metrics.Resource{}, false
}

func (i *Inventory) find(r metrics.Ref) *thing {
	return i.kinds[r.Kind][model.Name{Namespace: r.Namespace, Name: r.Name}]
}

// Pods implements metrics.World.
func (i *Inventory) Pods(r metrics.Ref) []metrics.Ref {
	i.mu.RLock()
	defer i.mu.RUnlock()
	var out []metrics.Ref
	switch r.Kind {
	case "Pod":
		if i.find(r) != nil {
			out = append(out, r)
		}
	case "Node":
		for _, t := range i.nodes[r.Name] {
			out = append(out, t.Ref)
		}
	case "Namespace":
		for _, t := range i.spots[r.Name] {
			out = append(out, t.Ref)
		}
	case "Service":
		out = i.selected(r)
	default:
		out = i.descend(out, r)
	}
	slices.SortFunc(out, compare)
	return out
}

func (i *Inventory) selected(r metrics.Ref) (out []metrics.Ref) {
	s := i.find(r)
	if s == nil || len(s.selects) == 0 {
		return nil
	}
	var fewest map[string]*thing
	first := true
	for k, v := range s.selects {
		if m := i.tags[tag{r.Namespace, k, v}]; first || len(m) < len(fewest) {
			fewest, first = m, false
		}
	}
	selector := labels.SelectorFromSet(s.selects)
	for _, t := range fewest {
		if selector.Matches(labels.Set(t.Labels)) {
			out = append(out, t.Ref)
		}
	}
	return out
}

// descend collects the pods below a controller. Controllers never form a ring: each was made by the one above it.
func (i *Inventory) descend(out []metrics.Ref, r metrics.Ref) []metrics.Ref {
	for _, t := range i.owned[r] {
		if t.Kind == "Pod" {
			out = append(out, t.Ref)
		} else {
			out = i.descend(out, t.Ref)
		}
	}
	return out
}

// Owner implements metrics.World.
func (i *Inventory) Owner(pod metrics.Ref, k metrics.Kind) (metrics.Ref, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	t := i.find(pod)
	if t == nil {
		return metrics.Ref{}, false
	}
	switch k.Name {
	case "Pod":
		return pod, true
	case "Namespace":
		return metrics.Ref{Kind: k.Name, Name: pod.Namespace}, true
	case "Node":
		return metrics.Ref{Kind: k.Name, Name: t.node}, t.node != ""
	}
	for t.owner != (metrics.Ref{}) {
		if t.owner.Kind == k.Name {
			return t.owner, true
		}
		if t = i.find(t.owner); t == nil {
			break
		}
	}
	return metrics.Ref{}, false
}

// Split implements metrics.World.
func (i *Inventory) Split(r metrics.Ref) (metrics.Split, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if t := i.find(r); t != nil {
		return t.split, true
	}
	return metrics.Split{}, false
}

// Mesh implements metrics.World.
func (i *Inventory) Mesh(namespace string) string {
	if i.o.Mesh == nil {
		return ""
	}
	return i.o.Mesh(namespace)
}
