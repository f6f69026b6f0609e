// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"

	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/proxy/stats"
)

// TestQueries runs each query of the dashboard and of the alert rules on Prometheus' engine, over counters of the proxies in which everything
// that they watch for has happened: each must find it.
func TestQueries(t *testing.T) {
	s, err := local.Open(local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := bad(t, s)
	ask := func(name, expr string) map[string]float64 {
		expr = strings.NewReplacer("$__rate_interval", "1m", "$namespace", ".*").Replace(expr)
		list, err := s.Query(t.Context(), expr, now)
		if err != nil {
			t.Fatalf("%s: %v in %s", name, err, expr)
		}
		if len(list) == 0 {
			t.Errorf("%s finds nothing: %s", name, expr)
		}
		out := map[string]float64{}
		for _, v := range list {
			out[v.Labels["source"]+">"+v.Labels["workload"]+v.Labels["backend"]] = v.Value
		}
		return out
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	read(t, "metrics/dashboard.json", func(b []byte) error { return json.Unmarshal(b, &board) })
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			got := ask(p.Title, q.Expr)
			switch p.Title {
			case "Share of requests that succeed": // of five to web one fails, and one is refused, which is no failure
				if near(got[">web"], 0.8) || near(got[">out"], 0) {
					t.Errorf("%s: %v", p.Title, got)
				}
			case "Shares of the backends of a split":
				if near(got[">web-1.shop.svc:80"], 0.8) || near(got[">web-2.shop.svc:80"], 0.2) {
					t.Errorf("%s: %v", p.Title, got)
				}
			}
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	read(t, "metrics/alerts.yaml", func(b []byte) error { return yaml.UnmarshalStrict(b, &struct{ Groups any }{}) })
	read(t, "metrics/alerts.yaml", func(b []byte) error { return yaml.Unmarshal(b, &rules) })
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			ask(r.Alert, r.Expr)
		}
	}
	if n < 4 || len(board.Panels) < 6 {
		t.Errorf("%d rules and %d panels were looked at", n, len(board.Panels))
	}
}

func near(got, want float64) (off bool) { return got < want-0.01 || got > want+0.01 }

func read(t *testing.T, name string, into func([]byte) error) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = into(text)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bad is an hour in which all goes wrong: of web every fourth request fails and each takes two seconds, all of out fail, an intruder is
// refused, and some get no response.
func bad(t *testing.T, s *local.Store) (now time.Time) {
	counted := stats.New()
	r := prometheus.NewRegistry()
	r.MustRegister(counted.Collector())
	w := s.Scraper(&local.Target{Name: "proxies", Read: local.Gather(r), FromZero: true})
	server := func(source, workload string) *stats.Edge {
		return counted.Edge(stats.Key{Side: stats.Server, Source: source, Workload: "shop/" + workload, Kind: "Deployment", Pod: workload + "-1"})
	}
	client := func(backend string) *stats.Edge {
		return counted.Edge(stats.Key{Side: stats.Client, Source: "shop/front", Service: "web.shop.svc:80", Backend: backend, Workload: "shop/front", Kind: "Deployment", Pod: "front-1"})
	}
	for i := range 60 {
		now = time.Now().Add(time.Duration(i-60) * 10 * time.Second)
		for k := range 4 {
			code := 200
			if k == 0 {
				code = 503
			}
			server("shop/front", "web").HTTP(stats.Outcome{Code: code, GRPC: -1}, 2*time.Second)
			client("web-1.shop.svc:80").HTTP(stats.Outcome{Code: 200, GRPC: -1}, 2*time.Second)
		}
		client("web-2.shop.svc:80").HTTP(stats.Outcome{GRPC: -1}, 2*time.Second)
		server("shop/front", "out").HTTP(stats.Outcome{Code: 500, GRPC: -1}, time.Millisecond)
		server("shop/intruder", "web").HTTP(stats.Outcome{Code: 403, GRPC: 7, Denied: true}, time.Millisecond)
		server("shop/front", "db").TCP(false, false)
		if err := w.Scrape(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	return now
}
