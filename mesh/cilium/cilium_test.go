// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
)

// TestConformance is the story that every driver passes. The schemas of Cilium are where its own code is asked: test/oracle/cilium.
func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, Same: same})
}

// TestReleases holds which driver a cluster is given by what it serves.
func TestReleases(t *testing.T) {
	without := func(kind string) func(mesh.Kind) bool {
		return func(k mesh.Kind) bool { return k.Kind != kind }
	}
	if Driver.For(without("")) != Driver || Driver.For(without("HTTPRoute")) != permissionsAlone || Driver.For(without("CiliumNetworkPolicy")) != nil {
		t.Error("a cluster is given a driver whose kinds it does not serve, or not the newest")
	}
}

// TestLegacy holds that the driver without routes says what it can and means it.
func TestLegacy(t *testing.T) {
	s := meshtest.Subject{Driver: permissionsAlone, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}}
	if meshtest.Soaked(t, s) {
		return
	}
	cases := meshtest.Cases(t)
	for _, p := range append(meshtest.Claims(permissionsAlone, cases), meshtest.Meaning(s, meshtest.Worlds(cases)[:60])...) {
		t.Error(p)
	}
}
