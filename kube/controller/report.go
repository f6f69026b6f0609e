// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/source"
)

// often is how often the status of meshes is looked at: it counts objects, which change with everything.
const often = 3 * time.Second

// report writes the status of meshes, where it has changed, for as long as this replica leads.
func (m *meshes) report(ctx context.Context) {
	select {
	case <-m.c.leading:
	case <-ctx.Done():
		return
	}
	for {
		for _, w := range m.list() {
			if err := m.write(ctx, w); err != nil && ctx.Err() == nil {
				m.c.log.Warn("the status of a mesh was not written, it will be tried again", "mesh", w.mesh.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(often):
		}
	}
}

// list are the views of the meshes that the cluster says.
func (m *meshes) list() (out []*view) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, w := range m.views {
		if now := m.said[name]; now != nil {
			v := *w
			v.mesh = now // with the status that it has by now
			out = append(out, &v)
		}
	}
	return out
}

// write writes the status of one mesh, where it is not that already.
func (m *meshes) write(ctx context.Context, w *view) error {
	want := api.MeshStatus{ObservedGeneration: w.mesh.Generation}
	ready := metav1.Condition{Type: api.Ready, Status: metav1.ConditionTrue, Reason: "Served", ObservedGeneration: w.mesh.Generation}
	if w.driver == nil {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, w.reason, w.message
	} else {
		want.Driver, want.Version, want.Kinds, want.Capabilities = w.driver.Name, w.driver.Version, served(w.driver), capabilities(w.driver)
		if err := m.c.engine.Ask(ctx, func(e *engine.Engine) { want.Objects = maps.Clone(e.Said(w.mesh.Name)) }); err != nil {
			return err
		}
	}
	apimeta.SetStatusCondition(&want.Conditions, ready)
	if source.Fingerprint(want) == source.Fingerprint(w.mesh.Status) {
		return nil
	}
	if old := apimeta.FindStatusCondition(w.mesh.Status.Conditions, api.Ready); old != nil && old.Status == ready.Status {
		want.Conditions[0].LastTransitionTime = old.LastTransitionTime
	}
	plain, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&want)
	if err != nil {
		return err
	}
	body := &unstructured.Unstructured{Object: map[string]any{"apiVersion": api.Group + "/" + api.Version, "kind": "Mesh", "status": plain}}
	body.SetName(w.mesh.Name)
	body.SetUID(w.mesh.UID)
	_, err = m.c.c.Dynamic.Resource(resource).ApplyStatus(ctx, w.mesh.Name, body, metav1.ApplyOptions{FieldManager: kube.Manager, Force: true})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone meanwhile
	}
	return err
}
