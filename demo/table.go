// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anymesh/anymesh/proxy/stats"
)

// table shows the traffic since it was last drawn: one row for each caller and service, with the part of each backend.
type table struct {
	out  io.Writer
	live bool
	last []stats.EdgeCount
	rows int // drawn last, to be drawn over
}

// row is what one caller does to one service.
type row struct {
	source, service           string
	admitted, refused, failed uint64
	backends                  []backend
	p50, p99                  time.Duration
}

type backend struct {
	name string
	n    uint64
}

// rows adds up the edges since the last time: what callers see, and of connections what the callee refused, which a caller only sees as an
// end.
func rows(last, now []stats.EdgeCount) []row {
	before := map[stats.Key]stats.EdgeCount{}
	for _, e := range last {
		before[e.Key] = e
	}
	refused := map[[2]string]int64{} // by caller and backend: at the callee, and not known to the caller
	var out []row
	for _, e := range now {
		old := before[e.Key]
		e.Allowed, e.Denied, e.Failed = e.Allowed-old.Allowed, e.Denied-old.Denied, e.Failed-old.Failed
		if e.Side == stats.Server {
			refused[[2]string{e.Source, account(e.Workload)}] += int64(e.Denied)
			continue
		}
		i := slices.IndexFunc(out, func(r row) bool { return r.source == e.Source && r.service == e.Service })
		if i < 0 {
			i = len(out)
			out = append(out, row{source: e.Source, service: e.Service})
		}
		out[i].add(e)
		refused[[2]string{e.Source, short(e.Backend)}] -= int64(e.Denied)
	}
	for i := range out {
		out[i].end(refused)
	}
	return out
}

func (r *row) add(e stats.EdgeCount) {
	r.admitted += e.Allowed
	r.refused += e.Denied
	r.failed += e.Failed
	if e.Allowed > 0 && e.Backend != "" {
		r.backends = append(r.backends, backend{short(e.Backend), e.Allowed})
	}
	r.p50, r.p99 = max(r.p50, e.P50), max(r.p99, e.P99)
}

// end takes from what a caller saw admitted the connections that a callee ended.
func (r *row) end(refused map[[2]string]int64) {
	r.backends = slices.DeleteFunc(r.backends, func(b backend) bool {
		n := min(uint64(max(0, refused[[2]string{r.source, b.name}])), b.n)
		r.admitted -= n
		r.refused += n
		return n > 0 && n == b.n
	})
}

// short leaves of a host its service.
func short(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return name
}

func account(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

func (t *table) draw(now []stats.EdgeCount, over time.Duration, notes []string) {
	list := rows(t.last, now)
	t.last = now
	var b strings.Builder
	if t.live && t.rows > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", t.rows)
	}
	for _, n := range notes {
		b.WriteString(n + "\n")
	}
	fmt.Fprintf(&b, "%-8s %-26s %8s %8s %7s  %-36s %s\n", time.Now().Format("15:04:05"), "who calls whom", "admitted", "refused", "failed", "shares", "p50 / p99")
	for _, r := range list {
		fmt.Fprintf(&b, "%-8s %-26s %6.0f/s %6.0f/s %7d  %-36s %s\n", "", account(r.source)+" → "+short(r.service), r.rate(r.admitted, over), r.rate(r.refused, over), r.failed, r.shares(), r.latency())
	}
	t.rows = 1 + len(list)
	_, _ = io.WriteString(t.out, b.String())
}

func (r *row) rate(n uint64, over time.Duration) float64 { return float64(n) / over.Seconds() }

func (r *row) shares() string {
	slices.SortFunc(r.backends, func(a, b backend) int { return strings.Compare(a.name, b.name) })
	var out []string
	for _, b := range r.backends {
		out = append(out, fmt.Sprintf("%s %.0f%%", b.name, 100*float64(b.n)/float64(max(1, r.admitted))))
	}
	return strings.Join(out, "  ")
}

func (r *row) latency() string {
	if r.admitted == 0 || r.p99 == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f / %.1f ms", r.p50.Seconds()*1000, r.p99.Seconds()*1000)
}
