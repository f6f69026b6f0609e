// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
)

// Of finds pods among what an engine knows.
func Of(e *engine.Engine) func(context.Context, model.Name) (*model.Pod, error) {
	return func(ctx context.Context, n model.Name) (pod *model.Pod, err error) {
		err = e.Ask(ctx, func(e *engine.Engine) { pod = e.Store.Pod(n) }) // facts do not change
		return pod, err
	}
}
