// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/store"
)

// Options of Run.
type Options struct {
	Logger  *slog.Logger
	Flushed func([]Plan) // called in the loop after each flush
}

// Run reads the sources, translates, and hands changes to the sinks until its context ends or a source fails. Each sink has a worker of
// its own, so that a slow one holds up nobody else.
func (e *Engine) Run(ctx context.Context, o Options, sources ...Source) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	events := make(chan []store.Event)
	for _, s := range sources {
		wg.Go(func() {
			if err := s.Run(ctx, events); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	queues := make([]*queue, len(e.targets))
	for i, t := range e.targets {
		if t.Sink != nil {
			queues[i] = &queue{wake: make(chan struct{}, 1)}
			wg.Go(func() { queues[i].run(ctx, t.Sink, o.Logger.With("mesh", t.Driver.Name)) })
		}
	}
	e.loop(ctx, o, events, queues)
	return context.Cause(ctx)
}

func (e *Engine) loop(ctx context.Context, o Options, events <-chan []store.Event, queues []*queue) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-e.asks:
			f()
		case batch := <-events:
			e.Set(batch...)
			for more := true; more; { // what came meanwhile is one step with it
				select {
				case batch = <-events:
					e.Set(batch...)
				default:
					more = false
				}
			}
			plans := e.Flush()
			for i, q := range queues {
				if q != nil {
					q.put(plans[i].Changes)
				}
			}
			if o.Flushed != nil {
				o.Flushed(plans)
			}
		}
	}
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
	mu      sync.Mutex
	changes []mesh.Change
	wake    chan struct{}
}

func (q *queue) put(changes []mesh.Change) {
	if len(changes) == 0 {
		return
	}
	q.mu.Lock()
	q.changes = merge(q.changes, changes)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// merge appends later changes to earlier ones, and drops what they supersede.
func merge(earlier, later []mesh.Change) []mesh.Change {
	if len(earlier) == 0 {
		return later
	}
	newer := make(map[mesh.Key]bool, len(later))
	for _, c := range later {
		newer[c.Key] = true
	}
	return append(slices.DeleteFunc(slices.Clone(earlier), func(c mesh.Change) bool { return newer[c.Key] }), later...)
}

// The pauses after failures of a sink, doubled from the first to the last.
const firstPause, lastPause = 100 * time.Millisecond, 30 * time.Second

func (q *queue) run(ctx context.Context, s Sink, log *slog.Logger) {
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		q.mu.Lock()
		batch := q.changes
		q.changes = nil
		q.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		err := s.Apply(ctx, batch)
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() != nil {
			return
		}
		log.Error("changes were not applied, they will be tried again", "changes", len(batch), "pause", pause, "error", err)
		q.mu.Lock()
		q.changes = merge(batch, q.changes)
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}
