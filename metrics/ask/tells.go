// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/lens"
)

// Told is what the series of one shape tell of a kind, found as answers are.
type Told struct {
	Kind  metrics.Kind
	Own   string   // "server", "client, by pods"; empty: nothing
	Edges []string // the sides that count edges between two of the kind
}

// Tells says what the series of a shape tell, of some kinds.
func Tells(s *mesh.Shape, kinds ...metrics.Kind) (out []Told) {
	p := &plan{finder: lens.New(nil, nil), question: &metrics.Question{}}
	for _, k := range kinds {
		t := Told{Kind: k}
		if v, l := p.ownView(s.Views, k); v != nil {
			t.Own = string(v.Side) + through(l)
		}
		p.question.Kind = k
		for _, side := range []mesh.Side{mesh.ServerSide, mesh.ClientSide} {
			for _, d := range []metrics.Direction{metrics.From, metrics.To} {
				if v, of, to := p.edgeView(s.Views, d, side, k); v != nil {
					word := string(side) + through(of)
					if of.By == lens.Itself {
						word = string(side) + through(to)
					}
					if !slices.Contains(t.Edges, word) {
						t.Edges = append(t.Edges, word)
					}
				}
			}
		}
		out = append(out, t)
	}
	return out
}

func through(l *lens.Lens) string {
	return [...]string{lens.Itself: "", lens.ByPods: ", by pods", lens.ByServices: ", by Services"}[l.By]
}

// TellsSplits says whether the series of a shape tell the root of a split from its backends.
func TellsSplits(s *mesh.Shape) bool {
	return slices.ContainsFunc(s.Views, func(v mesh.View) bool { return v.Root != nil || v.Splits != nil })
}
