// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi/version"
	"go.yaml.in/yaml/v3"
)

// Decode reads an SMI object of any version. Findings name fields in the newest version's shape: Path says where that is in the object.
// An item with faults comes back too, and its facts allow no more than what is sound in it; the item is nil only where the
// kind or the version is unknown, or not SMI's at all. An object that object.Parse found faults in is broken without a finding of its own.
func Decode(o *object.Object) (Item, []model.Finding) {
	if !Speaks(o.APIVersion, o.Kind) {
		return nil, nil
	}
	s, v, f := version.Resolve(o.APIVersion, o.Kind)
	if f != nil {
		f.Object = model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
		return nil, []model.Finding{*f}
	}
	d := decoder{shape: s, version: v, never: map[int]bool{}, meta: Meta{
		APIVersion: o.APIVersion, Kind: s.Kind, Namespace: o.Namespace, Name: o.Name,
		Labels: o.Labels, Annotations: o.Annotations, Created: o.Created(), Broken: o.Faulty,
	}}
	d.spec = d.open(o.Node())
	switch s.Kind {
	case model.KindPermission:
		return d.target(), d.findings
	case model.KindBinding:
		return d.binding(), d.findings
	case model.KindGroup:
		return d.group(), d.findings
	case model.KindSplit:
		return d.split(), d.findings
	}
	return d.ports(), d.findings
}

// decoder reads one object.
type decoder struct {
	shape    *version.Shape
	version  int
	meta     Meta
	spec     *yaml.Node
	never    map[int]bool // matches with a fault
	findings []model.Finding
}

func (d *decoder) find(l model.Level, c model.Code, path, message, hint string) {
	d.findings = append(d.findings, model.Finding{Level: l, Code: c, Object: d.meta.Ref(), Path: path, Message: message, Hint: hint})
}

// invalid finds a fault that breaks the item; in a route group only the match that has it.
func (d *decoder) invalid(c model.Code, path, message, hint string) {
	d.find(model.Invalid, c, path, message, hint)
	if i, ok := index(path, "spec.matches"); ok && d.shape.Kind == model.KindGroup {
		d.never[i] = true
	} else {
		d.meta.Broken = true
	}
}

func (d *decoder) found(path string) bool {
	return slices.ContainsFunc(d.findings, func(f model.Finding) bool { return f.Path == path })
}

// missing finds that a field is not there or empty. One with a value of the wrong type is there, and was found.
func (d *decoder) missing(field, path, hint string) {
	if !d.found(path) {
		d.invalid(model.CodeRequired, path, field+" is missing or empty", hint)
	}
}

// open checks what surrounds the spec, and gives the spec the newest version's shape, with all that the object carries.
func (d *decoder) open(root *yaml.Node) *yaml.Node {
	d.surroundings(root)
	r := d.shape.Read(d.version, root)
	for _, m := range r.Misplaced {
		d.invalid(model.CodeMoved, m.Path, d.meta.APIVersion+" has no field "+m.Field, m.Hint)
	}
	note := "metadata.annotations[" + Preserved + "]"
	if r.Unread {
		d.invalid(model.CodeSyntax, note, "the annotation is not one that anymesh wrote: what it carried is lost", "Remove it, once the object says all that it should.")
	}
	if r.Strays {
		d.invalid(model.CodeMoved, note, "the annotation carries fields that stood in the wrong place", "Put them where they belong, and remove the annotation.")
	}
	d.findings = append(d.findings, r.Findings...)
	if _, ok := d.meta.Annotations[Preserved]; ok {
		d.meta.Annotations = maps.Clone(d.meta.Annotations)
		delete(d.meta.Annotations, Preserved)
	}
	spec := r.Spec
	d.nulls(spec, "spec")
	switch {
	case isNull(spec) && (d.shape.Kind == model.KindTCPRoute || d.shape.Kind == model.KindUDPRoute):
		d.find(model.Notice, model.CodeRequired, "spec", "there is no spec: all ports are meant", "Write spec: {}.")
	case isNull(spec):
		if !d.meta.Broken { // a misplaced field says more
			d.invalid(model.CodeRequired, "spec", "there is no spec", "Write what the object is for under spec.")
		}
	case !isMap(spec):
		d.invalid(model.CodeType, "spec", "the spec has no fields", "Write fields under spec, indented.")
	}
	return spec
}

// surroundings finds fields beside metadata that the version does not have there.
func (d *decoder) surroundings(root *yaml.Node) {
	flat := d.version <= d.shape.Flat
	for i := 0; i+1 < len(root.Content); i += 2 {
		k := root.Content[i].Value
		switch {
		case k == "apiVersion" || k == "kind" || k == "metadata" || k == "status":
		case !flat && k == "spec" || flat && d.shape.SpecName(k) != "":
		case k == "spec" && (isNull(root.Content[i+1]) || isMap(root.Content[i+1]) && len(root.Content[i+1].Content) == 0):
			d.find(model.Notice, model.CodeMoved, "spec", d.meta.APIVersion+" has no spec", "")
		case k == "spec":
			d.invalid(model.CodeMoved, "spec", d.meta.APIVersion+" has no spec: its fields stand beside metadata", "Write apiVersion: "+d.shape.APIVersion(version.Newest)+".")
		case !flat && (d.shape.Moves(k) || d.shape.SpecName(k) != ""):
			d.invalid(model.CodeMoved, k, d.meta.APIVersion+" has no "+k+" beside metadata", "Put it under spec.")
		default:
			d.invalid(model.CodeUnknownField, "spec."+k, "there is no field "+k+" here", object.Suggest(k, d.top(flat)))
		}
	}
}

// top lists the fields that may stand beside metadata.
func (d *decoder) top(flat bool) []string {
	if !flat {
		return []string{"spec"}
	}
	var names []string
	for _, m := range d.shape.Moved {
		names = append(names, m.Flat)
	}
	return names
}

// nulls finds fields that were begun and not written. Some say nothing where they are null; the others would say more than was meant.
func (d *decoder) nulls(n *yaml.Node, path string) {
	if n == nil {
		return
	}
	for i, c := range n.Content {
		if n.Kind == yaml.SequenceNode {
			d.nulls(c, path+"["+strconv.Itoa(i)+"]")
			continue
		}
		if i%2 == 0 {
			continue
		}
		k := n.Content[i-1].Value
		if !isNull(c) {
			if k == "headers" { // whose values must be text
				continue
			}
			d.nulls(c, object.Join(path, k))
		} else if k != "apiGroup" && k != "group" && k != "namespace" && k != "weight" && k != "schemes" {
			d.invalid(model.CodeType, object.Join(path, k), k+" has no value", "Write its value, or remove the field.")
		}
	}
}

// read decodes the spec.
func (d *decoder) read(into any) {
	if !isMap(d.spec) {
		return
	}
	for _, p := range object.Unmarshal(d.spec, into) {
		d.invalid(p.Code, "spec."+p.Path, p.Message, p.Hint)
	}
}

func isMap(n *yaml.Node) bool { return n != nil && n.Kind == yaml.MappingNode }

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// index is the item of a list that a path leads into.
func index(path, list string) (int, bool) {
	rest, ok := strings.CutPrefix(path, list+"[")
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	return i, err == nil
}

func at(list string, i int, field string) string {
	p := "spec." + list + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		p += "." + field
	}
	return p
}
