// SPDX-License-Identifier: Apache-2.0

// Package stats counts what passes, edge by edge.
//
// An [Edge] is who calls whom, seen from one side. Callers keep the handle, so that counting is a few atomic additions
// and never a search by labels. [Stats] shows all edges as Prometheus metrics and, for a live table, as plain numbers.
package stats

import (
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Side says which proxy counted.
type Side string

// The sides.
const (
	Client Side = "client"
	Server Side = "server"
)

// Key names an edge.
type Key struct {
	Side     Side
	Source   string // identity of the caller as namespace/service account; a foreign one as its whole SPIFFE ID
	Service  string // host:port that the caller asked for; client side only
	Backend  string // host:port that a split chose; client side only
	Workload string // namespace/name of the workload whose proxy counts
	Kind     string // of that workload; empty where nobody said
	Pod      string // whose proxy counts
}

// Outcome is the end of one request.
type Outcome struct {
	Code   int // HTTP status; 0: no response
	GRPC   int // gRPC status; -1: not gRPC
	Denied bool
}

// Failed tells whether the outcome counts as a failure: 5xx, no response, or gRPC 2, 4, 13, 14, 15. A denial is none.
func (o Outcome) Failed() bool {
	if o.Denied {
		return false
	}
	switch o.GRPC {
	case 2, 4, 13, 14, 15:
		return true
	}
	return o.Code == 0 || o.Code >= 500
}

// bounds are the upper ends of the latency buckets in seconds, from 0.5 ms to 10 s, each a factor 1.3 above the last.
var bounds = func() []float64 {
	var out []float64
	for v := 0.0005; v < 10; v *= 1.3 {
		out = append(out, math.Round(v*1e6)/1e6)
	}
	return append(out, 10)
}()

// Edge counts one edge. It is safe for concurrent use.
type Edge struct {
	Key      Key
	outcomes atomic.Pointer[map[Outcome]*atomic.Uint64] // copied when a new outcome is first seen
	mu       sync.Mutex                                 // writers of outcomes
	buckets  []atomic.Uint64                            // one more than bounds
	nanos    atomic.Int64

	conns    [2]atomic.Uint64 // TCP connections: allowed, denied
	failed   atomic.Uint64    // TCP connections that reached no endpoint
	Sent     atomic.Uint64    // TCP bytes from the caller to the callee
	Received atomic.Uint64    // TCP bytes back

	Datagrams Datagrams
}

// HTTP counts one finished request.
func (e *Edge) HTTP(o Outcome, d time.Duration) {
	e.counter(o).Add(1)
	e.buckets[sort.SearchFloat64s(bounds, d.Seconds())].Add(1)
	e.nanos.Add(int64(d))
}

func (e *Edge) counter(o Outcome) *atomic.Uint64 {
	if c := (*e.outcomes.Load())[o]; c != nil {
		return c
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := *e.outcomes.Load()
	if c := old[o]; c != nil {
		return c
	}
	next := make(map[Outcome]*atomic.Uint64, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	c := new(atomic.Uint64)
	next[o] = c
	e.outcomes.Store(&next)
	return c
}

// TCP counts one connection of bytes.
func (e *Edge) TCP(denied, failed bool) {
	switch {
	case denied:
		e.conns[1].Add(1)
	default:
		e.conns[0].Add(1)
	}
	if failed {
		e.failed.Add(1)
	}
}

// Stats holds the edges of one or more proxies. The zero value is ready.
type Stats struct {
	edges sync.Map // Key → *Edge
}

// New returns empty statistics.
func New() *Stats { return &Stats{} }

// Edge returns the handle of an edge and makes it when it is new.
func (s *Stats) Edge(k Key) *Edge {
	if v, ok := s.edges.Load(k); ok {
		return v.(*Edge)
	}
	e := &Edge{Key: k, buckets: make([]atomic.Uint64, len(bounds)+1)}
	e.outcomes.Store(&map[Outcome]*atomic.Uint64{})
	v, _ := s.edges.LoadOrStore(k, e)
	return v.(*Edge)
}

// EdgeCount is an edge in numbers, requests, connections and flows together, since the start.
type EdgeCount struct {
	Key
	Allowed, Denied, Failed uint64 // Failed is a part of Allowed
	P50, P99                time.Duration
}

// Snapshot returns all edges, in the order of their keys.
func (s *Stats) Snapshot() []EdgeCount {
	var out []EdgeCount
	s.each(func(e *Edge) {
		c := EdgeCount{Key: e.Key, Allowed: e.conns[0].Load(), Denied: e.conns[1].Load(), Failed: e.failed.Load()}
		d := &e.Datagrams
		c.Allowed, c.Denied, c.Failed = c.Allowed+d.Flows[0].Load()+d.Failed.Load(), c.Denied+d.Flows[1].Load(), c.Failed+d.Failed.Load()
		for o, n := range *e.outcomes.Load() {
			switch {
			case o.Denied:
				c.Denied += n.Load()
			case o.Failed():
				c.Failed += n.Load()
				fallthrough
			default:
				c.Allowed += n.Load()
			}
		}
		c.P50, c.P99 = e.quantile(0.5), e.quantile(0.99)
		out = append(out, c)
	})
	return out
}

func (s *Stats) each(f func(*Edge)) {
	var all []*Edge
	s.edges.Range(func(_, v any) bool {
		all = append(all, v.(*Edge))
		return true
	})
	sort.Slice(all, func(i, j int) bool { return less(all[i].Key, all[j].Key) })
	for _, e := range all {
		f(e)
	}
}

func less(a, b Key) bool {
	x := [...]string{string(a.Side), a.Workload, a.Kind, a.Pod, a.Source, a.Service, a.Backend}
	y := [...]string{string(b.Side), b.Workload, b.Kind, b.Pod, b.Source, b.Service, b.Backend}
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

// quantile reads a latency out of the buckets, linear inside of one as Prometheus does.
func (e *Edge) quantile(q float64) time.Duration {
	var total uint64
	counts := make([]uint64, len(e.buckets))
	for i := range e.buckets {
		counts[i] = e.buckets[i].Load()
		total += counts[i]
	}
	if total == 0 {
		return 0
	}
	rank, seen := q*float64(total), 0.0
	for i, n := range counts {
		if seen+float64(n) < rank || n == 0 {
			seen += float64(n)
			continue
		}
		if i == len(bounds) {
			break
		}
		lo := 0.0
		if i > 0 {
			lo = bounds[i-1]
		}
		return time.Duration((lo + (bounds[i]-lo)*(rank-seen)/float64(n)) * float64(time.Second))
	}
	return time.Duration(bounds[len(bounds)-1] * float64(time.Second))
}
