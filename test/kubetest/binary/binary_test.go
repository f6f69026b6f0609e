// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"os"
	"path/filepath"
	"testing"
)

// A binary is built again when something that it is made of changes, and only then.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	of := func(command string) string {
		t.Helper()
		d, err := digest(dir, command)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, name := range []string{"go.mod", "cmd/cluster/main.go", "cmd/kubectl/main.go", "pods/pods.go", "pods/pods_test.go"} {
		write(name, name)
	}
	for name, want := range map[string]struct{ cluster, kubectl bool }{
		"go.mod":              {true, true},
		"cmd/cluster/main.go": {true, false},
		"cmd/kubectl/main.go": {false, true},
		"pods/pods.go":        {true, false},
		"pods/pods_test.go":   {false, false},
	} {
		cluster, kubectl := of(Cluster), of(Kubectl)
		write(name, "changed")
		if got := of(Cluster) != cluster; got != want.cluster {
			t.Errorf("%s changes the cluster: %t", name, got)
		}
		if got := of(Kubectl) != kubectl; got != want.kubectl {
			t.Errorf("%s changes kubectl: %t", name, got)
		}
	}
}

func TestVersionIsThatOfTheModule(t *testing.T) {
	dir := t.TempDir()
	mod := "module m\n\nrequire (\n\tk8s.io/api v0.37.9\n\tk8s.io/kubernetes v1.37.9\n)\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := flags(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.9 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" +
		" -X k8s.io/client-go/pkg/version.gitVersion=v1.37.9 -X k8s.io/client-go/pkg/version.gitMajor=1 -X k8s.io/client-go/pkg/version.gitMinor=37"
	if got != want {
		t.Errorf("flags are %s", got)
	}
}
