// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// B18: an answer costs its slowest query and at most 1 ms more, and 1,000 kept answers a second cost less than one core.

// slow is a Prometheus that takes its time over every query and answers with what was made before. The series are those of the server's side.
type slow struct {
	latency time.Duration
	samples []metrics.Sample
}

func (s slow) Query(_ context.Context, text string, _ time.Time) ([]metrics.Sample, error) {
	time.Sleep(s.latency)
	if !strings.Contains(text, `reporter="destination",destination_workload`) || strings.HasPrefix(text, "count(") {
		return nil, nil
	}
	return s.samples, nil
}

// busy is a world of n Deployments in shop, each of which is called by web.
func busy(n int) (*plain, []metrics.Ref, []metrics.Sample) {
	w := &plain{there: map[metrics.Ref]bool{}}
	var refs []metrics.Ref
	var samples []metrics.Sample
	for i := range n {
		r := metrics.Ref{Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("workload-%d", i)}
		w.there[r] = true
		refs = append(refs, r)
		samples = append(samples, metrics.Sample{Value: float64(i), Labels: map[string]string{"destination_workload": r.Name, "destination_workload_namespace": "shop",
			"source_workload": r.Name, "source_workload_namespace": "shop"}})
	}
	return w, refs, samples
}

// plain is a World as quick as a cluster's.
type plain struct {
	World
	there map[metrics.Ref]bool
}

func (p *plain) Find(r metrics.Ref) (metrics.Resource, bool) {
	return metrics.Resource{Ref: r}, p.there[r]
}

func (p *plain) List(metrics.Kind, string) []metrics.Resource { return nil }
func (p *plain) Mesh(string) string                           { return "istio" }

func benchmark(b *testing.B, n int, edges bool, latency time.Duration, kept bool) {
	w, refs, samples := busy(1000)
	if edges {
		for i := range samples { // all are called by the first, which is what is asked of
			samples[i].Labels["source_workload"], samples[i].Labels["destination_workload"] = samples[i].Labels["destination_workload"], refs[0].Name
		}
	} else {
		samples = samples[:n]
	}
	at := At(now)
	s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(b, "istio"), Prometheus: slow{latency, samples}}}, ask.WithClock(func() time.Time { return at }), ask.WithBudget(time.Minute))
	kind, _ := metrics.KindOf("Deployment")
	q := metrics.Question{Kind: kind, Of: refs[:n], Edges: edges, Window: window}
	s.Measure(b.Context(), q)
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		if !kept {
			at = at.Add(20 * time.Second)
		}
		a, err := s.Measure(b.Context(), q)
		if err != nil || len(a.Measures) < n {
			b.Fatal(err, len(a.Measures))
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpu is what the process has used: on a machine with others it says more than the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEdgesAlone(b *testing.B) { benchmark(b, 1, true, 0, false) }
func BenchmarkGet(b *testing.B)        { benchmark(b, 1, false, time.Millisecond, false) }
func BenchmarkList(b *testing.B)       { benchmark(b, 100, false, time.Millisecond, false) }
func BenchmarkEdges(b *testing.B)      { benchmark(b, 1, true, time.Millisecond, false) }
func BenchmarkKeptGet(b *testing.B)    { benchmark(b, 1, false, 0, true) }
func BenchmarkKeptList(b *testing.B)   { benchmark(b, 100, false, 0, true) }
func BenchmarkKeptEdges(b *testing.B)  { benchmark(b, 1, true, 0, true) }

// BenchmarkSleep is what the machine makes of a millisecond.
func BenchmarkSleep(b *testing.B) {
	for b.Loop() {
		time.Sleep(time.Millisecond)
	}
}
