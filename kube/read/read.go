// SPDX-License-Identifier: Apache-2.0

// Package read lists the objects of a mesh in a cluster, as they are. It writes nothing and watches nothing.
package read

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/pager"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/object"
)

// Native lists the objects that a driver may have something to say about: of the kinds that it writes and reads, in whichever version is
// served, and of all other kinds of the groups that are the mesh's own, so that what nobody understands is at least known. A group
// of Kubernetes or of SMI is nobody's own. The error names the kind that could not be listed.
func Native(ctx context.Context, c *kube.Cluster, d *mesh.Driver) ([]*object.Object, error) {
	served, err := c.Discover()
	if err != nil {
		return nil, err
	}
	var out []*object.Object
	for _, r := range resources(served, d) {
		list, err := all(ctx, c, r)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", r.GroupResource(), err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// resources lists where the kinds are served, each in one version: that of the driver where it is served, else the newest.
func resources(served kube.Served, d *mesh.Driver) (out []schema.GroupVersionResource) {
	wanted := map[schema.GroupVersionKind]bool{}
	kinds, own := map[schema.GroupKind]bool{}, map[string]bool{}
	for _, k := range slices.Concat(d.Kinds, d.Reads) {
		gvk := schema.FromAPIVersionAndKind(k.APIVersion, k.Kind)
		wanted[gvk], kinds[gvk.GroupKind()] = true, true
		own[gvk.Group] = gvk.Group != "" && !strings.HasSuffix(gvk.Group, "k8s.io") && !strings.HasSuffix(gvk.Group, "smi-spec.io")
	}
	best := map[schema.GroupKind]schema.GroupVersionKind{}
	for gvk := range served {
		if !kinds[gvk.GroupKind()] && !own[gvk.Group] {
			continue
		}
		now, ok := best[gvk.GroupKind()]
		if !ok || wanted[gvk] && !wanted[now] || wanted[gvk] == wanted[now] && version.CompareKubeAwareVersionStrings(gvk.Version, now.Version) > 0 {
			best[gvk.GroupKind()] = gvk
		}
	}
	for _, gvk := range best {
		out = append(out, served[gvk].GroupVersionResource)
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionResource) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Resource, b.Resource))
	})
	return out
}

func all(ctx context.Context, c *kube.Cluster, r schema.GroupVersionResource) (out []*object.Object, err error) {
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return c.Dynamic.Resource(r).List(ctx, o)
	})
	err = pages.EachListItem(ctx, metav1.ListOptions{}, func(item runtime.Object) error {
		u, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%T is no object", item)
		}
		for _, field := range []string{"managedFields", "uid", "resourceVersion", "generation"} { // of this cluster's copy alone
			unstructured.RemoveNestedField(u.Object, "metadata", field)
		}
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
		delete(u.Object, "status")
		text, err := u.MarshalJSON()
		if err != nil {
			return err
		}
		list, problems := object.Parse(u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName(), text)
		if len(list) == 0 {
			return fmt.Errorf("%s/%s is no object: %s", u.GetNamespace(), u.GetName(), problems[0].Message)
		}
		out = append(out, list...)
		return nil
	})
	return out, err
}
