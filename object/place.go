// SPDX-License-Identifier: Apache-2.0

package object

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where a walk is: written out only where there is something to say.
type place struct {
	parent *place // nil: the root
	name   string // of a field; empty for an item of a list
	index  int
}

// String is the path as Position takes it.
func (p *place) String() string {
	if p.parent == nil {
		return ""
	}
	if p.name == "" {
		return p.parent.String() + "[" + strconv.Itoa(p.index) + "]"
	}
	return Join(p.parent.String(), p.name)
}

// Join adds the name of a field to a path: spec.weight, or metadata.annotations[example.org/x] where the name would not read as one.
func Join(path, name string) string {
	switch {
	case strings.ContainsAny(name, ".[]"):
		return path + "[" + name + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// Field is the value of a field of a mapping; nil where there is none.
func Field(n *yaml.Node, name string) *yaml.Node {
	if _, v := entry(n, name); v != nil {
		return v
	}
	return nil
}

func entry(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// Position is the line and the column, from 1, of the field at a path such as spec.backends[0].weight, or of what is nearest above it
// where there is no such field. A name in brackets is a key, whatever its case, of a mapping or of a list of mappings:
// spec.matches[0].headers[user-agent].
func (o *Object) Position(path string) (line, column int) {
	n := o.tree()
	if n == nil {
		return 0, 0
	}
	mark := n
	for path != "" && n != nil {
		var part string
		part, path = segment(path)
		key, value := step(n, part)
		if value == nil {
			break
		}
		mark, n = key, value
	}
	return mark.Line, mark.Column
}

// segment cuts the first field, index or key off a path.
func segment(path string) (part, rest string) {
	if path[0] == '[' {
		if end := strings.IndexByte(path, ']'); end > 0 {
			return path[1:end], strings.TrimPrefix(path[end+1:], ".")
		}
		return path[1:], ""
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, ""
	}
	return path[:end], strings.TrimPrefix(path[end:], ".")
}

// step finds what a segment names, and the node to point at.
func step(n *yaml.Node, part string) (mark, value *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		return loose(n, part)
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil {
			if i >= 0 && i < len(n.Content) {
				return n.Content[i], n.Content[i]
			}
			return nil, nil
		}
		for _, c := range n.Content {
			if k, v := loose(c, part); v != nil {
				return k, v
			}
		}
	}
	return nil, nil
}

func loose(n *yaml.Node, name string) (key, value *yaml.Node) {
	if k, v := entry(n, name); v != nil || n.Kind != yaml.MappingNode {
		return k, v
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if strings.EqualFold(n.Content[i].Value, name) {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}
