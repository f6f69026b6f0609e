// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// labels name the two ends of an edge. None is called as a scrape configuration would call the target's own.
func labels(more ...string) []string {
	return append([]string{"side", "source", "source_namespace", "service", "backend", "workload_namespace", "workload", "workload_kind", "workload_pod"}, more...)
}

func (k Key) values(more ...string) []string {
	namespace, workload, _ := strings.Cut(k.Workload, "/")
	from := ""
	if !strings.Contains(k.Source, ":") { // a foreign identity is a URI, and of no namespace of ours
		from, _, _ = strings.Cut(k.Source, "/")
	}
	return append([]string{string(k.Side), k.Source, from, k.Service, k.Backend, namespace, workload, k.Kind, k.Pod}, more...)
}

// collector reads the edges when it is asked. It is a type of its own so that Stats itself shows no Prometheus methods.
type collector struct {
	s                                *Stats
	requests, duration, conns, bytes *prometheus.Desc
	flows, datagrams                 *prometheus.Desc
}

// Collector shows the edges to a Prometheus registry.
func (s *Stats) Collector() prometheus.Collector {
	return &collector{
		s: s,
		requests: prometheus.NewDesc("anymesh_http_requests_total",
			"HTTP requests. code 0: no response. grpc_status is empty for what is not gRPC.",
			labels("code", "grpc_status", "verdict"), nil),
		duration: prometheus.NewDesc("anymesh_http_request_duration_seconds",
			"Time from the request's header to the end of its response.", labels(), nil),
		conns: prometheus.NewDesc("anymesh_tcp_connections_total",
			"Connections of bytes.", labels("verdict"), nil),
		bytes: prometheus.NewDesc("anymesh_tcp_bytes_total",
			"Bytes of such connections; sent is from the caller to the callee.", labels("direction"), nil),
		flows: prometheus.NewDesc("anymesh_udp_flows_total",
			"Flows of UDP. A flow that is refused first and permitted later counts as both.", labels("verdict"), nil),
		datagrams: prometheus.NewDesc("anymesh_udp_datagrams_total",
			"Datagrams of such flows; sent is from the caller to the callee, dropped is either.", labels("direction"), nil),
	}
}

// Handler serves the edges in the Prometheus text format.
func (s *Stats) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(s.Collector())
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.duration, c.conns, c.bytes, c.flows, c.datagrams} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.s.each(func(e *Edge) {
		c.http(e, ch)
		c.tcp(e, ch)
		c.udp(e, ch)
	})
}

func (c *collector) http(e *Edge, ch chan<- prometheus.Metric) {
	outcomes := *e.outcomes.Load()
	if len(outcomes) == 0 {
		return
	}
	for o, n := range outcomes {
		grpc := ""
		if o.GRPC >= 0 {
			grpc = strconv.Itoa(o.GRPC)
		}
		ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(n.Load()),
			e.Key.values(strconv.Itoa(o.Code), grpc, verdict(o.Denied))...)
	}
	var sum uint64
	buckets := make(map[float64]uint64, len(bounds))
	for i, b := range bounds {
		sum += e.buckets[i].Load()
		buckets[b] = sum
	}
	sum += e.buckets[len(bounds)].Load()
	ch <- prometheus.MustNewConstHistogram(c.duration, sum, float64(e.nanos.Load())/1e9, buckets, e.Key.values()...)
}

func (c *collector) tcp(e *Edge, ch chan<- prometheus.Metric) {
	for i, denied := range []bool{false, true} {
		if n := e.conns[i].Load(); n > 0 {
			ch <- prometheus.MustNewConstMetric(c.conns, prometheus.CounterValue, float64(n), e.Key.values(verdict(denied))...)
		}
	}
	if e.conns[0].Load() == 0 {
		return
	}
	for dir, n := range map[string]uint64{"sent": e.Sent.Load(), "received": e.Received.Load()} {
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.CounterValue, float64(n), e.Key.values(dir)...)
	}
}

func verdict(denied bool) string {
	if denied {
		return "denied"
	}
	return "allowed"
}
