// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"time"
)

// signal wakes one reader, however often it is sent before that reads.
type signal chan struct{}

func (s signal) send() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func (s signal) after(ctx context.Context, d time.Duration) {
	go func() {
		select {
		case <-ctx.Done():
		case <-time.After(d):
			s.send()
		}
	}()
}

// signals is a store of a reflector that keeps nothing: that something happened is all that is asked.
type signals struct{ signal }

// Add is a sign.
func (s signals) Add(any) error { s.send(); return nil }

// Update is a sign.
func (s signals) Update(any) error { s.send(); return nil }

// Delete is a sign.
func (s signals) Delete(any) error { s.send(); return nil }

// Replace is a sign.
func (s signals) Replace([]any, string) error { s.send(); return nil }

// Resync is none.
func (s signals) Resync() error { return nil }
