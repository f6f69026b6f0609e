// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube/adopt"
	"github.com/anymesh/anymesh/kube/apply"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// made are the kinds of which an installation has objects, the last to be needed first.
var made = []struct {
	schema.GroupVersionResource
	wide bool
}{
	{schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}, true}, // which must not be left unanswered
	{schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}, true},
	{schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}, true},
	{schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "servicemonitors"}, false},
	{schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, false},
	{schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}, false},
	{deployments, false},
	{schema.GroupVersionResource{Version: "v1", Resource: "services"}, false},
	{schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, false},
	{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}, false},
	{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}, false},
	{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"}, true},
	{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, true},
	{schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, false},
}

// mark selects what an installation has made.
const mark = manifest.PartOf + "=" + manifest.Name + "," + mesh.ManagedBy + "=" + mesh.Us

// mine lists what an installation made: in its namespace, and what belongs to none.
func (i *Installation) mine(ctx context.Context) (out []*unstructured.Unstructured, err error) {
	for _, k := range made {
		ns := i.Values.Namespace
		if k.wide {
			ns = ""
		}
		list, err := i.Cluster.Dynamic.Resource(k.GroupVersionResource).Namespace(ns).List(ctx, metav1.ListOptions{LabelSelector: mark})
		if apierrors.IsNotFound(err) { // a kind that the cluster does not serve
			continue
		} else if err != nil {
			return nil, fmt.Errorf("list %s: %w", k.Resource, err)
		}
		for n := range list.Items {
			out = append(out, &list.Items[n])
		}
	}
	return out, nil
}

// Removal is how an installation is taken out.
type Removal struct {
	Definitions []*adopt.Release `json:"definitions"`
	Objects     []Action         `json:"objects"`
	Native      map[string]int   `json:"native"` // objects of meshes that we wrote, by kind: virtualservices.networking.istio.io
	Namespace   string           `json:"namespace"`
	Keeps       []string         `json:"keeps,omitempty"` // what else lives in the namespace, which therefore stays
	Helm        bool             `json:"helm,omitempty"`  // Helm installed it: only the definitions are ours to let go
}

// Removal asks the cluster what there is.
func (i *Installation) Removal(ctx context.Context) (*Removal, error) {
	r := &Removal{Namespace: i.Values.Namespace, Objects: []Action{}, Native: map[string]int{}}
	var err error
	if r.Definitions, err = i.Adoption().Releases(ctx); err != nil {
		return nil, err
	}
	objects, err := i.mine(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range objects {
		r.Objects = append(r.Objects, Action{"delete", u.GetKind(), title(u), u})
	}
	err = i.native(ctx, func(resource string, list []unstructured.Unstructured) error {
		r.Native[resource] += len(list)
		return nil
	})
	if err != nil {
		return nil, err
	}
	d, err := i.Cluster.Core.AppsV1().Deployments(i.Values.Namespace).Get(ctx, manifest.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	r.Helm = err == nil && d.Labels[mesh.ManagedBy] == "Helm"
	r.Keeps, err = i.others(ctx)
	return r, err
}

// Agreed is what a user has agreed to.
type Agreed struct {
	Versions bool // versions of definitions that only conversion can serve go
	Native   bool // the objects in the meshes go, and with them what they enforce
	Crds     bool // the definitions go, and with them every object of SMI
}

// Remove takes an installation out: first the definitions are let go, so that nobody needs the webhook when it goes.
func (i *Installation) Remove(ctx context.Context, r *Removal, ok Agreed) error {
	a := i.Adoption()
	if ok.Crds {
		i.tell("definitions", "delete, with every object")
		if err := a.Delete(ctx, r.Definitions); err != nil {
			return err
		}
	} else if err := a.Let(ctx, r.Definitions, ok.Versions); err != nil {
		return err
	}
	for _, x := range r.Objects {
		if err := i.apply(ctx, x); err != nil {
			return fmt.Errorf("%s %s %s: %w", x.Do, x.Kind, x.Name, err)
		}
	}
	if ok.Native {
		err := i.native(ctx, func(resource string, list []unstructured.Unstructured) error { return i.delete(ctx, resource, list) })
		if err != nil {
			return err
		}
	}
	if r.Helm {
		return nil
	}
	for _, x := range []struct {
		schema.GroupVersionResource
		name string
	}{{secrets, manifest.CertName}, {schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}, manifest.Name}} {
		err := i.Cluster.Dynamic.Resource(x.GroupVersionResource).Namespace(i.Values.Namespace).Delete(ctx, x.name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s: %w", x.Resource, x.name, err)
		}
	}
	return i.namespace(ctx, r)
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// namespace deletes the namespace where we made it and nobody else lives in it.
func (i *Installation) namespace(ctx context.Context, r *Removal) error {
	of := i.Cluster.Dynamic.Resource(namespaces)
	ns, err := of.Get(ctx, i.Values.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if ns.GetLabels()[mesh.ManagedBy] != mesh.Us || len(r.Keeps) > 0 {
		return nil
	}
	i.tell("Namespace "+i.Values.Namespace, "delete")
	return of.Delete(ctx, i.Values.Namespace, metav1.DeleteOptions{})
}

// others names what lives in our namespace and is not ours.
func (i *Installation) others(ctx context.Context) (out []string, err error) {
	for _, resource := range []string{"pods", "services", "secrets", "configmaps", "persistentvolumeclaims"} {
		list, err := i.Cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Namespace(i.Values.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", resource, err)
		}
		for _, u := range list.Items {
			known := u.GetName() == manifest.CertName || u.GetName() == "kube-root-ca.crt" || strings.HasPrefix(u.GetName(), "sh.helm.release.")
			if u.GetLabels()[manifest.PartOf] != manifest.Name && !known {
				out = append(out, resource+"/"+u.GetName())
			}
		}
	}
	return out, nil
}

// native calls f with the objects of each kind that we wrote into meshes.
func (i *Installation) native(ctx context.Context, f func(resource string, list []unstructured.Unstructured) error) error {
	kinds := map[string]schema.GroupVersionResource{}
	for _, d := range all.Drivers() {
		for _, k := range d.Kinds {
			at := k.APIVersion
			if smi.Speaks(at, k.Kind) { // the stored version needs no webhook
				at = cmp.Or(smi.Newest(model.Kind(k.Kind)), at)
			}
			gv, err := schema.ParseGroupVersion(at)
			if err != nil || k.Resource == "" || !d.Writes() {
				continue
			}
			r := gv.WithResource(k.Resource)
			kinds[r.GroupResource().String()+" "+gv.Version] = r
		}
	}
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(kinds)) {
		r := kinds[key]
		name := r.GroupResource().String()
		if seen[name] {
			continue
		}
		list, err := i.Cluster.Dynamic.Resource(r).List(ctx, metav1.ListOptions{LabelSelector: mesh.ManagedBy + "=" + mesh.Us + "," + apply.Target})
		if apierrors.IsNotFound(err) || connect.Unserved(err) {
			continue
		} else if err != nil {
			return fmt.Errorf("list %s: %w", name, err)
		}
		seen[name] = true
		if len(list.Items) > 0 {
			if err := f(key, list.Items); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *Installation) delete(ctx context.Context, resource string, list []unstructured.Unstructured) error {
	i.tell(resource, fmt.Sprintf("delete %d objects", len(list)))
	for n := range list {
		r, err := i.Cluster.Of(&list[n])
		if err == nil {
			err = r.Delete(ctx, list[n].GetName(), metav1.DeleteOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s: %w", resource, title(&list[n]), err)
		}
	}
	return nil
}
