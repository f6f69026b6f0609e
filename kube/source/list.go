// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"fmt"
	"hash/maphash"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/file/core"
	"github.com/anymesh/anymesh/kube/facts"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// list is where a reflector puts what it reads of one kind. It keeps the names, to know what is gone when everything is read again.
type list struct {
	s      *Source
	name   string
	known  map[model.Name]struct{}
	synced bool // it has been read whole
}

// list is the kind's: the one that there is, or a new one.
func (s *Source) list(k *kind) *list {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lists[k.name]
	if l == nil {
		l = &list{s: s, name: k.name, known: map[model.Name]struct{}{}}
		s.lists[k.name] = l
	}
	return l
}

// drop forgets a kind that is served no more, with all of its objects.
func (s *Source) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lists[name]; l != nil {
		for n := range l.known {
			l.gone(n)
		}
		delete(s.lists, name)
	}
}

// item is what is left of an object once it is read.
type item struct {
	name   model.Name
	event  store.Event
	labels map[string]string // of a namespace
	meta   Meta              // of an SMI object
	own    bool              // written by ourselves
}

// GetObjectMeta lets a reflector tell items apart.
func (i *item) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: i.name.Namespace, Name: i.name.Name}
}

var _ cache.TransformingStore = (*list)(nil)

// Transformer makes an item of each object as it comes in.
func (l *list) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return l.read(o) }
}

// read makes an item of an object.
func (l *list) read(o any) (*item, error) {
	if i, ok := o.(*item); ok {
		return i, nil
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	i := &item{name: model.Name{Namespace: m.GetNamespace(), Name: m.GetName()}}
	i.event.Object = model.Ref{Kind: model.Kind(l.name), Name: i.name}
	i.own = ours(l.name) && l.s.o.Own != nil && l.s.o.Own(m.GetLabels())
	switch o := o.(type) {
	case *corev1.Namespace:
		if i.labels = o.Labels; i.labels == nil {
			i.labels = map[string]string{}
		}
	case *unstructured.Unstructured:
		if err := i.foreign(o); err != nil {
			return nil, fmt.Errorf("%s %s: %w", l.name, i.name, err)
		}
	default:
		i.event.Facts = facts.Of(o)
	}
	return i, nil
}

// foreign reads an object that has no Go type here.
func (i *item) foreign(u *unstructured.Unstructured) error {
	u.SetManagedFields(nil)
	raw, err := u.MarshalJSON()
	if err != nil {
		return err
	}
	if !ours(u.GetKind()) {
		i.event.Facts, _, err = core.DecodeJSON(raw)
		return err
	}
	tree, err := object.ReadJSON(raw)
	if err != nil {
		return err
	}
	o, problems := object.Of("", tree)
	if o == nil {
		return fmt.Errorf("it is no object: %s", problems[0].Message)
	}
	it, findings := smi.Decode(o)
	i.event.Findings = findings
	if it != nil {
		i.event.Facts = it.Facts(o.Namespace)
	}
	i.event.Generation = u.GetGeneration()
	i.meta = Meta{APIVersion: u.GetAPIVersion(), UID: u.GetUID(), Status: Fingerprint(u.Object["status"])}
	return nil
}

var seed = maphash.MakeSeed()

// Fingerprint tells one status from another, in this process, whenever its conditions changed. That of an object without status is 0.
func Fingerprint(status any) uint64 {
	var plain map[string]any
	text, err := json.Marshal(status)
	if err != nil || json.Unmarshal(text, &plain) != nil || len(plain) == 0 {
		return 0
	}
	timeless(plain)
	if text, err = json.Marshal(plain); err != nil { // in one order of fields, whatever type it had
		return 0
	}
	return max(1, maphash.Bytes(seed, text))
}

// timeless takes the times of changes out of conditions.
func timeless(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "lastTransitionTime")
		for _, x := range v {
			timeless(x)
		}
	case []any:
		for _, x := range v {
			timeless(x)
		}
	}
}

// Add takes an object that came.
func (l *list) Add(o any) error { return l.Update(o) }

// Update takes what an object says now.
func (l *list) Update(o any) error {
	i, err := l.read(o)
	if err != nil {
		l.s.o.Logger.Error("an object cannot be read, it is passed over", "error", err)
		return nil
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.take(i)
	return nil
}

// Delete takes that an object is gone.
func (l *list) Delete(o any) error {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.gone(model.Name{Namespace: m.GetNamespace(), Name: m.GetName()})
	return nil
}

// Replace takes everything that there is.
func (l *list) Replace(all []any, _ string) error {
	items := make([]*item, 0, len(all))
	for k, o := range all {
		i, err := l.read(o)
		all[k] = nil // the object is needed no more, and there may be many
		if err != nil {
			l.s.o.Logger.Error("an object cannot be read, it is passed over", "error", err)
			continue
		}
		items = append(items, i)
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	there := make(map[model.Name]struct{}, len(items))
	for _, i := range items {
		there[i.name] = struct{}{}
	}
	for n := range l.known {
		if _, ok := there[n]; !ok {
			l.gone(n)
		}
	}
	for _, i := range items {
		l.take(i)
	}
	l.synced = true
	l.s.stir()
	return nil
}

// Resync has nothing to do.
func (l *list) Resync() error { return nil }

// take puts an item into the batch. The caller holds the lock.
func (l *list) take(i *item) {
	if i.own {
		if _, known := l.known[i.name]; known { // it was somebody's, and is ours now
			l.gone(i.name)
		}
		return
	}
	l.known[i.name] = struct{}{}
	if l.name == "Namespace" {
		l.namespace(i.name.Name, i.labels)
		return
	}
	if i.meta != (Meta{}) {
		l.s.metas[i.event.Object] = i.meta
	}
	l.s.put(i.event)
}

func (l *list) gone(n model.Name) {
	delete(l.known, n)
	if l.name == "Namespace" {
		l.namespace(n.Name, nil)
		return
	}
	r := model.Ref{Kind: model.Kind(l.name), Name: n}
	delete(l.s.metas, r)
	l.s.put(store.Event{Object: r})
}

func (l *list) namespace(name string, labels map[string]string) {
	if l.s.o.Namespace != nil {
		l.s.o.Namespace(name, labels)
	}
	l.s.stir()
}
