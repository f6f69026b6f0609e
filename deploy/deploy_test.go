// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
)

// TestServerAcceptsDefinitions asks the API server's own check of definitions.
func TestServerAcceptsDefinitions(t *testing.T) {
	for _, d := range CRDs() {
		v1.SetObjectDefaults_CustomResourceDefinition(d)
		d.Status.StoredVersions = []string{d.Spec.Versions[0].Name}
		var in apiextensions.CustomResourceDefinition
		if err := v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d, &in, nil); err != nil {
			t.Fatal(err)
		}
		for _, e := range validation.ValidateCustomResourceDefinition(context.Background(), &in) {
			t.Errorf("%s: %s", d.Name, e)
		}
		if !d.Spec.Versions[0].Storage || (d.Spec.Conversion.Strategy == v1.WebhookConverter) != (len(d.Spec.Versions) > 1) {
			t.Errorf("%s: the newest version is not stored, or its versions are not converted", d.Name)
		}
	}
	CRDs()[0].Spec.Group = "changed"
	if CRDs()[0].Spec.Group == "changed" {
		t.Error("definitions are shared")
	}
}

// TestFilesAreFresh also finds files that nothing makes any more.
func TestFilesAreFresh(t *testing.T) {
	files := Files()
	found, err := os.ReadDir("crds")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(files) {
		t.Errorf("the folder crds has %d files, and %d are made", len(found), len(files))
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("crds", name)); err != nil || string(got) != want {
			t.Errorf("crds/%s is not what the code says: run make generate (%v)", name, err)
		}
	}
}

// schemas are the validators that an API server makes of the files.
func schemas(t *testing.T) meshtest.Schemas {
	t.Helper()
	files, err := filepath.Glob("crds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no definitions: ", err)
	}
	s := meshtest.Schemas{}
	for _, f := range files {
		if err := s.Load(f); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestSoundObjectsPass gives the schemas every sound object of the corpus in every version: they accept each, and drop nothing.
func TestSoundObjectsPass(t *testing.T) {
	s, seen := schemas(t), map[string]int{}
	cases, err := filepath.Glob("../testdata/cases/*.yaml")
	if err != nil || len(cases) < 100 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, path := range cases {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		objects, _ := object.Parse(path, text)
		for _, o := range objects {
			if !smi.Speaks(o.APIVersion, o.Kind) || o.Faulty || invalid(o) != "" {
				continue
			}
			for _, v := range smi.Versions(model.Kind(o.Kind)) {
				to, _ := smi.Convert(o, v)
				raw, err := json.Marshal(to)
				if err != nil {
					t.Fatal(err)
				}
				problems := s.Check(raw)
				switch {
				case v == o.APIVersion && quoted(o): // files may say so, and typed clients could not read it
				case grantsNothing(o) && len(problems) == 1: // which only older versions may say; what is stored stays, since only changes are judged
				case len(problems) > 0:
					t.Errorf("%s: %s %s in %s: %s", path, o.Kind, o.Name, v, strings.Join(problems, "\n\t"))
				}
				seen[v+" "+o.Kind]++
			}
		}
	}
	for _, k := range smi.Kinds() {
		for _, v := range smi.Versions(k) {
			if seen[v+" "+string(k)] == 0 {
				t.Errorf("no object of the corpus was a %s %s", v, k)
			}
		}
	}
}

// invalid is the first finding for which admission refuses an object.
func invalid(o *object.Object) string {
	_, findings := smi.Decode(o)
	i := slices.IndexFunc(findings, func(f model.Finding) bool { return f.Level == model.Invalid })
	if i < 0 {
		return ""
	}
	return string(findings[i].Code) + " " + findings[i].Path
}

// quoted says whether weights are text where they should be numbers.
func quoted(o *object.Object) bool {
	_, findings := smi.Decode(o)
	return slices.ContainsFunc(findings, func(f model.Finding) bool { return f.Code == model.CodeWeight })
}

// grantsNothing says whether it is a TrafficTarget without rules or sources.
func grantsNothing(o *object.Object) bool {
	it, _ := smi.Decode(o)
	t, ok := it.(*smi.TrafficTarget)
	return ok && (len(t.Rules) == 0 || len(t.Sources) == 0)
}
