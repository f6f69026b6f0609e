// SPDX-License-Identifier: Apache-2.0

package version

import (
	"encoding/json"
	"strconv"

	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// lift gives an object of some version the newest version's shape. The root and the spec of the result are new; what is below is
// shared. Strays are fields that would mean something in the new shape, and did not in the old.
func (s *Shape) lift(v int, root *yaml.Node) (lifted *yaml.Node, strays []stray) {
	lifted = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: root.Line, Column: root.Column}
	if v > s.Flat {
		lifted.Content = append(make([]*yaml.Node, 0, len(root.Content)+2), root.Content...)
		return lifted, nil
	}
	spec := mapping()
	lifted.Content = make([]*yaml.Node, 0, len(root.Content)+2)
	put := false
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, value := root.Content[i], root.Content[i+1]
		name := s.SpecName(k.Value)
		if name == "" && k.Value != "spec" {
			lifted.Content = append(lifted.Content, k, value)
			continue
		}
		if !put {
			lifted.Content = append(lifted.Content, text("spec"), spec)
			put = true
		}
		if name != "" {
			set(spec, name, value)
		}
	}
	if !put {
		lifted.Content = append(lifted.Content, text("spec"), spec)
	}
	old := object.Field(root, "spec")
	if isMap(old) {
		for i := 0; i+1 < len(old.Content); i += 2 {
			if k := old.Content[i].Value; s.Moves(k) {
				strays = append(strays, stray{true, k, object.AppendJSON(nil, old.Content[i+1])})
			} else {
				set(spec, k, old.Content[i+1])
			}
		}
	} else if !isNull(old) {
		strays = append(strays, stray{true, "", object.AppendJSON(nil, old)})
	}
	return lifted, strays
}

// SpecName is the name in the spec of a field that flat versions have beside metadata; empty where there is none.
func (s *Shape) SpecName(flat string) string {
	for _, m := range s.Moved {
		if m.Flat == flat {
			return m.Spec
		}
	}
	return ""
}

// Moves says whether a field of the spec stands beside metadata in flat versions.
func (s *Shape) Moves(spec string) bool {
	for _, m := range s.Moved {
		if m.Spec == spec {
			return true
		}
	}
	return false
}

// stray is a field in a place where its version has none and another version has one. It must not begin to mean something, and its
// object must not become sound by losing it.
type stray struct {
	Flat  bool            `json:"flat,omitempty"` // it stood in the spec of a version without a spec; otherwise beside metadata
	Field string          `json:"field,omitempty"`
	Value json.RawMessage `json:"value"`
}

// strays takes out the fields beside metadata that would mean something in a flat version.
func (s *Shape) strays(root *yaml.Node) (list []stray) {
	for _, m := range s.Moved {
		if v := remove(root, m.Flat); v != nil {
			list = append(list, stray{Field: m.Flat, Value: object.AppendJSON(nil, v)})
		}
	}
	return list
}

// put puts a stray back where it stood.
func (q *stray) put(root *yaml.Node) {
	v, err := object.ReadJSON(q.Value)
	switch spec := object.Field(root, "spec"); {
	case err != nil:
	case !q.Flat:
		set(root, q.Field, v)
	case q.Field == "":
		set(root, "spec", v)
	case isMap(spec):
		set(spec, q.Field, v)
	default:
		spec = mapping()
		set(spec, q.Field, v)
		set(root, "spec", spec)
	}
}

// lower gives an object in the newest version's shape that of another. It is lift's inverse, and changes the object.
func (s *Shape) lower(v int, root *yaml.Node) {
	if v > s.Flat {
		return
	}
	at := place(root, "spec")
	if at < 0 {
		return
	}
	spec := root.Content[at+1]
	var up []*yaml.Node
	if isMap(spec) {
		var rest []*yaml.Node
		for i := 0; i+1 < len(spec.Content); i += 2 {
			k, value := spec.Content[i], spec.Content[i+1]
			if name := s.flatName(k.Value); name != "" {
				up = append(up, text(name), value)
			} else {
				rest = append(rest, k, value)
			}
		}
		spec.Content = rest
	}
	if isNull(spec) || isMap(spec) && len(spec.Content) == 0 {
		root.Content = append(root.Content[:at:at], append(up, root.Content[at+2:]...)...)
	} else {
		root.Content = append(root.Content[:at+2:at+2], append(up, root.Content[at+2:]...)...)
	}
}

func (s *Shape) flatName(spec string) string {
	for _, m := range s.Moved {
		if m.Spec == spec {
			return m.Flat
		}
	}
	return ""
}

// holder is one place that may have a field: the spec, an object in it, or an item of a list in it.
type holder struct {
	node *yaml.Node
	path string // in the newest version's shape
	key  string // by which the place is known again when the list has changed
}

// holders lists the places in a spec that may have the field.
func (l *lack) holders(spec *yaml.Node) []holder {
	if l.in == "" {
		return []holder{{spec, "spec", ""}}
	}
	in := object.Field(spec, l.in)
	if !l.list {
		return []holder{{in, "spec." + l.in, ""}}
	}
	list := items(in)
	out := make([]holder, len(list))
	for i, n := range list {
		out[i] = holder{n, "spec." + l.in + "[" + strconv.Itoa(i) + "]", key(n)}
	}
	return out
}

// key is the name of a match or a backend, or the kind and the name of a subject.
func key(n *yaml.Node) string {
	k := str(n, "name")
	if kind := str(n, "kind"); kind != "" {
		k = kind + " " + str(n, "namespace") + "/" + k
	}
	if service := str(n, "service"); service != "" {
		k = service
	}
	return k
}

func (l *lack) has(v int) bool { return v >= l.min && v <= l.max }
