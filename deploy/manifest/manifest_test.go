// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/kube/source"
	"github.com/anymesh/anymesh/mesh/all"
)

// granted is a rule of a role as JSON has it.
type granted struct {
	APIGroups     []string `json:"apiGroups"`
	Resources     []string `json:"resources"`
	ResourceNames []string `json:"resourceNames"`
	Verbs         []string `json:"verbs"`
}

// rules are those of a role of ours.
func rules(t *testing.T, v *Values, kind string) []granted {
	t.Helper()
	for _, o := range Objects(v) {
		if o["kind"] != kind || o["metadata"].(map[string]any)["name"] != Name {
			continue
		}
		text, err := json.Marshal(o["rules"])
		var out []granted
		if err == nil {
			err = json.Unmarshal(text, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("there is no %s", kind)
	return nil
}

// may says whether rules allow all of the verbs on any object of a resource.
func may(list []granted, group, resource string, verbs ...string) bool {
	for _, verb := range verbs {
		if !slices.ContainsFunc(list, func(g granted) bool {
			return slices.Contains(g.APIGroups, group) && slices.Contains(g.Resources, resource) && slices.Contains(g.Verbs, verb) && len(g.ResourceNames) == 0
		}) {
			return false
		}
	}
	return true
}

// TestPermissionsSuffice holds that the roles allow what the parts say that they do.
func TestPermissionsSuffice(t *testing.T) {
	every := Defaults()
	if err := every.Set("meshes=" + strings.Join(Meshes(), ",")); err != nil {
		t.Fatal(err)
	}
	list := rules(t, every, "ClusterRole")
	for _, r := range source.Reads() {
		if resource := strings.ToLower(r.Kind) + "s"; !may(list, r.Group, resource, "get", "list", "watch") {
			t.Errorf("%s.%s is read by the source and not allowed to be", resource, r.Group)
		}
	}
	for _, d := range all.Drivers() {
		for _, k := range d.Kinds {
			group, _, ok := strings.Cut(k.APIVersion, "/")
			if !ok {
				group = ""
			}
			if k.Resource != "" && d.Writes() && !may(list, group, k.Resource, "get", "list", "watch", "create", "patch", "delete") {
				t.Errorf("%s.%s is written by %s and not allowed to be", k.Resource, group, d.Name)
			}
		}
	}
	if controller.Lease != Name {
		t.Errorf("the lease is called %s", controller.Lease)
	}
}

// TestPermissionsAreLeast holds that nothing is allowed for all, and nothing of a mesh that is not enabled.
func TestPermissionsAreLeast(t *testing.T) {
	none := Defaults()
	if err := none.Set("meshes="); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ClusterRole", "Role"} {
		for _, g := range rules(t, none, kind) {
			for _, word := range slices.Concat(g.APIGroups, g.Resources, g.Verbs) {
				if strings.Contains(word, "*") {
					t.Errorf("%v is allowed", g)
				}
			}
			if kind == "ClusterRole" && len(g.ResourceNames) == 0 && (slices.Contains(g.Verbs, "delete") || slices.Contains(g.Verbs, "update") || slices.Contains(g.Resources, "secrets")) {
				t.Errorf("without a mesh %v is allowed", g)
			}
		}
	}
	for group, resources := range map[string][]string{"split.smi-spec.io": {"trafficsplits"}, "access.smi-spec.io": {"traffictargets"}, "specs.smi-spec.io": {"httproutegroups"}} {
		if may(rules(t, Defaults(), "ClusterRole"), group, resources[0], "patch") {
			t.Errorf("by default users' own %v may be changed", resources)
		}
	}
	if len(Meshes()) == 0 {
		t.Fatal("no mesh lives in a cluster")
	}
	one := Defaults()
	if err := one.Set("meshes=" + Meshes()[0]); err != nil {
		t.Fatal(err)
	}
	if n, m := len(rules(t, one, "ClusterRole")), len(rules(t, none, "ClusterRole")); n <= m {
		t.Errorf("a mesh more allows no more: %d and %d rules", n, m)
	}
}

// TestFilesAreFresh also finds files that nothing makes any more.
func TestFilesAreFresh(t *testing.T) {
	files := Files()
	for _, dir := range []string{"manifests", "chart"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if name, _ := filepath.Rel("..", path); files[filepath.ToSlash(name)] == "" {
					t.Errorf("nothing makes deploy/%s any more", name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name))); err != nil || string(got) != want {
			t.Errorf("deploy/%s is not what the code says: run make generate (%v)", name, err)
		}
	}
}
