// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestKubectl does with an old version's manifests what people do: apply, change, apply again, edit, explain.
func TestKubectl(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	o := i.written(t, parsed(t, wrote(split4, "TrafficSplit", canary), ns))
	manifest := filepath.Join(t.TempDir(), "split.yaml")
	apply := func(first, second string) {
		t.Helper()
		text := "apiVersion: " + split1 + "\nkind: TrafficSplit\nmetadata: {name: x, namespace: " + ns + "}\n" +
			"spec: {service: web, backends: [{service: web-canary, weight: " + first + "}, {service: web-primary, weight: " + second + "}]}\n"
		if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		i.Kubectl(t, "apply", "-f", manifest)
	}
	stay := func(how string, want ...int64) {
		t.Helper()
		if weights, matches := i.split(t, o); !reflect.DeepEqual(weights, want) || !reflect.DeepEqual(matches, []string{"insiders"}) {
			t.Errorf("after %s: weights %v, matches %v", how, weights, matches)
		}
	}
	apply("200m", "800m")
	stay("a first apply", 2, 8)
	apply("500m", "1")
	stay("a second apply", 5, 10)
	if got := i.Kubectl(t, "-n", ns, "get", "trafficsplits.v1alpha1.split.smi-spec.io", "x", "-o", "jsonpath={.spec.backends[*].weight}"); got != "500m 1" {
		t.Errorf("v1alpha1 shows the weights %q", got)
	}
	// What an editor writes back is the whole object, with its annotations.
	text := i.Kubectl(t, "-n", ns, "get", "trafficsplits.v1alpha2.split.smi-spec.io", "x", "-o", "yaml")
	if err := os.WriteFile(manifest, []byte(strings.Replace(text, "weight: 10", "weight: 15", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	i.Kubectl(t, "replace", "-f", manifest)
	stay("an edit through v1alpha2", 5, 15)
	if got := i.Kubectl(t, "-n", ns, "get", "trafficsplits.v1alpha1.split.smi-spec.io", "x", "-o", "jsonpath={.spec.backends[*].weight}"); got != "500m 1500m" {
		t.Errorf("v1alpha1 shows the weights %q", got)
	}
	i.Kubectl(t, "-n", ns, "label", "ts", "x", "tier=web")
	stay("a label", 5, 15)
	for path, want := range map[string]string{"ts.spec.backends.weight": "Share of the traffic", "tt.spec.rules": "Routes of the same namespace", "htr.spec.matches.headers": "Expressions (RE2)", "meshes.spec.kind": "Driver of the mesh"} {
		if out := i.Kubectl(t, "explain", path); !strings.Contains(out, want) {
			t.Errorf("kubectl explain %s says\n%s", path, out)
		}
	}
}
