// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

// Look is how a list is shown.
type Look struct {
	Format     string // table, wide, json or yaml
	Namespaces bool   // resources of several namespaces are told apart
	Empty      string // what is said where there is nothing
}

// Show prints a list.
func (k Look) Show(w io.Writer, l *traffic.TrafficMetricsList) error {
	if k.Format == "json" || k.Format == "yaml" {
		return report.Write(w, k.Format, l)
	}
	if len(l.Items) == 0 {
		_, err := fmt.Fprintln(w, k.Empty)
		return err
	}
	t := traffic.Table(l.Items)
	var head []string
	var keep []int
	for i, c := range t.ColumnDefinitions {
		if c.Priority == 0 || k.Format == "wide" {
			keep, head = append(keep, i), append(head, strings.ToUpper(c.Name))
		}
	}
	rows := [][]string{head}
	for i := range t.Rows {
		var cells []string
		for _, c := range keep {
			cells = append(cells, fmt.Sprint(t.Rows[i].Cells[c]))
		}
		if k.Namespaces {
			cells = append([]string{l.Items[i].Resource.Namespace}, cells...)
		}
		rows = append(rows, cells)
	}
	if k.Namespaces {
		rows[0] = append([]string{"NAMESPACE"}, head...)
	}
	return print(w, rows)
}

// print aligns rows of cells.
func print(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// ShowFlows prints the edges in a list by their two ends. An edge that both of its ends tell, measured at the same side, is one. As json and yaml
// it is the list.
func (k Look) ShowFlows(w io.Writer, l *traffic.TrafficMetricsList) error {
	if k.Format == "json" || k.Format == "yaml" {
		return report.Write(w, k.Format, l)
	}
	flows := Flows(l)
	if len(flows) == 0 {
		_, err := fmt.Fprintln(w, k.Empty)
		return err
	}
	rows := [][]string{{"FROM", "TO", "SIDE", "SUCCESS", "RPS", "P50", "P99"}}
	if k.Format == "wide" {
		rows[0] = append(rows[0], "P90", "WINDOW", "MESH")
	}
	for _, f := range flows {
		t, c := f.Of, f.Of.Read()
		row := []string{f.From.String(), f.To.String(), t.Edge.Side, traffic.Share(c), traffic.Rate(c, t.Window.Duration), traffic.Latency(c, c.P50), traffic.Latency(c, c.P99)}
		if k.Format == "wide" {
			row = append(row, traffic.Latency(c, c.P90), t.Window.Duration.String(), t.Annotations[traffic.MeshAnnotation])
		}
		rows = append(rows, row)
	}
	return print(w, rows)
}

// Flow is traffic of one end to another, measured at one of them.
type Flow struct {
	From, To traffic.Reference
	Of       *traffic.TrafficMetrics
}

// Flows makes flows of edges.
func Flows(l *traffic.TrafficMetricsList) (out []Flow) {
	type key struct {
		from, to traffic.Reference
		side     string
	}
	seen := map[key]bool{}
	for i := range l.Items {
		t := &l.Items[i]
		if t.Edge == nil {
			continue
		}
		f := Flow{t.Resource, t.Edge.Resource, t}
		if t.Edge.Direction == string(metrics.From) {
			f.From, f.To = f.To, f.From
		}
		if k := (key{f.From, f.To, t.Edge.Side}); !seen[k] {
			seen[k] = true
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Flow) int {
		return cmp.Or(strings.Compare(a.From.String(), b.From.String()), strings.Compare(a.To.String(), b.To.String()), strings.Compare(a.Of.Edge.Side, b.Of.Edge.Side))
	})
	return out
}
