// SPDX-License-Identifier: Apache-2.0

// Package dialect is SMI as a native language: some meshes read SMI objects themselves, each in versions of its own, and with a meaning
// of its own. Their drivers write and read by this package; what an object means to the mesh stays with the driver.
package dialect

import (
	"fmt"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// Versions are those that a mesh reads, by kind: split.smi-spec.io/v1alpha2. A kind that is not listed it does not read.
type Versions map[model.Kind]string

// Kinds are the versions as the kinds of a driver, in a fixed order.
func (v Versions) Kinds() (out []mesh.Kind) {
	for _, k := range []struct {
		kind     model.Kind
		resource string
	}{{model.KindGroup, "httproutegroups"}, {model.KindTCPRoute, "tcproutes"}, {model.KindUDPRoute, "udproutes"}, {model.KindSplit, "trafficsplits"}, {model.KindPermission, "traffictargets"}} {
		if api, ok := v[k.kind]; ok {
			out = append(out, mesh.Kind{APIVersion: api, Kind: string(k.kind), Resource: k.resource})
		}
	}
	return out
}

// Object writes a fact in the version that the mesh reads. It panics for one that the version has no field for: what a mesh cannot be told
// is the driver's to leave out.
func (v Versions) Object(f model.Fact) mesh.Object {
	ref := f.Ref()
	items := smi.FromFacts([]model.Fact{f})
	if len(items) != 1 {
		panic("dialect: nothing to write for " + ref.String())
	}
	if g, ok := items[0].(*smi.HTTPRouteGroup); ok {
		g.Annotations = nil // the mesh's own meaning of a path needs no mark
		for i := range g.Matches {
			g.Matches[i].Headers.List = true // as the published schemas have it
		}
	}
	o, findings := smi.Encode(items[0], v[ref.Kind])
	if o == nil || len(findings) > 0 {
		panic(fmt.Sprintf("dialect: %s does not fit into %s: %v", ref, v[ref.Kind], findings))
	}
	return mesh.Object{APIVersion: o.APIVersion, Kind: o.Kind, Name: ref.Name, Spec: object.Raw{Node: object.Field(o.Node(), "spec")}}
}

// Said is an object with what it says to those who read it as the page of its version does.
type Said struct {
	Object *object.Object
	Fact   model.Fact
}

// Read reads the SMI objects of an input, in its order. One of a version that the mesh does not read had no effect: it is reported, and
// left out. What is wrong with an object is reported as everywhere, and what it says is then what is sound in it.
func (v Versions) Read(in *mesh.Input) (out []Said) {
	for _, o := range in.Objects {
		if !smi.Speaks(o.APIVersion, o.Kind) {
			continue
		}
		if want := v[model.Kind(o.Kind)]; o.APIVersion != want {
			message := "the mesh does not read this kind, and the object had no effect"
			if want != "" {
				message = "the mesh reads " + want + " alone, and the object had no effect"
			}
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "apiVersion", message, "")
			continue
		}
		item, findings := smi.Decode(o)
		in.Findings = append(in.Findings, findings...)
		if item == nil {
			continue
		}
		for _, f := range item.Facts(o.Namespace) {
			out = append(out, Said{o, f})
		}
	}
	return out
}

// Twice says whether a match has two conditions on one header. The meshes keep headers by name, and would lose one of the two.
func Twice(m *model.Match) bool {
	seen := map[string]bool{}
	for i := range m.Headers {
		name := m.Headers[i].Name
		if m.Headers[i].Authority() {
			name = "host"
		}
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// methods are those that the published schema of HTTPRouteGroup takes.
var methods = map[string]bool{"GET": true, "HEAD": true, "PUT": true, "POST": true, "DELETE": true, "CONNECT": true, "OPTIONS": true, "TRACE": true, "PATCH": true}

// Method is one of a match that the published schema refuses; empty where it takes all of them.
func Method(m *model.Match) string {
	for _, name := range m.Methods {
		if !methods[name] {
			return name
		}
	}
	return ""
}

// Heaviest is the largest sum of weights that the meshes' proxies take.
const Heaviest = 1<<31 - 1

// Weights are those of shares with a sum that proxies take, and whether their ratio stayed what it was. A weight above zero stays above
// zero.
func Weights(shares []model.Share) (out []int64, exact bool) {
	var total int64
	for _, s := range shares {
		total += s.Weight
	}
	scale := 1.0
	if total > Heaviest {
		scale = float64(Heaviest-int64(len(shares))) / float64(total)
	}
	for _, s := range shares {
		n := s.Weight
		if scale < 1 && n > 0 {
			n = max(1, int64(float64(n)*scale))
		}
		out = append(out, n)
	}
	return out, scale == 1
}
