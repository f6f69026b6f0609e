// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/metrics"
)

// MeshAnnotation names the mesh that counted.
const MeshAnnotation = "metrics.anymesh.dev/mesh"

// Unit is the unit of latencies.
type Unit string

// The units: what every client of SMI reads, and what the SMI page says.
const (
	Milliseconds Unit = "ms"
	Seconds      Unit = "s"
)

// names are the metrics in the order of the SMI page.
const (
	P99     = "p99_response_latency"
	P90     = "p90_response_latency"
	P50     = "p50_response_latency"
	Success = "success_count"
	Failure = "failure_count"
)

// Write makes a list of an answer.
func Write(q metrics.Question, a metrics.Answer, u Unit) *TrafficMetricsList {
	l := &TrafficMetricsList{Resource: Reference{APIVersion: q.Kind.APIVersion, Kind: q.Kind.Name}, Items: []TrafficMetrics{}}
	for i := range a.Measures {
		l.Items = append(l.Items, item(&a, &a.Measures[i], u))
	}
	return l
}

func item(a *metrics.Answer, m *metrics.Measure, u Unit) TrafficMetrics {
	t := TrafficMetrics{
		ObjectMeta: metav1.ObjectMeta{Name: m.Of.Name, Namespace: m.Of.Namespace},
		Resource:   refer(m.Of),
		Timestamp:  metav1.Time{Time: a.At},
		Window:     metav1.Duration{Duration: a.Window},
		Metrics: []Metric{
			latency(P99, m.P99, u), latency(P90, m.P90, u), latency(P50, m.P50, u),
			{Name: Success, Value: count(m.Success)}, {Name: Failure, Value: count(m.Failure)},
		},
	}
	if m.Mesh != "" {
		t.Annotations = map[string]string{MeshAnnotation: m.Mesh}
	}
	if e := m.Edge; e != nil {
		t.Edge = &Edge{string(e.Direction), string(e.Side), refer(e.Peer)}
	}
	if b := m.Backend; b != nil {
		t.Backend = &Backend{b.Apex, b.Name, b.Weight}
	}
	if r := m.Route; r != nil {
		t.Route = &Route{r.Group, r.Match}
	}
	return t
}

func refer(r metrics.Ref) Reference {
	if r == (metrics.Ref{}) {
		return Reference{}
	}
	out := Reference{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
	if k, ok := metrics.KindOf(r.Kind); ok {
		out.APIVersion = k.APIVersion
	}
	return out
}

// count is a number of requests: whole, since a rate over a window is extrapolated, and nobody sends half a request.
func count(v float64) resource.Quantity {
	if math.IsNaN(v) || v < 0 {
		v = 0
	}
	return *resource.NewQuantity(int64(math.Round(math.Min(v, 1<<62))), resource.DecimalSI)
}

// latency is exact to a microsecond.
func latency(name string, d time.Duration, u Unit) Metric {
	if u == Seconds {
		return Metric{name, "seconds", *resource.NewScaledQuantity(d.Microseconds(), resource.Micro)}
	}
	return Metric{name, "ms", *resource.NewScaledQuantity(d.Microseconds(), resource.Milli)}
}

// Read is the counts that an object says. What it does not say is zero.
func (t *TrafficMetrics) Read() (c metrics.Counts) {
	for i := range t.Metrics {
		m := &t.Metrics[i]
		v := m.Value.AsApproximateFloat64()
		d := time.Duration(v * float64(time.Millisecond))
		if m.Unit == "seconds" || m.Unit == "s" {
			d = time.Duration(v * float64(time.Second))
		}
		switch m.Name {
		case Success:
			c.Success = v
		case Failure:
			c.Failure = v
		case P50:
			c.P50 = d
		case P90:
			c.P90 = d
		case P99:
			c.P99 = d
		}
	}
	return c
}
