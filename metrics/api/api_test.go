// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k8s.io/kube-openapi/pkg/spec3"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
	"github.com/anymesh/anymesh/test/kubetest"
)

// golden compares what kubectl prints with what it printed when a person last looked.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

// TestKubectl shows what people see.
func TestKubectl(t *testing.T) {
	i := install(t)
	const group = ".v1alpha2.metrics.smi-spec.io"
	for name, args := range map[string][]string{
		"deployments":      {"get", "deployments" + group, "-n", "shop"},
		"deployments-all":  {"get", "deployments" + group, "-A"},
		"deployments-wide": {"get", "deployments" + group, "-n", "shop", "-o", "wide"},
		"deployment":       {"get", "deployments" + group, "-n", "shop", "web"},
		"labels":           {"get", "deployments" + group, "-n", "shop", "-l", "tier=back"},
		"fields":           {"get", "deployments" + group, "-A", "--field-selector", "metadata.namespace=other"},
		"namespaces":       {"get", "namespaces" + group, "shop"},
		"json":             {"get", "deployments" + group, "-n", "shop", "web", "-o", "json"},
		"yaml-v1alpha1":    {"get", "deployments.v1alpha1.metrics.smi-spec.io", "-n", "shop", "web", "-o", "yaml"},
		"edges":            {"get", "--raw", "/apis/metrics.smi-spec.io/v1alpha2/namespaces/shop/deployments/web/edges?window=1m&unit=s"},
		"namespace-edges":  {"get", "--raw", "/apis/metrics.smi-spec.io/v1alpha2/namespaces/shop/edges"},
		"resources":        {"api-resources", "--api-group=metrics.smi-spec.io", "--sort-by=name"},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, i.Kubectl(t, args...)) })
	}
	golden(t, "deployments", i.Kubectl(t, "get", "deployments.metrics.smi-spec.io", "-n", "shop")) // as the README has it
}

// TestAsked shows that the source is asked for what the URL says.
func TestAsked(t *testing.T) {
	i := install(t)
	for path, want := range map[string]metrics.Question{
		"/namespaces/shop/deployments/web?t=2m":                 {Window: 2 * time.Minute, Of: []metrics.Ref{{Kind: "Deployment", Namespace: "shop", Name: "web"}}},
		"/namespaces/shop/deployments/web/edges?edge-kind=pods": {Window: 30 * time.Second, Edges: true, Of: []metrics.Ref{{Kind: "Deployment", Namespace: "shop", Name: "web"}}},
		"/namespaces/shop":                                               {Window: 30 * time.Second, Of: []metrics.Ref{{Kind: "Namespace", Name: "shop"}}},
		"/namespaces/shop/edges":                                         {Window: 30 * time.Second, Edges: true, Of: []metrics.Ref{{Kind: "Namespace", Name: "shop"}}},
		"/namespaces/shop/routes":                                        {Window: 30 * time.Second, Routes: true, Of: []metrics.Ref{{Kind: "Namespace", Name: "shop"}}},
		"/nodes/local/edges":                                             {Window: 30 * time.Second, Edges: true, Of: []metrics.Ref{{Kind: "Node", Name: "local"}}},
		"/namespaces/shop/services/web/routes":                           {Window: 30 * time.Second, Routes: true, Of: []metrics.Ref{{Kind: "Service", Namespace: "shop", Name: "web"}}},
		"/deployments?labelSelector=app%3Dweb&window=45s":                {Window: 45 * time.Second, Of: []metrics.Ref{{Kind: "Deployment", Namespace: "other", Name: "web"}, {Kind: "Deployment", Namespace: "shop", Name: "web"}}},
		"/namespaces/shop/deployments?fieldSelector=metadata.name=quiet": {Window: 30 * time.Second, Of: []metrics.Ref{{Kind: "Deployment", Namespace: "shop", Name: "quiet"}}},
	} {
		if _, err := i.raw(t, path); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		q := i.source.asked.Load()
		if q.Window != want.Window || q.Edges != want.Edges || q.Routes != want.Routes || len(q.Of) != len(want.Of) || !q.At.Equal(now) {
			t.Errorf("%s asks %+v", path, q)
			continue
		}
		for n, r := range q.Of {
			if r != want.Of[n] {
				t.Errorf("%s asks for %v", path, q.Of)
			}
		}
		if (q.Peer.Name == "Pod") != strings.Contains(path, "edge-kind") {
			t.Errorf("%s asks for edges to %q", path, q.Peer.Name)
		}
	}
}

// TestRefused shows what is not answered, and how.
func TestRefused(t *testing.T) {
	i := install(t)
	for path, want := range map[string]string{
		"/namespaces/shop/deployments/none":                         "NotFound",
		"/namespaces/none/deployments/web":                          "NotFound",
		"/namespaces/none/edges":                                    "NotFound",
		"/namespaces/shop/things":                                   "NotFound",
		"/namespaces/shop/deployments?window=soon":                  "BadRequest",
		"/namespaces/shop/deployments?window=-1s":                   "BadRequest",
		"/namespaces/shop/deployments?unit=days":                    "BadRequest",
		"/namespaces/shop/deployments/web/edges?edge-kind=unicorns": "BadRequest",
		"/namespaces/shop/deployments?fieldSelector=spec.x=1":       "BadRequest",
	} {
		_, err := i.raw(t, path)
		if got := string(apierrors.ReasonForError(err)); got != want {
			t.Errorf("%s: %q: %v", path, got, err)
		}
	}
	// A list of nothing is a list.
	raw, err := i.raw(t, "/namespaces/none/deployments")
	var l traffic.TrafficMetricsList
	if err != nil || json.Unmarshal([]byte(raw), &l) != nil || l.Items == nil || len(l.Items) != 0 {
		t.Errorf("got %s, %v", raw, err)
	}
}

// TestUnavailable shows that numbers that cannot be read are no zeros, and that the rest goes on without them.
func TestUnavailable(t *testing.T) {
	i := install(t)
	var fail error = &metrics.Unavailable{Mesh: "istio", Err: errors.New("dial tcp: connection refused")}
	i.source.fail.Store(&fail)
	defer i.source.fail.Store(nil)
	_, err := i.raw(t, "/namespaces/shop/deployments/web")
	if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "the metrics of istio cannot be read: dial tcp") {
		t.Errorf("got %v", err)
	}
	if out := i.Kubectl(t, "api-resources", "--api-group=metrics.smi-spec.io"); !strings.Contains(out, "trafficsplits") {
		t.Errorf("discovery says\n%s", out)
	}
	if out := i.Kubectl(t, "get", "--raw", "/apis/metrics.smi-spec.io/v1alpha2"); !strings.Contains(out, `"deployments/edges"`) {
		t.Errorf("discovery says\n%s", out)
	}
}

// TestOpenAPI walks the description that the cluster hands on, and asks for everything that it says there is.
func TestOpenAPI(t *testing.T) {
	i := install(t)
	var doc spec3.OpenAPI
	kubetest.Eventually(t, func() error { // the aggregator fetches it at its own pace
		return json.Unmarshal([]byte(i.Kubectl(t, "get", "--raw", "/openapi/v3/apis/metrics.smi-spec.io/v1alpha2")), &doc)
	})
	for name, fields := range map[string][]string{
		"TrafficMetrics":     {"apiVersion", "kind", "metadata", "resource", "edge", "backend", "route", "timestamp", "window", "metrics"},
		"TrafficMetricsList": {"apiVersion", "kind", "metadata", "resource", "selector", "items"},
		"Metric":             {"name", "unit", "value"},
		"Edge":               {"direction", "side", "resource"},
		"Backend":            {"apex", "name", "weight"},
	} {
		schema := doc.Components.Schemas["io.smi-spec.metrics."+name]
		if schema == nil {
			t.Errorf("no schema of %s among %v", name, slices.Sorted(maps.Keys(doc.Components.Schemas)))
			continue
		}
		for _, f := range fields {
			if _, ok := schema.Properties[f]; !ok {
				t.Errorf("%s has no field %s", name, f)
			}
		}
		if len(schema.Properties) != len(fields) {
			t.Errorf("%s has %d fields", name, len(schema.Properties))
		}
	}
	asked := 0
	for path, item := range doc.Paths.Paths {
		if item.Get == nil || strings.HasSuffix(path, "/v1alpha2/") {
			continue
		}
		_, rest, _ := strings.Cut(path, "/v1alpha2")
		named := strings.Contains(rest, "{name}")
		rest = strings.NewReplacer("{namespace}", "shop", "{name}", "web").Replace(rest)
		_, err := i.raw(t, rest)
		found := err == nil || named && apierrors.IsNotFound(err) && strings.Contains(err.Error(), `"web" not found`)
		if !found {
			t.Errorf("GET %s: %v", path, err)
		}
		asked++
	}
	if asked != 58 { // get, edges and routes of 12 kinds, lists of 10 in a namespace and of 12 in all
		t.Errorf("the description has %d paths to get", asked)
	}
	if v2 := i.Kubectl(t, "get", "--raw", "/openapi/v2"); !strings.Contains(v2, "io.smi-spec.metrics.TrafficMetricsList") {
		t.Error("the cluster's OpenAPI v2 does not have the group")
	}
}
