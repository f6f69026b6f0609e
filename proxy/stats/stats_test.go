// SPDX-License-Identifier: Apache-2.0

package stats

import (
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
