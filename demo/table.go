// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// table shows the traffic since it was last drawn.
type table struct {
	out  io.Writer
	live bool
	rows int // drawn last, to be drawn over
}

const layout = "%-34s %9s %9s %7s  %-32s %s\n"

func (t *table) draw(list []row, over time.Duration, notes []string) {
	var b strings.Builder
	if t.live && t.rows > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", t.rows)
	}
	for _, n := range notes {
		b.WriteString(n + "\n")
	}
	fmt.Fprintf(&b, layout, time.Now().Format("15:04:05")+"  who calls whom", "admitted", "refused", "failed", "shares", "p50 / p99")
	for _, r := range list {
		fmt.Fprintf(&b, layout, r.title(), rate(r.admitted, over), rate(r.refused, over), fmt.Sprint(r.failed), r.shares(), r.latency())
	}
	t.rows = 1 + len(list)
	_, _ = io.WriteString(t.out, b.String())
}

// title is who calls whom, and which split decided where it is not the service's own.
func (r *row) title() string {
	out := last(r.source) + " → " + short(r.service)
	if split := last(r.rule); split != "" && split != short(r.service) {
		out += " (" + split + ")"
	}
	return out
}

func rate(n int, over time.Duration) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f/s", float64(n)/over.Seconds())
}

func (r *row) shares() string {
	var out []string
	for _, b := range slices.Sorted(maps.Keys(r.backends)) {
		out = append(out, fmt.Sprintf("%s %.0f%%", b, 100*float64(r.backends[b])/float64(max(1, r.admitted))))
	}
	return strings.Join(out, "  ")
}

func (r *row) latency() string {
	if len(r.took) == 0 {
		return ""
	}
	slices.Sort(r.took)
	at := func(q float64) float64 { return r.took[int(q*float64(len(r.took)-1))].Seconds() * 1000 }
	return fmt.Sprintf("%.1f / %.1f ms", at(0.5), at(0.99))
}
