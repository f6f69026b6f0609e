// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/anymesh/anymesh/metrics"
)

// Table shows measures as kubectl prints them: like its top.
func Table(items []TrafficMetrics) *metav1.Table {
	var edges, backends, routes bool
	for i := range items {
		edges = edges || items[i].Edge != nil && items[i].Backend == nil
		backends = backends || items[i].Backend != nil
		routes = routes || items[i].Route != nil
	}
	t := &metav1.Table{}
	column := func(name, description string, priority int32) {
		t.ColumnDefinitions = append(t.ColumnDefinitions, metav1.TableColumnDefinition{Name: name, Type: "string", Description: description, Priority: priority})
	}
	column("Name", "the resource", 0)
	t.ColumnDefinitions[0].Format = "name"
	if edges {
		column("Direction", "to: what the resource sends; from: what it receives", 0)
		column("Peer", "the other side; <outside>: nothing that is in the mesh", 0)
		column("Side", "where it was measured", 0)
	}
	if backends {
		column("Apex", "the root service", 0)
		column("Backend", "one of its backends", 0)
		column("Weight", "its weight now", 0)
	}
	if routes {
		column("Route", "entry of an HTTPRouteGroup", 0)
	}
	column("Success", "share of requests that succeeded", 0)
	column("RPS", "requests a second", 0)
	column("P50", "half of the requests took no longer", 0)
	column("P90", "nine of ten requests took no longer", 1)
	column("P99", "99 of 100 requests took no longer", 0)
	column("Window", "the time that was measured", 1)
	column("Mesh", "the mesh that counted", 1)
	for i := range items {
		it := &items[i]
		c := it.Read()
		cells := []any{it.Name}
		if edges {
			cells = append(cells, it.edge()...)
		}
		if backends {
			cells = append(cells, it.backend()...)
		}
		if routes {
			cells = append(cells, it.route())
		}
		cells = append(cells, Share(c), Rate(c, it.Window.Duration), Latency(c, c.P50), Latency(c, c.P90), Latency(c, c.P99), it.Window.Duration.String(), it.Annotations[MeshAnnotation])
		t.Rows = append(t.Rows, metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: it}})
	}
	return t
}

func (t *TrafficMetrics) edge() []any {
	if t.Edge == nil {
		return []any{"", "", ""}
	}
	return []any{t.Edge.Direction, t.Edge.Resource.String(), t.Edge.Side}
}

// String is a reference as a person reads it.
func (r Reference) String() string {
	switch {
	case r.Name == "" && r.Kind == "":
		return "<outside>"
	case r.Namespace == "":
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

func (t *TrafficMetrics) backend() []any {
	if t.Backend == nil {
		return []any{"", "", ""}
	}
	return []any{t.Backend.Apex, t.Backend.Name, fmt.Sprint(t.Backend.Weight)}
}

func (t *TrafficMetrics) route() string {
	switch {
	case t.Route == nil:
		return ""
	case t.Route.Match == "":
		return t.Route.Group
	}
	return t.Route.Group + "/" + t.Route.Match
}

// Share is the share of success in words: 99.80%, and - where nothing was asked.
func Share(c metrics.Counts) string {
	if c.Total() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*c.Rate())
}

// Rate is the rate of requests in words: 12.3rps.
func Rate(c metrics.Counts, window time.Duration) string {
	if window <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1frps", c.Total()/window.Seconds())
}

// Latency is a latency in words: 12ms, and - where nothing was answered.
func Latency(c metrics.Counts, d time.Duration) string {
	switch {
	case c.Total() == 0 || d == 0:
		return "-"
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
