// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// most is the largest count that is believed: beyond it a float no longer tells one request from the next.
const most = 1 << 53

// Count makes a number of requests of a value that may be anything.
func Count(v float64) float64 {
	switch {
	case !(v > 0): // NaN too
		return 0
	case v > most:
		return most
	}
	return v
}

// Duration makes a duration of a value in a unit. What no duration can be is 0: nothing was answered.
func Duration(v float64, unit time.Duration) time.Duration {
	d := v * float64(unit)
	switch {
	case !(d > 0):
		return 0
	case d > math.MaxInt64/2:
		return math.MaxInt64 / 2
	}
	return time.Duration(d)
}

// Bucket is one bucket of a histogram: how many took at most Le.
type Bucket struct{ Le, Count float64 }

// Bound reads a bucket's upper end.
func Bound(le string) (float64, bool) {
	v, err := strconv.ParseFloat(le, 64)
	return v, err == nil && !math.IsNaN(v)
}

// Histogram adds buckets up, as Prometheus does where it can, and tells quantiles as its histogram_quantile does.
type Histogram struct {
	buckets []Bucket
	sorted  bool
}

// Add adds requests to a bucket.
func (h *Histogram) Add(b Bucket) {
	h.buckets, h.sorted = append(h.buckets, b), false
}

// Merge adds all buckets of another.
func (h *Histogram) Merge(o *Histogram) {
	h.buckets, h.sorted = append(h.buckets, o.buckets...), false
}

// Quantile is 0 where nothing was counted.
func (h *Histogram) Quantile(q float64) float64 {
	h.settle()
	b := h.buckets
	if len(b) < 2 || !math.IsInf(b[len(b)-1].Le, 1) || b[len(b)-1].Count == 0 {
		return 0
	}
	rank := q * b[len(b)-1].Count
	i, _ := slices.BinarySearchFunc(b[:len(b)-1], rank, func(b Bucket, r float64) int { return cmp.Compare(b.Count, r) })
	if i == len(b)-1 {
		return b[i-1].Le
	}
	low, below := 0.0, 0.0
	if i > 0 {
		low, below = b[i-1].Le, b[i-1].Count
	} else if b[0].Le <= 0 {
		return b[0].Le
	}
	in := b[i].Count - below
	if in == 0 {
		return b[i].Le
	}
	return low + (b[i].Le-low)*(rank-below)/in
}

// settle sorts the buckets, adds up those of one bound, and lets none hold less than the one below it: buckets of different pods may come of
// scrapes that saw different moments.
func (h *Histogram) settle() {
	if h.sorted {
		return
	}
	h.sorted = true
	slices.SortFunc(h.buckets, func(a, b Bucket) int { return cmp.Compare(a.Le, b.Le) })
	out := h.buckets[:0]
	for _, b := range h.buckets {
		b.Count = Count(b.Count)
		if n := len(out); n > 0 && out[n-1].Le == b.Le {
			out[n-1].Count = Count(out[n-1].Count + b.Count)
		} else {
			out = append(out, b)
		}
	}
	for i := 1; i < len(out); i++ {
		out[i].Count = max(out[i].Count, out[i-1].Count)
	}
	h.buckets = out
}
