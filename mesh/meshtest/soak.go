// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// pairs turns Run into a soak alone.
var pairs = flag.Int("pairs", 0, "ask so many pairs of a made-up world and a request, and nothing else; see make soak")

// soakBatch is how many made-up worlds are asked between two lines of progress.
const soakBatch = 200

// Soak asks requests of made-up worlds, other ones than the suites ask, until so many pairs were asked or something is wrong. It calls
// progress after each batch with how many were.
func Soak(s Subject, pairs int, progress func(asked int)) (problems []string) {
	asked := 0
	for batch := uint64(0); asked < pairs && len(problems) == 0; batch++ {
		for i := range uint64(soakBatch) {
			n := batch*soakBatch + i
			w := World{fmt.Sprintf("soak-%d", n), Random(rand.New(rand.NewPCG(n, 2)))}
			bystanders(w.Store)
			h := s.hearing(w)
			for _, q := range h.questions(borders) {
				asked++
				for _, p := range []string{h.wider(h.said.objects, q), h.wrong(h.said.objects, q)} {
					if p != "" {
						problems = append(problems, h.tell(q, p))
					}
				}
			}
			if asked >= pairs || len(problems) > 0 {
				break
			}
		}
		progress(asked)
	}
	return problems
}

// Soaked is the soak alone, in place of a test's suites, where one is asked for.
func Soaked(t *testing.T, s Subject) bool {
	if *pairs == 0 {
		return false
	}
	began := time.Now()
	for _, p := range Soak(s, *pairs, func(asked int) {
		t.Logf("%s: %d pairs, %.0f a second", s.Driver.Name, asked, float64(asked)/time.Since(began).Seconds())
	}) {
		t.Error(p)
	}
	return true
}
