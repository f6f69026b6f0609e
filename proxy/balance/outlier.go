// SPDX-License-Identifier: Apache-2.0

package balance

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Outliers say when an endpoint is set aside. The zero value sets none aside.
type Outliers struct {
	Failures uint32        // in a row, after which it is; 0: never
	Base     time.Duration // for how long at first; it doubles each time
	Max      time.Duration // for how long at most
	Percent  uint32        // of the endpoints that may be set aside at once; one may where there are two
}

// Health is how one endpoint has done. The zero value has done well.
type Health struct {
	fails atomic.Uint32 // in a row
	until atomic.Int64  // set aside until then, in Unix nanoseconds; 0: it is not

	// Guarded by the lock of its Ward.
	times int       // it was set aside, one less for each good Base since
	last  time.Time // it was looked at
}

// Usable says whether the endpoint is not set aside.
func (h *Health) Usable() bool {
	u := h.until.Load()
	return u == 0 || u <= time.Now().UnixNano()
}

// Ward watches over the endpoints of one cluster.
type Ward struct {
	mu sync.Mutex
}

// Report notes how one try ended: a 5xx, no answer and no connection are failures. all are the endpoints that there are. It reports true
// where the endpoint is set aside now.
func (w *Ward) Report(o *Outliers, h *Health, failed bool, all []*Health) bool {
	if o.Failures == 0 {
		return false
	}
	if !failed {
		if h.fails.Load() != 0 {
			h.fails.Store(0)
		}
		return false
	}
	if h.fails.Add(1) < o.Failures {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if !h.Usable() || h.fails.Load() < o.Failures {
		return false // another try was quicker
	}
	aside := 0
	for _, other := range all {
		if !other.Usable() {
			aside++
		}
	}
	// At least one may be set aside, as in Envoy, and never all.
	if limit := max(1, len(all)*int(o.Percent)/100); aside+1 > limit || aside+1 >= len(all) {
		return false
	}
	if h.times > 0 {
		h.times = max(0, h.times-int(now.Sub(h.last)/max(o.Base, time.Millisecond)))
	}
	pause := o.Base << min(h.times, 20)
	if pause > o.Max || pause <= 0 {
		pause = max(o.Max, o.Base)
	}
	h.times++
	h.last = now.Add(pause)
	h.fails.Store(0)
	h.until.Store(now.Add(pause).UnixNano())
	return true
}

// byName lists the places of a list in the order of the names there.
func byName(names []string) []int {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	return order
}
