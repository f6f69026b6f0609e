// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/proxy/stats"
)

// TestBuiltinSeries asks of what the proxies' own counters show: the two must speak of the same series.
func TestBuiltinSeries(t *testing.T) {
	counters := stats.New()
	server := counters.Edge(stats.Key{Side: stats.Server, Source: "edge/gate", Workload: "shop/web", Kind: "Deployment", Pod: "web-7d9f8c6b5d-x2x4z"})
	client := counters.Edge(stats.Key{Side: stats.Client, Source: "shop/web", Service: "catalog.shop.svc.cluster.local:8080", Backend: "catalog-v2.shop.svc.cluster.local:8080",
		Workload: "shop/web", Kind: "Deployment", Pod: "web-7d9f8c6b5d-x2x4z"})
	for range 10 {
		server.HTTP(stats.Outcome{Code: 200, GRPC: -1}, 3*time.Millisecond)
		client.HTTP(stats.Outcome{Code: 200, GRPC: 14}, 3*time.Millisecond)
	}
	server.HTTP(stats.Outcome{Code: 403, GRPC: -1, Denied: true}, 3*time.Millisecond)
	w := httptest.NewRecorder()
	counters.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var series strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^(anymesh_\w+\{.*\}) (\S+)$`).FindAllStringSubmatch(w.Body.String(), -1) {
		series.WriteString("  " + m[1] + " 0+" + m[2] + "x8\n") // so much with each scrape
	}
	s := story{"builtin", queries(t, "builtin"), series.String(), shop()}.source(t)
	for text, want := range map[string]string{
		"deployments shop/web":                  "Deployment shop/web: 44+0",
		"pods shop/web-7d9f8c6b5d-x2x4z":        "Pod shop/web-7d9f8c6b5d-x2x4z: 44+0",
		"services shop/catalog-v2":              "Service shop/catalog-v2: 0+40",
		"trafficsplits shop/catalog":            "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+40",
		"deployments shop/catalog-v2 edges":     "Deployment shop/catalog-v2 from Deployment shop/web client: 0+40",
		"deployments shop/web edges namespaces": "Deployment shop/web from Namespace edge server: 44+0",
	} {
		a, err := s.Measure(t.Context(), question(t, text))
		if err != nil || !strings.Contains(strings.Join(lines(a), "\n"), want) {
			t.Errorf("%s: %q, %v, want %s", text, lines(a), err, want)
		}
		for _, m := range a.Measures {
			if m.Total() > 0 && (m.P50 < 2*time.Millisecond || m.P99 > 4*time.Millisecond) {
				t.Errorf("%s took %s to %s, and not 3ms", text, m.P50, m.P99)
			}
		}
	}
}
