// SPDX-License-Identifier: Apache-2.0

// Package preview works out what the controller would write into the meshes of a cluster, and asks the API server what that would change.
// Nothing is written.
package preview

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/apply"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/kube/source"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Object is one object of a mesh: as it would be, as it is.
type Object struct {
	Key  mesh.Key
	JSON []byte // without what only the controller and the API server add
	Ours bool   // it may be changed
}

// Preview is what would be in one mesh, and what is.
type Preview struct {
	Mesh   string // name of the Mesh
	Driver *mesh.Driver
	Wanted []Object
	There  []Object
}

// Options of a preview.
type Options struct {
	Mesh     string        // name of the Mesh; empty: all that there are
	Settings store.Event   // of the world, where a Mesh says none
	Files    []store.Event // what would be applied besides
}

// Of reads a cluster once. The findings are of the objects that the cluster holds, with those of the files.
func Of(ctx context.Context, c *connect.Cluster, o Options) ([]Preview, []model.Finding, error) {
	served, err := c.Discover()
	if err != nil {
		return nil, nil, err
	}
	namespaces := map[string]map[string]string{}
	events, err := source.Once(ctx, c.Cluster, source.Options{
		Namespace: func(name string, l map[string]string) { namespaces[name] = l },
		Own:       func(l map[string]string) bool { return l[mesh.ManagedBy] == mesh.Us },
	})
	if err != nil {
		return nil, nil, err
	}
	targets, err := targets(ctx, c, served, o.Mesh, namespaces)
	if err != nil {
		return nil, nil, err
	}
	e := engine.New(targets...)
	e.Set(append(append([]store.Event{o.Settings}, events...), o.Files...)...)
	var out []Preview
	for _, p := range e.Flush() {
		v := Preview{Mesh: p.Target, Driver: p.Driver}
		if err := v.compare(ctx, c, p.Changes); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.Target, err)
		}
		out = append(out, v)
	}
	return out, e.Findings(), nil
}

// targets are the meshes as the controller would have them.
func targets(ctx context.Context, c *connect.Cluster, served kube.Served, only string, namespaces map[string]map[string]string) (out []engine.Target, err error) {
	said, err := outcome.Meshes(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(said) == 0 {
		for _, d := range all.Meshes() {
			if d.Writes() && served.Any(d.Marks) {
				said = append(said, api.Mesh{ObjectMeta: metav1.ObjectMeta{Name: d.Name}, Spec: api.MeshSpec{Kind: d.Name}})
			}
		}
	}
	var names []string
	for _, m := range said {
		names = append(names, m.Name)
		i := slices.IndexFunc(all.Drivers(), func(d *mesh.Driver) bool { return d.Name == m.Spec.Kind })
		if i < 0 || only != "" && only != m.Name {
			continue
		}
		d := all.Drivers()[i].For(served.Has)
		if d == nil || d.Direct() || !d.Writes() {
			continue
		}
		t := engine.Target{Name: m.Name, Driver: d, Settings: controller.Settings(&m.Spec)}
		if m.Spec.Namespaces != nil {
			s, err := metav1.LabelSelectorAsSelector(m.Spec.Namespaces)
			if err != nil {
				return nil, fmt.Errorf("spec.namespaces of Mesh %s: %w", m.Name, err)
			}
			t.Where = func(ns string) bool { l, ok := namespaces[ns]; return ok && s.Matches(labels.Set(l)) }
		}
		out = append(out, t)
	}
	switch {
	case len(out) > 0:
		return out, nil
	case only != "" && !slices.Contains(names, only):
		return nil, fmt.Errorf("the cluster has no mesh %q; it has %v", only, names)
	}
	return nil, errors.New("the cluster has no mesh that can be written to; anymesh check says why")
}

// compare finds what is there, and asks the API server what each wanted object would become.
func (p *Preview) compare(ctx context.Context, c *connect.Cluster, changes []mesh.Change) error {
	there := map[mesh.Key]*unstructured.Unstructured{}
	for _, k := range p.Driver.Kinds {
		if err := p.list(ctx, c, k, there); err != nil {
			return err
		}
	}
	for _, ch := range changes {
		live := there[ch.Key]
		u, err := p.would(ctx, c, ch.Object, live)
		if err != nil {
			return fmt.Errorf("%s: %w", ch.Key, err)
		}
		p.Wanted = append(p.Wanted, Object{ch.Key, text(u), true})
		if live != nil && !p.ours(live) { // it stands in the way
			p.There = append(p.There, Object{ch.Key, text(live), false})
		}
	}
	for k, live := range there {
		if p.ours(live) {
			p.There = append(p.There, Object{k, text(live), true})
		}
	}
	slices.SortFunc(p.There, func(a, b Object) int { return a.Key.Compare(b.Key) })
	return nil
}

// ours says whether we wrote an object for this mesh.
func (p *Preview) ours(u *unstructured.Unstructured) bool {
	return u.GetLabels()[mesh.ManagedBy] == mesh.Us && u.GetLabels()[apply.Target] == p.Mesh
}

func (p *Preview) list(ctx context.Context, c *connect.Cluster, k mesh.Kind, into map[mesh.Key]*unstructured.Unstructured) error {
	gv, err := schema.ParseGroupVersion(k.APIVersion)
	if err != nil || k.Resource == "" {
		return err
	}
	for next, first := "", true; first || next != ""; first = false {
		l, err := c.Dynamic.Resource(gv.WithResource(k.Resource)).List(ctx, metav1.ListOptions{Limit: 500, Continue: next})
		if k.Helper && apierrors.IsNotFound(err) {
			return nil // a cluster need not serve it
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", k.Resource, err)
		}
		for i := range l.Items {
			u := &l.Items[i]
			into[mesh.Key{APIVersion: k.APIVersion, Kind: k.Kind, Name: model.Name{Namespace: u.GetNamespace(), Name: u.GetName()}}] = u
		}
		next = l.GetContinue()
	}
	return nil
}

// would is what an object would be. Of one that is there and ours the API server is asked, which knows its defaults and what others
// say of it.
func (p *Preview) would(ctx context.Context, c *connect.Cluster, o *mesh.Object, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if live == nil || !p.ours(live) {
		return u, nil
	}
	marks := u.GetLabels()
	marks[apply.Target] = p.Mesh
	u.SetLabels(marks)
	r, err := c.Of(u)
	if err != nil {
		return nil, err
	}
	asked, err := r.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: kube.Manager, Force: true, DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsForbidden(err) { // who may only read compares what is written
		return u, nil
	}
	return asked, err
}

// text is an object without what only the controller and the API server add.
func text(u *unstructured.Unstructured) []byte {
	u = u.DeepCopy()
	unstructured.RemoveNestedField(u.Object, "metadata", "labels", apply.Target)
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", apply.Wish)
	if len(u.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
	}
	for _, f := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	delete(u.Object, "status")
	out, err := json.Marshal(u.Object)
	if err != nil {
		panic("preview: what was JSON is none: " + err.Error())
	}
	return out
}
