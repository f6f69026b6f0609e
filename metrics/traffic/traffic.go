// SPDX-License-Identifier: Apache-2.0

// Package traffic is the kind TrafficMetrics as it goes over the wire, and how an answer is written as such.
//
// Source: SMI Traffic Metrics v1alpha1 and v1alpha2, whose objects have the same shape here: what v1alpha2 adds (the side of an edge, the
// backend of a split) no reader of v1alpha1 stumbles over. Route is ours; SMI never settled on one.
package traffic

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group.
const Group = "metrics.smi-spec.io"

// Versions are those that are served, the preferred first.
func Versions() []schema.GroupVersion {
	return []schema.GroupVersion{{Group: Group, Version: "v1alpha2"}, {Group: Group, Version: "v1alpha1"}}
}

// The kinds.
const (
	Kind     = "TrafficMetrics"
	ListKind = "TrafficMetricsList"
)

// Models is what the names of the types begin with in OpenAPI.
const Models = "io.smi-spec.metrics."

// OpenAPIModelName is the name of the type in OpenAPI.
func (TrafficMetrics) OpenAPIModelName() string { return Models + Kind }

// OpenAPIModelName is the name of the type in OpenAPI.
func (TrafficMetricsList) OpenAPIModelName() string { return Models + ListKind }

// TrafficMetrics is the traffic of one resource, or of one of its edges, backends or routes, in a window of time.
type TrafficMetrics struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Resource          Reference       `json:"resource"`
	Edge              *Edge           `json:"edge,omitempty"`
	Backend           *Backend        `json:"backend,omitempty"`
	Route             *Route          `json:"route,omitempty"`
	Timestamp         metav1.Time     `json:"timestamp"` // the end of the window
	Window            metav1.Duration `json:"window"`
	Metrics           []Metric        `json:"metrics"`
}

// TrafficMetricsList is the traffic of the resources of a kind, or of the edges of one resource.
type TrafficMetricsList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Resource        Reference        `json:"resource"`
	Selector        *Selector        `json:"selector,omitempty"`
	Items           []TrafficMetrics `json:"items"`
}

// Reference names a resource. An empty one is a peer outside of the mesh, or everybody.
type Reference struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
}

// Edge is the other side.
type Edge struct {
	Direction string    `json:"direction"` // to: what the resource sends; from: what it receives
	Side      string    `json:"side,omitempty"`
	Resource  Reference `json:"resource"`
}

// Backend is the backend of a TrafficSplit.
type Backend struct {
	Apex   string `json:"apex"`
	Name   string `json:"name"`
	Weight int64  `json:"weight"`
}

// Route is an entry of an HTTPRouteGroup.
type Route struct {
	Group string `json:"group"`
	Match string `json:"match,omitempty"`
}

// Selector is what a list was asked for.
type Selector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// Metric is one number.
type Metric struct {
	Name  string            `json:"name"`
	Unit  string            `json:"unit,omitempty"`
	Value resource.Quantity `json:"value"`
}

// DeepCopyObject implements runtime.Object.
func (t *TrafficMetrics) DeepCopyObject() runtime.Object {
	c := t.copy()
	return &c
}

func (t *TrafficMetrics) copy() TrafficMetrics {
	c := *t
	t.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	c.Edge, c.Backend, c.Route = clone(t.Edge), clone(t.Backend), clone(t.Route)
	if t.Metrics != nil {
		c.Metrics = make([]Metric, len(t.Metrics))
		for i, m := range t.Metrics {
			c.Metrics[i] = Metric{m.Name, m.Unit, m.Value.DeepCopy()}
		}
	}
	return c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// DeepCopyObject implements runtime.Object.
func (l *TrafficMetricsList) DeepCopyObject() runtime.Object {
	c := *l
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	if l.Selector != nil {
		s := Selector{MatchLabels: map[string]string{}}
		for k, v := range l.Selector.MatchLabels {
			s.MatchLabels[k] = v
		}
		c.Selector = &s
	}
	if l.Items != nil {
		c.Items = make([]TrafficMetrics, len(l.Items))
		for i := range l.Items {
			c.Items[i] = l.Items[i].copy()
		}
	}
	return &c
}
