// SPDX-License-Identifier: Apache-2.0

package object

import (
	"github.com/anymesh/anymesh/object/text"
	"go.yaml.in/yaml/v3"
)

// ReadJSON reads one JSON value as a tree that keeps the order of fields and the text of numbers.
func ReadJSON(data []byte) (*yaml.Node, error) { return text.ReadJSON(data) }

// AppendJSON writes a tree as JSON, in the order of the tree.
func AppendJSON(dst []byte, n *yaml.Node) []byte { return text.AppendJSON(dst, n) }

// AppendString writes a text as JSON has it.
func AppendString(dst []byte, s string) []byte { return text.AppendString(dst, s) }

// AppendYAML writes a value as one YAML document, in the words and the order in which it would be written as JSON. Where dst holds
// something already, a line of --- comes between. It panics for a value that JSON cannot say.
func AppendYAML(dst []byte, v any) []byte { return text.AppendYAML(dst, v) }
