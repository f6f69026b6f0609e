// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
)

func TestStats(t *testing.T) {
	w := newWorld(t)
	w, _ = guarded(t, grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{"TrafficTarget/shop/t": {onPath("/yes")}}))
	var mu sync.Mutex
	var seen []proxy.Access
	c := w.client("shop/web", func(c *proxy.Config) {
		c.Access = func(a proxy.Access) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, a)
		}
	}).http1(t)
	for range 3 {
		get(t, c, "http://api:8080/yes")
	}
	get(t, c, "http://api:8080/no")
	want := map[stats.Key][3]uint64{
		{Side: stats.Client, Source: "shop/web", Service: api, Backend: api, Workload: "shop/web", Pod: "web-1"}: {3, 1, 0},
		{Side: stats.Server, Source: "shop/web", Workload: "shop/api", Pod: "api-1"}:                             {3, 1, 0},
	}
	// A response is on its way before it is counted.
	eventually(t, "all is counted", func() bool {
		got := map[stats.Key][3]uint64{}
		for _, e := range w.stats.Snapshot() {
			got[e.Key] = [3]uint64{e.Allowed, e.Denied, e.Failed}
			if e.P50 <= 0 || e.P99 < e.P50 {
				t.Errorf("latency %s %s", e.P50, e.P99)
			}
		}
		ok := len(got) == len(want)
		for k, v := range want {
			ok = ok && got[k] == v
		}
		return ok
	})
	r := httptest.NewRecorder()
	w.stats.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`anymesh_http_requests_total{backend="` + api + `",code="200",grpc_status="",service="` + api + `",side="client",source="shop/web",source_namespace="shop",verdict="allowed",workload="web",workload_kind="",workload_namespace="shop",workload_pod="web-1"} 3`,
		`anymesh_http_requests_total{backend="",code="403",grpc_status="",service="",side="server",source="shop/web",source_namespace="shop",verdict="denied",workload="api",workload_kind="",workload_namespace="shop",workload_pod="api-1"} 1`,
		`anymesh_http_request_duration_seconds_count{backend="",service="",side="server",source="shop/web",source_namespace="shop",workload="api",workload_kind="",workload_namespace="shop",workload_pod="api-1"} 4`,
	} {
		if !strings.Contains(r.Body.String(), line+"\n") {
			t.Errorf("missing: %s\n%s", line, r.Body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 4 || seen[0].Path != "/yes" || seen[0].Code != 200 || !seen[3].Denied || seen[3].Code != 403 {
		t.Errorf("access: %+v", seen)
	}
}
