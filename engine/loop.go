// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Options of Run.
type Options struct {
	Logger  *slog.Logger
	Flushed func([]Plan)      // called in the loop after each flush
	News    func([]model.Ref) // called in the loop with the SMI objects of which there may be something new to say: see About
}

// Run reads the sources, translates, and hands changes to the sinks until its context ends or a source fails. Each sink has a worker of
// its own, so that a slow one holds up nobody else.
func (e *Engine) Run(ctx context.Context, o Options, sources ...Source) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.News != nil && e.touched == nil {
		e.touched = map[model.Ref]struct{}{}
	}
	r := &running{e: e, o: o}
	defer r.wg.Wait()
	defer cancel(nil)
	events := make(chan []store.Event)
	for _, s := range sources {
		r.wg.Go(func() {
			if err := s.Run(ctx, events); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	r.loop(ctx, events)
	return context.Cause(ctx)
}

// running is the loop of one Run.
type running struct {
	e     *Engine
	o     Options
	wg    sync.WaitGroup
	begun bool // the first batch has come: before, nothing is known, and nothing must be said
}

func (r *running) loop(ctx context.Context, events <-chan []store.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-r.e.asks:
			f()
		case batch := <-events:
			r.begun = true
			r.e.Set(batch...)
			for more := true; more; { // what came meanwhile is one step with it
				select {
				case batch = <-events:
					r.e.Set(batch...)
				default:
					more = false
				}
			}
			r.flush(ctx)
		}
		if r.begun && (r.e.Store.Pending() || len(r.e.leaving) > 0) { // someone asked for it
			r.flush(ctx)
		}
		if r.o.News != nil {
			if news := r.e.news(); len(news) > 0 && r.begun {
				r.o.News(news)
			}
		}
	}
}

func (r *running) flush(ctx context.Context) {
	plans := r.e.Flush()
	for i := range plans {
		p := &plans[i]
		if p.target.Sink == nil {
			continue
		}
		p.target.await(p.Changes)
		r.queue(ctx, p.target).put(p.Changes, i >= len(r.e.targets))
	}
	if r.o.Flushed != nil {
		r.o.Flushed(plans)
	}
}

// queue is the target's. One that was taken away and has come again by the same name goes on with the queue that it had, so that what is
// still to be removed is removed before it is written anew.
func (r *running) queue(ctx context.Context, t *target) *queue {
	q := r.e.queues[t.Name]
	if q == nil || q.sink != t.Sink || !q.revive() {
		q = &queue{sink: t.Sink, wake: make(chan struct{}, 1)}
		r.e.queues[t.Name] = q
		log := r.o.Logger.With("mesh", t.Name)
		r.wg.Go(func() { r.feed(ctx, q, log) })
	}
	q.of = t
	return q
}

// Ask runs f in the loop's goroutine, where the engine may be read, and waits for it. It reports an error when the context ends first.
func (e *Engine) Ask(ctx context.Context, f func(*Engine)) error {
	done := make(chan struct{})
	select {
	case e.asks <- func() { f(e); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// queue holds what a sink has yet to be given. Of several changes of one object only the last is kept, in the place of the last.
type queue struct {
	sink    Sink
	of      *target // whose it is: for the loop alone
	mu      sync.Mutex
	changes []mesh.Change
	first   bool // the sink has been given something, be it nothing
	last    bool // nothing comes any more
	ended   bool // nobody takes from it any more
	wake    chan struct{}
}

// put adds changes. The first put wakes the sink even without any: that everything is said, and it is nothing, is something to be known.
func (q *queue) put(changes []mesh.Change, last bool) {
	q.mu.Lock()
	idle := len(changes) == 0 && q.first && !last
	q.first, q.last = true, q.last || last
	q.changes = merge(q.changes, changes)
	q.mu.Unlock()
	if !idle {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take takes all that waits.
func (q *queue) take() (batch []mesh.Change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, q.changes = q.changes, nil
	return batch
}

// revive says whether someone still takes from the queue, who then goes on to.
func (q *queue) revive() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = q.last && q.ended
	return !q.ended
}

// end says whether nothing is left to be taken, ever.
func (q *queue) end() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = q.last && len(q.changes) == 0
	return q.ended
}

// merge appends later changes to earlier ones, and drops what they supersede.
func merge(earlier, later []mesh.Change) []mesh.Change {
	if len(earlier) == 0 {
		return later
	}
	return append(without(earlier, later), later...)
}

// without leaves out the changes of objects that later ones speak of.
func without(earlier, later []mesh.Change) []mesh.Change {
	if len(earlier) == 0 || len(later) == 0 {
		return slices.Clip(earlier)
	}
	newer := make(map[mesh.Key]bool, len(later))
	for _, c := range later {
		newer[c.Key] = true
	}
	return slices.DeleteFunc(slices.Clone(earlier), func(c mesh.Change) bool { return newer[c.Key] })
}

// The pauses after failures of a sink, doubled from the first to the last.
const firstPause, lastPause = 100 * time.Millisecond, 30 * time.Second

// feed gives a target's sink what comes, and again what failed, until the context ends or the target is gone and has removed all. What failed
// alone waits for its next try: it holds up nothing that comes meanwhile.
func (r *running) feed(ctx context.Context, q *queue, log *slog.Logger) {
	var failed []mesh.Change
	var retry <-chan time.Time
	pause := firstPause
	for {
		var batch []mesh.Change
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
			batch = q.take()
			failed = without(failed, batch)
		case <-retry:
			batch, failed, retry = merge(failed, q.take()), nil, nil
		}
		again, err := r.apply(ctx, q, batch)
		if ctx.Err() != nil {
			return
		}
		if failed = append(failed, again...); len(failed) == 0 {
			if pause, retry = firstPause, nil; q.end() {
				return
			}
			continue
		}
		if err != nil {
			log.Error("changes were not applied, they will be tried again", "changes", len(again), "pause", pause, "error", err)
		}
		if retry == nil {
			retry = time.After(pause)
			pause = min(2*pause, lastPause)
		}
	}
}

// apply gives a sink some changes, tells the engine what became of them, and lists those that are to be tried again.
func (r *running) apply(ctx context.Context, q *queue, batch []mesh.Change) ([]mesh.Change, error) {
	err := q.sink.Apply(ctx, batch)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var failed *Failed
	switch {
	case err == nil:
		failed = &Failed{}
	case !errors.As(err, &failed):
		return batch, err // nobody knows which of them were made
	}
	again := make([]mesh.Change, len(failed.Failures))
	for i := range failed.Failures {
		again[i] = failed.Failures[i].Change
	}
	if len(batch) > 0 || len(again) > 0 {
		_ = r.e.Ask(ctx, func(e *Engine) { e.applied(q.of, batch, failed.Failures) })
	}
	return again, err
}
