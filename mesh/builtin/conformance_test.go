// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"testing"

	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/mesh/meshtest"
)

func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: builtin.Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, Show: show, Spec: builtin.SpecOf,
		Unnoticed: "the judge looks resources up by the object's name, and not at the parts that only sockets show: xds and proxy hold those"})
}
