// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

// resource is what the storages of a kind share.
type resource struct {
	*asker
	kind metrics.Kind
}

// New implements rest.Storage.
func (r resource) New() runtime.Object { return &traffic.TrafficMetrics{} }

// Destroy implements rest.Storage: there is nothing to let go.
func (r resource) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (r resource) NamespaceScoped() bool { return !r.kind.Cluster }

// ref names a resource of the kind.
func (r resource) ref(ctx context.Context, name string) metrics.Ref {
	ref := metrics.Ref{Kind: r.kind.Name, Name: name}
	if !r.kind.Cluster {
		ref.Namespace = request.NamespaceValue(ctx)
	}
	return ref
}

func (r resource) find(ctx context.Context, name string) (metrics.Ref, error) {
	ref := r.ref(ctx, name)
	if err := r.ready(); err != nil {
		return ref, err
	}
	if _, ok := r.world.Find(ref); !ok {
		return ref, apierrors.NewNotFound(schema.GroupResource{Group: traffic.Group, Resource: r.kind.Plural}, name)
	}
	return ref, nil
}

// measured is a kind's own storage: get and list.
type measured struct{ resource }

var (
	_ rest.Getter               = (*measured)(nil)
	_ rest.Lister               = (*measured)(nil)
	_ rest.Scoper               = (*measured)(nil)
	_ rest.SingularNameProvider = (*measured)(nil)
	_ rest.KindProvider         = (*measured)(nil)
)

// Kind implements rest.KindProvider: the name of the resource's kind in discovery alone. The objects are TrafficMetrics, as SMI has it, but
// kubectl finds its way from a resource to a kind and back, and of one kind for all resources it would always come back to the same.
func (m *measured) Kind() string { return m.kind.Name + traffic.Kind }

// NewList implements rest.Lister.
func (m *measured) NewList() runtime.Object { return &traffic.TrafficMetricsList{} }

// GetSingularName implements rest.SingularNameProvider.
func (m *measured) GetSingularName() string { return lowerFirst(m.kind.Name) }

// Get answers for one resource. The answer for a TrafficSplit is a list, of one item for each backend.
func (m *measured) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	ref, err := m.find(ctx, name)
	if err != nil {
		return nil, err
	}
	l, err := m.ask(ctx, metrics.Question{Kind: m.kind, Of: []metrics.Ref{ref}})
	if err != nil {
		return nil, err
	}
	if m.kind.Name == "TrafficSplit" {
		l.Resource.Name, l.Resource.Namespace = ref.Name, ref.Namespace
		return l, nil
	}
	if len(l.Items) != 1 {
		return nil, apierrors.NewInternalError(fmt.Errorf("%d answers for one %s", len(l.Items), m.kind.Name))
	}
	return &l.Items[0], nil
}

// List answers for the resources of a namespace, or of all, that selectors select by the labels and the names of the resources.
func (m *measured) List(ctx context.Context, o *internalversion.ListOptions) (runtime.Object, error) {
	if err := m.ready(); err != nil {
		return nil, err
	}
	label, field := labels.Everything(), fields.Everything()
	if o != nil && o.LabelSelector != nil {
		label = o.LabelSelector
	}
	if o != nil && o.FieldSelector != nil {
		field = o.FieldSelector
	}
	if err := m.selectable(field); err != nil {
		return nil, err
	}
	namespace := request.NamespaceValue(ctx)
	if m.kind.Cluster {
		namespace = ""
	}
	q := metrics.Question{Kind: m.kind}
	for _, r := range m.world.List(m.kind, namespace) {
		if label.Matches(labels.Set(r.Labels)) && field.Matches(fields.Set{"metadata.name": r.Name, "metadata.namespace": r.Namespace}) {
			q.Of = append(q.Of, r.Ref)
		}
	}
	l, err := m.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	l.Resource.Namespace = namespace
	if set, ok := exact(label); ok {
		l.Selector = &traffic.Selector{MatchLabels: set}
	}
	return l, nil
}

func (m *measured) selectable(s fields.Selector) error {
	for _, r := range s.Requirements() {
		if r.Field != "metadata.name" && r.Field != "metadata.namespace" {
			return apierrors.NewBadRequest(fmt.Sprintf("field selector %q: only metadata.name and metadata.namespace can be selected by", r.Field))
		}
	}
	return nil
}

// exact says a selector as labels, where it asks for equality alone.
func exact(s labels.Selector) (map[string]string, bool) {
	rs, selectable := s.Requirements()
	if !selectable || len(rs) == 0 {
		return nil, false
	}
	out := map[string]string{}
	for _, r := range rs {
		v, ok := r.Values().PopAny()
		if op := string(r.Operator()); !ok || r.Values().Len() != 1 || op != "=" && op != "==" && op != "in" {
			return nil, false
		}
		out[r.Key()] = v
	}
	return out, true
}

// ConvertToTable implements rest.TableConvertor.
func (r resource) ConvertToTable(_ context.Context, o, options runtime.Object) (*metav1.Table, error) {
	var t *metav1.Table
	switch o := o.(type) {
	case *traffic.TrafficMetricsList:
		t = traffic.Table(o.Items)
	case *traffic.TrafficMetrics:
		t = traffic.Table([]traffic.TrafficMetrics{*o})
	default:
		return nil, fmt.Errorf("no table of a %T", o)
	}
	if opt, ok := options.(*metav1.TableOptions); ok && opt.NoHeaders {
		t.ColumnDefinitions = nil
	}
	return t, nil
}

// part is a sub-resource: the edges or the routes of one resource.
type part struct {
	resource
	edges, routes bool
}

var (
	_ rest.Getter         = (*part)(nil)
	_ rest.TableConvertor = (*part)(nil)
)

// New implements rest.Storage: what it answers with is a list.
func (p *part) New() runtime.Object { return &traffic.TrafficMetricsList{} }

// Get answers for one resource.
func (p *part) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	ref, err := p.find(ctx, name)
	if err != nil {
		return nil, err
	}
	l, err := p.ask(ctx, metrics.Question{Kind: p.kind, Of: []metrics.Ref{ref}, Edges: p.edges, Routes: p.routes})
	if err != nil {
		return nil, err
	}
	l.Resource.Name, l.Resource.Namespace = ref.Name, ref.Namespace
	return l, nil
}

// lowerFirst is a kind as kubectl writes one of it.
func lowerFirst(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
