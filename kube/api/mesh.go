// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The group and the version of the kind Mesh.
const (
	Group   = "anymesh.dev"
	Version = "v1alpha1"
)

// Mesh is one service mesh of a cluster that anymesh speaks for. It belongs to no namespace.
type Mesh struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              MeshSpec   `json:"spec"`
	Status            MeshStatus `json:"status,omitzero"`
}

// MeshSpec says which mesh it is and what holds in all of it.
type MeshSpec struct {
	Kind          string                `json:"kind"`                    // name of the driver: istio, linkerd, builtin
	Namespaces    *metav1.LabelSelector `json:"namespaces,omitempty"`    // that it serves, by their labels; nil: all
	AccessDefault string                `json:"accessDefault,omitempty"` // targeted, deny or allow; empty: targeted
	TrustDomain   string                `json:"trustDomain,omitempty"`   // of its identities; empty: the driver's default
	ClusterDomain string                `json:"clusterDomain,omitempty"` // of DNS names; empty: cluster.local
	Metrics       *MeshMetrics          `json:"metrics,omitempty"`       // where its numbers are; nil: at the installation's Prometheus
	Helpers       []string              `json:"helpers,omitempty"`       // means beside the mesh's own language that may be used: expressions
	Options       map[string]string     `json:"options,omitempty"`       // that its driver alone understands
}

// MeshMetrics says which Prometheus scrapes a mesh.
type MeshMetrics struct {
	URL         string            `json:"url"`                   // base of its API: https://mimir.example/prometheus
	Interval    string            `json:"interval,omitempty"`    // between two scrapes: 30s; empty: 15s
	Credentials string            `json:"credentials,omitempty"` // name of a folder among the controller's that says who asks
	Headers     map[string]string `json:"headers,omitempty"`     // sent along: X-Scope-OrgID names a tenant
}

// Values of MeshSpec.AccessDefault: what holds for workloads that no TrafficTarget names.
const (
	Targeted = "targeted" // open until a TrafficTarget names it
	Deny     = "deny"     // closed
	Allow    = "allow"    // open, and nothing is enforced
)

// MeshStatus is what was found of a mesh.
type MeshStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Driver             string             `json:"driver,omitempty"`       // that serves it: for an earlier release one of its own
	Version            string             `json:"version,omitempty"`      // of the mesh, where it says one
	Kinds              []string           `json:"kinds,omitempty"`        // of the mesh that the cluster serves: virtualservices.networking.istio.io
	Capabilities       []Capability       `json:"capabilities,omitempty"` // what the mesh can say of SMI
	Objects            map[string]int64   `json:"objects,omitempty"`      // how many are kept in it, by kind as in Kinds
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// Capability is what a mesh can say of one feature of SMI.
type Capability struct {
	Feature string `json:"feature"`        // as in the matrix of the documentation: split.weight
	Level   string `json:"level"`          // exact, approximate or unsupported
	Note    string `json:"note,omitempty"` // how near, or why not
}

// MeshList is a list of meshes, as the API server gives it.
type MeshList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Mesh `json:"items"`
}

// DeepCopyObject makes Mesh an object of the API machinery.
func (m *Mesh) DeepCopyObject() runtime.Object { return m.DeepCopy() }

// DeepCopy copies a mesh whole.
func (m *Mesh) DeepCopy() *Mesh {
	if m == nil {
		return nil
	}
	c := *m
	m.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	c.Spec.Namespaces = m.Spec.Namespaces.DeepCopy()
	c.Spec.Helpers = slices.Clone(m.Spec.Helpers)
	c.Spec.Options = maps.Clone(m.Spec.Options)
	if x := m.Spec.Metrics; x != nil {
		y := *x
		y.Headers = maps.Clone(x.Headers)
		c.Spec.Metrics = &y
	}
	c.Status.Kinds = slices.Clone(m.Status.Kinds)
	c.Status.Capabilities = slices.Clone(m.Status.Capabilities)
	c.Status.Objects = maps.Clone(m.Status.Objects)
	c.Status.Conditions = slices.Clone(m.Status.Conditions) // of values alone
	return &c
}

// DeepCopyObject makes MeshList an object of the API machinery.
func (l *MeshList) DeepCopyObject() runtime.Object {
	if l == nil {
		return nil
	}
	c := *l
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	if l.Items != nil {
		c.Items = make([]Mesh, len(l.Items))
		for i := range l.Items {
			c.Items[i] = *l.Items[i].DeepCopy()
		}
	}
	return &c
}
