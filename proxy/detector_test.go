// SPDX-License-Identifier: Apache-2.0

//go:build race

package proxy_test

// detector: the race detector looks on, and keeps notes of its own beside all memory.
const detector = true
