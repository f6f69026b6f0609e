// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Datagrams counts the UDP of one edge.
type Datagrams struct {
	Flows          [2]atomic.Uint64 // allowed, denied; a flow that is denied and later allowed is both
	Failed         atomic.Uint64    // flows for which there was no way
	Sent, Received atomic.Uint64    // from the caller to the callee, and back
	Dropped        atomic.Uint64    // by policy, or because something could not take them
}

func (c *collector) udp(e *Edge, ch chan<- prometheus.Metric) {
	d := &e.Datagrams
	if d.Flows[0].Load()+d.Flows[1].Load()+d.Failed.Load() == 0 {
		return
	}
	for verdict, n := range map[string]uint64{"allowed": d.Flows[0].Load(), "denied": d.Flows[1].Load(), "failed": d.Failed.Load()} {
		ch <- prometheus.MustNewConstMetric(c.flows, prometheus.CounterValue, float64(n), e.Key.values(verdict)...)
	}
	for dir, n := range map[string]uint64{"sent": d.Sent.Load(), "received": d.Received.Load(), "dropped": d.Dropped.Load()} {
		ch <- prometheus.MustNewConstMetric(c.datagrams, prometheus.CounterValue, float64(n), e.Key.values(dir)...)
	}
}
