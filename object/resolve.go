// SPDX-License-Identifier: Apache-2.0

package object

import (
	"strconv"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object/text"
	"go.yaml.in/yaml/v3"
)

// Limits of one document: a few lines of aliases can stand for billions of values, and a few kilobytes of brackets for a stack
// without end.
const (
	maxNodes = 200_000
	maxDepth = text.MaxDepth

	maxProblems = 50 // that are reported of the tree of one document
)

// resolver walks a fresh tree once: it moves lines to where they stand in the file, puts aliases and merges in their place, and finds
// keys that occur twice or are not text.
type resolver struct {
	line     int // to add
	left     int // nodes that the document may still have
	problems []Problem
}

func (t *resolver) problem(n *yaml.Node, at *place, message, hint string) {
	if len(t.problems) >= maxProblems {
		return
	}
	t.problems = append(t.problems, Problem{Code: model.CodeSyntax, Path: at.String(), Line: n.Line, Column: n.Column, Message: message, Hint: hint})
}

func (t *resolver) resolve(n *yaml.Node, at place, depth int) *yaml.Node {
	n.Line += t.line
	if t.left--; t.left <= 0 || depth > maxDepth {
		t.exhaust(n, &at)
		return n
	}
	if n.Kind == yaml.AliasNode {
		if !t.count(n.Alias, depth) {
			t.exhaust(n, &at)
		}
		return n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			n.Content[i] = t.resolve(c, place{parent: &at, index: i}, depth+1)
		}
	case yaml.MappingNode:
		t.mapping(n, &at, depth)
	}
	return n
}

func (t *resolver) exhaust(n *yaml.Node, at *place) {
	if t.left > -maxNodes {
		t.left = -2 * maxNodes
		t.problem(n, at, "the document is too deep, or its aliases stand for too many values", "Write the values out, in several documents.")
	}
}

// count charges what an alias stands for; false where that is too much. Its target was resolved before, unless it contains the alias.
func (t *resolver) count(n *yaml.Node, depth int) bool {
	if t.left -= 1 + len(n.Value)/32; t.left <= 0 || depth > maxDepth {
		return false
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for _, c := range n.Content {
		if !t.count(c, depth+1) {
			return false
		}
	}
	return true
}

func (t *resolver) mapping(n *yaml.Node, at *place, depth int) {
	merges := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := t.resolve(n.Content[i], *at, depth+1)
		n.Content[i] = k
		here := place{parent: at, name: k.Value}
		n.Content[i+1] = t.resolve(n.Content[i+1], here, depth+1)
		switch {
		case k.Kind != yaml.ScalarNode:
			t.problem(n, at, "a key is not text", "Write a name before the colon.")
		case k.Tag == "!!merge":
			merges = true
		case k.Tag != "!!str" && k.Tag != "!!timestamp":
			t.problem(k, &here, "the key "+k.Value+" is not text", "Put it in quotes: \""+k.Value+"\".")
		}
	}
	t.twice(n, at)
	if merges && t.left > 0 {
		t.merge(n, at)
	}
}

// twice finds keys that occur twice. Most mappings are so small that comparing is quicker than hashing.
func (t *resolver) twice(n *yaml.Node, at *place) {
	var seen map[string]int
	if len(n.Content) > 32 {
		seen = make(map[string]int, len(n.Content)/2)
	}
	for i := 0; i < len(n.Content); i += 2 {
		k, first := n.Content[i], -1
		if seen != nil {
			if f, ok := seen[k.Value]; ok {
				first = f
			} else {
				seen[k.Value] = k.Line
			}
		} else {
			for j := 0; j < i; j += 2 {
				if n.Content[j].Value == k.Value {
					first = n.Content[j].Line
					break
				}
			}
		}
		if first >= 0 && k.Kind == yaml.ScalarNode {
			t.problem(k, &place{parent: at, name: k.Value}, "the key "+k.Value+" occurs twice: first on line "+strconv.Itoa(first), "Remove one of the two.")
		}
	}
}

// merge puts the fields of << in the place of the merge; fields written out win.
func (t *resolver) merge(n *yaml.Node, at *place) {
	var own, merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" && n.Content[i].Kind == yaml.ScalarNode {
			merged = append(merged, n.Content[i+1])
		} else {
			own = append(own, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = own
	for _, m := range merged {
		from := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			from = m.Content
		}
		for _, f := range from {
			if f.Kind != yaml.MappingNode {
				t.problem(f, at, "<< takes a mapping", "Point it at an anchor on a mapping.")
				continue
			}
			for i := 0; i+1 < len(f.Content); i += 2 {
				if Field(n, f.Content[i].Value) == nil {
					n.Content = append(n.Content, f.Content[i], f.Content[i+1])
				}
			}
		}
	}
}
