// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"testing"

	"github.com/anymesh/anymesh/mesh/meshtest"
)

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, CRDs: []string{
		"istio/crd-all-1.30.3.yaml",
		"gateway-api/standard/gateway.networking.k8s.io_httproutes.yaml", "gateway-api/standard/gateway.networking.k8s.io_tcproutes.yaml",
		"gateway-api/standard/gateway.networking.k8s.io_gateways.yaml"}})
}
