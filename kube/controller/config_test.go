// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/model"
)

// TestReadMeshes reads a good file, and one in which everything is wrong: all of it is said, with its line.
func TestReadMeshes(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "meshes.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write(`apiVersion: anymesh.dev/v1alpha1
kind: Mesh
metadata: {name: east}
spec:
  kind: istio
  accessDefault: deny
  namespaces: {matchLabels: {in: east}, matchExpressions: [{key: env, operator: In, values: [prod]}]}
  options: {adopt: "true"}
  helpers: [expressions]
`)
	list, err := controller.ReadMeshes(good)
	if err != nil || len(list) != 1 || list[0].Name != "east" || list[0].Spec.Namespaces.MatchExpressions[0].Values[0] != "prod" || list[0].Spec.Options["adopt"] != "true" || !controller.Settings(&list[0].Spec).Helpers.Has(model.HelperExpressions) {
		t.Fatalf("%v: %+v", err, list)
	}
	bad := write(`apiVersion: anymesh.dev/v1alpha1
kind: Mesh
metadata: {name: east}
spec:
  accessDefault: closed
  namespace: {}
  helpers: [expressions, magic]
---
apiVersion: anymesh.dev/v1alpha1
kind: Mesh
metadata: {name: east}
spec:
  kind: istio
  namespaces: {matchExpressions: [{key: env, operator: Near}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: x}
`)
	_, err = controller.ReadMeshes(bad)
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{":5: spec.accessDefault", ":6: spec.namespace", `spec.helpers[1]: "magic"`, "spec.kind: names no mesh", `two Meshes are called "east"`, `:14: spec.namespaces: "Near"`, ":16: ConfigMap"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in\n%v", want, err)
		}
	}
}
