// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"

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
	taken    map[model.Ref]bool // names that facts have, or are about to
}

// Add says a fact.
func (in *Input) Add(f model.Fact) {
	in.take(f.Ref())
	in.Facts = append(in.Facts, f)
}

// Free is a name that no fact of the kind has yet, made of the one that is wanted: whoever asks for it has it. Two facts of one name would be one,
// and a permission would then speak of other requests than it was written for.
func (in *Input) Free(k model.Kind, n model.Name) model.Name {
	out := n
	for i := 2; in.taken[model.Ref{Kind: k, Name: out}]; i++ {
		out.Name = fmt.Sprintf("%s-%d", n.Name, i)
	}
	in.take(model.Ref{Kind: k, Name: out})
	return out
}

func (in *Input) take(r model.Ref) {
	if in.taken == nil {
		in.taken = map[model.Ref]bool{}
	}
	in.taken[r] = true
}

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
