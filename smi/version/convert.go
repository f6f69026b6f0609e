// SPDX-License-Identifier: Apache-2.0

package version

import (
	"errors"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// Convert gives an object another version of its kind: v1alpha2, or split.smi-spec.io/v1alpha2. The object itself does not change.
// Where there is no such version the object comes back as it was, with an invalid finding.
func Convert(o *object.Object, to string) (*object.Object, []model.Finding) {
	ref := reference(o.Node())
	s, from, f := Resolve(o.APIVersion, o.Kind)
	if f != nil {
		f.Object = ref
		return o, []model.Finding{*f}
	}
	v, f := s.Target(to)
	if f != nil {
		f.Object = ref
		return o, []model.Finding{*f}
	}
	root := copyTree(o.Node())
	if object.Field(root, "kind") == nil || object.Field(root, "apiVersion") == nil { // the list that it came from said them
		remove(root, "kind")
		remove(root, "apiVersion")
		root.Content = append([]*yaml.Node{text("apiVersion"), text(o.APIVersion), text("kind"), text(o.Kind)}, root.Content...)
	}
	root, findings := s.convert(root, from, v)
	out, problems := object.Of(o.File, root)
	if out == nil {
		panic("version: conversion lost an object: " + problems[0].Message)
	}
	out.Line, out.Faulty = o.Line, o.Faulty
	return out, findings
}

// ConvertJSON is Convert for the JSON of an object, as a conversion webhook is given it. It takes every object that has an SMI kind and
// version, however broken inside: what it does not know stays as it is. Of the metadata only annotations change.
func ConvertJSON(raw []byte, to string) ([]byte, []model.Finding, error) {
	root, err := object.ReadJSON(raw)
	if err != nil {
		return nil, nil, err
	}
	s, from, f := Resolve(str(root, "apiVersion"), str(root, "kind"))
	v := 0
	if f == nil {
		v, f = s.Target(to)
	}
	if f != nil {
		return nil, nil, errors.New(f.Message + ". " + f.Hint)
	}
	root, findings := s.convert(root, from, v)
	return object.AppendJSON(make([]byte, 0, len(raw)+256), root), findings, nil
}

// convert changes the tree that it is given.
func (s *Shape) convert(root *yaml.Node, from, to int) (*yaml.Node, []model.Finding) {
	if from == to {
		return root, nil
	}
	lifted, strays := s.lift(from, root)
	c := conversion{shape: s, from: from, ref: reference(root), root: lifted, strays: strays}
	if !c.restore() {
		c.find(model.CodeDiscarded, "metadata.annotations["+Preserved+"]", "the annotation is not one that anymesh wrote: nothing is restored from it", "Remove it.")
	}
	if to <= s.Flat {
		c.strays = append(c.strays, s.strays(c.root)...)
	}
	c.strip(to)
	s.lower(to, c.root)
	for _, q := range c.strays {
		if q.Flat == (to <= s.Flat) {
			q.put(c.root)
			continue
		}
		c.find(model.CodeCarried, "metadata.annotations["+Preserved+"]", "a field in the wrong place would mean something in "+s.APIVersion(to)+": the annotation carries it", "Put the field where it belongs, or remove it.")
	}
	set(c.root, "apiVersion", text(s.APIVersion(to)))
	return c.root, c.findings
}

// reference names an object, however broken its metadata are.
func reference(root *yaml.Node) model.Ref {
	meta := object.Field(root, "metadata")
	return model.Ref{Kind: model.Kind(str(root, "kind")), Name: model.Name{Namespace: str(meta, "namespace"), Name: str(meta, "name")}}
}
