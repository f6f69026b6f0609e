// SPDX-License-Identifier: Apache-2.0

// Package facade is Prometheus' API for tools that ask for another mesh than is there.
//
// Flagger asks for Istio's series whatever the mesh, unless it is told of one of the few that it knows; what Argo Rollouts asks is written by
// hand for one mesh. A query that is put together of their shapes, and names a workload that is in a mesh, is answered by what that mesh
// counts. Every other query goes on to a real Prometheus as it is.
//
// What is a failure is decided as everywhere here: no response and gRPC's faults are, beside HTTP 5xx.
package facade

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/anymesh/anymesh/metrics"
)

// Options of a Handler.
type Options struct {
	Source metrics.Source
	World  metrics.World
	Next   http.Handler     // a real Prometheus; nil: there is none
	Clock  func() time.Time // nil: time.Now
}

// Handler serves what of Prometheus' HTTP API asks and changes nothing.
func Handler(o Options) http.Handler {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Next == nil {
		o.Next = http.HandlerFunc(alone)
	}
	p := parser.NewParser(parser.Options{})
	f := &facade{o, p, promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: 10 * time.Second, Parser: p})}
	mux := http.NewServeMux()
	for _, method := range []string{"GET", "POST"} {
		mux.Handle(method+" /api/v1/query", http.HandlerFunc(f.query))
		for _, path := range []string{"query_range", "series", "labels", "label/{name}/values", "status/buildinfo", "metadata", "query_exemplars", "format_query", "parse_query"} {
			mux.Handle(method+" /api/v1/"+path, o.Next)
		}
	}
	return mux
}

type facade struct {
	Options
	parser parser.Parser
	engine *promql.Engine // works out what is left of a query when its leaves are numbers
}

// most bounds the form of a query.
const most = 1 << 20

func (f *facade) query(w http.ResponseWriter, r *http.Request) {
	form, r, err := peek(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	at := f.Clock()
	if text := form.Get("time"); text != "" {
		if at, err = moment(text); err != nil {
			f.Next.ServeHTTP(w, r) // it says what is wrong
			return
		}
	}
	text, ok, err := f.fill(r.Context(), form.Get("query"), at)
	switch {
	case err != nil && metrics.IsUnavailable(err):
		refuse(w, http.StatusServiceUnavailable, "unavailable", err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, "internal", err)
	case !ok:
		f.Next.ServeHTTP(w, r)
	default:
		f.answer(r.Context(), w, text, at)
	}
}

// fill puts numbers in place of the leaves of a query. Not ok: it is not for us.
func (f *facade) fill(ctx context.Context, query string, at time.Time) (string, bool, error) {
	e, err := f.parser.ParseExpr(query)
	if err != nil {
		return "", false, nil
	}
	list, ok := leaves(e)
	if !ok || len(list) == 0 || f.World.Ready() != nil {
		return "", false, nil
	}
	var b strings.Builder
	end := 0
	for i := range list {
		l := &list[i]
		v, ok, err := f.value(ctx, l, at)
		if !ok || err != nil {
			return "", false, err
		}
		b.WriteString(query[end:l.at.Start])
		fmt.Fprintf(&b, "vector(%s)", strconv.FormatFloat(v, 'g', -1, 64))
		end = int(l.at.End)
	}
	b.WriteString(query[end:])
	return b.String(), true, nil
}

// value answers a leaf. Not ok: whom it names is in no mesh that is known here.
func (f *facade) value(ctx context.Context, l *leaf, at time.Time) (float64, bool, error) {
	kind, of := f.find(l.who)
	if len(of) == 0 || l.quantile != 0 && len(of) > 1 {
		return 0, false, nil
	}
	a, err := f.Source.Measure(ctx, metrics.Question{Kind: kind, Of: of, At: at, Window: l.window})
	if err != nil {
		return 0, false, err
	}
	var sum metrics.Counts
	for i := range a.Measures {
		c := &a.Measures[i].Counts
		sum.Success, sum.Failure = sum.Success+c.Success, sum.Failure+c.Failure
		sum.P50, sum.P90, sum.P99 = c.P50, c.P90, c.P99
	}
	if l.quantile != 0 {
		d := map[float64]time.Duration{0.5: sum.P50, 0.9: sum.P90, 0.99: sum.P99}[l.quantile]
		if sum.Total() == 0 || d == 0 {
			return math.NaN(), true, nil
		}
		return float64(d) / float64(time.Millisecond), true, nil
	}
	n := map[outcome]float64{every: sum.Total(), good: sum.Success, failed: sum.Failure}[l.outcome]
	switch {
	case l.rate && a.Window > 0:
		n /= a.Window.Seconds() // it may be longer than asked
	case a.Window > l.window:
		n *= l.window.Seconds() / a.Window.Seconds()
	}
	return n, true, nil
}

// find gives those whom a query names: of the first kind in which there are any.
func (f *facade) find(n named) (metrics.Kind, []metrics.Ref) {
	if f.World.Mesh(n.namespace) == "" {
		return metrics.Kind{}, nil
	}
	for _, name := range n.kinds {
		k, _ := metrics.KindOf(name)
		var out []metrics.Ref
		for _, r := range f.World.List(k, n.namespace) {
			if n.match.Matches(r.Name) {
				out = append(out, r.Ref)
			}
		}
		if len(out) > 0 {
			return k, out
		}
	}
	return metrics.Kind{}, nil
}

var empty = storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return storage.NoopQuerier(), nil })

// answer works out a query that holds no selector any more.
func (f *facade) answer(ctx context.Context, w http.ResponseWriter, query string, at time.Time) {
	q, err := f.engine.NewInstantQuery(ctx, empty, nil, query, at)
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	defer q.Close()
	v := q.Exec(ctx)
	if v.Err != nil {
		refuse(w, http.StatusUnprocessableEntity, "execution", v.Err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": v.Value.Type(), "result": v.Value}})
}
