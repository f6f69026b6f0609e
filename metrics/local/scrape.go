// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Watch reads targets over and over until the context ends; then all that they said is marked as ended. Each is read by itself, so that one
// that hangs holds up no other, and has so long for an answer as there is between two.
func (s *Store) Watch(ctx context.Context, every time.Duration, targets ...Target) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range targets {
		wg.Go(func() { s.watch(ctx, every, &targets[i]) })
	}
}

func (s *Store) watch(ctx context.Context, every time.Duration, t *Target) {
	w := s.Scraper(t)
	defer func() { _ = w.End(time.Now()) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := ""; ; {
		one, cancel := context.WithTimeout(ctx, every)
		err := w.Scrape(one, time.Now())
		cancel()
		if ctx.Err() != nil {
			return
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != last && err != nil { // each trouble is told once
			s.o.Logger.Warn("metrics are not read", "target", t.Name, "error", err)
		}
		last = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Scraper reads one target. It is used by one goroutine at a time.
type Scraper struct {
	s       *Store
	t       *Target
	own     labels.Labels
	report  map[string]labels.Labels
	series  map[string]*series // by how the target writes them
	round   uint64
	since   time.Time
	read    time.Time // when it was read last; zero: it was down
	fresh   int       // series made since then
	symbols *labels.SymbolTable
}

// series is one series of a target as it was seen last.
type series struct {
	ref    storage.SeriesRef
	labels labels.Labels
	round  uint64 // in which it was said last
	ended  bool
}

// Scraper makes the one that reads a target.
func (s *Store) Scraper(t *Target) *Scraper {
	w := &Scraper{s: s, t: t, own: labels.FromMap(t.Labels), series: map[string]*series{}, report: map[string]labels.Labels{}, symbols: labels.NewSymbolTable()}
	for _, name := range []string{"up", "scrape_samples_scraped", "scrape_duration_seconds"} {
		b := labels.NewBuilder(w.own)
		w.report[name] = b.Set(model.MetricNameLabel, name).Labels()
	}
	return w
}

// Scrape reads the target once. Its error says what was not taken: then nothing of it was, the target is down (up is 0), and what it said
// before is marked as ended.
func (w *Scraper) Scrape(ctx context.Context, at time.Time) error {
	start := time.Now()
	text, contentType, err := w.t.Read(ctx)
	if err == nil && len(text) > most {
		err = fmt.Errorf("it says more than %d MiB", most>>20)
	}
	w.round++
	n := 0
	if err == nil {
		n, err = w.take(ctx, text, contentType, at)
	}
	w.read = at
	if err != nil {
		n = 0
		w.read = time.Time{}
		w.round++
		if more := w.commit(ctx, func(a storage.Appender) error { return w.stale(a, at) }); more != nil {
			err = errors.Join(err, more)
		}
	}
	return errors.Join(err, w.tell(ctx, at, n, time.Since(start), err == nil))
}

// End marks all that the target said as ended.
func (w *Scraper) End(at time.Time) error {
	w.round++
	return w.commit(context.Background(), func(a storage.Appender) error {
		for _, l := range w.report {
			if _, err := a.Append(0, l, at.UnixMilli(), stale); ignore(err) != nil {
				return err
			}
		}
		return w.stale(a, at)
	})
}

var stale = math.Float64frombits(value.StaleNaN)

// take appends all of a text or nothing of it.
func (w *Scraper) take(ctx context.Context, text []byte, contentType string, at time.Time) (n int, err error) {
	if at.Sub(w.since) >= block {
		w.forget(at)
	}
	n, err = w.weigh(text, contentType)
	if err != nil {
		return 0, err
	}
	return n, w.commit(ctx, func(a storage.Appender) error {
		err := w.each(text, contentType, func(p textparse.Parser, counts bool) error { return w.sample(a, p, counts, at) })
		if err != nil {
			return err
		}
		return w.stale(a, at)
	})
}

// weigh counts the series of a text before any of them takes room in the store.
func (w *Scraper) weigh(text []byte, contentType string) (n int, err error) {
	fresh := w.fresh
	return n, w.each(text, contentType, func(p textparse.Parser, _ bool) error {
		if n++; n > w.s.o.Series {
			return fmt.Errorf("it has more than %d series", w.s.o.Series)
		}
		if name, _, _ := p.Series(); w.series[string(name)] == nil {
			if fresh++; fresh > w.s.o.Series {
				return fmt.Errorf("it has made more than %d new series within %v", w.s.o.Series, block)
			}
		}
		return nil
	})
}

// each reads a text, sample by sample; counts says that the sample's series began at zero.
func (w *Scraper) each(text []byte, contentType string, f func(p textparse.Parser, counts bool) error) error {
	p, err := textparse.New(text, contentType, w.symbols, textparse.ParserOptions{FallbackContentType: "text/plain", IgnoreNativeHistograms: true})
	if p == nil {
		return err
	}
	for counts := false; ; {
		switch entry, err := p.Next(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("what it says cannot be read: %w", err)
		case entry == textparse.EntryType:
			_, kind := p.Type()
			counts = kind == model.MetricTypeCounter || kind == model.MetricTypeHistogram
		case entry == textparse.EntrySeries:
			if err := f(p, counts); err != nil {
				return err
			}
		}
	}
}

// sample appends one. When it was taken is our word: a target's own time could be one that nothing comes after.
//
// A counter that was not there when the target was read before was zero then. To say so is what lets the first requests be counted: an
// increase is seen between two samples alone.
func (w *Scraper) sample(a storage.Appender, p textparse.Parser, counts bool, at time.Time) error {
	name, _, v := p.Series()
	e := w.series[string(name)]
	if e == nil {
		w.fresh++
		e = &series{labels: w.label(p)}
		w.series[string(name)] = e
	}
	if counts && w.t.FromZero && e.ref == 0 && !w.read.IsZero() {
		if ref, err := a.Append(e.ref, e.labels, w.read.UnixMilli(), 0); err == nil {
			e.ref = ref
		}
	}
	ref, err := a.Append(e.ref, e.labels, at.UnixMilli(), v)
	if err = ignore(err); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	e.ref, e.round, e.ended = ref, w.round, false
	return nil
}

// label puts the target's labels on a series.
func (w *Scraper) label(p textparse.Parser) labels.Labels {
	var said labels.Labels
	p.Labels(&said)
	b := labels.NewBuilder(said)
	w.own.Range(func(l labels.Label) {
		if had := said.Get(l.Name); had != "" {
			to := "exported_" + l.Name
			for b.Get(to) != "" {
				to = "exported_" + to
			}
			b.Set(to, had)
		}
		b.Set(l.Name, l.Value)
	})
	return b.Labels()
}

// stale marks what the target said before and does not say in this round.
func (w *Scraper) stale(a storage.Appender, at time.Time) error {
	for _, e := range w.series {
		if e.round == w.round || e.ended {
			continue
		}
		e.ended = true
		if _, err := a.Append(e.ref, e.labels, at.UnixMilli(), stale); ignore(err) != nil {
			return err
		}
	}
	return nil
}

// forget drops what has ended, as the store does, and counts new series from here. Until then a series that comes back is none.
func (w *Scraper) forget(at time.Time) {
	maps.DeleteFunc(w.series, func(_ string, e *series) bool { return e.ended })
	w.since, w.fresh = at, 0
	w.symbols = labels.NewSymbolTable() // it keeps every word that it has seen
}

// tell appends what Prometheus says of each scrape.
func (w *Scraper) tell(ctx context.Context, at time.Time, n int, took time.Duration, up bool) error {
	values := map[string]float64{"up": 0, "scrape_samples_scraped": float64(n), "scrape_duration_seconds": took.Seconds()}
	if up {
		values["up"] = 1
	}
	return w.commit(ctx, func(a storage.Appender) error {
		for name, v := range values {
			if _, err := a.Append(0, w.report[name], at.UnixMilli(), v); ignore(err) != nil {
				return err
			}
		}
		return nil
	})
}

// commit appends all or nothing.
func (w *Scraper) commit(ctx context.Context, f func(storage.Appender) error) error {
	a := w.s.db.Appender(context.WithoutCancel(ctx)) // what was read is kept, however long that took
	if err := f(a); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.Commit()
}

// ignore drops the faults of one sample that harm no other: said twice, or when the clock went back.
func ignore(err error) error {
	switch {
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp), errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds),
		errors.Is(err, storage.ErrTooOldSample):
		return nil
	}
	return err
}
