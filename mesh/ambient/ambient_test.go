// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
)

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, Unnoticed: "the judge takes a Gateway to be a waypoint, whatever it says", CRDs: []string{
		"istio/crd-all-1.30.3.yaml",
		"gateway-api/standard/gateway.networking.k8s.io_httproutes.yaml", "gateway-api/standard/gateway.networking.k8s.io_tcproutes.yaml",
		"gateway-api/standard/gateway.networking.k8s.io_gateways.yaml"}})
}

// TestReleases holds which driver a cluster is given by what it serves.
func TestReleases(t *testing.T) {
	without := func(kind string) func(mesh.Kind) bool {
		return func(k mesh.Kind) bool { return k.Kind != kind }
	}
	if Driver.For(without("")) != Driver || Driver.For(without("TCPRoute")) != requestsAlone || Driver.For(without("HTTPRoute")) != nil {
		t.Error("a cluster is given a driver whose kinds it does not serve, or not the newest")
	}
}

// TestLegacy holds that the driver for earlier releases says what it can and means it.
func TestLegacy(t *testing.T) {
	s := meshtest.Subject{Driver: requestsAlone, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}}
	if meshtest.Soaked(t, s) {
		return
	}
	cases := meshtest.Cases(t)
	for _, p := range append(meshtest.Claims(s.Driver, cases), meshtest.Meaning(s, meshtest.Worlds(cases))...) {
		t.Error(p)
	}
}
