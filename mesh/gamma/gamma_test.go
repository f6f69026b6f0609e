// SPDX-License-Identifier: Apache-2.0

package gamma

import (
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway/gatewaytest"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
)

// judge has the port to an HTTPRoute alone where there is one.
var judge = gatewaytest.Judge{}

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	crds := func(channel string, kinds ...string) (out []string) {
		for _, k := range kinds {
			out = append(out, "gateway-api/"+channel+"/gateway.networking.k8s.io_"+k+".yaml")
		}
		return out
	}
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judge.Route, Admit: admits}, Same: same,
		CRDs: crds("standard", "httproutes", "tcproutes", "udproutes")})
}

// admits says what these objects let through: what is open anyway, for none of them speaks of access. What a permission closes stays as the mesh
// itself has it, and that is not known here: so it counts as refused, and the driver has to say that nothing was written for it.
func admits(objs []mesh.Object, w model.World, wl *model.Workload, _ uint16, _ *model.Request) bool {
	for i := range objs {
		if !strings.HasSuffix(objs[i].Kind, "Route") {
			panic("the judge does not know the kind " + objs[i].Kind)
		}
	}
	a, _ := model.JoinAccess(w, wl.Identity())
	return !a.Closed(wl)
}

// TestReleases holds which driver a cluster is given by what it serves.
func TestReleases(t *testing.T) {
	serves := func(version, kinds string) func(mesh.Kind) bool {
		return func(k mesh.Kind) bool {
			return k.Kind == "HTTPRoute" || strings.Contains(kinds, k.Kind) && strings.HasSuffix(k.APIVersion, "/"+version)
		}
	}
	if Driver.For(serves("v1", "TCPRoute UDPRoute")) != Driver || Driver.For(serves("v1alpha2", "TCPRoute UDPRoute")) != experimental || Driver.For(serves("v1", "")) != plain {
		t.Error("a cluster is given a driver whose kinds it does not serve, or not the newest")
	}
}

// TestLegacy holds that those for earlier releases say what they can and mean it.
func TestLegacy(t *testing.T) {
	cases := meshtest.Cases(t)
	for _, d := range []*mesh.Driver{experimental, plain} {
		s := meshtest.Subject{Driver: d, Judge: meshtest.Judge{Route: judge.Route, Admit: admits}}
		if meshtest.Soaked(t, s) {
			continue
		}
		for _, p := range append(meshtest.Claims(d, cases), meshtest.Meaning(s, meshtest.Worlds(cases))...) {
			t.Error(p)
		}
	}
}
