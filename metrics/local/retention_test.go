// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestRetention keeps what is younger than the retention, with one block more at most, and forgets series that have ended: a target whose
// pods come and go takes no more and more room.
func TestRetention(t *testing.T) {
	s, err := Open(Options{Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	w := s.Scraper(&Target{Name: "pods", Read: func(context.Context) ([]byte, string, error) {
		return fmt.Appendf(nil, "hits{pod=\"p-%d\"} 1\nsteady %d\n", n/10, n), "", nil
	}})
	now := time.Now()
	for ; n <= 6*60; n++ {
		if err := w.Scrape(t.Context(), now.Add(time.Duration(n-6*60)*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n%30 == 0 { // as the store does by itself, once a minute
			if err := s.db.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ago, want := range map[time.Duration]int{0: 1, 30 * time.Minute: 1, 3 * time.Hour: 0, 5 * time.Hour: 0} {
		v, err := s.Query(t.Context(), "steady", now.Add(-ago))
		if err != nil || len(v) != want {
			t.Errorf("%s ago: %v %v", ago, v, err)
		}
	}
	if got := s.Series(); got > 12 {
		t.Errorf("%d series are in memory, of 41 that there were", got)
	}
	if got := len(w.series); got > 8 {
		t.Errorf("%d series are remembered of the target", got)
	}
}
