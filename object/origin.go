// SPDX-License-Identifier: Apache-2.0

package object

import (
	"sync"

	"go.yaml.in/yaml/v3"
)

// origin is the text of the document, or of the stream of JSON, that objects were read from.
type origin struct {
	file string
	text []byte
	line int // before the text
	json bool

	once  sync.Once
	nodes []*yaml.Node // of its objects, where somebody asked for one again
}

// Rest lets go of the object's tree, which takes many times the room of its text: nearly nobody asks where a field of a sound object
// stands. Who does, has the text read again, once for all objects of the document. It must not be called while others use the object.
func (o *Object) Rest() {
	if o.origin != nil {
		o.node = nil
	}
}

// tree is the object's own tree; nil for an object that was not read.
func (o *Object) tree() *yaml.Node {
	if o.node != nil || o.origin == nil {
		return o.node
	}
	return o.origin.node(o.index)
}

func (s *origin) node(index int) *yaml.Node {
	s.once.Do(func() {
		r := reader{file: s.file}
		if s.json {
			r.json(s.text)
		} else {
			r.document(s.text, s.line)
		}
		for _, o := range r.objects {
			s.nodes = append(s.nodes, o.node)
		}
	})
	return s.nodes[index]
}
