// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// shop is what the cluster has: a canary of web, half way.
const shop = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: none}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: front, namespace: shop}, spec: {replicas: 1, selector: {matchLabels: {app: front}}, template: {metadata: {labels: {app: front}}, spec: {containers: [{name: c, image: none}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-1, namespace: shop}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-2, namespace: shop}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: web, namespace: shop}, spec: {service: web, backends: [{service: web-1, weight: 3}, {service: web-2, weight: 1}]}}
`

// counted is what Istio's proxies say after so many seconds: 10 requests a second, one of which fails, three of four to web-1, all in 5 to 10 ms.
func counted(second int) string {
	var b strings.Builder
	series := func(reporter, service, code string, n int) {
		labels := fmt.Sprintf(`reporter=%q,source_workload="front",source_workload_namespace="shop",destination_workload="web",destination_workload_namespace="shop",`+
			`destination_service_name=%q,destination_service_namespace="shop",response_code=%q,grpc_response_status="",namespace="shop",pod="web-x"`, reporter, service, code)
		fmt.Fprintf(&b, "istio_requests_total{%s} %d\n", labels, n)
		for _, le := range []string{"5", "10", "+Inf"} {
			v := n
			if le == "5" {
				v = 0
			}
			fmt.Fprintf(&b, "istio_request_duration_milliseconds_bucket{%s,le=%q} %d\n", labels, le, v)
		}
	}
	for _, r := range []string{"source", "destination"} {
		series(r, "web-1", "200", 6*second)
		series(r, "web-1", "503", second)
		series(r, "web-2", "200", 3*second)
	}
	return b.String()
}

// scraped is a Prometheus with a minute and a half of it.
func scraped(t *testing.T) string {
	t.Helper()
	s, err := local.Open(local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	second := 0
	w := s.Scraper(&local.Target{Name: "web", Read: func(context.Context) ([]byte, string, error) { return []byte(counted(second)), "text/plain", nil }})
	start := time.Now().Add(-90 * time.Second)
	for second = 0; second <= 90; second += 5 {
		if err := w.Scrape(t.Context(), start.Add(time.Duration(second)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// TestTraffic asks with kubectl what a mesh's Prometheus has counted, of anymesh as it runs in a cluster.
func TestTraffic(t *testing.T) {
	c := shared.Cluster(t)
	c.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: anymesh-system}}",
		"{apiVersion: v1, kind: Service, metadata: {name: anymesh-webhook, namespace: anymesh-system}, spec: {ports: [{name: webhook, port: 9443}, {name: metrics-api, port: 8443}]}}",
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: anymesh-webhook, namespace: anymesh-system, labels: {kubernetes.io/service-name: anymesh-webhook}},"+
			" addressType: IPv4, ports: [{name: webhook, port: 9443}, {name: metrics-api, port: 8443}], endpoints: [{addresses: [10.244.9.9]}]}")
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil && d.Spec.Conversion.Webhook != nil {
			port := int32(9443)
			d.Spec.Conversion.Webhook.ClientConfig.Service.Port = &port
		}
		text, err := yaml.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		c.Apply(t, string(text))
	}
	for n, v := range []string{"v1alpha2", "v1alpha1"} {
		c.Apply(t, fmt.Sprintf("{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: %s.metrics.smi-spec.io}, spec: {group: metrics.smi-spec.io, version: %s, groupPriorityMinimum: 100,"+
			" versionPriority: %d, service: {name: anymesh-webhook, namespace: anymesh-system, port: 8443}}}", v, v, 100-n))
	}
	c.Apply(t, shop, "{apiVersion: anymesh.dev/v1alpha1, kind: Mesh, metadata: {name: main}, spec: {kind: istio, namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}, metrics: {url: '"+scraped(t)+"', interval: 5s}}}",
		"{apiVersion: anymesh.dev/v1alpha1, kind: Mesh, metadata: {name: lost}, spec: {kind: linkerd, namespaces: {matchLabels: {kubernetes.io/metadata.name: plain}}}}")
	api := run(t, c)

	const group = ".v1alpha2.metrics.smi-spec.io"
	shows := func(want string, args ...string) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			if got := strings.Join(strings.Fields(c.Kubectl(t, append([]string{"get"}, args...)...)), " "); !strings.Contains(got, want) {
				return fmt.Errorf("kubectl get %s prints %s, not %s", strings.Join(args, " "), got, want)
			}
			return nil
		})
	}
	kubetest.Eventually(t, func() error { // an API server asks a new extension what it serves, at its own pace
		if out := c.Kubectl(t, "get", "apiservices", "v1alpha2.metrics.smi-spec.io"); !strings.Contains(out, "True") {
			return fmt.Errorf("it is not served:\n%s", out)
		}
		return nil
	})
	shows("web 90.00% 10.0rps 7.5ms 10ms", "deployments"+group, "-n", "shop", "web")
	shows("front - 0.0rps - -", "deployments"+group, "-n", "shop")
	shows("shop 90.00% 10.0rps", "namespaces"+group, "shop")
	shows("web web web-1 3 85.71% 7.0rps", "trafficsplits"+group, "-n", "shop", "web")
	shows("web web web-2 1 100.00% 3.0rps", "trafficsplits"+group, "-n", "shop", "web")
	shows(`"direction":"from","side":"server","resource":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"front"}`,
		"--raw", "/apis/metrics.smi-spec.io/v1alpha2/namespaces/shop/deployments/web/edges")
	shows(`"direction":"to","side":"client","resource":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"web"}`,
		"--raw", "/apis/metrics.smi-spec.io/v1alpha2/namespaces/shop/deployments/front/edges")
	// Flagger asks so, whatever the mesh; here it is Istio's own shape.
	query := `sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="shop",destination_workload=~"web",response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="shop",destination_workload=~"web"}[1m])) * 100`
	res, err := http.Get("http://" + api + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), `"90"]`) {
		t.Errorf("a tool of Prometheus' is told %s, %v", text, err)
	}
	if out, err := kubectl(c, t, "get", "namespaces"+group, "plain"); err == nil || !strings.Contains(out, "the metrics of lost cannot be read: nobody says which Prometheus scrapes it") {
		t.Errorf("a mesh of which nobody knows the Prometheus: %v\n%s", err, out)
	}
}

// run runs anymesh as its Deployment does, with the certificates and the bundles that it makes itself.
func run(t *testing.T, c *kubetest.Cluster) (prometheusAPI string) {
	t.Helper()
	k, err := kube.Connect(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Core.CoreV1().Services("anymesh-system").Get(t.Context(), "anymesh-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	kube.LogTo(slog.New(slog.DiscardHandler))
	tr := &Traffic{Logger: log}
	ctl := controller.New(controller.Options{Cluster: k, Drivers: all.Meshes(), Namespace: "anymesh-system", Name: "test", Told: tr.Told, Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	at := make(chan string, 1)
	wg.Go(func() {
		o := Options{Namespace: "anymesh-system", PrometheusAPI: "127.0.0.1:0", Listening: func(what string, a net.Addr) {
			if what == "Prometheus' API" {
				at <- a.String()
			}
		}, Webhook: net.JoinHostPort(s.Spec.ClusterIP, "9443"), MetricsAPI: net.JoinHostPort(s.Spec.ClusterIP, "8443"), Traffic: tr, Logger: log}
		if err := Run(ctx, ctl, k, o); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return <-at
}

// kubectl runs it where it may fail, and returns all that it prints.
func kubectl(c *kubetest.Cluster, t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), c.KubectlPath(t), append([]string{"--kubeconfig", c.Kubeconfig}, args...)...).CombinedOutput()
	return string(out), err
}
