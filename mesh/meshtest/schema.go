// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json" // whole numbers stay whole, as CEL wants them
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// schema asks the mesh's own CRDs, by the validator of the API server with its CEL rules, whether they accept every object of every case
// whole.
func schema(t *testing.T, s Subject, cases []Case) {
	if len(s.CRDs) == 0 {
		t.Log("no schemas are given")
		return
	}
	schemas, missing := s.schemas()
	if missing != "" {
		t.Skipf("the mesh's CRDs are not here: %s", missing)
	}
	for _, c := range cases {
		w, _ := c.World()
		for _, o := range translate(s.Driver, w).objects {
			text, err := json.Marshal(&o)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range schemas.Check(text) {
				t.Errorf("case %s: %s: %s", c.Name, o.Key(), p)
			}
		}
	}
}

// schemas are the mesh's own, or the file of them that is not here.
func (s *Subject) schemas() (out Schemas, missing string) {
	out = Schemas{}
	for _, name := range s.CRDs {
		path, ok := Shared("crds", name)
		if !ok {
			return nil, path
		}
		if err := out.Load(path); err != nil {
			panic(err)
		}
	}
	return out, ""
}

// Schemas are validators by apiVersion and kind.
type Schemas map[string]*validator

type validator struct {
	schema     validation.SchemaCreateValidator
	structural *structural.Structural
	cel        *cel.Validator
}

// Load reads the CustomResourceDefinitions of a file.
func (s Schemas) Load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var crd v1.CustomResourceDefinition
		if err := dec.Decode(&crd); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, ver := range crd.Spec.Versions {
			v, err := newValidator(&ver)
			if err != nil {
				return fmt.Errorf("%s: %s %s: %w", path, crd.Name, ver.Name, err)
			}
			s[crd.Spec.Group+"/"+ver.Name+" "+crd.Spec.Names.Kind] = v
		}
	}
}

func newValidator(ver *v1.CustomResourceDefinitionVersion) (*validator, error) {
	if ver.Schema == nil || ver.Schema.OpenAPIV3Schema == nil {
		return nil, fmt.Errorf("no schema")
	}
	var props apiextensions.JSONSchemaProps
	if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(ver.Schema.OpenAPIV3Schema, &props, nil); err != nil {
		return nil, err
	}
	sv, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return nil, err
	}
	st, err := structural.NewStructural(&props)
	if err != nil {
		return nil, err
	}
	return &validator{sv, st, cel.NewValidator(st, true, 10_000_000)}, nil
}

// Check lists what the schema of its kind refuses in an object, and which of its fields the schema would drop. What the object does not say is
// filled in first with what the schema has for it, as the API server does: rules are written for objects that are whole.
func (s Schemas) Check(text []byte) (problems []string) {
	o, v, err := s.whole(text)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range validation.ValidateCustomResource(nil, o, v.schema) {
		problems = append(problems, e.Error())
	}
	for _, e := range listtype.ValidateListSetsAndMaps(nil, v.structural, o) {
		problems = append(problems, e.Error())
	}
	if v.cel != nil {
		errs, _ := v.cel.Validate(context.Background(), field.NewPath(""), v.structural, o, nil, 10_000_000)
		for _, e := range errs {
			problems = append(problems, e.Error())
		}
	}
	dropped := pruning.PruneWithOptions(o, v.structural, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(dropped) > 0 {
		problems = append(problems, "the schema does not know "+strings.Join(dropped, ", "))
	}
	return problems
}

// whole is an object with what its schema fills in.
func (s Schemas) whole(text []byte) (o map[string]any, v *validator, err error) {
	if err = json.Unmarshal(text, &o); err != nil {
		return nil, nil, err
	}
	if v = s[fmt.Sprint(o["apiVersion"], " ", o["kind"])]; v == nil {
		return nil, nil, fmt.Errorf("no schema serves this kind")
	}
	defaulting.Default(o, v.structural)
	return o, v, nil
}
