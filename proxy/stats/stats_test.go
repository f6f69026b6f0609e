// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	s := New()
	e := s.Edge(Key{Side: Server, Source: "a/b"})
	for i := range 1000 {
		e.HTTP(Outcome{Code: 200, GRPC: -1}, time.Duration(i+1)*time.Millisecond)
	}
	c := s.Snapshot()[0]
	for q, got := range map[time.Duration]time.Duration{500 * time.Millisecond: c.P50, 990 * time.Millisecond: c.P99} {
		if got < q*8/10 || got > q*12/10 {
			t.Errorf("%s, want about %s", got, q)
		}
	}
	e.HTTP(Outcome{Code: 200, GRPC: -1}, time.Hour)
	if got := e.quantile(1); got != 10*time.Second {
		t.Errorf("beyond the last bucket: %s", got)
	}
}

func TestFailed(t *testing.T) {
	for o, want := range map[Outcome]bool{
		{Code: 200, GRPC: -1}:               false,
		{Code: 404, GRPC: -1}:               false,
		{Code: 499, GRPC: -1}:               false,
		{Code: 503, GRPC: -1}:               true,
		{Code: 0, GRPC: -1}:                 true,
		{Code: 200, GRPC: 0}:                false,
		{Code: 200, GRPC: 5}:                false,
		{Code: 200, GRPC: 14}:               true,
		{Code: 403, GRPC: -1, Denied: true}: false,
	} {
		if o.Failed() != want {
			t.Errorf("%+v: %v", o, !want)
		}
	}
}

func TestEdgeIsOne(t *testing.T) {
	s := New()
	a, again, b := s.Edge(Key{Service: "a"}), s.Edge(Key{Service: "a"}), s.Edge(Key{Service: "b"})
	if a != again || a == b {
		t.Error("an edge has one handle")
	}
}

func TestSeries(t *testing.T) {
	s := New()
	s.Edge(Key{Side: Server, Source: "shop/web", Workload: "shop/catalog", Kind: "Deployment", Pod: "catalog-1"}).HTTP(Outcome{Code: 200, GRPC: 14}, time.Millisecond)
	s.Edge(Key{Side: Server, Source: "spiffe://other/ns/x/sa/y", Workload: "shop/catalog", Kind: "Deployment", Pod: "catalog-1"}).HTTP(Outcome{GRPC: -1}, time.Millisecond)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`anymesh_http_requests_total{backend="",code="200",grpc_status="14",service="",side="server",source="shop/web",source_namespace="shop",verdict="allowed",workload="catalog",workload_kind="Deployment",workload_namespace="shop",workload_pod="catalog-1"} 1`,
		`anymesh_http_requests_total{backend="",code="0",grpc_status="",service="",side="server",source="spiffe://other/ns/x/sa/y",source_namespace="",verdict="allowed",workload="catalog",workload_kind="Deployment",workload_namespace="shop",workload_pod="catalog-1"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

// BenchmarkEdge counts on one edge from all processors at once, which is the worst case.
func BenchmarkEdge(b *testing.B) {
	e := New().Edge(Key{Side: Client})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e.HTTP(Outcome{Code: 200, GRPC: -1}, 3*time.Millisecond)
		}
	})
	if n := (*e.outcomes.Load())[Outcome{Code: 200, GRPC: -1}].Load(); n < uint64(b.N) {
		b.Errorf("%d of %d were counted", n, b.N)
	}
}
