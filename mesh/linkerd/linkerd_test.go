// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"os"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
)

var crds = []string{"linkerd/server.yaml", "linkerd/authorization-policy.yaml", "linkerd/meshtls-authentication.yaml", "linkerd/network-authentication.yaml", "linkerd/httproute.yaml",
	"linkerd/server-authorization.yaml", "linkerd/serviceprofile.yaml", "linkerd/gateway.networking.k8s.io_httproutes.yaml", "linkerd/gateway.networking.k8s.io_tcproutes.yaml"}

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) { conform(t, Driver) }

// TestConformanceOfOlder is the same for the drivers of earlier releases, each with goldens of its own.
func TestConformanceOfOlder(t *testing.T) {
	for _, d := range Driver.Older {
		t.Run(d.Name, func(t *testing.T) {
			folder := "testdata/" + d.Name
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Chdir(folder)
			conform(t, d)
		})
	}
}

func conform(t *testing.T, d *mesh.Driver) {
	meshtest.Run(t, meshtest.Subject{Driver: d, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, CRDs: crds, Same: same})
}

// TestReleases holds which driver a cluster is given.
func TestReleases(t *testing.T) {
	for _, c := range []struct {
		want    string
		missing []string
	}{
		{"linkerd", nil},
		{"linkerd-2.16", []string{gateway + "/v1alpha2 TCPRoute"}},
		{"linkerd-2.16", []string{gateway + "/v1 HTTPRoute"}},
		{"linkerd-2.11", []string{policyGroup + "/v1beta3 Server", policyGroup + "/v1beta3 HTTPRoute"}},
		{"", []string{policyGroup + "/v1beta3 Server", policyGroup + "/v1beta1 Server"}},
	} {
		got := ""
		if d := Driver.For(func(k mesh.Kind) bool { return !slices.Contains(c.missing, k.APIVersion+" "+k.Kind) }); d != nil {
			got = d.Name
		}
		if got != c.want {
			t.Errorf("without %q: %s, want %s", c.missing, got, c.want)
		}
	}
}
