// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
)

// Metrics is the page of what the metrics of each mesh tell, made of the drivers' Queries by the code that answers.
func Metrics(drivers []*mesh.Driver) string {
	var kinds []metrics.Kind
	for _, name := range []string{"Deployment", "Pod", "Service", "Namespace", "Node"} {
		k, _ := metrics.KindOf(name)
		kinds = append(kinds, k)
	}
	var b, notes strings.Builder
	b.WriteString("| mesh, and its series | workloads | pods | Services | Namespaces | Nodes | backends of splits |\n|---|---|---|---|---|---|---|\n")
	var edges strings.Builder
	edges.WriteString("| mesh, and its series | workloads | pods | Services | Namespaces | Nodes |\n|---|---|---|---|---|---|\n")
	seen := map[*mesh.Queries]bool{}
	for _, d := range drivers {
		q := d.Queries
		if q == nil {
			fmt.Fprintf(&b, "| %s | none of its own |\n", d.Title)
			continue
		}
		if seen[q] {
			continue
		}
		seen[q] = true
		for i := range q.Shapes {
			s := &q.Shapes[i]
			fmt.Fprintf(&b, "| %s: %s |", d.Title, s.Name)
			fmt.Fprintf(&edges, "| %s: %s |", d.Title, s.Name)
			for _, t := range ask.Tells(s, kinds...) {
				fmt.Fprintf(&b, " %s |", or(t.Own))
				fmt.Fprintf(&edges, " %s |", or(strings.Join(t.Edges, "; ")))
			}
			edges.WriteString("\n")
			if ask.TellsSplits(s) {
				b.WriteString(" exact |\n")
			} else {
				b.WriteString(" by backend |\n")
			}
		}
		fmt.Fprintf(&notes, "\n**%s**\n\n", d.Title)
		for _, n := range q.Notes {
			fmt.Fprintf(&notes, "- %s\n", strings.ToUpper(n[:1])+n[1:])
		}
		for i := range q.Shapes {
			for _, v := range q.Shapes[i].Views {
				fmt.Fprintf(&notes, "- Counted by the %s: `%s`", v.Side, v.Requests)
				if v.Failed != "" {
					fmt.Fprintf(&notes, ", failed `%s`", v.Failed)
				}
				for k, m := range v.Failure {
					fmt.Fprintf(&notes, "%s `%s%s%q`", map[bool]string{true: ", failed where", false: " or"}[k == 0], m.Label, m.Op, m.Value)
				}
				fmt.Fprintf(&notes, "; latency `%s`\n", v.Latency)
			}
		}
	}
	return b.String() + "\n## Edges between two of a kind\n\n" + edges.String() + "\n## What is counted, and what cannot be told\n" + notes.String()
}

func or(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
