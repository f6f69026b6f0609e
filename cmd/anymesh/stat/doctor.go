// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anymesh/anymesh/kube/check"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
)

// Doctor says why there are no metrics: it looks from the store up to the traffic, and stops where nothing can come any more.
type Doctor struct {
	Prometheus metrics.Prometheus
	Where      string // Prometheus, in words
	Mesh       *mesh.Driver
	Window     time.Duration

	lines []check.Line
}

// wait bounds each look.
const wait = 10 * time.Second

// Run looks.
func (d *Doctor) Run(ctx context.Context) []check.Line {
	d.lines = nil
	for _, look := range []func(context.Context) bool{d.reachable, d.scraped, d.labels, d.window, d.traffic} {
		if !look(ctx) {
			break
		}
	}
	return d.lines
}

// say adds a line, and tells whether it makes sense to look further.
func (d *Doctor) say(name string, r check.Result, message, hint string) bool {
	d.lines = append(d.lines, check.Line{Group: "metrics", Check: name, Result: r, Message: message, Hint: hint})
	return r != check.Error
}

// number is the one value of an expression; not ok: it has none.
func (d *Doctor) number(ctx context.Context, expr string) (v float64, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s, err := d.Prometheus.Query(ctx, expr, time.Now())
	if err != nil || len(s) == 0 {
		return 0, false, err
	}
	return s[0].Value, true, nil
}

func (d *Doctor) reachable(ctx context.Context) bool {
	const name = "Prometheus answers"
	if _, _, err := d.number(ctx, "vector(1)"); err != nil {
		return d.say(name, check.Error, err.Error(), "name the server that scrapes the proxies with --prometheus, and how to be let in with --prometheus-token or --prometheus-ca")
	}
	return d.say(name, check.OK, d.Where, "")
}

func (d *Doctor) scraped(ctx context.Context) bool {
	const name = "it scrapes"
	up, any, err := d.number(ctx, "sum(up)")
	if err != nil {
		return d.say(name, check.Error, err.Error(), "")
	}
	if !any {
		return d.say(name, check.Warning, "it has no series up: it scrapes nothing, or its numbers come another way", "add the scrape job of "+d.Mesh.Title+"'s proxies to its configuration")
	}
	if down, _, _ := d.number(ctx, "count(up == 0)"); down > 0 {
		return d.say(name, check.Warning, fmt.Sprintf("%g of its targets answer, %g do not", up, down), "its page /targets says why: a port that the mesh closes to scrapers is the usual cause")
	}
	return d.say(name, check.OK, fmt.Sprintf("%g targets, all answer", up), "")
}

func (d *Doctor) labels(ctx context.Context) bool {
	const name = "the proxies' series are there"
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	p := ask.New(nil, []ask.Mesh{{Name: d.Mesh.Name, Queries: d.Mesh.Queries, Prometheus: d.Prometheus}}, ask.WithBudget(wait)).Profiles(ctx)[0]
	switch {
	case p.Err != nil:
		return d.say(name, check.Error, p.Err.Error(), "")
	case !p.Found:
		return d.say(name, check.Error, "none of "+strings.Join(d.counters(), ", ")+" with the labels of "+d.Mesh.Title,
			"are the pods in the mesh, are their proxies scraped, and is --mesh the mesh that they are of? A relabelling may have dropped them")
	}
	return d.say(name, check.OK, strings.Join(append([]string{p.Shape}, p.Uses...), "; "), "")
}

// counters are the names of the counters of requests.
func (d *Doctor) counters() (out []string) {
	seen := map[string]bool{}
	for _, s := range d.Mesh.Queries.Shapes {
		for _, v := range s.Views {
			if !seen[v.Requests] {
				seen[v.Requests] = true
				out = append(out, v.Requests)
			}
		}
	}
	return out
}

// each is what is asked of any of the counters.
func (d *Doctor) each(format string) string {
	return fmt.Sprintf(format, `{__name__=~"`+strings.Join(d.counters(), "|")+`"}`)
}

func (d *Doctor) window(ctx context.Context) bool {
	const name = "the window is long enough"
	over := time.Minute
	n, _, err := d.number(ctx, d.each("max(count_over_time(%s[1m]))"))
	if err == nil && n < 2 {
		over = 10 * time.Minute
		n, _, err = d.number(ctx, d.each("max(count_over_time(%s[10m]))"))
	}
	if err != nil || n < 2 {
		return d.say(name, check.Warning, "the series have not been scraped twice in ten minutes", "an increase is seen between two scrapes: wait, or look at the scrape interval")
	}
	every := (over / time.Duration(n)).Round(time.Second) // at least so often: it may have begun within them
	if 2*every > d.Window {
		return d.say(name, check.Warning, fmt.Sprintf("one scrape in about %s: a window of %s may be empty", every, d.Window), fmt.Sprintf("ask for --window %s or more, or scrape more often", 4*every))
	}
	return d.say(name, check.OK, fmt.Sprintf("one scrape in %s or less, %s are measured", every, d.Window), "")
}

func (d *Doctor) traffic(ctx context.Context) bool {
	const name = "there is traffic"
	n, _, err := d.number(ctx, d.each("sum(increase(%s["+promDuration(d.Window)+"]))"))
	switch {
	case err != nil:
		return d.say(name, check.Error, err.Error(), "")
	case n == 0:
		return d.say(name, check.Warning, fmt.Sprintf("no request in the last %s", d.Window), "send some through the mesh; raw TCP is not counted as requests (is the port's name or appProtocol http?)")
	}
	return d.say(name, check.OK, fmt.Sprintf("%.0f requests counted in the last %s, at all proxies", n, d.Window), "")
}

// promDuration is a duration as PromQL writes it.
func promDuration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
