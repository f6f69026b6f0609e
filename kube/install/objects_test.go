// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube/install"
)

// TestServerAccepts asks the API server about every object that any values make, without effect.
func TestServerAccepts(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("monitoring.coreos.com", "ServiceMonitor", "servicemonitors", "", "v1"))
	for name, set := range map[string][]string{
		"defaults": nil,
		"off":      {"podDisruptionBudget.enabled=false", "networkPolicy.enabled=false", "aggregateRoles=false", "priorityClassName=", "meshes="},
		"on":       {"serviceMonitor.enabled=true", "serviceMonitor.labels.release=x", "extraArgs=-v", "replicas=3", `podAnnotations.example\.com/a=true`, "webhook.failurePolicy=Fail"},
	} {
		t.Run(name, func(t *testing.T) {
			v := manifest.Defaults()
			v.Namespace = w.Namespace(t)
			for _, s := range set {
				if err := v.Set(s); err != nil {
					t.Fatal(err)
				}
			}
			seen := 0
			for _, o := range manifest.Objects(v) {
				u := &unstructured.Unstructured{Object: o}
				r, err := w.i.Cluster.Of(u)
				if err != nil {
					t.Fatal(err)
				}
				_, err = r.Apply(t.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "test", Force: true, DryRun: []string{metav1.DryRunAll}})
				if err != nil {
					t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
				}
				seen++
			}
			if seen < 9 {
				t.Errorf("only %d objects", seen)
			}
		})
	}
}

// TestStrangers does not touch what somebody else has put in its place.
func TestStrangers(t *testing.T) {
	for who, says := range map[string]string{"Helm": "helm upgrade", "someone": "not ours"} {
		w := newWorld(t)
		w.i.Values.Namespace = w.Namespace(t)
		w.Apply(t, `{apiVersion: v1, kind: ServiceAccount, metadata: {name: anymesh, namespace: `+w.i.Values.Namespace+`, labels: {app.kubernetes.io/managed-by: `+who+`}}}`)
		if _, err := w.i.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("what is %s's is taken: %v", who, err)
		}
	}
}

// TestHelm leaves to Helm what Helm installed, and takes the definitions out of its way first.
func TestHelm(t *testing.T) {
	w := newWorld(t)
	w.i.Values.Namespace = w.Namespace(t)
	w.Apply(t, strings.ReplaceAll(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: anymesh, namespace: NS, labels: {app.kubernetes.io/managed-by: Helm, app.kubernetes.io/part-of: anymesh}}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: c}]}}}`, "NS", w.i.Values.Namespace))
	r, err := w.i.Removal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Helm || len(r.Objects) > 0 {
		t.Errorf("what Helm installed would be removed: %+v", r)
	}
	if err := w.i.Remove(t.Context(), r, install.Agreed{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.i.Cluster.Core.AppsV1().Deployments(w.i.Values.Namespace).Get(t.Context(), "anymesh", metav1.GetOptions{}); err != nil {
		t.Errorf("the Deployment of Helm is gone: %v", err)
	}
}
