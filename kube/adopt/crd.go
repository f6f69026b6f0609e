// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/mesh"
)

// Adopted is the annotation of a definition that was there before us: whose it was, and how it stored its objects.
const Adopted = "anymesh.dev/adopted"

// Progress is the annotation of a definition whose objects are being rewritten: which of them was the last.
const Progress = "anymesh.dev/migrating"

// adopted is the content of the annotation.
type adopted struct {
	From   string   `json:"from"`
	Stored string   `json:"stored"`
	Served []string `json:"served"`
}

// CRD is a CustomResourceDefinition.
type CRD = v1.CustomResourceDefinition

func (a *Adoption) crds() interface {
	Get(context.Context, string, metav1.GetOptions, ...string) (*unstructured.Unstructured, error)
	Create(context.Context, *unstructured.Unstructured, metav1.CreateOptions, ...string) (*unstructured.Unstructured, error)
	Update(context.Context, *unstructured.Unstructured, metav1.UpdateOptions, ...string) (*unstructured.Unstructured, error)
	UpdateStatus(context.Context, *unstructured.Unstructured, metav1.UpdateOptions) (*unstructured.Unstructured, error)
} {
	return a.Cluster.Dynamic.Resource(connect.CRDs)
}

// Read gets a definition as it is.
func (a *Adoption) Read(ctx context.Context, name string) (*CRD, error) {
	u, err := a.crds().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return typed(u)
}

func typed(u *unstructured.Unstructured) (*CRD, error) {
	var c CRD
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &c); err != nil {
		return nil, fmt.Errorf("%s is no CustomResourceDefinition that we can read: %w", u.GetName(), err)
	}
	return &c, nil
}

// loose is a definition as the dynamic client takes it.
func loose(c *CRD) *unstructured.Unstructured {
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
	if err != nil {
		panic("adopt: a definition does not marshal: " + err.Error())
	}
	o := &unstructured.Unstructured{Object: u}
	o.SetAPIVersion("apiextensions.k8s.io/v1")
	o.SetKind("CustomResourceDefinition")
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	return o
}

// storage is the version in which a definition stores; empty where it says none.
func storage(c *CRD) string {
	for _, v := range c.Spec.Versions {
		if v.Storage {
			return v.Name
		}
	}
	return ""
}

func version(c *CRD, name string) *v1.CustomResourceDefinitionVersion {
	for i := range c.Spec.Versions {
		if c.Spec.Versions[i].Name == name {
			return &c.Spec.Versions[i]
		}
	}
	return nil
}

// Served lists the versions that a definition serves.
func Served(c *CRD) (out []string) {
	for _, v := range c.Spec.Versions {
		if v.Served {
			out = append(out, v.Name)
		}
	}
	return out
}

// ours says whether we made or took over a definition.
func ours(c *CRD) bool {
	return c.Annotations[Adopted] != "" || c.Labels["app.kubernetes.io/part-of"] == mesh.Us
}

// Converts says whether a definition needs a conversion webhook.
func Converts(c *CRD) bool {
	return c.Spec.Conversion != nil && c.Spec.Conversion.Strategy == v1.WebhookConverter
}

// extended is a definition that has all that is wanted and still stores as it did: nothing that reads the stored version notices.
func extended(live, want *CRD, bundle []byte) *CRD {
	out := live.DeepCopy()
	out.Spec = *want.Spec.DeepCopy()
	for i := range out.Spec.Versions {
		v := &out.Spec.Versions[i]
		v.Storage = v.Name == storage(live)
	}
	setBundle(out, bundle)
	if len(bundle) == 0 && Converts(live) && sameService(live, want) { // what the webhook wrote stays
		setBundle(out, live.Spec.Conversion.Webhook.ClientConfig.CABundle)
	}
	if !ours(live) {
		record, _ := json.Marshal(adopted{Whose(live), storage(live), Served(live)})
		set(&out.Annotations, Adopted, string(record))
	}
	for k := range out.Annotations {
		if slices.Contains(handles, k) {
			delete(out.Annotations, k)
		}
	}
	for k := range out.Labels {
		if slices.Contains(handles, k) {
			delete(out.Labels, k)
		}
	}
	for k, v := range want.Labels {
		set(&out.Labels, k, v)
	}
	for k, v := range want.Annotations {
		set(&out.Annotations, k, v)
	}
	v1.SetObjectDefaults_CustomResourceDefinition(out)
	return out
}

// handles are labels and annotations by which another program would undo what we do: linkerd-smi deletes by its label what it
// uninstalls, cert-manager writes its own bundle over ours.
var handles = []string{"linkerd.io/extension", "cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret", "cert-manager.io/inject-apiserver-ca"}

func set(m *map[string]string, k, v string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[k] = v
}

func setBundle(c *CRD, bundle []byte) {
	if Converts(c) && c.Spec.Conversion.Webhook != nil && c.Spec.Conversion.Webhook.ClientConfig != nil {
		c.Spec.Conversion.Webhook.ClientConfig.CABundle = bundle
	}
}

// sameService says whether two definitions ask the same webhook.
func sameService(a, b *CRD) bool {
	s := func(c *CRD) string {
		if !Converts(c) || c.Spec.Conversion.Webhook == nil || c.Spec.Conversion.Webhook.ClientConfig == nil || c.Spec.Conversion.Webhook.ClientConfig.Service == nil {
			return ""
		}
		svc := c.Spec.Conversion.Webhook.ClientConfig.Service
		return svc.Namespace + "/" + svc.Name
	}
	return s(a) != "" && s(a) == s(b)
}

// same says whether two definitions say the same, whatever order or form they are written in.
func same(a, b *CRD) bool {
	plain := func(c *CRD) any {
		c = c.DeepCopy()
		v1.SetObjectDefaults_CustomResourceDefinition(c)
		text, err := json.Marshal([]any{c.Spec, c.Labels, c.Annotations})
		if err != nil {
			panic("adopt: a definition does not marshal: " + err.Error())
		}
		var v any
		_ = json.Unmarshal(text, &v) // it was marshalled just now
		return v
	}
	return reflect.DeepEqual(plain(a), plain(b))
}

// Whose says by its marks whose definition it is.
func Whose(c *CRD) string {
	switch {
	case c.Annotations[Adopted] != "":
		var r adopted
		if json.Unmarshal([]byte(c.Annotations[Adopted]), &r) == nil {
			return r.From
		}
	case ours(c):
		return "anymesh"
	case c.Labels["linkerd.io/extension"] == "smi":
		return "linkerd-smi"
	case c.Labels["app.kubernetes.io/name"] == "openservicemesh.io":
		return "Open Service Mesh"
	case c.Labels["app.kubernetes.io/part-of"] == "nginx-service-mesh":
		return "NGINX Service Mesh"
	}
	if owners := Keepers(c); len(owners) > 0 {
		return owners[0]
	}
	return "someone else"
}

// Keepers names the programs which write a definition back as they know it, by the marks that they leave.
func Keepers(c *CRD) (out []string) {
	for k, v := range c.Annotations {
		switch k {
		case "meta.helm.sh/release-name":
			out = append(out, "Helm release "+v)
		case "argocd.argoproj.io/tracking-id":
			out = append(out, "Argo CD application "+v)
		}
	}
	for k, v := range c.Labels {
		switch k {
		case "kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name":
			out = append(out, "Flux "+v)
		case "argocd.argoproj.io/instance":
			out = append(out, "Argo CD application "+v)
		case "openservicemesh.io/reconcile":
			out = append(out, "Open Service Mesh's reconciler")
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sorted are the names of a set.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Wrong lists what a definition lacks to be the wanted one.
func Wrong(live, want *CRD) (out []string) {
	for _, f := range unfit(live, want) {
		out = append(out, f.What)
	}
	for _, v := range Served(want) {
		if !slices.Contains(Served(live), v) {
			out = append(out, v+" is not served")
		}
	}
	if storage(live) != storage(want) {
		out = append(out, storage(live)+" is stored")
	} else if len(live.Status.StoredVersions) > 1 {
		out = append(out, fmt.Sprintf("objects are stored as %s", strings.Join(live.Status.StoredVersions, ", ")))
	}
	if Converts(want) && !sameService(live, want) {
		out = append(out, "it does not convert by our webhook")
	}
	return out
}

// Plain is a definition as people write it: without a status.
func Plain(c *CRD) map[string]any {
	o := loose(c).Object
	delete(o, "status")
	return o
}
