// SPDX-License-Identifier: Apache-2.0

package query_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	. "github.com/anymesh/anymesh/metrics/metricstest"
	"github.com/anymesh/anymesh/metrics/query"
)

var view = &mesh.View{
	Only:     []mesh.Matcher{{Label: "side", Op: "=", Value: "server"}},
	Requests: "requests_total", Failure: []mesh.Matcher{mesh.HTTPFailure("code"), mesh.GRPCFailure("grpc")}, Latency: "seconds", Unit: time.Second,
}

func TestText(t *testing.T) {
	s := query.Selection{View: view, Where: query.Where(mesh.Name{Namespace: "ns", Name: "app"}, "", []query.Term{{Namespace: "shop", Name: "web"}}), By: []string{"ns", "app"}}
	const total = `sum by (ns, app) (increase(requests_total{side="server",ns="shop",app="web"}[30s]) >= 0 < Inf)`
	const good = `sum by (ns, app) (increase(requests_total{side="server",ns="shop",app="web",code!~"5..|0",grpc!~"2|4|13|14|15"}[30s]) >= 0 < Inf)`
	for got, want := range map[string]string{
		s.Success(30 * time.Second):             good + " or " + total + " * 0",
		s.Failure(30 * time.Second):             total + " - (" + good + " or " + total + " * 0)",
		s.Quantile(0.99, 1500*time.Millisecond): `histogram_quantile(0.99, sum by (le, ns, app) (increase(seconds_bucket{side="server",ns="shop",app="web"}[1500ms]) >= 0 < Inf))`,
	} {
		if got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

// TestNames: a name is a name, whatever it is made of.
func TestNames(t *testing.T) {
	names := []string{"web", "web.v1", `a"b`, `a\b`, "a|b", ".*", "a(b", "$", "ü", "a\nb", `x"} or vector(1) or y{z="`}
	var series strings.Builder
	series.WriteString("load 15s\n")
	for _, n := range append(names, "webxv1", "a", "b", "anything") {
		fmt.Fprintf(&series, "  requests_total{side=\"server\",code=\"200\",ns=\"shop\",app=%q} 0+10x4\n", n)
	}
	p := Load(t, series.String())
	name := mesh.Name{Namespace: "ns", Name: "app"}
	ask := func(terms ...query.Term) []metrics.Sample {
		s := query.Selection{View: view, Where: query.Where(name, "", terms), By: query.Labels(name)}
		got, err := p.Query(t.Context(), s.Success(time.Minute), At(time.Minute))
		if err != nil {
			t.Fatalf("%v: %v", terms, err)
		}
		return got
	}
	var all []query.Term
	for _, n := range names {
		all = append(all, query.Term{Namespace: "shop", Name: n})
		if got := ask(query.Term{Namespace: "shop", Name: n}); len(got) != 1 || got[0].Labels["app"] != n || got[0].Value != 40 {
			t.Errorf("%q is answered by %v", n, got)
		}
	}
	if got := ask(all...); len(got) != len(names) {
		t.Errorf("%d names are answered by %d: %v", len(names), len(got), got)
	}
}

// TestLies: what no count can be is left out before it is added up.
func TestLies(t *testing.T) {
	p := Load(t, `load 15s
  requests_total{side="server",app="web",pod="honest",code="200"} 0+10x8
  requests_total{side="server",app="web",pod="nan",code="200"} NaN NaN NaN NaN NaN NaN NaN NaN NaN
  requests_total{side="server",app="web",pod="inf",code="200"} 0 1 2 3 4 5 Inf Inf Inf
  requests_total{side="server",app="web",pod="minus inf",code="500"} 0 -Inf -Inf -Inf -Inf -Inf -Inf -Inf -Inf
  requests_total{side="server",app="web",pod="falls",code="500"} 0-10x8
  seconds_bucket{side="server",app="web",pod="honest",le="1"} 0+10x8
  seconds_bucket{side="server",app="web",pod="honest",le="+Inf"} 0+10x8
  seconds_bucket{side="server",app="web",pod="nan",le="1"} NaN NaN NaN NaN NaN NaN NaN NaN NaN
  seconds_bucket{side="server",app="web",pod="nan",le="many"} 0+10x8
`)
	s := query.Selection{View: view, By: []string{"app"}}
	for text, want := range map[string]float64{s.Success(time.Minute): 40, s.Failure(time.Minute): 0, s.Quantile(0.5, time.Minute): 0.5} {
		got, err := p.Query(t.Context(), text, At(2*time.Minute))
		if err != nil || len(got) != 1 || got[0].Value != want {
			t.Errorf("%s: %v, %v, want %g", text, got, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	for v, want := range map[float64]float64{math.Inf(1): 1 << 53, math.Inf(-1): 0, -3: 0, 0: 0, 2.5: 2.5, 1e300: 1 << 53} {
		if got := query.Count(v); got != want {
			t.Errorf("Count(%g) = %g", v, got)
		}
	}
	if query.Count(math.NaN()) != 0 || query.Duration(math.NaN(), time.Second) != 0 {
		t.Error("NaN is nothing")
	}
	for v, want := range map[float64]time.Duration{math.Inf(1): math.MaxInt64 / 2, 1e300: math.MaxInt64 / 2, -1: 0, 0.5: 500 * time.Millisecond} {
		if got := query.Duration(v, time.Second); got != want {
			t.Errorf("Duration(%g) = %s", v, got)
		}
	}
}

// TestHistogram compares quantiles with those of Prometheus, over made-up histograms of two pods.
func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	bounds := []string{"-1", "0", "0.1", "0.5", "1", "5", "+Inf"}
	for n := range 25 {
		var series strings.Builder
		series.WriteString("load 1m\n")
		var h query.Histogram
		from := r.IntN(len(bounds) - 1)
		for pod := range 2 {
			sum := 0
			for _, le := range bounds[from:] {
				sum += r.IntN(4)
				fmt.Fprintf(&series, "  b{pod=\"%d\",le=%q} %d\n", pod, le, sum)
				bound, ok := query.Bound(le)
				if !ok {
					t.Fatal(le)
				}
				h.Add(query.Bucket{Le: bound, Count: float64(sum)})
			}
		}
		p := Load(t, series.String())
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			got, err := p.Query(t.Context(), fmt.Sprintf("histogram_quantile(%g, sum by (le) (b))", q), At(0))
			if err != nil || len(got) != 1 {
				t.Fatal(got, err)
			}
			want := got[0].Value
			if math.IsNaN(want) {
				want = 0
			}
			if v := h.Quantile(q); math.Abs(v-want) > 1e-9 {
				t.Errorf("world %d: the %g quantile is %g, and Prometheus says %g:\n%s", n, q, v, want, series.String())
			}
		}
	}
}

func TestPodNames(t *testing.T) {
	for _, c := range []struct {
		kind, workload, pod string
		want                bool
	}{
		{"Deployment", "web", "web-7d9f8c6b5d-x2x4z", true},
		{"Deployment", "web", "web-api-7d9f8c6b5d-x2x4z", false},
		{"Deployment", "web", "web-7d9f8c6b5d", false},
		{"Deployment", "we", "web-7d9f8c6b5d-x2x4z", false},
		{"ReplicaSet", "web-7d9f8c6b5d", "web-7d9f8c6b5d-x2x4z", true},
		{"StatefulSet", "db", "db-11", true},
		{"StatefulSet", "db", "db-x", false},
		{"CronJob", "tidy", "tidy-29384756-x2x4z", true},
		{"Job", "tidy", "tidy-29384756-x2x4z", false},
		{"Pod", "a", "a", false},
	} {
		if got := query.MadeBy(metrics.Ref{Kind: c.kind, Name: c.workload}, c.pod); got != c.want {
			t.Errorf("%s %s makes %s: %t", c.kind, c.workload, c.pod, got)
		}
	}
}
