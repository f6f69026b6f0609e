// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
)

// Profile is how the series of a mesh are called in one installation.
type Profile struct {
	Shape string      // the name of the mesh.Shape in use
	Found bool        // whether any series of it is there; if not, the newest shape is taken for granted
	Uses  []string    // "pod labels: namespace, pod", one for each mesh.Choice
	Views []mesh.View // as they are spelt
}

// Look finds out how a mesh's series are called, by asking for all shapes and all spellings at once.
func Look(ctx context.Context, p metrics.Prometheus, q *mesh.Queries, now time.Time) (Profile, error) {
	var texts []string
	for i := range q.Shapes {
		sh := &q.Shapes[i]
		texts = append(texts, Present(sh))
		for k := range sh.Choices {
			for n := range sh.Choices[k].Among {
				texts = append(texts, Spelt(sh, &sh.Choices[k], n))
			}
		}
	}
	there, err := there(ctx, p, texts, now)
	if err != nil {
		return Profile{}, err
	}
	var best *Profile
	for i := range q.Shapes {
		sh := &q.Shapes[i]
		this := &Profile{Shape: sh.Name, Found: there[0]}
		there = there[1:]
		chosen := make([]int, len(sh.Choices))
		for k, c := range sh.Choices {
			for n := len(c.Among) - 1; n >= 0; n-- {
				if there[n] {
					chosen[k] = n
				}
			}
			there = there[len(c.Among):]
			this.Uses = append(this.Uses, c.About+": "+c.Among[chosen[k]].Name)
		}
		if best == nil || this.Found && !best.Found {
			best, this.Views = this, Spell(sh, chosen)
		}
	}
	return *best, nil
}

// there says of each expression whether any series answers it.
func there(ctx context.Context, p metrics.Prometheus, texts []string, at time.Time) ([]bool, error) {
	type answer struct {
		i   int
		yes bool
		err error
	}
	answers := make(chan answer, len(texts)) // who asks in vain waits for nobody
	for i, t := range texts {
		go func() {
			got, err := p.Query(ctx, t, at)
			answers <- answer{i, len(got) > 0 && got[0].Value > 0, err}
		}()
	}
	out := make([]bool, len(texts))
	for range texts {
		select {
		case a := <-answers:
			if a.err != nil {
				return nil, a.err
			}
			out[a.i] = a.yes
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}
