// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// metrics are what Prometheus is told of a controller.
type metrics struct {
	c       *Controller
	latency *prometheus.HistogramVec
	writes  *prometheus.CounterVec
	waiting *prometheus.Desc
	found   *prometheus.Desc
	refused *prometheus.Desc
	leading *prometheus.Desc

	mu    sync.Mutex
	since map[planned]time.Time
}

// planned is a change that a mesh's sink has yet to make.
type planned struct {
	target string
	key    mesh.Key
}

func newMetrics(c *Controller) *metrics {
	return &metrics{
		c: c, since: map[planned]time.Time{},
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "anymesh_change_to_apply_seconds",
			Help:    "Time from the translation of a change until the cluster had taken it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"mesh"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anymesh_applies_total", Help: "Objects written to the cluster, or deleted."},
			[]string{"mesh", "kind", "operation"}),
		waiting: prometheus.NewDesc("anymesh_queue_depth", "Changes that have yet to be made.", []string{"mesh"}, nil),
		found: prometheus.NewDesc("anymesh_findings", "What is to be said of SMI objects and is not exact, by mesh, feature and level.",
			[]string{"mesh", "feature", "level"}, nil),
		refused: prometheus.NewDesc("anymesh_conflicts", "Objects that could not be written, because they are not ours or the cluster refused them.", []string{"mesh", "code"}, nil),
		leading: prometheus.NewDesc("anymesh_leading", "1 where this replica writes.", nil, nil),
	}
}

// Collector is what Prometheus is told.
func (c *Controller) Collector() prometheus.Collector { return c.metrics }

// Describe names the metrics.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.latency.Describe(out)
	m.writes.Describe(out)
	for _, d := range []*prometheus.Desc{m.waiting, m.found, m.refused, m.leading} {
		out <- d
	}
}

// Collect reads them. Of an engine that does not answer nothing is told.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.latency.Collect(out)
	m.writes.Collect(out)
	leads := 0.0
	if m.c.Leading() {
		leads = 1
	}
	out <- prometheus.MustNewConstMetric(m.leading, prometheus.GaugeValue, leads)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	waiting, found, refused := map[string]int{}, map[[3]string]int{}, map[[2]string]int{}
	err := m.c.engine.Ask(ctx, func(e *engine.Engine) {
		for name, n := range e.Waiting {
			waiting[name] = n
		}
		for _, f := range e.Findings() {
			feature := ""
			if f.Wish {
				feature = f.Feature.String()
			}
			found[[3]string{f.Mesh, feature, f.Level.String()}]++
			if f.Code == model.CodeForeignObject || f.Code == model.CodeRefused || f.Code == model.CodeNotServed {
				refused[[2]string{f.Mesh, string(f.Code)}]++
			}
		}
	})
	if err != nil {
		return
	}
	for name, n := range waiting {
		out <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(n), name)
	}
	for k, n := range found {
		out <- prometheus.MustNewConstMetric(m.found, prometheus.GaugeValue, float64(n), k[0], k[1], k[2])
	}
	for k, n := range refused {
		out <- prometheus.MustNewConstMetric(m.refused, prometheus.GaugeValue, float64(n), k[0], k[1])
	}
}

// planned notes when changes were planned. A replica that does not lead makes none.
func (m *metrics) planned(plans []engine.Plan) {
	if !m.c.Leading() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for i := range plans {
		for _, c := range plans[i].Changes {
			m.since[planned{plans[i].Target, c.Key}] = now
		}
	}
}

// made notes that a change was made.
func (m *metrics) made(target string, c mesh.Change, wrote bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := planned{target, c.Key}
	since, ok := m.since[p]
	delete(m.since, p)
	if !wrote {
		return
	}
	operation := "apply"
	if c.Object == nil {
		operation = "delete"
	}
	m.writes.WithLabelValues(target, c.Key.Kind, operation).Inc()
	if ok {
		m.latency.WithLabelValues(target).Observe(time.Since(since).Seconds())
	}
}
