// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/test/kubetest"
)

// gatewayCRDs are the Gateway API's, of the release that the oracle is built with.
func gatewayCRDs(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api")
	cmd.Dir = "../../test/oracle/istio"
	dir, err := cmd.Output()
	if err != nil {
		t.Fatalf("the module sigs.k8s.io/gateway-api: %v", err)
	}
	var b strings.Builder
	for _, kind := range []string{"httproutes", "tcproutes", "udproutes"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "config/crd/standard", "gateway.networking.k8s.io_"+kind+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s\n", text)
	}
	return b.String()
}

// TestSeveral runs two meshes of different kinds at once, in one controller: each namespace is programmed in the words of the mesh that it is in,
// one that is in both in both, and its status tells them apart.
func TestSeveral(t *testing.T) {
	c := kubetest.Start(t)
	install(t, c)
	c.Apply(t, gatewayCRDs(t))
	east, west, both := c.Namespace(t), c.Namespace(t), c.Namespace(t)
	c.Apply(t, in(east, shop), in(west, shop), in(both, shop))
	start(t, c, controller.Options{Drivers: all.Meshes()})
	mesh := func(name, kind, label string) {
		c.Apply(t, fmt.Sprintf("apiVersion: anymesh.dev/v1alpha1\nkind: Mesh\nmetadata: {name: %s}\nspec: {kind: %s, namespaces: {matchLabels: {%s: 'yes'}}}", name, kind, label))
	}
	mesh("east", "istio", "east")
	mesh("west", "gamma", "west")
	ready(t, c, "east", "True", "Served")
	ready(t, c, "west", "True", "Served")
	c.Kubectl(t, "label", "namespace", east, "east=yes")
	c.Kubectl(t, "label", "namespace", west, "west=yes")
	c.Kubectl(t, "label", "namespace", both, "east=yes", "west=yes")

	for ns, want := range map[string]string{east: "east", west: "west", both: "east west"} {
		s := programmed(t, c, splits, ns, "catalog", "True", "Programmed")
		if got := views(s); got != want {
			t.Errorf("%s: the views are of %q, not of %q", ns, got, want)
		}
		has := func(kind string) bool {
			return strings.TrimSpace(c.Kubectl(t, "-n", ns, "get", kind, "-o", "name")) != ""
		}
		if got := has("virtualservices"); got != strings.Contains(want, "east") {
			t.Errorf("%s: there are VirtualServices: %v", want, got)
		}
		if got := has("httproutes.gateway.networking.k8s.io"); got != strings.Contains(want, "west") {
			t.Errorf("%s: there are HTTPRoutes: %v", want, got)
		}
	}
	// the Gateway API has no word for access: where it is the only mesh, or one of two, the permission says so
	programmed(t, c, targets, east, "catalog", "True", "Programmed")
	programmed(t, c, targets, west, "catalog", "False", "Unsupported")
	s := programmed(t, c, targets, both, "catalog", "False", "Unsupported")
	for _, v := range s.Meshes {
		if want := map[string]string{"east": "True", "west": "False"}[v.Name]; string(v.Conditions[0].Status) != want {
			t.Errorf("the permission in %s is programmed: %s", v.Name, v.Conditions[0].Status)
		}
	}
}

func views(s *api.Status) string {
	var names []string
	for _, v := range s.Meshes {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}
