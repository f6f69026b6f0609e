// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// table shows the traffic since it was last drawn. On a terminal it is drawn over itself, and news scroll away above it.
type table struct {
	out  io.Writer
	live bool
	rows int // drawn last, to be drawn over
}

// What a terminal is told. Lines that are too long are cut at its edge, so that each row stays one line whatever its width.
const (
	begin = "\x1b[?2026h" // show nothing until end
	end   = "\x1b[?2026l"
	cut   = "\x1b[?7l"
	wrap  = "\x1b[?7h"
	clear = "\x1b[K" // to the end of the line
	below = "\x1b[J" // all that follows
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

var heads = []string{"who calls whom", "admitted", "refused", "failed", "shares", "p50 / p99"}

// draw shows what there is to tell and the traffic of a span of time.
func (t *table) draw(list []row, over time.Duration, notes []string) {
	cells := [][]string{append([]string{time.Now().Format("15:04:05") + "  " + heads[0]}, heads[1:]...)}
	for i := range list {
		r := &list[i]
		cells = append(cells, []string{r.title(), rate(r.admitted, over), rate(r.refused, over), number(r.failed), r.shares(), r.latency()})
	}
	lines := align(cells)
	var b strings.Builder
	if !t.live {
		for _, l := range append(notes, lines...) {
			b.WriteString(l + "\n")
		}
		_, _ = io.WriteString(t.out, b.String()+"\n")
		return
	}
	b.WriteString(begin)
	if t.rows > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.rows)
	}
	for _, n := range notes {
		b.WriteString(strings.ReplaceAll(n, "\n", clear+"\n") + clear + "\n")
	}
	b.WriteString(cut)
	for i, l := range lines {
		switch {
		case i == 0:
			l = bold + l + plain
		case list[i-1].failed > 0:
			l = red + l + plain
		}
		b.WriteString(l + clear + "\n")
	}
	b.WriteString(wrap + below + end)
	t.rows = len(lines)
	_, _ = io.WriteString(t.out, b.String())
}

// align makes a line of each row: names to the left, numbers to the right.
func align(cells [][]string) []string {
	wide := make([]int, len(cells[0]))
	for _, c := range cells {
		for i, s := range c {
			wide[i] = max(wide[i], utf8.RuneCountInString(s))
		}
	}
	wide[0], wide[1], wide[2], wide[4] = max(wide[0], 28), max(wide[1], 8), max(wide[2], 8), max(wide[4], 30)
	var out []string
	for _, c := range cells {
		var b strings.Builder
		for i, s := range c {
			pad := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(s))
			switch i {
			case 0:
				b.WriteString(s + pad)
			case 4:
				b.WriteString("  " + s + pad)
			default:
				b.WriteString(" " + pad + s)
			}
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	return out
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
	switch v := float64(n) / over.Seconds(); {
	case n == 0:
		return "–"
	case v < 1:
		return fmt.Sprintf("%.1f/s", v)
	default:
		return fmt.Sprintf("%.0f/s", v)
	}
}

func number(n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint(n)
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
