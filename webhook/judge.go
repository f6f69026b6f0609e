// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// judge asks what the mesh would find of an object. Whoever is not answered in time is not told: the controller will say it on the object's
// status.
func (h *Handler) judge(ctx context.Context, o *object.Object) []model.Finding {
	if h.options.Judge == nil {
		return nil
	}
	select {
	case h.judges <- struct{}{}:
	default:
		h.metrics.judged("busy")
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, h.options.Patience)
	defer stop()
	answer := make(chan judgement, 1)
	go func() {
		defer func() { <-h.judges }()
		answer <- ask(ctx, h.options.Judge, o)
	}()
	select {
	case j := <-answer:
		if j.panicked != nil {
			panic(j.panicked) // where only one connection pays for it
		}
		h.metrics.judged("done")
		return slices.DeleteFunc(j.findings, func(f model.Finding) bool { return f.Level == model.Exact })
	case <-ctx.Done():
		h.metrics.judged("late")
		return nil
	}
}

type judgement struct {
	findings []model.Finding
	panicked any
}

func ask(ctx context.Context, judge func(context.Context, *object.Object) []model.Finding, o *object.Object) (j judgement) {
	defer func() { j.panicked = recover() }()
	return judgement{findings: judge(ctx, o)}
}
