// SPDX-License-Identifier: Apache-2.0

package object

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object/text"
	"go.yaml.in/yaml/v3"
)

// Unmarshaler reads its own value. The paths of the problems are relative to the value: empty for the value itself, [0].name for a
// field of its first item. It is not asked about null.
type Unmarshaler interface {
	UnmarshalNode(*yaml.Node) []Problem
}

// Raw is a part of an object that is kept as it is.
type Raw struct{ *yaml.Node }

// UnmarshalNode keeps the node.
func (r *Raw) UnmarshalNode(n *yaml.Node) []Problem {
	r.Node = n
	return nil
}

// MarshalJSON writes the part, in its own order.
func (r Raw) MarshalJSON() ([]byte, error) { return AppendJSON(nil, r.Node), nil }

// Decode fills the value that into points to, by the names of its json tags, and reports what does not fit: fields that the type does
// not have, values of another type, numbers out of range. What fits is filled even so. The type need not have apiVersion, kind,
// metadata and status, which every object may have. Null is the same as absence.
func (o *Object) Decode(into any) []Problem { return decode(o.tree(), into, decoder{root: true}) }

// DecodeLax is Decode for objects of which only a part is of interest: fields that the type does not have are no problem.
func (o *Object) DecodeLax(into any) []Problem {
	return decode(o.tree(), into, decoder{root: true, lax: true})
}

// Unmarshal decodes a part of an object as Decode does the whole.
func Unmarshal(n *yaml.Node, into any) []Problem { return decode(n, into, decoder{}) }

func decode(n *yaml.Node, into any, d decoder) []Problem {
	d.value(n, reflect.ValueOf(into).Elem(), &place{})
	return d.problems
}

type decoder struct {
	lax, root bool
	problems  []Problem
}

func (d *decoder) problem(c model.Code, n *yaml.Node, at *place, message, hint string) {
	d.problems = append(d.problems, Problem{c, at.String(), n.Line, n.Column, message, hint})
}

func (d *decoder) wrong(n *yaml.Node, at *place, want string) {
	hint := ""
	if want == "text" {
		hint = quoteHint(n)
	} else if s, ok := Text(n); ok && s != "" && n.Style != 0 {
		hint = "Write it without quotes."
	}
	d.problem(model.CodeType, n, at, want+" is wanted here, not "+describe(n), hint)
}

func quoteHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	return `Put it in quotes: "` + n.Value + `".`
}

// describe says what a value is, in words.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!str", "!!timestamp":
		return "the text " + strconv.Quote(n.Value)
	case "!!bool":
		return n.Value + ", which is true or false"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!null":
		return "nothing"
	}
	return "a value with the tag " + n.Tag
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, at *place) {
	if null(n) {
		return
	}
	if d.custom(n, v, at) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), at)
	case reflect.Struct:
		d.fields(n, v, at)
	case reflect.Map:
		d.entries(n, v, at)
	case reflect.Slice:
		d.items(n, v, at)
	case reflect.Interface:
		v.Set(reflect.ValueOf(Value(n)))
	default:
		d.scalar(n, v, at)
	}
}

var (
	unmarshaler     = reflect.TypeFor[Unmarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

// custom lets a type read its own value.
func (d *decoder) custom(n *yaml.Node, v reflect.Value, at *place) bool {
	if t := v.Type(); t.PkgPath() == "" || !v.CanAddr() {
		return false
	} else if p := reflect.PointerTo(t); p.Implements(unmarshaler) {
		prefix := at.String()
		for _, q := range v.Addr().Interface().(Unmarshaler).UnmarshalNode(n) {
			q.Path = prefix + q.Path
			d.problems = append(d.problems, q)
		}
		return true
	} else if p.Implements(jsonUnmarshaler) {
		if err := json.Unmarshal(AppendJSON(nil, n), v.Addr().Interface()); err != nil {
			d.problem(model.CodeType, n, at, err.Error(), "")
		}
		return true
	}
	return false
}

func (d *decoder) fields(n *yaml.Node, v reflect.Value, at *place) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, at, "an object with fields")
		return
	}
	root := d.root
	d.root = false
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		here := place{parent: at, name: k.Value}
		if f := member(v, k.Value); f.IsValid() {
			d.value(n.Content[i+1], f, &here)
		} else if !d.lax && !(root && (k.Value == "apiVersion" || k.Value == "kind" || k.Value == "metadata" || k.Value == "status")) {
			d.problem(model.CodeUnknownField, k, &here, "there is no field "+k.Value+" here", Suggest(k.Value, members(v.Type(), nil)))
		}
	}
}

// member finds a field by the name of its json tag; invalid where there is none. Types have few fields: looking through them costs less
// than an index that would have to live somewhere.
func member(v reflect.Value, name string) reflect.Value {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == name && f.IsExported() && name != "-":
			return v.Field(i)
		case tag == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			if m := member(v.Field(i), name); m.IsValid() {
				return m
			}
		}
	}
	return reflect.Value{}
}

func members(t reflect.Type, names []string) []string {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			names = members(f.Type, names)
		case tag != "" && tag != "-" && f.IsExported():
			names = append(names, tag)
		}
	}
	return names
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, at *place) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, at, "an object with fields")
		return
	}
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		panic("object: cannot decode into " + t.String() + ": keys are text")
	}
	v.Set(reflect.MakeMapWithSize(t, len(n.Content)/2))
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		item := reflect.New(t.Elem()).Elem()
		d.value(n.Content[i+1], item, &place{parent: at, name: k.Value})
		v.SetMapIndex(reflect.ValueOf(k.Value).Convert(t.Key()), item)
	}
}

func (d *decoder) items(n *yaml.Node, v reflect.Value, at *place) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, at, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		here := place{parent: at, index: i}
		if null(c) && v.Type().Elem().Kind() != reflect.Pointer && v.Type().Elem().Kind() != reflect.Interface {
			d.problem(model.CodeType, c, &here, "an item of the list is empty", "Remove it, or write its value.")
			continue
		}
		d.value(c, v.Index(i), &here)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at *place) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := Text(n); ok {
			v.SetString(s)
			return
		}
		d.wrong(n, at, "text")
	case reflect.Bool:
		if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
			v.SetBool(n.Value[0] == 't' || n.Value[0] == 'T')
			return
		}
		d.wrong(n, at, "true or false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(n, v, at)
	case reflect.Float32, reflect.Float64:
		if f, err := strconv.ParseFloat(n.Value, 64); n.Kind == yaml.ScalarNode && (n.Tag == "!!float" || n.Tag == "!!int") && err == nil {
			v.SetFloat(f)
			return
		}
		d.wrong(n, at, "a number")
	default:
		panic("object: cannot decode into " + v.Type().String())
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, at *place) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		d.wrong(n, at, "a whole number")
		return
	}
	i, ok := text.Integer(n.Value)
	bits := v.Type().Bits()
	if v.CanInt() {
		if ok && !v.OverflowInt(i) {
			v.SetInt(i)
			return
		}
		d.problem(model.CodeType, n, at, fmt.Sprintf("%s is out of range: %d to %d", n.Value, int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)), "")
		return
	}
	if ok && i >= 0 && !v.OverflowUint(uint64(i)) {
		v.SetUint(uint64(i))
		return
	}
	d.problem(model.CodeType, n, at, fmt.Sprintf("%s is out of range: 0 to %d", n.Value, uint64(math.MaxUint64)>>(64-bits)), "")
}

// Value is the plain Go value of a part of an object: map[string]any, []any, string, bool, int64, float64 or nil.
func Value(n *yaml.Node) any {
	switch {
	case null(n):
		return nil
	case n.Kind == yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = Value(n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, c := range n.Content {
			l[i] = Value(c)
		}
		return l
	}
	switch n.Tag {
	case "!!bool":
		return n.Value[0] == 't' || n.Value[0] == 'T'
	case "!!int":
		if i, ok := text.Integer(n.Value); ok {
			return i
		}
		fallthrough
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return f
		}
	}
	return n.Value
}
