// SPDX-License-Identifier: Apache-2.0

package version

import (
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// Reading is an object in the newest version's shape, with all that it carries: the fields too that only older versions have.
type Reading struct {
	Spec      *yaml.Node // nil where there is none
	Misplaced []Misplaced
	Strays    bool // the annotation carries fields that stood in a wrong place
	Unread    bool // nobody can read the annotation
	Findings  []model.Finding
}

// Misplaced is a field that other versions have, and the object's own does not.
type Misplaced struct{ Path, Field, Hint string }

// Read reads an object of a version. The object does not change; the result shares what it can with it.
func (s *Shape) Read(v int, root *yaml.Node) Reading {
	lifted, _ := s.lift(v, root)
	c := conversion{shape: s, from: v, ref: reference(root), root: lifted}
	var r Reading
	for i := range s.lacks {
		l := &s.lacks[i]
		if l.has(v) || l.field == "group" { // a group says nothing that the kind does not
			continue
		}
		for _, h := range l.holders(c.spec()) {
			if object.Field(h.node, l.field) != nil {
				r.Misplaced = append(r.Misplaced, Misplaced{h.path + "." + l.field, l.field, l.hint})
			}
		}
	}
	if object.Field(object.Field(object.Field(root, "metadata"), "annotations"), Preserved) != nil {
		c.root = copyTree(lifted)
		r.Unread = !c.restore()
	}
	r.Spec, r.Strays, r.Findings = c.spec(), len(c.strays) > 0, c.findings
	return r
}

// Write gives a tree in the newest version's shape that of a version, and carries what that lacks.
func (s *Shape) Write(v int, root *yaml.Node) []model.Finding {
	c := conversion{shape: s, from: Newest, ref: reference(root), root: root}
	c.strip(v)
	s.lower(v, root)
	set(root, "apiVersion", text(s.APIVersion(v)))
	return c.findings
}
