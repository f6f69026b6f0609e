// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// view finds the driver of a mesh, and what it applies to.
func (m *meshes) view(x *api.Mesh, v kube.Served) *view {
	w := &view{mesh: x}
	d := m.driver(x.Spec.Kind)
	if d == nil {
		var names []string
		for _, o := range m.c.o.Drivers {
			if o.Writes() {
				names = append(names, o.Name)
			}
		}
		w.reason, w.message = "UnknownKind", fmt.Sprintf("spec.kind: there is no mesh %q; there are %s", x.Spec.Kind, strings.Join(names, ", "))
		return w
	}
	if !d.Writes() {
		w.reason, w.message = "ReadOnly", fmt.Sprintf("%s can be read, for moving away from it, and not be programmed", d.Title)
		return w
	}
	if native(d) {
		w.reason, w.message = "ReadsSMI", fmt.Sprintf("%s reads SMI from this cluster by itself: nothing is written beside it. What it makes of SMI `anymesh translate` shows", d.Title)
		return w
	}
	if x.Spec.Namespaces != nil {
		s, err := metav1.LabelSelectorAsSelector(x.Spec.Namespaces)
		if err != nil {
			w.reason, w.message = "InvalidSelector", "spec.namespaces: "+err.Error()
			return w
		}
		w.selector = s
	}
	if w.driver = d.For(v.Has); w.driver == nil {
		var lack []string
		for _, k := range d.Kinds {
			if k.Resource != "" && !v.Has(k) {
				lack = append(lack, k.Kind+" of "+k.APIVersion)
			}
		}
		w.reason, w.message = "NotServed", fmt.Sprintf("the cluster does not serve %s: is %s installed?", strings.Join(lack, ", "), d.Title)
	}
	return w
}

// native says whether a mesh's own language is SMI: what would be written for it would be wishes again, beside those that it was made of.
func native(d *mesh.Driver) bool {
	return slices.ContainsFunc(d.Kinds, func(k mesh.Kind) bool { return smi.Speaks(k.APIVersion, k.Kind) })
}

// Settings of a mesh; nil where it decides nothing.
func Settings(s *api.MeshSpec) *model.Settings {
	out := model.Defaults()
	out.TrustDomain = cmp.Or(s.TrustDomain, out.TrustDomain)
	out.ClusterDomain = cmp.Or(s.ClusterDomain, out.ClusterDomain)
	switch s.AccessDefault {
	case api.Deny:
		out.Access = model.AccessDeny
	case api.Allow:
		out.Access = model.AccessAllow
	}
	out.CrossNamespace = s.Options["crossNamespace"] == "true"
	for _, name := range s.Helpers {
		if h, ok := model.ParseHelper(name); ok {
			out.Helpers |= h
		}
	}
	if *out == *model.Defaults() {
		return nil
	}
	return out
}

// capabilities lists what a driver claims.
func capabilities(d *mesh.Driver) []api.Capability {
	out := make([]api.Capability, model.NumFeatures)
	for i := range out {
		f := model.Feature(i)
		c := d.Claim(f)
		out[i] = api.Capability{Feature: f.String(), Level: c.Level.String(), Note: c.Note}
	}
	return out
}

// namespaces knows the labels of each namespace. The engine's workers ask it while readers change it.
type namespaces struct {
	mu     sync.RWMutex
	labels map[string]map[string]string
}

func (n *namespaces) match(name string, s labels.Selector) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	l, ok := n.labels[name]
	return ok && s.Matches(labels.Set(l))
}

// namespace takes the labels of a namespace, nil where it is gone.
func (m *meshes) namespace(name string, now map[string]string) {
	m.namespaces.mu.Lock()
	was, known := m.namespaces.labels[name]
	if now == nil {
		delete(m.namespaces.labels, name)
	} else {
		m.namespaces.labels[name] = now
	}
	m.namespaces.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.views {
		if w.selector == nil {
			continue
		}
		if (known && w.selector.Matches(labels.Set(was))) != (now != nil && w.selector.Matches(labels.Set(now))) {
			m.moved[name] = true
			m.stir()
		}
	}
}

// list is where the kind Mesh is read to.
type list struct{ m *meshes }

// Add takes a mesh that came.
func (l list) Add(o any) error { return l.Update(o) }

// Update takes what a mesh is now.
func (l list) Update(o any) error {
	x, err := decode(o)
	if err != nil {
		return err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if old := l.m.said[x.Name]; old == nil || old.Generation != x.Generation || old.UID != x.UID {
		l.m.stir()
	}
	l.m.said[x.Name] = x
	return nil
}

// Delete takes that a mesh is gone.
func (l list) Delete(o any) error {
	x, err := decode(o)
	if err != nil {
		return err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.said, x.Name)
	l.m.stir()
	return nil
}

// Replace takes all meshes that there are.
func (l list) Replace(all []any, _ string) error {
	said := map[string]*api.Mesh{}
	for _, o := range all {
		x, err := decode(o)
		if err != nil {
			return err
		}
		said[x.Name] = x
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.said, l.m.synced = said, true
	l.m.stir()
	return nil
}

// Resync has nothing to do.
func (l list) Resync() error { return nil }

func decode(o any) (*api.Mesh, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("not a Mesh: %T", o)
	}
	x := &api.Mesh{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, x); err != nil {
		return nil, fmt.Errorf("mesh %s: %w", u.GetName(), err)
	}
	return x, nil
}

// served lists the kinds of a driver that are served, as Kubernetes names resources.
func served(d *mesh.Driver) (out []string) {
	for _, k := range d.Kinds {
		if group, _, ok := strings.Cut(k.APIVersion, "/"); ok && k.Resource != "" {
			out = append(out, k.Resource+"."+group)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
