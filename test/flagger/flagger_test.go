// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/test/kubetest"
	"github.com/anymesh/anymesh/test/kubetest/binary"
)

// The module of Flagger that is run, unchanged.
const module, version = "github.com/fluxcd/flagger", "v1.43.0"

var (
	canaries        = schema.GroupVersionResource{Group: "flagger.app", Version: "v1beta1", Resource: "canaries"}
	virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	splits          = schema.GroupVersionResource{Group: "split.smi-spec.io", Version: "v1alpha4", Resource: "trafficsplits"}
)

// app is a Deployment with a process that does nothing, and a Canary of it.
const app = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: NS}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: app, image: none, command: [sleep, "100000"], env: [{name: RELEASE, value: "RELEASE"}], ports: [{name: http, containerPort: 9898}]}]
`

const canary = `
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: app, namespace: NS}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: app}
  service: {port: 9898, portName: http}
  analysis:
    interval: 10s
    threshold: 3
    maxWeight: 60
    stepWeight: 30
    metrics: [{name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}]
`

// TestMain lets all canaries go at once, whatever the number of processors: they wait for Flagger, whose steps take ten seconds each.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestCanary runs Flagger with each of its providers that write SMI, each with a namespace of its own and all at once: the canary is promoted, in
// the steps that its author wrote, by the mesh's own objects; and nobody but Flagger ever says a word of its TrafficSplit's spec.
func TestCanary(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs Flagger, which -short does without")
	}
	path, sources, err := binary.Module(t.Context(), module, version, "cmd/flagger", func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	c := installed(t)
	crd, err := os.ReadFile(filepath.Join(sources, "artifacts", "flagger", "crd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(crd))
	t.Run("measured", func(t *testing.T) {
		t.Parallel()
		measured(t, c, path)
	})
	for _, p := range []struct{ provider, metric string }{
		{"smi:v1alpha1", "istio_requests_total"}, {"smi:v1alpha2", "istio_requests_total"}, {"smi:v1alpha3", "istio_requests_total"}, {"linkerd", "response_total"},
	} {
		t.Run(p.provider, func(t *testing.T) {
			t.Parallel()
			ns := c.Namespace(t)
			prom := newPrometheus(t)
			start(t, path, c.Kubeconfig, ns, p.provider, prom.URL)
			c.Apply(t, release(ns, "one"), strings.ReplaceAll(canary, "NS", ns))
			phase(t, c, ns, "Initialized")
			s := watch(t, c, ns)
			c.Apply(t, release(ns, "two"))
			phase(t, c, ns, "Succeeded")
			s.stop()
			s.check(t)
			if !prom.asked(p.metric) {
				t.Errorf("Flagger never asked for %s", p.metric)
			}
			if list := writers(t, c, ns); len(list) != 1 || list[0] != "flagger" {
				t.Errorf("the spec of the TrafficSplit was said by %q", list)
			}
		})
	}
}

func release(ns, name string) string {
	return strings.NewReplacer("NS", ns, `"RELEASE"`, `"`+name+`"`).Replace(app)
}

// start runs Flagger for one namespace, until the test ends.
//
// sizes: a process is told all of these
func start(t *testing.T, path, kubeconfig, ns, provider, prom string) {
	t.Helper()
	port := free(t)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-kubeconfig", kubeconfig, "-namespace", ns, "-mesh-provider", provider, "-metrics-server", prom, "-port", port,
		"-selector-labels", "app", "-log-level", "info")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it is killed
		if t.Failed() {
			t.Logf("Flagger said:\n%s", out.String())
		}
	})
}

// free is a port that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// patience is how long a phase may take: Flagger looks every ten seconds, and several of it run at once.
const patience = 5 * time.Minute

// phase waits until a canary is in a phase.
func phase(t *testing.T, c *kubetest.Cluster, ns, want string) {
	t.Helper()
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		u, err := c.Dynamic.Resource(canaries).Namespace(ns).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		last, _, _ = unstructured.NestedString(u.Object, "status", "phase")
		if last == want {
			return
		}
		if last == "Failed" {
			break
		}
	}
	t.Fatalf("the canary is %s and not %s", last, want)
}

// writers are those who say a part of a TrafficSplit's spec.
func writers(t *testing.T, c *kubetest.Cluster, ns string) (out []string) {
	t.Helper()
	u, err := c.Dynamic.Resource(splits).Namespace(ns).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range u.GetManagedFields() {
		if strings.Contains(f.FieldsV1.GetRawString(), `"f:spec"`) {
			out = append(out, f.Manager)
		}
	}
	return out
}

// prometheus answers Flagger's queries: every request succeeded.
type prometheus struct {
	*httptest.Server
	mu      sync.Mutex
	queries []string
}

func newPrometheus(t *testing.T) *prometheus {
	p := &prometheus{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.FormValue("query")
		p.mu.Lock()
		p.queries = append(p.queries, q)
		p.mu.Unlock()
		value := "100"
		if q == "vector(1)" {
			value = "1"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[%d,%q]}]}}`, time.Now().Unix(), value)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *prometheus) asked(metric string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.queries {
		if strings.Contains(q, metric+"{") {
			return true
		}
	}
	return false
}

// steps are the weights that the mesh was given, primary first, each once.
type steps struct {
	mu   sync.Mutex
	seen []string
	stop func()
}

// watch follows the mesh's own object while the canary goes on.
func watch(t *testing.T, c *kubetest.Cluster, ns string) *steps {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w, err := c.Dynamic.Resource(virtualServices).Namespace(ns).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, done := &steps{}, make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if u, ok := e.Object.(*unstructured.Unstructured); ok && u.GetName() == "app" {
				s.see(weights(u))
			}
		}
	}()
	s.stop = func() { cancel(); w.Stop(); <-done }
	return s
}

func (s *steps) see(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 || s.seen[len(s.seen)-1] != step {
		s.seen = append(s.seen, step)
	}
}

// weights says how a VirtualService shares out the root's traffic.
func weights(u *unstructured.Unstructured) string {
	routes, _, _ := unstructured.NestedSlice(u.Object, "spec", "http")
	primary, other := int64(0), int64(0)
	for _, r := range routes {
		list, _, _ := unstructured.NestedSlice(r.(map[string]any), "route")
		for _, d := range list {
			host, _, _ := unstructured.NestedString(d.(map[string]any), "destination", "host")
			w, found, _ := unstructured.NestedInt64(d.(map[string]any), "weight")
			if !found {
				w = 100
			}
			if strings.HasPrefix(host, "app-primary.") {
				primary += w
			} else {
				other += w
			}
		}
	}
	if primary+other == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d%%", 100*other/(primary+other))
}

// check looks for the steps that the author of the canary wrote.
func (s *steps) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.seen, " ")
	if !strings.Contains(got, "30% 60%") || !strings.HasSuffix(got, " 0%") {
		t.Errorf("the canary's share went %s, and not 30%% 60%% … 0%%", got)
	}
}
