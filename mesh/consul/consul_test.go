// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"testing"

	"github.com/anymesh/anymesh/mesh/meshtest"
)

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, Same: same, CRDs: []string{
		"consul/consul.hashicorp.com_servicedefaults.yaml", "consul/consul.hashicorp.com_servicesplitters.yaml",
		"consul/consul.hashicorp.com_servicerouters.yaml", "consul/consul.hashicorp.com_serviceintentions.yaml"}})
}
