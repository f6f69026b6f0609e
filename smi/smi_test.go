// SPDX-License-Identifier: Apache-2.0

package smi_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// read parses one object.
func read(t testing.TB, text string) *object.Object {
	t.Helper()
	list, problems := object.Parse("in.yaml", []byte(text))
	if len(list) != 1 || len(problems) > 0 {
		t.Fatalf("%d objects, %+v\n%s", len(list), problems, text)
	}
	return list[0]
}

// write is an object of a kind with a body.
func write(apiVersion, kind, body string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata:\n  name: x\n  namespace: shop\n" + body
}

// facts are what an object means.
func facts(t testing.TB, o *object.Object) []model.Fact {
	t.Helper()
	it, findings := smi.Decode(o)
	if it == nil {
		t.Fatalf("not decoded: %+v", findings)
	}
	return it.Facts("shop")
}

// plain is an object as JSON values, without what conversion is meant to change.
func plain(t testing.TB, o *object.Object) map[string]any {
	t.Helper()
	text, _ := o.MarshalJSON()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// examples is the folder of the SMI pages' own examples, beside the repository; the tests that read it are skipped without it.
func examples(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(filepath.Dir(dir), "shared", "examples")
	if _, err := os.Stat(filepath.Join(dir, "normalized")); err != nil {
		t.Skip("the examples of the SMI pages are not beside the repository")
	}
	return dir
}

// faulty are the examples that are wrong on their page.
var faulty = map[string]string{
	"access/v1alpha4/01.yaml IdentityBinding service-a": "shows podLabelSelector together with serviceAccount, which its own text excludes",
}

func TestExamplesOfThePages(t *testing.T) {
	root := examples(t)
	n := 0
	for _, dir := range []string{"normalized", "normalized-list-headers"} {
		dir = filepath.Join(root, dir)
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(dir, path)
			list, problems := object.Parse(name, data)
			if len(problems) > 0 {
				t.Errorf("%s: %+v", name, problems)
			}
			for _, o := range list {
				if smi.Speaks(o.APIVersion, o.Kind) {
					n++
					example(t, name+" "+o.Kind+" "+o.Name, o)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 80 {
		t.Errorf("only %d objects were read", n)
	}
}

// example decodes an object without a fault, and converts it to every other version and back.
func example(t *testing.T, name string, o *object.Object) {
	it, findings := smi.Decode(o)
	why, bad := faulty[name]
	for _, f := range findings {
		if f.Level == model.Invalid && !bad {
			t.Errorf("%s: %s %s: %s", name, f.Code, f.Path, f.Message)
		}
		bad = false
	}
	if bad {
		t.Errorf("%s: no fault found, though it %s", name, why)
	}
	there(t, name, o)
	again, findings := smi.Encode(it, o.APIVersion)
	if again == nil || !it.Head().Broken && !reflect.DeepEqual(facts(t, again), facts(t, o)) {
		t.Errorf("%s: encoded it means something else: %+v", name, findings)
	}
	for _, f := range it.Facts("shop") {
		if it.Head().Broken {
			continue
		}
		items := smi.FromFacts([]model.Fact{f})
		if len(items) != 1 || !reflect.DeepEqual(items[0].Facts("shop")[0], f) {
			t.Errorf("%s: the item of its fact means something else: %+v", name, items)
		}
	}
}

// there converts an object to every version of its kind and back.
func there(t *testing.T, name string, o *object.Object) {
	t.Helper()
	want := facts(t, o)
	for _, v := range smi.Versions(model.Kind(o.Kind)) {
		other, _ := smi.Convert(o, v)
		if other.APIVersion != v {
			t.Errorf("%s to %s: it is %s", name, v, other.APIVersion)
		}
		if got := facts(t, other); !reflect.DeepEqual(got, want) {
			t.Errorf("%s to %s: it means\n%+v\nand not\n%+v", name, v, show(got), show(want))
		}
		back, _ := smi.Convert(other, o.APIVersion)
		if got := facts(t, back); !reflect.DeepEqual(got, want) {
			t.Errorf("%s to %s and back: it means\n%+v\nand not\n%+v", name, v, show(got), show(want))
		}
		if got, want := plain(t, back), plain(t, o); !reflect.DeepEqual(got, want) {
			t.Errorf("%s to %s and back: it is\n%v\nand not\n%v", name, v, got, want)
		}
	}
}

func show(list []model.Fact) string {
	text, _ := json.Marshal(list)
	return string(text)
}

func TestUnknownVersions(t *testing.T) {
	for _, c := range []struct {
		apiVersion, kind, hint string
		code                   model.Code
	}{
		{"split.smi-spec.io/v1alpha5", "TrafficSplit", "split.smi-spec.io/v1alpha1, split.smi-spec.io/v1alpha2", model.CodeUnknownVersion},
		{"specs.smi-spec.io/v1alpha3", "UDPRoute", "specs.smi-spec.io/v1alpha4", model.CodeUnknownVersion},
		{"access.smi-spec.io/v1alpha3", "IdentityBinding", "access.smi-spec.io/v1alpha4", model.CodeUnknownVersion},
		{"spec.smi-spec.io/v1alpha1", "TCPRoute", "specs.smi-spec.io/v1alpha1", model.CodeUnknownVersion},
		{"v1alpha1", "TCPRoute", "group is missing: specs.smi-spec.io/v1alpha1", model.CodeUnknownVersion},
		{"split.smi-spec.io/v1alpha1", "TrafficSplitter", "TrafficSplit", model.CodeUnknownVersion},
		{"access.smi-spec.io/v1alpha1", "TrafficSplit", "split.smi-spec.io/v1alpha1", model.CodeUnknownVersion},
		{"metrics.smi-spec.io/v1alpha1", "TrafficMetrics", "", model.CodeIgnored},
	} {
		it, findings := smi.Decode(read(t, write(c.apiVersion, c.kind, "")))
		if it != nil || len(findings) != 1 || findings[0].Code != c.code || !strings.Contains(findings[0].Hint, c.hint) {
			t.Errorf("%s %s: %+v", c.apiVersion, c.kind, findings)
		}
	}
	if it, findings := smi.Decode(read(t, write("gateway.networking.k8s.io/v1", "TCPRoute", ""))); it != nil || findings != nil {
		t.Errorf("a TCPRoute of another project: %+v", findings)
	}
}

func TestPathSaysWhereAVersionHasAField(t *testing.T) {
	for _, c := range []struct {
		apiVersion string
		kind       model.Kind
		path, want string
	}{
		{"access.smi-spec.io/v1alpha1", model.KindPermission, "spec.rules[1].name", "specs[1].name"},
		{"access.smi-spec.io/v1alpha1", model.KindPermission, "spec.destination.port", "destination.port"},
		{"access.smi-spec.io/v1alpha1", model.KindPermission, "metadata.name", "metadata.name"},
		{"access.smi-spec.io/v1alpha2", model.KindPermission, "spec.rules[1].name", "spec.rules[1].name"},
		{"specs.smi-spec.io/v1alpha2", model.KindGroup, "spec.matches[0].headers[x]", "matches[0].headers[x]"},
		{"specs.smi-spec.io/v1alpha3", model.KindGroup, "spec.matches[0].name", "spec.matches[0].name"},
		{"split.smi-spec.io/v1alpha1", model.KindSplit, "spec.service", "spec.service"},
	} {
		if got := smi.Path(c.apiVersion, c.kind, c.path); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.path, c.apiVersion, got, c.want)
		}
	}
	list := read(t, write("specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", "matches:\n- name: a\n  headers:\n  - cookie: '(?=x)'\n"))
	_, findings := smi.Decode(list)
	if len(findings) != 1 {
		t.Fatalf("%+v", findings)
	}
	if line, column := list.Position(smi.Path(list.APIVersion, model.KindGroup, findings[0].Path)); line != 9 || column != 5 {
		t.Errorf("the fault is at %d:%d (%s)", line, column, findings[0].Path)
	}
}

func TestPieces(t *testing.T) {
	if got := smi.Newest(model.KindSplit); got != "split.smi-spec.io/v1alpha4" {
		t.Error(got)
	}
	if got := smi.Versions(model.KindService); got != nil {
		t.Error(got)
	}
	if got := len(smi.Kinds()); got != 6 {
		t.Error(got)
	}
}
