// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"encoding/json"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi/version"
)

// PathRegex is the annotation of a route group that says how much of a path its expressions cover: "full" is all of it, and
// without the annotation they cover the beginning, as SMI says.
const PathRegex = "anymesh.dev/path-regex"

// Item is one SMI object: *TrafficTarget, *IdentityBinding, *HTTPRouteGroup, *PortRoute or *TrafficSplit.
type Item interface {
	// Head is what items of all kinds have.
	Head() *Meta
	// Facts is what the item means. Its namespace, where it says none, is the given one, or "default" where that is empty too.
	Facts(namespace string) []model.Fact

	// spec is the item in the newest version's shape, with the fields that only older ones have: a value to be written as JSON.
	spec() any
}

// Meta is what items of all kinds have.
type Meta struct {
	APIVersion          string // in which it was written
	Kind                model.Kind
	Namespace, Name     string
	Labels, Annotations map[string]string
	Created             int64 // seconds since 1970; 0 where not known
	Broken              bool  // a fault takes its effect away
}

// Head is the item's own.
func (m *Meta) Head() *Meta { return m }

// Ref points at the item.
func (m *Meta) Ref() model.Ref {
	return model.Ref{Kind: m.Kind, Name: model.Name{Namespace: m.Namespace, Name: m.Name}}
}

// name is the item's name in a world where every object has a namespace.
func (m *Meta) name(namespace string) model.Name {
	if m.Namespace != "" {
		namespace = m.Namespace
	}
	if namespace == "" {
		namespace = "default"
	}
	return model.Name{Namespace: namespace, Name: m.Name}
}

// Encode writes an item in a version of its kind: v1alpha2, or with its group; empty is the newest. What the version has no field for
// is carried as Convert carries it. It returns nil, with an invalid finding, where there is no such version.
func Encode(it Item, to string) (*object.Object, []model.Finding) {
	m := it.Head()
	s := version.Of(m.Kind)
	if to == "" {
		to = Newest(m.Kind)
	}
	v, f := s.Target(to)
	if f != nil {
		f.Object = m.Ref()
		return nil, []model.Finding{*f}
	}
	written := struct {
		APIVersion string     `json:"apiVersion"`
		Kind       model.Kind `json:"kind"`
		Metadata   metadata   `json:"metadata"`
		Spec       any        `json:"spec"`
	}{Kind: m.Kind, Metadata: metadata{m.Name, m.Namespace, m.Labels, m.Annotations}, Spec: it.spec()}
	text, err := json.Marshal(&written)
	if err != nil {
		panic("smi: " + err.Error()) // nothing in an item is beyond JSON
	}
	root, err := object.ReadJSON(text)
	if err != nil {
		panic("smi: " + err.Error())
	}
	findings := s.Write(v, root)
	o, problems := object.Of("", root)
	if o == nil {
		panic("smi: an item without a name: " + problems[0].Message)
	}
	return o, findings
}

type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}
