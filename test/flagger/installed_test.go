// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/anymesh/anymesh/cmd/anymesh/serve"
	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/test/kubetest"
)

// port is the webhook's: without a kube-proxy whoever listens on the Service's own address is behind it.
const port = 8443

// installed is a cluster with Istio's definitions, and anymesh as it runs in one: the controller and its webhook.
func installed(t *testing.T) *kubetest.Cluster {
	t.Helper()
	c := kubetest.Start(t, "-run-pods")
	c.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: anymesh-system}}", fmt.Sprintf(
		"{apiVersion: v1, kind: Service, metadata: {name: anymesh-webhook, namespace: anymesh-system}, spec: {ports: [{port: %d}]}}", port), istio(t))
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil {
			p := int32(port)
			d.Spec.Conversion.Webhook.ClientConfig.Service.Port = &p
		}
		apply(t, c, d)
	}
	v, p := deploy.Validation(), int32(port)
	v.Webhooks[0].ClientConfig.Service.Port = &p
	apply(t, c, v)

	svc, err := c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace("anymesh-system").Get(t.Context(), "anymesh-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ip, _, _ := unstructured.NestedString(svc.Object, "spec", "clusterIP")
	cluster, err := kube.Connect(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctl := controller.New(controller.Options{Cluster: cluster, Drivers: all.Meshes(), Namespace: "anymesh-system", Name: "test", Elect: true, Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	health := "127.0.0.1:" + free(t)
	go func() {
		done <- serve.Run(ctx, ctl, cluster, serve.Options{Namespace: "anymesh-system", Webhook: fmt.Sprintf("%s:%d", ip, port), Health: health, Logger: log})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("anymesh ended with %v", err)
		}
	})
	kubetest.Eventually(t, func() error {
		r, err := http.Get("http://" + health + "/readyz")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("it is not ready: %s", r.Status)
		}
		return nil
	})
	return c
}

func apply(t *testing.T, c *kubetest.Cluster, o any) {
	t.Helper()
	text, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(text))
}

// istio are the definitions of the release that the oracle runs: they come inside its module.
func istio(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio")
	cmd.Dir = "../oracle/istio"
	dir, err := cmd.Output()
	if err != nil {
		t.Fatalf("the module istio.io/istio: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "manifests/charts/base/files/crd-all.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
