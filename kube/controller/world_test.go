// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

var (
	virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	policies        = schema.GroupVersionResource{Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"}
	splits          = schema.GroupVersionResource{Group: "split.smi-spec.io", Version: "v1alpha4", Resource: "trafficsplits"}
	targets         = schema.GroupVersionResource{Group: "access.smi-spec.io", Version: "v1alpha4", Resource: "traffictargets"}
	groups          = schema.GroupVersionResource{Group: "specs.smi-spec.io", Version: "v1alpha4", Resource: "httproutegroups"}
	meshes          = schema.GroupVersionResource{Group: "anymesh.dev", Version: "v1alpha1", Resource: "meshes"}
	events          = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

// istioCRDs are those of the release that the oracle runs: they come inside its module.
var istioCRDs = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio")
	cmd.Dir = "../../test/oracle/istio"
	dir, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the module istio.io/istio: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "manifests/charts/base/files/crd-all.gen.yaml"))
	return string(text), err
})

// smiCRDs are ours, of the newest version alone: no webhook runs here.
func smiCRDs(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, d := range deploy.CRDs() {
		d.Spec.Conversion = nil
		text, err := yaml.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.String()
}

// install applies SMI's and Istio's definitions.
func install(t testing.TB, c *kubetest.Cluster) {
	t.Helper()
	theirs, err := istioCRDs()
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, smiCRDs(t), theirs)
}

// shop is a namespace with a split between two services and a permission.
const shop = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: NS}
spec: {selector: {app: catalog}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: catalog-v1, namespace: NS}
spec: {selector: {app: catalog, version: v1}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: catalog-v2, namespace: NS}
spec: {selector: {app: catalog, version: v2}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: catalog, namespace: NS}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: catalog-v1, namespace: NS}
spec:
  replicas: 0
  selector: {matchLabels: {app: catalog, version: v1}}
  template:
    metadata: {labels: {app: catalog, version: v1}}
    spec: {serviceAccountName: catalog, containers: [{name: app, image: none, ports: [{containerPort: 8080}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: api, namespace: NS}
spec: {matches: [{name: read, pathRegex: /products, methods: [GET]}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: catalog, namespace: NS}
spec: {service: catalog, backends: [{service: catalog-v1, weight: 90}, {service: catalog-v2, weight: 10}]}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: catalog, namespace: NS}
spec:
  destination: {kind: ServiceAccount, name: catalog}
  sources: [{kind: ServiceAccount, name: web}]
  rules: [{kind: HTTPRouteGroup, name: api, matches: [read]}]
`

func in(ns, text string) string { return strings.ReplaceAll(text, "NS", ns) }

// run is a controller that runs.
type run struct {
	*controller.Controller
	stop func()
}

// only is a mesh of one namespace.
func only(ns string) *api.Mesh {
	return &api.Mesh{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: api.MeshSpec{Kind: "istio",
		Namespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}}}
}

// start runs a controller until the test ends or it is stopped.
func start(t testing.TB, c *kubetest.Cluster, o controller.Options) *run {
	t.Helper()
	cluster, err := kube.Connect(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	o.Cluster = cluster
	if o.Rate == 0 {
		o.Rate = 500
	}
	if o.Drivers == nil {
		o.Drivers = []*mesh.Driver{istio.Driver}
	}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r := &run{Controller: controller.New(o)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the controller ended with %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// settled waits until a controller has made all changes.
func (r *run) settled(t testing.TB) {
	t.Helper()
	kubetest.Eventually(t, func() error {
		if err := r.Ready(); err != nil {
			return err
		}
		n, targets := 0, 0
		err := r.Engine().Ask(t.Context(), func(e *engine.Engine) {
			for _, waiting := range e.Waiting {
				targets++
				n += waiting
			}
		})
		if err == nil && (n > 0 || targets == 0) {
			err = fmt.Errorf("%d changes wait for %d targets", n, targets)
		}
		return err
	})
}

// get reads an object.
func get(t testing.TB, c *kubetest.Cluster, r schema.GroupVersionResource, ns, name string) (*unstructured.Unstructured, error) {
	t.Helper()
	return c.Dynamic.Resource(r).Namespace(ns).Get(t.Context(), name, metav1.GetOptions{})
}

// programmed waits for a condition Programmed of an object, of its present generation.
func programmed(t testing.TB, c *kubetest.Cluster, r schema.GroupVersionResource, ns, name, status, reason string) *api.Status {
	t.Helper()
	var s api.Status
	kubetest.Eventually(t, func() error {
		u, err := get(t, c, r, ns, name)
		if err != nil {
			return err
		}
		text, _ := json.Marshal(u.Object["status"])
		s = api.Status{}
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		for _, k := range s.Conditions {
			if k.Type == api.Programmed && string(k.Status) == status && k.Reason == reason && s.ObservedGeneration == u.GetGeneration() {
				return nil
			}
		}
		return fmt.Errorf("%s %s of generation %d: %s", r.Resource, name, u.GetGeneration(), text)
	})
	return &s
}

// spec is what an object says, as JSON.
func spec(u *unstructured.Unstructured) string {
	text, _ := json.Marshal(u.Object["spec"])
	return string(text)
}
