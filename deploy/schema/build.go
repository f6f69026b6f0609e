// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"slices"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// props is short for the API server's word: this package says it on every line.
type props = v1.JSONSchemaProps

// field is a field of an object.
type field struct {
	name     string
	required bool
	props    props
}

func must(name string, p props) field { return field{name, true, p} }
func may(name string, p props) field  { return field{name, false, p} }

// closed is an object whose unknown fields are dropped.
func closed(doc string, fields ...field) props {
	p := props{Description: doc, Type: "object", Properties: map[string]props{}}
	for _, f := range fields {
		p.Properties[f.name] = f.props
		if f.required {
			p.Required = append(p.Required, f.name)
		}
	}
	return p
}

// open is an object whose unknown fields are kept.
func open(doc string, fields ...field) props {
	p := closed(doc, fields...)
	p.XPreserveUnknownFields = yes()
	return p
}

// free is any value.
func free(doc string) props { return props{Description: doc, XPreserveUnknownFields: yes()} }

func text(doc string) props { return props{Description: doc, Type: "string"} }

// word is a text that is not empty.
func word(doc string) props {
	p := text(doc)
	p.MinLength = count(1)
	return p
}

func matching(doc, pattern string) props {
	p := text(doc)
	p.Pattern = pattern
	return p
}

// oneOf is a text out of a list.
func oneOf[T ~string](doc string, values ...T) props {
	p := text(doc)
	for _, v := range values {
		p.Enum = append(p.Enum, value(v))
	}
	return p
}

// whole is a whole number from a smallest one on.
func whole(doc string, least float64) props {
	return props{Description: doc, Type: "integer", Format: "int64", Minimum: &least}
}

func port(doc string) props {
	least, most := 1.0, 65535.0
	return props{Description: doc, Type: "integer", Format: "int32", Minimum: &least, Maximum: &most}
}

func list(doc string, item props) props {
	return props{Description: doc, Type: "array", Items: &v1.JSONSchemaPropsOrArray{Schema: &item}}
}

// set is a list that names nothing twice.
func set(doc string, item props) props {
	p := list(doc, item)
	p.XListType = ref("set")
	return p
}

// keyed is a list of objects that a field tells apart.
func keyed(doc, key string, item props) props {
	p := list(doc, item)
	p.XListType, p.XListMapKeys = ref("map"), []string{key}
	return p
}

// entries are names with values.
func entries(doc string, each props) props {
	return props{Description: doc, Type: "object", AdditionalProperties: &v1.JSONSchemaPropsOrBool{Allows: true, Schema: &each}}
}

// orNull lets null stand for absence: typed clients write it.
func (f field) orNull() field {
	f.props.Nullable = true
	return f
}

// some wants at least one item of a list, or one field of an object.
func some(p props) props {
	if p.Type == "array" {
		p.MinItems = count(1)
	} else {
		p.MinProperties = count(1)
	}
	return p
}

// rule adds a CEL rule, with the words in which it refuses.
func rule(p props, cel, message string) props {
	p.XValidations = append(slices.Clip(p.XValidations), v1.ValidationRule{Rule: cel, Message: message})
	return p
}

func value[T ~string](v T) v1.JSON {
	raw, err := json.Marshal(string(v))
	if err != nil {
		panic("schema: " + err.Error()) // a text is JSON
	}
	return v1.JSON{Raw: raw}
}

func ref[T any](v T) *T { return &v }

func yes() *bool { return ref(true) }

func count(n int64) *int64 { return &n }
