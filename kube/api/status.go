// SPDX-License-Identifier: Apache-2.0

package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of the conditions of an SMI object, and of one mesh's view of it.
const (
	// Accepted says that the object is sound: nothing in it is invalid.
	Accepted = "Accepted"
	// ResolvedRefs says that all that the object names is there.
	ResolvedRefs = "ResolvedRefs"
	// Programmed says that the meshes do what the object asks for.
	Programmed = "Programmed"
)

// Ready is the condition of a Mesh which says that it is served.
const Ready = "Ready"

// Status is the status of every SMI object. It is the same in all versions, and no part of SMI.
type Status struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"` // metadata.generation that the conditions speak of
	Conditions         []metav1.Condition `json:"conditions,omitempty"`         // over all meshes
	Meshes             []View             `json:"meshes,omitempty"`             // one for each mesh that serves the object's namespace
}

// View is what became of an SMI object in one mesh.
type View struct {
	Name       string             `json:"name"`   // of the Mesh
	Driver     string             `json:"driver"` // that speaks to it
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
