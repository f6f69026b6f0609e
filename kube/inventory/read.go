// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

const splits = "TrafficSplit"

// place is where a kind is read.
func place(k metrics.Kind, v kube.Served) (kube.Resource, bool) {
	if k.Name != splits {
		return v.Find(k.APIVersion, k.Name)
	}
	versions := smi.Versions(splits)
	for n := len(versions) - 1; n >= 0; n-- {
		if r, ok := v.Find(versions[n], k.Name); ok {
			return r, true
		}
	}
	return kube.Resource{}, false
}

// reading lists and watches a kind: whole where more is wanted of it than metadata.
func (i *Inventory) reading(k metrics.Kind, where kube.Resource) func() (cache.ListerWatcher, cache.ReflectorStore) {
	return func() (cache.ListerWatcher, cache.ReflectorStore) {
		into := &list{i, k}
		switch k.Name {
		case "Pod", "Service":
			return cache.NewListWatchFromClient(i.c.Core.CoreV1().RESTClient(), where.Resource, metav1.NamespaceAll, fields.Everything()), into
		case splits:
			return kube.ListWatch(i.c.Dynamic.Resource(where.GroupVersionResource)), into
		}
		client, err := metadata.NewForConfig(i.c.Config)
		if err != nil {
			panic("inventory: " + err.Error()) // the same configuration has made the other clients
		}
		return kube.ListWatch(client.Resource(where.GroupVersionResource)), into
	}
}

// list is where a reflector puts what it reads of one kind.
type list struct {
	i    *Inventory
	kind metrics.Kind
}

var _ cache.TransformingStore = (*list)(nil)

// Transformer makes a thing of each object as it comes in.
func (l *list) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return l.read(o) }
}

// GetObjectMeta lets a reflector tell things apart.
func (t *thing) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name}
}

func (l *list) read(o any) (*thing, error) {
	if t, ok := o.(*thing); ok {
		return t, nil
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.kind.Name, err)
	}
	t := &thing{Resource: metrics.Resource{Ref: metrics.Ref{Kind: l.kind.Name, Namespace: m.GetNamespace(), Name: m.GetName()},
		Labels: m.GetLabels(), Created: m.GetCreationTimestamp().Time}}
	if c := metav1.GetControllerOfNoCopy(m); c != nil {
		t.owner = metrics.Ref{Kind: c.Kind, Namespace: t.Namespace, Name: c.Name}
	}
	switch o := o.(type) {
	case *corev1.Pod:
		t.node = o.Spec.NodeName
	case *corev1.Service:
		t.selects = labels.Set(o.Spec.Selector)
	case *unstructured.Unstructured:
		t.split = split(o)
	}
	return t, nil
}

// split reads a TrafficSplit. One that is refused by its own syntax shares out nothing.
func split(u *unstructured.Unstructured) (out metrics.Split) {
	raw, err := u.MarshalJSON()
	if err != nil {
		return out
	}
	tree, err := object.ReadJSON(raw)
	if err != nil {
		return out
	}
	o, _ := object.Of("", tree)
	if o == nil {
		return out
	}
	it, _ := smi.Decode(o)
	if it == nil {
		return out
	}
	for _, f := range it.Facts(o.Namespace) {
		s, ok := f.(*model.Split)
		if !ok || s.Broken {
			continue
		}
		out.Apex = s.Root
		for _, b := range s.Backends {
			out.Backends = append(out.Backends, metrics.Backend{Apex: s.Root, Name: b.Service, Weight: b.Weight})
		}
	}
	return out
}

// Add takes an object that came.
func (l *list) Add(o any) error { return l.Update(o) }

// Update takes what an object says now.
func (l *list) Update(o any) error {
	t, err := l.read(o)
	if err != nil {
		return err
	}
	l.i.mu.Lock()
	defer l.i.mu.Unlock()
	l.i.put(t)
	return nil
}

// Delete takes that an object is gone.
func (l *list) Delete(o any) error {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	t, err := l.read(o)
	if err != nil {
		return err
	}
	l.i.mu.Lock()
	defer l.i.mu.Unlock()
	l.i.drop(t.Ref)
	return nil
}

// Replace takes everything that there is.
func (l *list) Replace(all []any, _ string) error {
	things := make([]*thing, 0, len(all))
	for n, o := range all {
		t, err := l.read(o)
		all[n] = nil
		if err != nil {
			return err
		}
		things = append(things, t)
	}
	l.i.replace(l.kind.Name, things)
	return nil
}

// Resync has nothing to do.
func (l *list) Resync() error { return nil }

// replace makes a kind hold what it is given and nothing else.
func (i *Inventory) replace(kind string, things []*thing) {
	i.mu.Lock()
	defer i.mu.Unlock()
	there := map[model.Name]bool{}
	for _, t := range things {
		there[key(t.Ref)] = true
	}
	for n, t := range i.kinds[kind] {
		if !there[n] {
			i.drop(t.Ref)
		}
	}
	for _, t := range things {
		i.put(t)
	}
	delete(i.lacks, kind)
}

func key(r metrics.Ref) model.Name { return model.Name{Namespace: r.Namespace, Name: r.Name} }

// put files a thing under all that it is found by. The caller holds the lock.
func (i *Inventory) put(t *thing) {
	i.drop(t.Ref)
	n := key(t.Ref)
	i.kinds[t.Kind][n] = t
	if t.owner != (metrics.Ref{}) {
		file(i.owned, t.owner, n, t)
	}
	if t.Kind != "Pod" {
		return
	}
	file(i.spots, t.Namespace, t.Name, t)
	for k, v := range t.Labels {
		file(i.tags, tag{t.Namespace, k, v}, t.Name, t)
	}
	if t.node != "" {
		file(i.nodes, t.node, n, t)
	}
}

func (i *Inventory) drop(r metrics.Ref) {
	t := i.find(r)
	if t == nil {
		return
	}
	n := key(r)
	delete(i.kinds[r.Kind], n)
	unfile(i.owned, t.owner, n)
	if r.Kind == "Pod" {
		unfile(i.spots, t.Namespace, t.Name)
		for k, v := range t.Labels {
			unfile(i.tags, tag{t.Namespace, k, v}, t.Name)
		}
		unfile(i.nodes, t.node, n)
	}
}

func file[K, N comparable](m map[K]map[N]*thing, k K, n N, t *thing) {
	if m[k] == nil {
		m[k] = map[N]*thing{}
	}
	m[k][n] = t
}

func unfile[K, N comparable](m map[K]map[N]*thing, k K, n N) {
	delete(m[k], n)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}
