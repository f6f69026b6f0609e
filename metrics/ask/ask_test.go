// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// The series of these tests are scraped every 15 seconds and read at two minutes over the last one: (1m, 2m] holds the scrapes of 75 s to 120 s.
// A counter that grows by c with each scrape grows by 3c between those, and Prometheus takes it to have grown by 4c in the minute.
const (
	scrape = 15 * time.Second
	now    = 2 * time.Minute
	window = time.Minute
)

// story is one mesh with its series.
type story struct {
	name    string
	queries *mesh.Queries
	series  string
	world   *World
}

func (s story) source(t *testing.T) *ask.Source {
	t.Helper()
	s.world.Meshes = map[string]string{"": s.name}
	return ask.New(s.world, []ask.Mesh{{Name: s.name, Queries: s.queries, Prometheus: Load(t, "load 15s\n"+s.series), Interval: scrape}},
		ask.WithClock(func() time.Time { return At(now) }), ask.WithBudget(time.Minute))
}

// question reads "deployments shop/web", with " edges" or " edges KIND" after it; several names are joined by commas.
func question(t *testing.T, text string) metrics.Question {
	t.Helper()
	part := strings.Fields(text)
	kind, ok := metrics.KindOf(part[0])
	if !ok {
		t.Fatalf("no kind %s", part[0])
	}
	q := metrics.Question{Kind: kind, At: At(now), Window: window}
	for _, n := range strings.Split(part[1], ",") {
		q.Of = append(q.Of, Ref(kind.Name+" "+n))
	}
	if len(part) > 2 {
		q.Edges, q.Routes = part[2] == "edges", part[2] == "routes"
	}
	if len(part) > 3 {
		if q.Peer, ok = metrics.KindOf(part[3]); !ok {
			t.Fatalf("no kind %s", part[3])
		}
	}
	return q
}

// lines write measures as the tests expect them: of, edge, backend, success, failure and quantiles in milliseconds.
func lines(a metrics.Answer) (out []string) {
	for _, m := range a.Measures {
		var b strings.Builder
		b.WriteString(short(m.Of))
		if m.Backend != nil {
			fmt.Fprintf(&b, " [%s→%s %d]", m.Backend.Apex, m.Backend.Name, m.Backend.Weight)
		}
		if m.Edge != nil {
			fmt.Fprintf(&b, " %s %s %s", m.Edge.Direction, short(m.Edge.Peer), m.Edge.Side)
		}
		if m.Route != nil {
			fmt.Fprintf(&b, " %s/%s", m.Route.Group, m.Route.Match)
		}
		fmt.Fprintf(&b, ": %.4g+%.4g", m.Success, m.Failure)
		if m.P99 > 0 {
			fmt.Fprintf(&b, " %.4g/%.4g/%.4g", ms(m.P50), ms(m.P90), ms(m.P99))
		}
		out = append(out, b.String())
	}
	return out
}

func short(r metrics.Ref) string {
	switch {
	case r == metrics.Ref{}:
		return "{}"
	case r.Namespace == "":
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// want asks and compares.
func want(t *testing.T, s *ask.Source, text string, lines_ ...string) metrics.Answer {
	t.Helper()
	a, err := s.Measure(context.Background(), question(t, text))
	if err != nil {
		t.Errorf("%s: %v", text, err)
		return a
	}
	got, wanted := strings.Join(lines(a), "\n"), strings.Join(lines_, "\n")
	if got != wanted {
		t.Errorf("%s:\n%s\nwant\n%s\nnotes %q", text, got, wanted, a.Notes)
	}
	return a
}
