// SPDX-License-Identifier: Apache-2.0

// Package kept keeps answers for as long as they are good. Who asks what somebody is already finding out waits for him.
package kept

import (
	"context"
	"sync"
	"time"
)

// Answers are kept by name. The zero value is ready, and safe for concurrent use.
type Answers[T any] struct {
	mu      sync.Mutex
	answers map[string]*flight[T]
}

// flight is one answer on its way, and then the answer.
type flight[T any] struct {
	done   chan struct{}
	answer T
	err    error
	until  time.Time // read and written under the lock; zero: it is on its way
}

// Most is how many answers are kept.
const Most = 1024

// Get gives what is kept under a name, or finds it out and keeps it for so long. What is found out does not depend on the one who happened to ask first:
// when he leaves, it is found out for the others. An error is told to all who wait, and not kept.
func (k *Answers[T]) Get(ctx context.Context, name string, now time.Time, good time.Duration, find func(context.Context) (T, error)) (T, error) {
	f, first := k.flight(name, now)
	if first {
		go func() {
			f.answer, f.err = find(context.WithoutCancel(ctx))
			k.land(name, f, now.Add(good))
		}()
	}
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (k *Answers[T]) flight(name string, now time.Time) (f *flight[T], first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.answers[name]; f != nil && (f.until.IsZero() || now.Before(f.until)) {
		return f, false
	}
	if k.answers == nil {
		k.answers = map[string]*flight[T]{}
	}
	if len(k.answers) >= Most {
		k.clear(now)
	}
	f = &flight[T]{done: make(chan struct{})}
	k.answers[name] = f
	return f, true
}

// clear makes room: what is no longer good goes, and where that is too little, anything that is not on its way.
func (k *Answers[T]) clear(now time.Time) {
	for name, f := range k.answers {
		if !f.until.IsZero() && !now.Before(f.until) {
			delete(k.answers, name)
		}
	}
	for name, f := range k.answers {
		if len(k.answers) < Most/2 {
			return
		}
		if !f.until.IsZero() {
			delete(k.answers, name)
		}
	}
}

// land keeps an answer; an error is told to those who wait and not kept.
func (k *Answers[T]) land(name string, f *flight[T], until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f.until = until
	if f.err != nil && k.answers[name] == f {
		delete(k.answers, name)
	}
	close(f.done)
}
