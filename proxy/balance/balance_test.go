// SPDX-License-Identifier: Apache-2.0

package balance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

// row is a list of endpoints.
type row struct {
	busy  []int64
	aside map[int]bool
}

func (r *row) Len() int          { return len(r.busy) }
func (r *row) Busy(i int) int64  { return r.busy[i] }
func (r *row) Usable(i int) bool { return !r.aside[i] }

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250)
	}
	return out
}

// TestShares holds how evenly each kind shares out.
func TestShares(t *testing.T) {
	const n, draws = 10, 20000
	for _, k := range []Kind{LeastRequest, RoundRobin, Random, Hash} {
		p, e, counts := New(k, names(n)), &row{busy: make([]int64, n)}, make([]int, n)
		for i := range draws {
			counts[p.Pick(e, -1, mix(uint64(i)))]++
		}
		slack := 0.15
		if k == RoundRobin {
			slack = 0.001
		}
		for i, c := range counts {
			if d := math.Abs(float64(c)*n/draws - 1); d > slack {
				t.Errorf("kind %d: endpoint %d took %d of %d", k, i, c, draws)
			}
		}
	}
}

func TestLeastRequest(t *testing.T) {
	p, e := New(LeastRequest, names(2)), &row{busy: []int64{5, 1}}
	taken := 0
	for range 1000 {
		taken += p.Pick(e, -1, 0)
	}
	if taken < 800 {
		t.Errorf("the less busy of two was taken %d times in 1000", taken)
	}
}

// TestAvoid holds that neither what is set aside nor what is to be avoided is taken while there is another, and that something always is.
func TestAvoid(t *testing.T) {
	for _, k := range []Kind{LeastRequest, RoundRobin, Random, Hash} {
		for n := range 6 {
			p := New(k, names(n))
			for mask := range 1 << n {
				e := &row{busy: make([]int64, n), aside: map[int]bool{}}
				for i := range n {
					e.aside[i] = mask>>i&1 == 1
				}
				for not := -1; not < n; not++ {
					good := 0
					for i := range n {
						if i != not && !e.aside[i] {
							good++
						}
					}
					i := p.Pick(e, not, 7)
					if (i < 0) != (n == 0) || i >= n || n > 1 && good > 0 && (i == not || e.aside[i]) {
						t.Fatalf("kind %d: %d of %d, aside %b, not %d", k, i, n, mask, not)
					}
				}
			}
		}
	}
}

// TestHashStays holds that a key stays where it is when another endpoint comes or goes, and that the order of the list means nothing.
func TestHashStays(t *testing.T) {
	all := names(20)
	was, now := New(Hash, all), New(Hash, all[:19])
	e20, e19 := &row{busy: make([]int64, 20)}, &row{busy: make([]int64, 19)}
	turned := append(append([]string(nil), all[10:]...), all[:10]...)
	other := New(Hash, turned)
	moved := 0
	for i := range 10000 {
		key := mix(uint64(i))
		a, b := was.Pick(e20, -1, key), now.Pick(e19, -1, key)
		if a != b && a != 19 {
			moved++
		}
		if turned[other.Pick(e20, -1, key)] != all[a] {
			t.Fatal("two proxies that were told the endpoints in another order choose differently")
		}
	}
	if moved > 500 { // 1 in 20 has to; of the rest Maglev moves few
		t.Errorf("%d keys of 10000 moved that need not", moved)
	}
}

func TestOutliers(t *testing.T) {
	o := &Outliers{Failures: 3, Base: 40 * time.Millisecond, Max: time.Second, Percent: 50}
	all := []*Health{{}, {}, {}, {}}
	var w Ward
	fail := func(h *Health, n int) (aside bool) {
		for range n {
			aside = w.Report(o, h, true, all)
		}
		return aside
	}
	if fail(all[0], 2); !all[0].Usable() {
		t.Error("set aside too early")
	}
	w.Report(o, all[0], false, all)
	if fail(all[0], 2) {
		t.Error("a success in between does not count")
	}
	if !fail(all[0], 1) || all[0].Usable() {
		t.Error("three failures in a row do not set aside")
	}
	if !fail(all[1], 3) || fail(all[2], 9) {
		t.Error("half of the endpoints may be set aside, and no more")
	}
	begin := time.Now()
	for !all[0].Usable() {
		time.Sleep(time.Millisecond)
	}
	first := time.Since(begin)
	if fail(all[0], 3); all[0].Usable() && !all[1].Usable() {
		t.Error("not set aside again")
	}
	if u := time.Until(time.Unix(0, all[0].until.Load())); u < o.Base {
		t.Errorf("the second time is not longer: %v after %v", u, first)
	}
	one := []*Health{{}}
	for range 10 {
		if w.Report(o, one[0], true, one) {
			t.Fatal("the only endpoint is set aside")
		}
	}
}

func TestGate(t *testing.T) {
	var g Gate
	g.Set(Limits{Active: 2, Waiting: 3})
	ctx, cancel := context.WithCancel(context.Background())
	for range 2 {
		if err := g.Enter(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	in := make(chan error, 3)
	for range 3 {
		wg.Go(func() { in <- g.Enter(ctx) })
	}
	for {
		g.mu.Lock()
		n := len(g.queue)
		g.mu.Unlock()
		if n == 3 {
			break
		}
	}
	if err := g.Enter(ctx); !errors.Is(err, ErrFull) {
		t.Errorf("a fourth that waits: %v", err)
	}
	g.Leave()
	if err := <-in; err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
	for range 2 {
		if err := <-in; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	g.Leave()
	g.Leave()
	if g.active != 0 || len(g.queue) != 0 {
		t.Errorf("%d in, %d wait", g.active, len(g.queue))
	}
}

// TestGateUnderLoad holds that never more are in than may be, and that nobody is forgotten.
func TestGateUnderLoad(t *testing.T) {
	var g Gate
	g.Set(Limits{Active: 4, Waiting: 1000})
	var mu sync.Mutex
	in, most, done := 0, 0, 0
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			for range 20 {
				if err := g.Enter(ctx); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				in++
				most, done = max(most, in), done+1
				mu.Unlock()
				mu.Lock()
				in--
				mu.Unlock()
				g.Leave()
			}
		})
	}
	wg.Wait()
	if most > 4 || done != 4000 {
		t.Errorf("%d at once, %d in all", most, done)
	}
}
