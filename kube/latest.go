// SPDX-License-Identifier: Apache-2.0

package kube

// Latest hands on the last word of several: who reads slowly misses those between.
type Latest[T any] chan T

// NewLatest has no word yet.
func NewLatest[T any]() Latest[T] { return make(Latest[T], 1) }

// Say puts a word in place of one that nobody has read. There is one speaker.
func (l Latest[T]) Say(v T) {
	for {
		select {
		case l <- v:
			return
		case <-l:
		}
	}
}
