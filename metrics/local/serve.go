// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	common "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// points is the most that one series of a range may have, as of Prometheus.
const points = 11_000

// fault is an answer that is none, in the words of Prometheus' API.
type fault struct {
	code int
	kind string
	err  error
}

func (f *fault) Error() string { return f.err.Error() }

func bad(format string, a ...any) error {
	return &fault{http.StatusBadRequest, "bad_data", fmt.Errorf(format, a...)}
}

// Handler serves the part of Prometheus' HTTP API that asks: query, query_range, series, labels, label values and buildinfo.
//
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, f := range map[string]func(*http.Request) (any, error){
		"/api/v1/query": s.instant, "/api/v1/query_range": s.ranged, "/api/v1/series": s.names, "/api/v1/labels": s.labels,
		"/api/v1/label/{name}/values": s.values, "/api/v1/status/buildinfo": build,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { answer(w, r, f) })
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { answer(w, r, f) })
	}
	return mux
}

func answer(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	var data any
	err := r.ParseForm()
	if err != nil {
		err = bad("the form: %w", err)
	} else {
		data, err = f(r)
	}
	w.Header().Set("Content-Type", "application/json")
	if err == nil {
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
		return
	}
	o := classify(err)
	w.WriteHeader(o.code)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": o.kind, "error": o.Error()})
}

func classify(err error) *fault {
	var f *fault
	var late promql.ErrQueryTimeout
	var gone promql.ErrQueryCanceled
	var broken promql.ErrStorage
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return &fault{http.StatusServiceUnavailable, "timeout", err}
	case errors.As(err, &gone), errors.Is(err, context.Canceled):
		return &fault{http.StatusServiceUnavailable, "canceled", err}
	case errors.As(err, &broken):
		return &fault{http.StatusInternalServerError, "internal", err}
	}
	return &fault{http.StatusUnprocessableEntity, "execution", err}
}

// within bounds a question by its timeout, where it says one; the engine has its own.
func within(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.Form.Get("timeout")
	if text == "" {
		return r.Context(), func() {}, nil
	}
	d, err := span("timeout", text)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	return ctx, cancel, nil
}

func (s *Store) instant(r *http.Request) (any, error) {
	at, err := moment(r, "time", time.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := within(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	q, err := s.engine.NewInstantQuery(ctx, s.db, nil, r.Form.Get("query"), at)
	if err != nil {
		return nil, bad("invalid parameter \"query\": %w", err)
	}
	return run(ctx, q)
}

func (s *Store) ranged(r *http.Request) (any, error) {
	start, err := moment(r, "start", time.Time{})
	if err != nil {
		return nil, err
	}
	end, err := moment(r, "end", time.Time{})
	if err != nil {
		return nil, err
	}
	step, err := span("step", r.Form.Get("step"))
	switch {
	case err != nil:
		return nil, err
	case end.Before(start):
		return nil, bad("invalid parameter \"end\": it is before start")
	case step <= 0:
		return nil, bad("invalid parameter \"step\": it must be more than zero")
	case end.Sub(start)/step > points:
		return nil, bad("more than %d points for each series: ask for a larger step", points)
	}
	ctx, cancel, err := within(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	q, err := s.engine.NewRangeQuery(ctx, s.db, nil, r.Form.Get("query"), start, end, step)
	if err != nil {
		return nil, bad("invalid parameter \"query\": %w", err)
	}
	return run(ctx, q)
}

func run(ctx context.Context, q promql.Query) (any, error) {
	defer q.Close()
	v := q.Exec(ctx)
	if v.Err != nil {
		return nil, v.Err
	}
	// What is shown is made before Close, which takes the values back.
	text, err := json.Marshal(v.Value)
	if err != nil {
		return nil, err
	}
	if string(text) == "null" {
		text = []byte("[]")
	}
	return struct {
		Type   parser.ValueType `json:"resultType"`
		Result json.RawMessage  `json:"result"`
	}{v.Value.Type(), text}, nil
}

// look asks the store for names within start and end, for each of the selectors of match[], or once where there is none.
func (s *Store) look(r *http.Request, f func(storage.Querier, *storage.SelectHints, []*labels.Matcher) error) error {
	start, err := moment(r, "start", time.UnixMilli(math.MinInt64/2))
	if err != nil {
		return err
	}
	end, err := moment(r, "end", time.UnixMilli(math.MaxInt64/2))
	if err != nil {
		return err
	}
	sets, err := s.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		return bad("invalid parameter \"match[]\": %w", err)
	}
	q, err := s.db.Querier(start.UnixMilli(), end.UnixMilli())
	if err != nil {
		return err
	}
	defer q.Close()
	hints := &storage.SelectHints{Start: start.UnixMilli(), End: end.UnixMilli(), Func: "series"}
	if len(sets) == 0 {
		return f(q, hints, nil)
	}
	for _, m := range sets {
		if !slices.ContainsFunc(m, func(l *labels.Matcher) bool { return !l.Matches("") }) {
			return bad("invalid parameter \"match[]\": each must have a matcher that no empty label meets")
		}
		if err := f(q, hints, m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) names(r *http.Request) (any, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, bad("no match[] parameter provided")
	}
	out := []labels.Labels{}
	seen := map[string]bool{}
	err := s.look(r, func(q storage.Querier, h *storage.SelectHints, m []*labels.Matcher) error {
		set := q.Select(r.Context(), true, h, m...)
		for set.Next() {
			l := set.At().Labels()
			if k := l.String(); !seen[k] {
				seen[k] = true
				out = append(out, l)
			}
		}
		return set.Err()
	})
	return out, err
}

func (s *Store) labels(r *http.Request) (any, error) {
	out := []string{}
	err := s.look(r, func(q storage.Querier, _ *storage.SelectHints, m []*labels.Matcher) error {
		n, _, err := q.LabelNames(r.Context(), nil, m...)
		out = append(out, n...)
		return err
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

func (s *Store) values(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if !common.UTF8Validation.IsValidLabelName(name) {
		return nil, bad("invalid label name: %q", name)
	}
	out := []string{}
	err := s.look(r, func(q storage.Querier, _ *storage.SelectHints, m []*labels.Matcher) error {
		v, _, err := q.LabelValues(r.Context(), name, nil, m...)
		out = append(out, v...)
		return err
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

// build says which API this is: clients look at the version to know what they may ask.
func build(*http.Request) (any, error) {
	return map[string]string{"version": "3.16.0", "revision": "anymesh", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}, nil
}

// moment reads a time: seconds since 1970, or RFC 3339.
func moment(r *http.Request, name string, none time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" && !none.IsZero() {
		return none, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < math.MaxInt64/1e4 {
		return time.UnixMilli(int64(math.Round(f * 1000))), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, bad("invalid parameter %q: cannot parse %q to a valid timestamp", name, text)
}

// span reads a duration: seconds, or as Prometheus writes it.
func span(name, text string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < math.MaxInt64/1e10 {
		return time.Duration(f * float64(time.Second)), nil
	}
	if d, err := common.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	return 0, bad("invalid parameter %q: cannot parse %q to a valid duration", name, text)
}
