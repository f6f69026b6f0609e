// SPDX-License-Identifier: Apache-2.0

// Package local is a Prometheus in this process: the store and the engine of Prometheus itself, so that what is counted here is asked in
// the same words as anywhere, and answered the same.
//
// It keeps a few hours of a few targets. What a target says is never believed further than it can do harm: how much of it is read, how
// many series it may have and how many new ones it may make are bounded, its timestamps are not taken, and what it said before is marked
// as ended when it says it no more.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/anymesh/anymesh/metrics"
)

// Options bound what a Store keeps and how much it does for one question. The zero value of each is a default.
type Options struct {
	Dir       string        // where blocks are kept; empty: a temporary folder, which Close removes
	Retention time.Duration // how long samples are kept, 2 h
	Bytes     int64         // on disk, 256 MiB
	Series    int           // of one target at once, and new ones of it in a span of a block, 50,000
	Samples   int           // held by one query, 5,000,000: 80 MB
	Timeout   time.Duration // of one query, 10 s
	Logger    *slog.Logger
}

// block is the span after which samples go from memory to disk, and after which series that have ended are forgotten.
const block = 15 * time.Minute

// Store keeps samples and answers PromQL about them. It is safe for concurrent use.
type Store struct {
	o      Options
	dir    string // to be removed at the end; empty: none
	db     *tsdb.DB
	engine *promql.Engine
	parser parser.Parser
}

var _ metrics.Prometheus = (*Store)(nil)

// Open makes a Store. A folder of earlier samples is read again.
func Open(o Options) (*Store, error) {
	o.Retention = cmp.Or(o.Retention, 2*time.Hour)
	o.Bytes = cmp.Or(o.Bytes, 256<<20)
	o.Series = cmp.Or(o.Series, 50_000)
	o.Samples = cmp.Or(o.Samples, 5_000_000)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{o: o, parser: parser.NewParser(parser.Options{})}
	db := tsdb.DefaultOptions()
	db.RetentionDuration = o.Retention.Milliseconds()
	db.MaxBytes = o.Bytes
	db.MinBlockDuration = block.Milliseconds()
	db.MaxBlockDuration = max(block, o.Retention/4).Milliseconds()
	db.StripeSize = 1 << 9 // the default is for millions of series, and takes 16 MB empty
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "anymesh-metrics-")
		if err != nil {
			return nil, fmt.Errorf("a folder for metrics: %w", err)
		}
		o.Dir, s.dir = dir, dir
		db.WALSegmentSize = -1 // nobody reads it again
	}
	var err error
	if s.db, err = tsdb.Open(o.Dir, o.Logger, nil, db, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("the store of metrics in %s: %w", o.Dir, err), s.remove())
	}
	s.engine = promql.NewEngine(promql.EngineOpts{
		Logger: o.Logger, MaxSamples: o.Samples, Timeout: o.Timeout, EnableAtModifier: true, EnableNegativeOffset: true, Parser: s.parser,
	})
	return s, nil
}

// Close ends the Store. Nothing may be asked of it any more.
func (s *Store) Close() error {
	return errors.Join(s.engine.Close(), s.db.Close(), s.remove())
}

func (s *Store) remove() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// Query implements metrics.Prometheus. An expression must be a vector or a number.
func (s *Store) Query(ctx context.Context, expr string, at time.Time) ([]metrics.Sample, error) {
	q, err := s.engine.NewInstantQuery(ctx, s.db, nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, r.Err
	}
	switch v := r.Value.(type) {
	case promql.Scalar:
		return []metrics.Sample{{Value: v.V}}, nil
	case promql.Vector:
		out := make([]metrics.Sample, 0, len(v))
		for _, e := range v {
			if e.H == nil { // no caller knows what to do with a histogram as a value
				out = append(out, metrics.Sample{Labels: e.Metric.Map(), Value: e.F})
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s is a %s: ask for an instant vector or a number", expr, r.Value.Type())
}

// Series is how many series are in memory, ended ones that are not forgotten yet included.
func (s *Store) Series() uint64 { return s.db.Head().NumSeries() }
