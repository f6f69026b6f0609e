// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/anymesh/anymesh/test/kubetest/binary"
)

// patience is how long Eventually waits: much longer than anything takes, on a machine that does much else.
const patience = time.Minute

// Eventually asks again until there is no error, and fails the test with the last one if there always is.
func Eventually(t testing.TB, ask func() error) {
	t.Helper()
	if err := eventually(ask); err != nil {
		t.Fatal(err)
	}
}

func eventually(ask func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := ask()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

var (
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	accounts   = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	crds       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// Namespace makes a namespace for a test, ready for Pods. Its deletion begins at the test's end, and nobody waits for it.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	made, err := c.Dynamic.Resource(namespaces).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "test-"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := made.GetName()
	t.Cleanup(func() {
		if c.process != nil {
			_ = c.Dynamic.Resource(namespaces).Delete(context.Background(), name, metav1.DeleteOptions{})
		}
	})
	Eventually(t, func() error { // without its account no Pod is admitted
		_, err := c.Dynamic.Resource(accounts).Namespace(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return name
}

// Apply applies objects, each text a stream of YAML documents, as their owner: server-side and by force. A status that an object says becomes
// its status, for who else would say it, and a Pod that says it but no node is on the only one there is. An object without a namespace is in
// "default". What a CustomResourceDefinition defines can be
// applied right after it.
func (c *Cluster) Apply(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
			var o unstructured.Unstructured
			err := d.Decode(&o.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(o.Object) == 0 {
				continue
			}
			if err := c.apply(t.Context(), &o); err != nil {
				t.Fatalf("apply %s %s/%s: %v", o.GetKind(), o.GetNamespace(), o.GetName(), err)
			}
		}
	}
}

func (c *Cluster) apply(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.resource(o)
	if err != nil {
		return err
	}
	status, said := o.Object["status"]
	delete(o.Object, "status")
	if said && o.GetKind() == "Pod" {
		if err := place(o); err != nil {
			return err
		}
	}
	how := metav1.ApplyOptions{FieldManager: "kubetest", Force: true}
	if _, err := r.Apply(ctx, o.GetName(), o, how); err != nil {
		return err
	}
	if o.GetKind() == "CustomResourceDefinition" { // which many write with an empty status
		return eventually(func() error { return c.established(ctx, o.GetName()) })
	}
	if said {
		o.Object["status"] = status
		_, err = r.ApplyStatus(ctx, o.GetName(), o, how)
	}
	return err
}

// place puts a Pod on the node: those of no node are no endpoints.
func place(pod *unstructured.Unstructured) error {
	if node, _, err := unstructured.NestedString(pod.Object, "spec", "nodeName"); err != nil || node != "" {
		return err
	}
	return unstructured.SetNestedField(pod.Object, "local", "spec", "nodeName")
}

// resource is where an object is to be sent.
func (c *Cluster) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	var m *meta.RESTMapping
	if err := eventually(func() (err error) {
		k := o.GroupVersionKind()
		if m, err = c.mapper.RESTMapping(k.GroupKind(), k.Version); meta.IsNoMatchError(err) {
			c.mapper.Reset() // it may have come since
		}
		return err
	}); err != nil {
		return nil, err
	}
	r := c.Dynamic.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameRoot {
		return r, nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return r.Namespace(o.GetNamespace()), nil
}

func (c *Cluster) established(ctx context.Context, name string) error {
	o, err := c.Dynamic.Resource(crds).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, x := range conditions {
		if k, ok := x.(map[string]any); ok && k["type"] == "Established" && k["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("%s is not established", name)
}

// Kubectl runs kubectl as the cluster's admin and returns what it prints; a failure fails the test.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	path := c.KubectlPath(t)
	k := exec.CommandContext(t.Context(), path, args...)
	k.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "HOME="+c.Dir) // where it keeps what it has discovered
	var out, failure bytes.Buffer
	k.Stdout, k.Stderr = &out, &failure
	if err := k.Run(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, &failure)
	}
	return out.String()
}

// KubectlPath is where kubectl is, which is looked for once.
func (c *Cluster) KubectlPath(t testing.TB) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kubectl == "" {
		path, err := binary.Build(t.Context(), binary.Kubectl, func(s string) { t.Log(s) })
		if err != nil {
			t.Fatal(err)
		}
		c.kubectl = path
	}
	return c.kubectl
}
