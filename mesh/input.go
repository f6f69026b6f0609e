// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// Input is what a driver's Import reads, and what it makes of it.
type Input struct {
	Objects  []*object.Object // the native objects, in the order of the input
	World    model.World      // the Services, workloads and accounts of the same input
	Facts    []model.Fact     // what was understood, as SMI
	Findings []model.Finding
	Kept     []*object.Object // objects of which a part was not understood, as they were
	Mesh     string
}

// Add says a fact.
func (in *Input) Add(f model.Fact) { in.Facts = append(in.Facts, f) }

// Leave says that a part of an object was not understood, and keeps the object aside.
//
// sizes: the parts of a finding, in the order in which they are read
func (in *Input) Leave(o *object.Object, l Level, c model.Code, path, message, hint string) {
	in.Findings = append(in.Findings, model.Finding{
		Mesh: in.Mesh, Level: l, Code: c, Path: path, Message: message, Hint: hint,
		Object: model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}},
	})
	if l < model.Unsupported {
		return
	}
	for _, k := range in.Kept {
		if k == o {
			return
		}
	}
	in.Kept = append(in.Kept, o)
}
