// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/smi/version"
)

// TestFieldsAreThoseThatAreRead writes each field of each schema into an object: its reader knows the field, and its version has it.
func TestFieldsAreThoseThatAreRead(t *testing.T) {
	n := 0
	for _, k := range version.Kinds() {
		s := version.Of(k)
		for v := s.First; v <= version.Newest; v++ {
			root := shaped(s, v)
			for _, top := range []string{"apiVersion", "kind", "metadata", "status"} {
				delete(root.Properties, top)
			}
			text := "apiVersion: " + s.APIVersion(v) + "\nkind: " + string(k) + "\nmetadata: {name: x}\n"
			for name, p := range root.Properties {
				text += name + ": " + sample(&p) + "\n"
				n++
			}
			objects, problems := object.Parse("", []byte(text))
			if len(objects) != 1 || len(problems) > 0 {
				t.Fatalf("%s: %+v", text, problems)
			}
			_, findings := smi.Decode(objects[0])
			for _, f := range findings {
				if f.Code == model.CodeUnknownField && f.Level == model.Invalid || f.Code == model.CodeMoved || f.Code == model.CodeType {
					t.Errorf("%s %s: %s %s\n%s", s.APIVersion(v), k, f.Path, f.Message, text)
				}
			}
		}
	}
	if n < 15 {
		t.Errorf("%d fields were tried", n)
	}
}

// sample is a value with every field that the schema has.
func sample(p *props) string {
	switch {
	case len(p.Enum) > 0:
		return string(p.Enum[0].Raw)
	case p.Type == "string":
		return "a/b"
	case p.Type == "integer":
		return "1"
	case p.Type == "array":
		return "[" + sample(p.Items.Schema) + "]"
	case p.AdditionalProperties != nil:
		return "{x: y}"
	case p.Type == "":
		if strings.Contains(p.Description, "header") {
			return "{x: y}"
		}
		return "1"
	}
	var fields []string
	for name, f := range p.Properties {
		fields = append(fields, name+": "+sample(&f))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// TestMissingFieldsAreInNoSchema looks for a field where its version has none, and for the same field where another has it.
func TestMissingFieldsAreInNoSchema(t *testing.T) {
	for _, k := range version.Kinds() {
		s := version.Of(k)
		for v := s.First; v <= version.Newest; v++ {
			root := shaped(s, v)
			for _, m := range s.Missing(v) {
				place, whole := spec(k, v), &root
				before := fields(&place)
				take(&place, m)
				if after := fields(&place); len(after) >= len(before) {
					t.Errorf("%s %s: taking %+v changes nothing", s.APIVersion(v), k, m)
				}
				path := m.Field
				if m.In != "" {
					path = m.In + "." + m.Field
				}
				if got := fields(whole); slices.Contains(got, path) || slices.Contains(got, "spec."+path) {
					t.Errorf("%s %s has the field %s: %s", s.APIVersion(v), k, path, got)
				}
			}
		}
	}
}

// fields are the paths of a schema's fields; an item of a list counts as its list.
func fields(p *props) (list []string) {
	if p.Items != nil {
		return fields(p.Items.Schema)
	}
	for name, f := range p.Properties {
		list = append(list, name)
		for _, below := range fields(&f) {
			list = append(list, name+"."+below)
		}
	}
	slices.Sort(list)
	return list
}

// TestTypesHaveTheirSchema compares the Go types that are written with the schemas that must take them.
func TestTypesHaveTheirSchema(t *testing.T) {
	status, m := status(), mesh()
	for _, c := range []struct {
		of     reflect.Type
		schema props
	}{
		{reflect.TypeFor[api.Status](), status},
		{reflect.TypeFor[api.MeshSpec](), m.Properties["spec"]},
		{reflect.TypeFor[api.MeshStatus](), m.Properties["status"]},
	} {
		if got, want := shape(&c.schema), typeShape(c.of); got != want {
			t.Errorf("%s is\n%s\nand its schema\n%s", c.of, want, got)
		}
	}
}

func shape(p *props) string {
	switch {
	case p.AdditionalProperties != nil:
		return "map of " + shape(p.AdditionalProperties.Schema)
	case p.Items != nil:
		return "list of " + shape(p.Items.Schema)
	case p.Type != "object":
		return p.Type
	}
	var list []string
	for name, f := range p.Properties {
		list = append(list, fmt.Sprintf("%s(%v) %s", name, slices.Contains(p.Required, name), shape(&f)))
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ", ") + "}"
}

func typeShape(t reflect.Type) string {
	if t.String() == "v1.Time" {
		return "string"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeShape(t.Elem())
	case reflect.Map:
		return "map of " + typeShape(t.Elem())
	case reflect.Slice:
		return "list of " + typeShape(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Int64:
		return "integer"
	case reflect.Struct:
		var list []string
		for i := range t.NumField() {
			name, option, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			list = append(list, fmt.Sprintf("%s(%v) %s", name, option != "omitempty", typeShape(t.Field(i).Type)))
		}
		slices.Sort(list)
		return "{" + strings.Join(list, ", ") + "}"
	}
	panic("a type that no schema has: " + t.String())
}
