// SPDX-License-Identifier: Apache-2.0

package h2

import "time"

// Limits, in bytes where nothing else is said.
const (
	MaxStreams = 1000     // that a peer may have open at a time
	MaxHead    = 64 << 10 // of one header list, counted as RFC 9113 6.5.2 does

	maxFrame     = 16 << 10  // payload of one frame, both ways: the protocol's own default
	blockLimit   = 256 << 10 // HPACK of one header block
	blockFrames  = 17        // HEADERS and CONTINUATION of one block
	streamWindow = 256 << 10 // of what a peer may send on one stream before it is taken
	connWindow   = 1 << 20   // the same for the connection
	heldLimit    = 4 << 20   // received on a connection and not taken: beyond it, the connection's window is not renewed
	highWater    = 256 << 10 // of output that waits for the socket: beyond it, DATA waits in its stream
	hardLimit    = 4 << 20   // of output that waits for the socket: beyond it, the peer is cut off
	tableSize    = 4096      // of HPACK's dynamic tables
	maxWindow    = 1<<31 - 1

	startStreams = 100 // that we open before a peer has said how many it takes
	farewell     = time.Second
	greeting     = 10 * time.Second // for the preface and the first SETTINGS
	beat         = 15 * time.Second // how often a connection looks whether it is alive and used
)

// A budget pays for what costs us work and is of no use to anybody. It holds burst, and refills by rate a second.
const (
	budgetBurst = 2000
	budgetRate  = 1000
)

type budget struct {
	left int
	at   time.Time // of the last refill
}

func newBudget() budget { return budget{budgetBurst, time.Now()} }

// spend takes n; false: it is not there. The clock is looked at only when the purse is empty.
func (b *budget) spend(n int) bool {
	if b.left < n {
		now := time.Now()
		b.earn(int(now.Sub(b.at).Seconds() * budgetRate))
		b.at = now
	}
	b.left -= n
	return b.left >= 0
}

// earn gives n back for useful work.
func (b *budget) earn(n int) { b.left = min(b.left+n, budgetBurst) }
