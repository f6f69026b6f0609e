// SPDX-License-Identifier: Apache-2.0

package version

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func whole(n int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(n, 10)}
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// set gives a field of a mapping a value, in its place or at the end.
func set(n *yaml.Node, name string, value *yaml.Node) {
	if i := place(n, name); i >= 0 {
		n.Content[i+1] = value
		return
	}
	n.Content = append(n.Content, text(name), value)
}

// remove takes a field out of a mapping; nil where there is none.
func remove(n *yaml.Node, name string) *yaml.Node {
	i := place(n, name)
	if i < 0 {
		return nil
	}
	v := n.Content[i+1]
	n.Content = slices.Delete(n.Content, i, i+2)
	return v
}

func place(n *yaml.Node, name string) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return i
		}
	}
	return -1
}

func isMap(n *yaml.Node) bool { return n != nil && n.Kind == yaml.MappingNode }

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// items are the items of a list; none for anything else.
func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// str is the text of a field; empty where it is not a text.
func str(n *yaml.Node, name string) string {
	if v := object.Field(n, name); v != nil {
		s, _ := object.Text(v)
		return s
	}
	return ""
}

// copyTree copies a tree, so that the copy may be changed.
func copyTree(n *yaml.Node) *yaml.Node {
	c := copier{nodes: make([]yaml.Node, count(n))}
	return c.tree(n)
}

func count(n *yaml.Node) int {
	sum := 1
	for _, c := range n.Content {
		sum += count(c)
	}
	return sum
}

// copier hands out nodes of one slab: a tree has many, and they live and die together.
type copier struct{ nodes []yaml.Node }

func (c *copier) tree(n *yaml.Node) *yaml.Node {
	d := &c.nodes[0]
	c.nodes = c.nodes[1:]
	*d = *n
	if n.Content != nil {
		d.Content = make([]*yaml.Node, len(n.Content), len(n.Content)+2)
		for i, k := range n.Content {
			d.Content[i] = c.tree(k)
		}
	}
	return d
}

// appendCanonical writes a tree so that trees of one meaning have one text: fields by name, without those that are null, and
// numbers by value. An API server does not keep more than that.
func appendCanonical(dst []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		type field struct{ key, value *yaml.Node }
		fields := make([]field, 0, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !isNull(n.Content[i+1]) {
				fields = append(fields, field{n.Content[i], n.Content[i+1]})
			}
		}
		slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(a.key.Value, b.key.Value) })
		dst = append(dst, '{')
		for _, f := range fields {
			dst = append(object.AppendString(dst, f.key.Value), ':')
			dst = append(appendCanonical(dst, f.value), ',')
		}
		return append(dst, '}')
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for _, c := range n.Content {
			dst = append(appendCanonical(dst, c), ',')
		}
		return append(dst, ']')
	}
	if n.Tag == "!!float" {
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return strconv.AppendInt(dst, int64(f), 10)
		}
	}
	return object.AppendJSON(dst, n)
}
