// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often may be asked in a second, and how often at once: from one address, whose every question costs a look at the proof; and for one
// identity, which all pods of a large deployment may share.
const (
	addressRate, addressBurst   = 5, 20
	identityRate, identityBurst = 50, 500
)

// mostBuckets bounds what strangers can make a server remember.
const mostBuckets = 10000

// limiter holds each of many askers to a rate.
type limiter struct {
	rate  rate.Limit
	burst int

	mu sync.Mutex
	by map[string]*rate.Limiter
}

func newLimiter(r rate.Limit, burst int) *limiter {
	return &limiter{rate: r, burst: burst, by: map[string]*rate.Limiter{}}
}

// allow says whether an asker may ask once more, now.
func (l *limiter) allow(who string) bool {
	l.mu.Lock()
	b := l.by[who]
	if b == nil {
		if len(l.by) >= mostBuckets {
			l.drop()
		}
		b = rate.NewLimiter(l.rate, l.burst)
		l.by[who] = b
	}
	l.mu.Unlock()
	return b.Allow()
}

// drop forgets who has not asked for some time, and everybody where that helps nothing; the caller holds the lock.
func (l *limiter) drop() {
	now := time.Now()
	for who, b := range l.by {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.by, who)
		}
	}
	if len(l.by) >= mostBuckets {
		clear(l.by)
	}
}
