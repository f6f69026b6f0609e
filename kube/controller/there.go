// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"slices"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/mesh"
)

// Mesh is a mesh that is there, whether it is programmed or, as one that reads SMI by itself, not.
type Mesh struct {
	Name   string
	Spec   api.MeshSpec
	Driver *mesh.Driver // the newest of its kind
}

// there gives the meshes whose driver is known, by name. The caller holds the lock.
func (m *meshes) there() (out []Mesh) {
	for _, name := range slices.Sorted(maps.Keys(m.views)) {
		w := m.views[name]
		if d := m.driver(w.mesh.Spec.Kind); d != nil {
			out = append(out, Mesh{name, w.mesh.DeepCopy().Spec, d})
		}
	}
	return out
}

// MeshOf names the mesh that a namespace is in, the first by name of those that serve it; empty: none.
func (c *Controller) MeshOf(namespace string) string {
	m := c.meshes
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.views)) {
		w := m.views[name]
		if m.driver(w.mesh.Spec.Kind) != nil && (w.selector == nil || m.namespaces.match(namespace, w.selector)) {
			return name
		}
	}
	return ""
}
