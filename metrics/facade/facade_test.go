// SPDX-License-Identifier: Apache-2.0

package facade_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/facade"
	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up/world"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// known answers with what a test knows of each resource, by Kind/name.
type known struct {
	counts map[string]metrics.Counts
	asked  []metrics.Question
	err    error
}

func (k *known) Measure(_ context.Context, q metrics.Question) (metrics.Answer, error) {
	k.asked = append(k.asked, q)
	a := metrics.Answer{At: q.At, Window: q.Window}
	for _, r := range q.Of {
		a.Measures = append(a.Measures, metrics.Measure{Of: r, Counts: k.counts[r.Kind+"/"+r.Name]})
	}
	return a, k.err
}

// shop is what there is.
func shop() *world.World {
	w := world.New("linkerd")
	n := func(s string) model.Name { return model.Name{Namespace: "shop", Name: s} }
	w.Tell(slices.Values([]model.Fact{
		&model.Workload{Kind: model.KindDeployment, Name: n("app")}, &model.Workload{Kind: model.KindDeployment, Name: n("app-primary")},
		&model.Workload{Kind: model.KindDeployment, Name: n("idle")}, &model.Workload{Kind: model.KindDaemonSet, Name: n("agent")}, &model.Service{Name: n("app")},
	}), "cluster.local")
	return w
}

// front is a façade under test, with a real Prometheus behind it.
type front struct {
	t *testing.T
	*httptest.Server
	source *known
}

func newFront(t *testing.T) *front {
	s, err := local.Open(local.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	read := func(context.Context) ([]byte, string, error) { return []byte("other 7\n"), "", nil }
	check(t, s.Scraper(&local.Target{Read: read}).Scrape(t.Context(), time.Now().Add(-time.Second)))
	f := &front{t: t, source: &known{counts: map[string]metrics.Counts{
		"Deployment/app":         {Success: 150, Failure: 50, P50: 2 * time.Millisecond, P90: 20 * time.Millisecond, P99: 250 * time.Millisecond},
		"Deployment/app-primary": {Success: 600, P99: 5 * time.Millisecond},
		"DaemonSet/agent":        {Failure: 10, P99: time.Second},
		"Service/app":            {Success: 90, Failure: 10, P99: time.Second},
	}}}
	f.Server = httptest.NewServer(facade.Handler(facade.Options{Source: f.source, World: shop(), Next: s.Handler()}))
	t.Cleanup(f.Close)
	return f
}

// ask gives the values of an answer.
func (f *front) ask(query string) []float64 {
	f.t.Helper()
	code, body := f.get("query?query=" + url.QueryEscape(query))
	var v struct {
		Status string
		Data   struct{ Result []struct{ Value []any } }
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil || code != 200 || v.Status != "success" {
		f.t.Fatalf("%s: %d %s", query, code, body)
	}
	var out []float64
	for _, r := range v.Data.Result {
		n, err := strconv.ParseFloat(r.Value[1].(string), 64)
		check(f.t, err)
		out = append(out, n)
	}
	return out
}

func (f *front) get(path string) (int, string) {
	f.t.Helper()
	res, err := f.Client().Get(f.URL + "/api/v1/" + path)
	check(f.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	check(f.t, err)
	return res.StatusCode, string(body)
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-9 }

// TestFlagger asks what Flagger asks, out of its own sources, of a mesh that is another than it thinks.
func TestFlagger(t *testing.T) {
	all := observers(t)
	f := newFront(t)
	for mesh, queries := range all {
		for _, c := range []struct {
			target        string
			rate, latency float64
		}{{"app", 75, 250}, {"app-primary", 100, 5}, {"idle", math.NaN(), math.NaN()}} {
			f.source.asked = nil
			if got := f.ask(render(t, queries["request-success-rate"], "shop", c.target, "1m")); len(got) != 1 || !same(got[0], c.rate) {
				t.Errorf("%s, %s: %v of 100", mesh, c.target, got)
			}
			if got := f.ask(render(t, queries["request-duration"], "shop", c.target, "1m")); len(got) != 1 || !same(got[0], c.latency) {
				t.Errorf("%s, %s: %v ms", mesh, c.target, got)
			}
			for _, q := range f.source.asked {
				if q.Window != time.Minute || len(q.Of) != 1 || q.Of[0] != (metrics.Ref{Kind: "Deployment", Namespace: "shop", Name: c.target}) {
					t.Errorf("%s, %s: asked for %+v", mesh, c.target, q)
				}
			}
		}
		// What is not there is asked of the real Prometheus, which has no series of it.
		f.source.asked = nil
		if got := f.ask(render(t, queries["request-success-rate"], "shop", "gone", "1m")); len(got) != 0 || len(f.source.asked) != 0 {
			t.Errorf("%s, gone: %v", mesh, got)
		}
	}
}

// TestShapes asks what people write by the same words, and what must not be taken for it.
func TestShapes(t *testing.T) {
	f := newFront(t)
	const workload = `destination_workload_namespace="shop",destination_workload="app"`
	for query, want := range map[string][]float64{
		// Argo Rollouts' analysis, as its pages have it for Istio and for Linkerd.
		`sum(irate(istio_requests_total{reporter="source",destination_service=~"app.shop.svc.cluster.local",response_code!~"5.*"}[5m])) /
		 sum(irate(istio_requests_total{reporter="source",destination_service=~"app.shop.svc.cluster.local"}[5m]))`: {0.9},
		`sum(rate(response_total{classification="success",namespace=~"shop",deployment=~"app",direction="inbound"}[1m])) /
		 sum(rate(response_total{namespace=~"shop",deployment=~"app",direction="inbound"}[1m]))`: {0.75},
		`histogram_quantile(0.9, sum(rate(istio_request_duration_milliseconds_bucket{` + workload + `}[1m])) by (le))`:     {20},
		`histogram_quantile(0.50, (sum by (le) (rate(istio_request_duration_milliseconds_bucket{` + workload + `}[1m]))))`: {2},
		// Numbers of requests and rates, and what is worked out of them.
		`sum(increase(istio_requests_total{` + workload + `}[1m]))`:                                                                                      {200},
		`sum(rate(istio_requests_total{` + workload + `,response_code=~"5.."}[100s]))`:                                                                   {0.5},
		`100 - sum(rate(istio_requests_total{` + workload + `,response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{` + workload + `}[1m])) * 100`: {25},
		`sum(increase(istio_requests_total{` + workload + `}[1m])) > 500`:                                                                                {},
		`sum(increase(istio_requests_total{destination_workload_namespace="shop",destination_workload=~"app|app-primary"}[1m]))`:                         {800},
		`sum(increase(istio_requests_total{destination_workload_namespace="shop",destination_workload="agent"}[1m]))`:                                    {10},
		// Everything else is the real Prometheus'.
		`vector(1)`: {1}, `other`: {7}, `2 * other`: {14},
		`sum(other) + sum(increase(istio_requests_total{` + workload + `}[1m]))`:                                                                                           {},
		`sum(rate(istio_requests_total{` + workload + `,response_code="404"}[1m]))`:                                                                                        {},
		`sum(rate(istio_requests_total{` + workload + `,source_workload="web"}[1m]))`:                                                                                      {},
		`sum(rate(istio_requests_total{` + workload + `,reporter="source"}[1m]))`:                                                                                          {},
		`sum(rate(istio_requests_total{` + workload + `}[1m] offset 1h))`:                                                                                                  {},
		`sum(rate(istio_requests_total{` + workload + `}[1m] @ 0))`:                                                                                                        {},
		`sum by (response_code) (rate(istio_requests_total{` + workload + `}[1m]))`:                                                                                        {},
		`avg(rate(istio_requests_total{` + workload + `}[1m]))`:                                                                                                            {},
		`sum(istio_requests_total{` + workload + `})`:                                                                                                                      {},
		`sum(rate(istio_requests_total{destination_workload_namespace!="shop",destination_workload="app"}[1m]))`:                                                           {},
		`sum(rate(istio_requests_total{destination_workload_namespace=~"sh.*",destination_workload="app"}[1m]))`:                                                           {},
		`sum(rate(istio_requests_total{destination_workload="app"}[1m]))`:                                                                                                  {},
		`histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{` + workload + `}[1m])) by (le))`:                                                    {},
		`histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{destination_workload_namespace="shop",destination_workload=~"app.*"}[1m])) by (le))`: {},
		`max_over_time(sum(rate(istio_requests_total{` + workload + `}[1m]))[5m:1m])`:                                                                                      {},
	} {
		got := f.ask(query)
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("%s: %v, and not %v", query, got, want)
		}
	}
}

// TestPass gives what it does not answer to the real Prometheus, whole, and nothing that changes anything.
func TestPass(t *testing.T) {
	f := newFront(t)
	now := time.Now().Unix()
	for path, want := range map[string]int{
		"query?query=sum(": 400, "query?query=other&time=never": 400, "labels": 200, "label/__name__/values": 200, "series?match[]=other": 200, "series": 400,
		fmt.Sprintf("query_range?query=other&start=%d&end=%d&step=1", now-5, now): 200, "status/buildinfo": 200, "admin/tsdb/delete_series": 404, "status/config": 404,
	} {
		if code, body := f.get(path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	res, err := f.Client().PostForm(f.URL+"/api/v1/query", url.Values{"query": {"other"}})
	check(t, err)
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	check(t, err)
	if res.StatusCode != 200 || !json.Valid(body) || !slices.Contains([]byte(body), '7') {
		t.Errorf("%s %s", res.Status, body)
	}
	f.source.err = &metrics.Unavailable{Mesh: "linkerd", Err: context.DeadlineExceeded}
	const query = `sum(rate(istio_requests_total{destination_workload_namespace="shop",destination_workload="app"}[1m]))`
	if code, body := f.get("query?query=" + url.QueryEscape(query)); code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", code, body)
	}
}

// TestAlone has no Prometheus behind it.
func TestAlone(t *testing.T) {
	f := &front{t: t, source: &known{counts: map[string]metrics.Counts{"Deployment/app": {Success: 1, Failure: 1}}}}
	f.Server = httptest.NewServer(facade.Handler(facade.Options{Source: f.source, World: shop()}))
	defer f.Close()
	if got := f.ask("vector(1)"); len(got) != 1 || got[0] != 1 {
		t.Error(got)
	}
	if got := f.ask(`sum(increase(response_total{namespace="shop",deployment="app"}[1m]))`); len(got) != 1 || got[0] != 2 {
		t.Error(got)
	}
	if code, body := f.get("query?query=up"); code != 404 {
		t.Errorf("%d %s", code, body)
	}
	if code, body := f.get("status/buildinfo"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}
