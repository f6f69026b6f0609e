// SPDX-License-Identifier: Apache-2.0

// Package all is the list of drivers. A mesh is added by one folder and one line here; command names, the matrix and all else that speaks
// of every mesh follow from it.
package all

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/mesh/istio"
)

// Drivers lists every driver, by name.
func Drivers() []*mesh.Driver {
	return []*mesh.Driver{
		builtin.Driver,
		istio.Driver,
	}
}
