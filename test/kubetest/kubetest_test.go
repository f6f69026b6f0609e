// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
)

var shared Shared

func TestMain(m *testing.M) {
	if at := os.Getenv("SERVE"); at != "" {
		serve(at) // we are the process of a pod
	}
	os.Exit(shared.Main(m))
}

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

var endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}

func TestObjects(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	maps := c.Dynamic.Resource(core("configmaps")).Namespace(ns)
	config := "{apiVersion: v1, kind: ConfigMap, metadata: {name: words, namespace: " + ns + "}, data: {greeting: %s}}"
	for _, word := range []string{"hello", "good day"} {
		c.Apply(t, fmt.Sprintf(config, word))
		o, err := maps.Get(t.Context(), "words", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := unstructured.NestedString(o.Object, "data", "greeting"); got != word {
			t.Errorf("greeting is %q, applied was %q", got, word)
		}
	}
	if err := maps.Delete(t.Context(), "words", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Get(t.Context(), "words", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was deleted is answered with %v", err)
	}
}

// The server, not the harness, judges what is applied.
func TestServerJudges(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	_, err := c.Dynamic.Resource(core("services")).Namespace(ns).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "s"}, "spec": map[string]any{"ports": []any{map[string]any{"port": int64(70000)}}},
	}}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a Service with port 70000 is answered with %v", err)
	}
}

const twoPods = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: ready, namespace: NS, labels: {app: web}}
spec:
  containers: [{name: app, image: none, ports: [{name: http, containerPort: 8080}]}]
status:
  phase: Running
  podIP: 10.244.0.5
  podIPs: [{ip: 10.244.0.5}]
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Pod
metadata: {name: starting, namespace: NS, labels: {app: web}}
spec:
  containers: [{name: app, image: none, ports: [{name: http, containerPort: 8080}]}]
status:
  phase: Running
  podIP: 10.244.0.6
  podIPs: [{ip: 10.244.0.6}]
  conditions: [{type: Ready, status: "False"}]
`

func TestEndpointSlices(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	c.Apply(t, strings.ReplaceAll(twoPods, "NS", ns))
	want := []string{"10.244.0.5:8080 ready=true", "10.244.0.6:8080 ready=false"}
	Eventually(t, func() error {
		if got := endpoints(t, c, ns, "web"); !slices.Equal(got, want) {
			return fmt.Errorf("endpoints are %q, not %q", got, want)
		}
		return nil
	})
}

// endpoints lists what the EndpointSlices of a Service say.
func endpoints(t *testing.T, c *Cluster, ns, service string) (out []string) {
	list, err := c.Dynamic.Resource(endpointSlices).Namespace(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		ports, _, _ := unstructured.NestedSlice(s.Object, "ports")
		all, _, _ := unstructured.NestedSlice(s.Object, "endpoints")
		for _, e := range all {
			e := e.(map[string]any)
			ready, _, _ := unstructured.NestedBool(e, "conditions", "ready")
			for _, p := range ports {
				out = append(out, fmt.Sprintf("%s:%d ready=%t", e["addresses"].([]any)[0], p.(map[string]any)["port"], ready))
			}
		}
	}
	slices.Sort(out)
	return out
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wishes.test.example}
spec:
  group: test.example
  scope: Namespaced
  names: {kind: Wish, plural: wishes}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: test.example/v1
kind: Wish
metadata: {name: first, namespace: NS}
spec: {for: tea}
status: {granted: true}
`

func TestDefinitionThenObject(t *testing.T) {
	c := shared.Cluster(t)
	c.Apply(t, strings.ReplaceAll(definition, "NS", c.Namespace(t)))
	got := c.Kubectl(t, "get", "wishes", "-A", "-o", "jsonpath={.items[*].spec.for} {.items[*].status.granted}")
	if got != "tea true" {
		t.Errorf("kubectl finds %q", got)
	}
}

// What the collectors do: an object whose owner goes, goes.
func TestOrphansGo(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	maps := c.Dynamic.Resource(core("configmaps")).Namespace(ns)
	config := "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: " + ns + ", ownerReferences: [%s]}}"
	c.Apply(t, fmt.Sprintf(config, "owner", ""))
	owner, err := maps.Get(t.Context(), "owner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, fmt.Sprintf(config, "owned", fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, name: owner, uid: %s}", owner.GetUID())))
	if err := maps.Delete(t.Context(), "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, func() error {
		if _, err := maps.Get(t.Context(), "owned", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("what belonged to a deleted object is answered with %v", err)
		}
		return nil
	})
}

// An application's token, bound to an audience, is asked for, and judged, as in any cluster.
func TestTokens(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	request := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"metadata": map[string]any{"name": "default"}, "spec": map[string]any{"audiences": []any{"mesh"}}}}
	given, err := c.Dynamic.Resource(core("serviceaccounts")).Namespace(ns).Create(t.Context(), request, metav1.CreateOptions{}, "token")
	if err != nil {
		t.Fatal(err)
	}
	token, _, _ := unstructured.NestedString(given.Object, "status", "token")
	reviews := c.Dynamic.Resource(schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "tokenreviews"})
	for audience, good := range map[string]bool{"mesh": true, "elsewhere": false} {
		review, err := reviews.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1",
			"kind": "TokenReview", "spec": map[string]any{"token": token, "audiences": []any{audience}}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		is, _, _ := unstructured.NestedBool(review.Object, "status", "authenticated")
		who, _, _ := unstructured.NestedString(review.Object, "status", "user", "username")
		if is != good || good && who != "system:serviceaccount:"+ns+":default" {
			t.Errorf("for audience %s the token is authenticated: %t, as %q", audience, is, who)
		}
	}
}

// What those who extend the API server look for.
func TestExtension(t *testing.T) {
	c := shared.Cluster(t)
	o, err := c.Dynamic.Resource(core("configmaps")).Namespace("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"client-ca-file", "requestheader-client-ca-file", "requestheader-allowed-names"} {
		if v, _, _ := unstructured.NestedString(o.Object, "data", k); v == "" {
			t.Errorf("%s is not said", k)
		}
	}
	if v := c.Kubectl(t, "version"); strings.Count(v, "v1.37.2") != 2 {
		t.Errorf("client and server are of other versions:\n%s", v)
	}
}

func TestRestart(t *testing.T) {
	c := Start(t)
	c.Apply(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}")
	old, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Dir+"/old", old, 0o600); err != nil {
		t.Fatal(err)
	}
	maps := c.Dynamic.Resource(core("configmaps")).Namespace("default")
	c.Stop(t)
	if _, err := maps.Get(t.Context(), "kept", metav1.GetOptions{}); err == nil {
		t.Fatal("a stopped cluster answers")
	}
	c.Restart(t)
	if _, err := maps.Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("the client of before: %v", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Dir+"/old")
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != c.Config.Host {
		t.Errorf("the cluster is at %s, and was at %s", c.Config.Host, config.Host)
	}
	c.Kubectl(t, "--kubeconfig", c.Dir+"/old", "get", "configmap", "kept")
	c.Apply(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: fresh}}")
}
