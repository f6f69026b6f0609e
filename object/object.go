// SPDX-License-Identifier: Apache-2.0

package object

import (
	"time"

	"github.com/anymesh/anymesh/model"
	"go.yaml.in/yaml/v3"
)

// Object is one object as it was written.
type Object struct {
	APIVersion, Kind    string
	Namespace, Name     string
	Labels, Annotations map[string]string
	File                string // as given to Parse
	Line                int    // of the object's first field, from 1
	Faulty              bool   // Parse found a fault inside: a part of the object is not what its author meant

	node    *yaml.Node // nil while the object rests
	origin  *origin    // nil where it was not read from a text
	index   int        // among the objects of its origin
	created string
}

// Problem is one fault of an object's text.
type Problem struct {
	Code         model.Code
	Path         string // of the field, as Position takes it; empty where the whole object is meant
	Line, Column int    // from 1; 0 where not known
	Message      string // what is wrong
	Hint         string // what to do about it; may be empty
}

// Created is the time of creation that the metadata says, in seconds since 1970; 0 where they say none.
func (o *Object) Created() int64 {
	t, err := time.Parse(time.RFC3339, o.created)
	if err != nil {
		return 0
	}
	return t.Unix()
}

// Node is the object's own tree: a mapping whose aliases and merges are resolved. It must not be changed.
func (o *Object) Node() *yaml.Node { return o.tree() }

// MarshalJSON writes the object with its fields in the order in which they were written.
func (o *Object) MarshalJSON() ([]byte, error) { return AppendJSON(nil, o.tree()), nil }

// Of makes an object of a tree that was read or built elsewhere. It reports what Parse would report about its metadata, and returns
// nil where there is nothing to call an object.
func Of(file string, n *yaml.Node) (*Object, []Problem) {
	r := reader{file: file}
	r.object(n, "", "")
	if len(r.objects) == 0 {
		return nil, r.problems
	}
	return r.objects[0], r.problems
}
