// SPDX-License-Identifier: Apache-2.0

// Package outcome reads what became of SMI objects: the status that the controller writes on them, and on each Mesh.
package outcome

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// Object is one SMI object with its status.
type Object struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Namespace  string     `json:"namespace"`
	Name       string     `json:"name"`
	Generation int64      `json:"generation"`
	Status     api.Status `json:"status"`
}

// Query says which objects are meant.
type Query struct {
	Kinds     []model.Kind // empty: all
	Namespace string       // empty: all
	Name      string       // empty: all
}

const page = 500

// List reads objects, by kind, namespace and name. A kind that the cluster does not serve has none.
func List(ctx context.Context, c *connect.Cluster, q Query) (out []Object, err error) {
	kinds := q.Kinds
	if len(kinds) == 0 {
		kinds = smi.Kinds()
	}
	for _, k := range kinds {
		err := Each(ctx, c, k, q.Namespace, func(u *unstructured.Unstructured) error {
			if q.Name != "" && u.GetName() != q.Name {
				return nil
			}
			o, err := Of(u)
			out = append(out, o)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", k, err)
		}
	}
	return out, nil
}

// Each calls f with each object of a kind, in the newest version that the cluster serves; a namespace that is empty means all.
func Each(ctx context.Context, c *connect.Cluster, k model.Kind, namespace string, f func(*unstructured.Unstructured) error) error {
	for _, v := range slices.Backward(smi.Versions(k)) {
		gv, err := schema.ParseGroupVersion(v)
		if err != nil {
			return err
		}
		r := c.Dynamic.Resource(gv.WithResource(Plural(k))).Namespace(namespace)
		for next, first := "", true; first || next != ""; first = false {
			list, err := r.List(ctx, metav1.ListOptions{Limit: page, Continue: next})
			if apierrors.IsNotFound(err) && first {
				break // this version is not served
			} else if err != nil {
				return err
			}
			for i := range list.Items {
				if err := f(&list.Items[i]); err != nil {
					return err
				}
			}
			if next = list.GetContinue(); next == "" {
				return nil
			}
		}
	}
	return nil
}

// Plural is the resource of an SMI kind.
func Plural(k model.Kind) string {
	p, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: string(k)})
	return p.Resource
}

// Of reads the status of an object. What somebody else wrote there, in a shape of his own, is an error.
func Of(u *unstructured.Unstructured) (Object, error) {
	o := Object{u.GetAPIVersion(), u.GetKind(), u.GetNamespace(), u.GetName(), u.GetGeneration(), api.Status{}}
	s, ok := u.Object["status"].(map[string]any)
	if !ok {
		return o, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(s, &o.Status); err != nil {
		return o, fmt.Errorf("the status of %s %s/%s is not one that we wrote: %w", o.Kind, o.Namespace, o.Name, err)
	}
	return o, nil
}

// Condition finds a condition; nil where there is none.
func Condition(list []metav1.Condition, kind string) *metav1.Condition {
	return meta.FindStatusCondition(list, kind)
}

// Stale says whether the controller has not looked at the object since it was changed last.
func (o *Object) Stale() bool { return o.Status.ObservedGeneration < o.Generation }

// Meshes reads the Mesh objects, by name; none where the kind is not served.
func Meshes(ctx context.Context, c *connect.Cluster) ([]api.Mesh, error) {
	list, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: api.Group, Version: api.Version, Resource: "meshes"}).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list Mesh: %w", err)
	}
	out := make([]api.Mesh, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &out[i]); err != nil {
			return nil, fmt.Errorf("read Mesh %s: %w", list.Items[i].GetName(), err)
		}
	}
	slices.SortFunc(out, func(a, b api.Mesh) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
