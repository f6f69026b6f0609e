// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/apply"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/test/kubetest"
)

// forbid is a policy of the cluster's administrators against VirtualServices in one namespace.
const forbid = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NS}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [networking.istio.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [virtualservices]}]
  validations: [{expression: "object.metadata.namespace != 'NS'", message: no routes before lunch}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NS}
spec: {policyName: NS, validationActions: [Deny]}
`

// TestRefused runs where the cluster refuses one of a mesh's objects: the split says why, in the cluster's words, everything else is programmed, and
// when the cluster takes the object, it is there.
func TestRefused(t *testing.T) {
	c := shared.Cluster(t)
	install(t, c)
	ns := c.Namespace(t)
	c.Apply(t, in(ns, forbid))
	kubetest.Eventually(t, func() error { return enforced(t, c, ns) })
	c.Apply(t, in(ns, shop))
	start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}})
	s := programmed(t, c, splits, ns, "catalog", "False", "Refused")
	if text := s.Meshes[0].Conditions[0].Message; !strings.Contains(text, "no routes before lunch") {
		t.Errorf("the split does not say why: %s", text)
	}
	programmed(t, c, targets, ns, "catalog", "True", "Programmed")
	c.Kubectl(t, "delete", "validatingadmissionpolicybinding", ns)
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")
}

// TestHeld gives a sink one object in place of another, where the cluster refuses the new one: the old one stays until the new one is there.
func TestHeld(t *testing.T) {
	c := shared.Cluster(t)
	install(t, c)
	ns := c.Namespace(t)
	cluster, err := kube.Connect(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	served, err := cluster.Discover()
	if err != nil {
		t.Fatal(err)
	}
	sink := apply.New(cluster, apply.Options{Target: ns, Kinds: istio.Driver.Kinds})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx) }()
	defer func() { stop(); <-done }()
	sink.Serve(served)
	asker := []model.Ref{{Kind: model.KindSplit, Name: model.Name{Namespace: ns, Name: "web"}}}
	change := func(name string, there bool) mesh.Change {
		k := mesh.Key{APIVersion: "networking.istio.io/v1", Kind: "VirtualService", Name: model.Name{Namespace: ns, Name: name}}
		out := mesh.Change{Key: k, For: asker}
		if there {
			out.Object = &mesh.Object{APIVersion: k.APIVersion, Kind: k.Kind, Name: k.Name, Spec: map[string]any{"hosts": []string{name}}}
		}
		return out
	}
	if err := sink.Apply(ctx, []mesh.Change{change("old", true)}); err != nil {
		t.Fatal(err)
	}
	c.Apply(t, in(ns, forbid))
	kubetest.Eventually(t, func() error { return enforced(t, c, ns) })
	swap := []mesh.Change{change("new", true), change("old", false)}
	var failed *engine.Failed
	if err := sink.Apply(ctx, swap); !errors.As(err, &failed) || len(failed.Failures) != 2 {
		t.Errorf("of two changes, one refused and one held, it says %v", err)
	}
	if _, err := get(t, c, virtualServices, ns, "old"); err != nil {
		t.Errorf("the old one went before the new one came: %v", err)
	}
	c.Kubectl(t, "delete", "validatingadmissionpolicybinding", ns)
	kubetest.Eventually(t, func() error { return sink.Apply(ctx, swap) })
	if _, err := get(t, c, virtualServices, ns, "old"); !apierrors.IsNotFound(err) {
		t.Errorf("the old one is still there: %v", err)
	}
}

// enforced waits until the policy is in force, which takes the API server a moment.
func enforced(t *testing.T, c *kubetest.Cluster, ns string) error {
	t.Helper()
	_, err := c.Dynamic.Resource(virtualServices).Namespace(ns).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": map[string]any{"name": "try"}, "spec": map[string]any{"hosts": []any{"x"}}}},
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return errors.New("the policy is not in force")
	}
	return nil
}
