// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/anymesh/anymesh/test/kubetest"
	"github.com/anymesh/anymesh/webhook/certs"
)

const places = `
apiVersion: v1
kind: Secret
metadata: {name: kept, namespace: NS}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ours.NS.example}
spec:
  group: NS.example
  scope: Namespaced
  names: {kind: Our, plural: ours}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {service: {name: hook, namespace: NS}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: theirs.NS.example}
spec:
  group: NS.example
  scope: Namespaced
  names: {kind: Their, plural: theirs}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {service: {name: other, namespace: NS}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS}
webhooks:
- {name: ours.NS.example, clientConfig: {service: {name: hook, namespace: NS}}, sideEffects: None, admissionReviewVersions: [v1], failurePolicy: Ignore}
- {name: theirs.NS.example, clientConfig: {service: {name: other, namespace: NS}}, sideEffects: None, admissionReviewVersions: [v1], failurePolicy: Ignore}
`

var (
	secretResource     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	definitionResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	validationResource = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// TestReplicasAgree starts three replicas at once on an empty Secret, and then breaks what they keep.
func TestReplicasAgree(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	c.Apply(t, strings.ReplaceAll(places, "NS", ns))
	var replicas []*certs.Managed
	for range 3 {
		r := certs.Manage(c.Dynamic, certs.Options{Namespace: ns, Service: "hook", Secret: "kept", Interval: 200 * time.Millisecond, Validation: ns,
			Definitions: []string{"ours." + ns + ".example", "theirs." + ns + ".example", "absent." + ns + ".example"}, Logger: slog.New(slog.DiscardHandler)})
		if err := r.Ready(); err == nil {
			t.Error("a replica without a certificate is ready")
		}
		if _, err := r.Certificate(nil); err == nil {
			t.Error("there is a certificate before there is any")
		}
		replicas = append(replicas, r)
		go r.Run(t.Context())
	}
	for _, r := range replicas {
		kubetest.Eventually(t, r.Ready)
	}
	secrets := c.Dynamic.Resource(secretResource).Namespace(ns)
	first := agreed(t, secrets, replicas)
	told := func(bundle []byte) func() error {
		return func() error { return announced(t, c, ns, bundle) }
	}
	kubetest.Eventually(t, told(first))

	for _, breakage := range []struct{ what, patch string }{
		{"a key that is none", `{"data":{"tls.key":"eA=="}}`},
		{"nothing at all", `{"data":null}`},
	} {
		if _, err := secrets.Patch(t.Context(), "kept", types.MergePatchType, []byte(breakage.patch), metav1.PatchOptions{}); err != nil {
			t.Fatalf("%s: %v", breakage.what, err)
		}
		kubetest.Eventually(t, told(agreed(t, secrets, replicas)))
	}

	definition := c.Dynamic.Resource(definitionResource)
	patch := `{"spec":{"conversion":{"webhook":{"clientConfig":{"caBundle":null}}}}}`
	if _, err := definition.Patch(t.Context(), "ours."+ns+".example", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, told(agreed(t, secrets, replicas)))
	for _, r := range replicas {
		if err := r.Ready(); err != nil {
			t.Errorf("a replica that served is no longer ready: %v", err)
		}
	}
}

// TestSecretOfOthersStays gives a replica the name of a Secret that holds another's certificate.
func TestSecretOfOthersStays(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	c.Apply(t, "{apiVersion: v1, kind: Secret, metadata: {name: kept, namespace: "+ns+"}, data: {tls.crt: eA==, tls.key: eA==}}")
	secrets := c.Dynamic.Resource(secretResource).Namespace(ns)
	before, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var logged safeBuffer
	r := certs.Manage(c.Dynamic, certs.Options{Namespace: ns, Service: "hook", Secret: "kept", Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	go r.Run(t.Context())
	kubetest.Eventually(t, func() error {
		if !strings.Contains(logged.String(), "someone else's") {
			return errors.New("it is not said: " + logged.String())
		}
		return nil
	})
	after, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.GetResourceVersion() != before.GetResourceVersion() || r.Ready() == nil {
		t.Errorf("it was written, or is in use: %v", after.Object)
	}
}

// agreed waits until all replicas serve what the Secret says, and returns its bundle.
func agreed(t *testing.T, secrets dynamic.ResourceInterface, replicas []*certs.Managed) (bundle []byte) {
	t.Helper()
	kubetest.Eventually(t, func() error {
		o, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
		if err != nil {
			return err
		}
		kept := func(key string) []byte {
			encoded, _, _ := unstructured.NestedString(o.Object, "data", key)
			text, _ := base64.StdEncoding.DecodeString(encoded)
			return text
		}
		for n, r := range replicas {
			leaf, err := r.Certificate(nil)
			if err != nil {
				return err
			}
			if !bytes.Equal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}), kept("tls.crt")) {
				return fmt.Errorf("replica %d serves another certificate than the Secret's", n)
			}
		}
		if bundle = kept("ca.crt"); !bytes.Contains(bundle, []byte("CERTIFICATE")) {
			return errors.New("the Secret has no bundle")
		}
		return nil
	})
	return bundle
}

// announced says where the bundle is not as it should be.
func announced(t *testing.T, c *kubetest.Cluster, ns string, bundle []byte) error {
	want := base64.StdEncoding.EncodeToString(bundle)
	for name, told := range map[string]bool{"ours." + ns + ".example": true, "theirs." + ns + ".example": false} {
		o, err := c.Dynamic.Resource(definitionResource).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got, _, _ := unstructured.NestedString(o.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle"); told && got != want || !told && got != "" {
			return fmt.Errorf("the definition %s was told %q", name, got)
		}
	}
	o, err := c.Dynamic.Resource(validationResource).Get(t.Context(), ns, metav1.GetOptions{})
	if err != nil {
		return err
	}
	hooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	if len(hooks) != 2 {
		return fmt.Errorf("there are %d webhooks", len(hooks))
	}
	for n, h := range hooks {
		if got, _, _ := unstructured.NestedString(h.(map[string]any), "clientConfig", "caBundle"); n == 0 && got != want || n == 1 && got != "" {
			return fmt.Errorf("webhook %d was told %q", n, got)
		}
	}
	return nil
}
