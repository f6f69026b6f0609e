// SPDX-License-Identifier: Apache-2.0

// Package metricstest has what tests of metrics share: Prometheus' own engine over series that the test writes down, and a world of literals.
package metricstest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/anymesh/anymesh/metrics"
)

// Engine is a metrics.Prometheus: the engine of Prometheus over what was loaded.
type Engine struct {
	engine  *promql.Engine
	storage storage.Queryable
}

// Load loads series in the language of Prometheus' own tests:
//
//	load 15s
//	  istio_requests_total{reporter="destination"} 0+10x8
//
// They begin at At(0); a "_" is a scrape without a sample, "stale" one that says that the series has ended.
func Load(t testing.TB, series string) *Engine {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() { engine.Close() })
	return &Engine{engine, promqltest.LoadedStorage(t, bare(series))}
}

// bare is without empty lines and comments, which would end a load.
func bare(series string) string {
	var out []string
	for l := range strings.Lines(series) {
		if l = strings.TrimRight(l, "\n"); strings.TrimSpace(l) != "" && !strings.HasPrefix(strings.TrimSpace(l), "#") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// start is the time of the first sample of what is loaded.
var start = time.Unix(0, 0).UTC()

// At is the time that long after the first sample.
func At(d time.Duration) time.Time { return start.Add(d) }

// Query implements metrics.Prometheus.
func (e *Engine) Query(ctx context.Context, expression string, at time.Time) ([]metrics.Sample, error) {
	q, err := e.engine.NewInstantQuery(ctx, e.storage, nil, expression, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	v, err := q.Exec(ctx).Vector()
	if err != nil {
		return nil, err
	}
	out := make([]metrics.Sample, len(v))
	for i, s := range v {
		m := make(map[string]string, s.Metric.Len())
		s.Metric.Range(func(l labels.Label) { m[l.Name] = l.Value })
		out[i] = metrics.Sample{Labels: m, Value: s.F}
	}
	return out, nil
}
