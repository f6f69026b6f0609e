// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// state is what is known of an object that is there.
type state struct {
	ours       bool   // it carries our mark, and this target's name
	marked     bool   // it carries our mark, whoever's name
	wish       string // the fingerprint that it carries
	uid        types.UID
	generation int64  // of its content
	version    string // of all of it
	touched    string // a manager besides us that says a part of its content
}

// list is where a reflector puts what it reads of one kind.
type list struct {
	s      *Sink
	kind   mesh.Kind // as it is watched
	synced bool
}

func (s *Sink) list(name string, k mesh.Kind) *list {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lists[name]
	if l == nil {
		l = &list{s: s}
		s.lists[name] = l
	}
	l.kind, l.synced = k, false
	return l
}

// drop forgets a kind that is served no more.
func (s *Sink) drop(name string, k mesh.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lists, name)
	for i := range s.there {
		if i.group == group(k.APIVersion) && i.kind == k.Kind {
			delete(s.there, i)
		}
	}
	s.stir()
}

// entry is what is left of an object's metadata.
type entry struct {
	id    id
	state state
}

// GetObjectMeta lets a reflector tell entries apart.
func (e *entry) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: e.id.name.Namespace, Name: e.id.name.Name}
}

var _ cache.TransformingStore = (*list)(nil)

// Transformer makes an entry of each object as it comes in.
func (l *list) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return l.read(o) }
}

func (l *list) read(o any) (*entry, error) {
	if e, ok := o.(*entry); ok {
		return e, nil
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	return &entry{l.id(m), l.s.state(m)}, nil
}

func (l *list) id(m metav1.Object) id {
	return id{group(l.kind.APIVersion), l.kind.Kind, model.Name{Namespace: m.GetNamespace(), Name: m.GetName()}}
}

// state reads what metadata says of an object.
func (s *Sink) state(m metav1.Object) state {
	st := state{wish: m.GetAnnotations()[Wish], uid: m.GetUID(), generation: m.GetGeneration(), version: m.GetResourceVersion()}
	st.marked = m.GetLabels()[mesh.ManagedBy] == mesh.Us
	st.ours = st.marked && m.GetLabels()[Target] == s.o.Target
	fields := m.GetManagedFields()
	for i := range fields {
		if others(&fields[i]) {
			st.touched = fields[i].Manager
		}
	}
	return st
}

// others says whether a manager besides us says a part of an object's content.
func others(f *metav1.ManagedFieldsEntry) bool {
	mine := f.Manager == kube.Manager && f.Operation == metav1.ManagedFieldsOperationApply
	return !mine && f.Subresource == "" && f.FieldsV1 != nil && strings.Contains(f.FieldsV1.GetRawString(), `"f:spec"`)
}

// Add takes an object that came.
func (l *list) Add(o any) error { return l.Update(o) }

// Update takes what an object is now.
func (l *list) Update(o any) error {
	e, err := l.read(o)
	if err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.see(e.id, e.state)
	return nil
}

// see compares an object with what was known of it. The caller holds the lock.
func (s *Sink) see(i id, now state) {
	was, known := s.there[i]
	if known && older(&now, &was) {
		return // from before our own last write
	}
	s.there[i] = now
	if !known || !was.ours || was.uid != now.uid {
		return
	}
	if !now.ours || now.wish != was.wish || now.touched != "" && now.generation != was.generation {
		s.lose(i)
	}
}

// older says whether the first is what was known of an object before the second.
func older(a, b *state) bool {
	order, err := resourceversion.CompareResourceVersion(a.version, b.version)
	return a.uid == b.uid && err == nil && order < 0
}

// lose says that an object is not as it was said.
func (s *Sink) lose(i id) {
	if _, ok := s.wanted[i]; ok {
		s.lost = append(s.lost, s.key(i))
		s.stir()
	}
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
	l.s.miss(l.id(m), m.GetUID())
	return nil
}

// miss takes that an object is gone; not where another has come in its place meanwhile. If it was ours it is to be said again, and if it
// was not it may have stood in our way. The caller holds the lock.
func (s *Sink) miss(i id, uid types.UID) {
	if was, known := s.there[i]; known && (uid == "" || was.uid == uid) {
		delete(s.there, i)
		s.lose(i)
	}
}

// Replace takes everything that there is.
func (l *list) Replace(all []any, _ string) error {
	there := make(map[id]bool, len(all))
	entries := make([]*entry, 0, len(all))
	for _, o := range all {
		e, err := l.read(o)
		if err != nil {
			return err
		}
		there[e.id] = true
		entries = append(entries, e)
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	for i := range l.s.there {
		if i.group == group(l.kind.APIVersion) && i.kind == l.kind.Kind && !there[i] {
			l.s.miss(i, "")
		}
	}
	for _, e := range entries {
		l.s.see(e.id, e.state)
	}
	l.synced = true
	l.s.stir()
	return nil
}

// Resync has nothing to do.
func (l *list) Resync() error { return nil }
