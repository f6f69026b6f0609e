// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"encoding/json"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// Plan is the way from one mesh to the other, and the way back, in the same shape.
type Plan struct {
	Parts []Part // by namespace, in the order in which they can be moved
	Back  []Part
}

// Part is one namespace: what is done there happens at one time.
type Part struct {
	Namespace string // empty: what belongs to no namespace
	Steps     []Step
	Cut       []Call   // permitted calls to and from namespaces that are moved at another time: they fail until both are moved
	Together  []string // namespaces that are tied to this one by such calls
}

// Call is a permitted call from one identity to another.
type Call struct{ From, To model.Identity }

// The steps of a part, in order.
const (
	Prepare = "prepare" // nothing changes yet
	Switch  = "switch"  // everything in it belongs together
	Verify  = "verify"  // commands to run
	Clean   = "clean"   // what nobody follows any more; until then the way back is short
)

// Step is one step of a part.
type Step struct {
	Name    string
	Actions []Action
}

// Verb says what an action does.
type Verb string

// The verbs.
const (
	Create   Verb = "create"   // an object
	Replace  Verb = "replace"  // an object of the mesh that is left, by one of the same name
	Remove   Verb = "remove"   // an object
	Keep     Verb = "keep"     // an object that was not understood whole
	Label    Verb = "label"    // a namespace
	Annotate Verb = "annotate" // a namespace
	Restart  Verb = "restart"  // a workload
	Run      Verb = "run"      // a command
	Mind     Verb = "mind"     // something that anymesh cannot do
)

// Action is one thing to do, or to know.
type Action struct {
	Do      Verb
	Key     mesh.Key       // the object, or the workload; zero for others
	Object  json.Marshaler // what it is to be, or was; nil where only its name is known
	Of      string         // whose language it is: SMI, Istio
	Why     string
	Command string // for a shell; empty where files do it
}

// item is one object of a side.
type item struct {
	key    mesh.Key
	object json.Marshaler
	of     string
}

// side is a mesh with all that it is told in the namespaces that are moved.
type side struct {
	driver *mesh.Driver
	items  []item
	kept   []item
	smi    bool // SMI is read beside, by anymesh

	names  map[mesh.Key]*item // by group, kind and name
	spaces map[string][]*item
}

// follows says whether the side takes notice of an object, whoever wrote it.
func (s *side) follows(it *item) (kind mesh.Kind, ok bool) {
	k := it.key
	for i, list := range [][]mesh.Kind{s.driver.Kinds, s.driver.Reads, s.driver.Follows} {
		for _, x := range list {
			if group(x.APIVersion) == group(k.APIVersion) && x.Kind == k.Kind && x.Resource != "" && (i < 2 || it.common()) {
				return x, true
			}
		}
	}
	return mesh.Kind{}, false
}

// common says whether an object says anything to other meshes than the one that it was written for: a route of the Gateway API does where
// one of its parents is a Service.
func (it *item) common() bool {
	if group(it.key.APIVersion) != gatewayGroup {
		return true
	}
	var v struct {
		Spec struct {
			ParentRefs []parent `json:"parentRefs"`
		} `json:"spec"`
	}
	text, err := json.Marshal(it.object)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		return true // of a shape that nobody knows: it may
	}
	return slices.Contains(v.Spec.ParentRefs, parent{"Service"})
}

// parent is what a route belongs to.
type parent struct {
	Kind string `json:"kind"`
}

// at lists the side's objects of a namespace.
func (s *side) at(ns string) []*item {
	s.index()
	return s.spaces[ns]
}

// find is the side's object of a name, whatever its version; nil where it has none.
func (s *side) find(k mesh.Key) *item {
	s.index()
	k.APIVersion = group(k.APIVersion)
	return s.names[k]
}

// index is made once all objects are there.
func (s *side) index() {
	if s.names != nil {
		return
	}
	s.names, s.spaces = map[mesh.Key]*item{}, map[string][]*item{}
	for i := range s.items {
		it := &s.items[i]
		k := it.key
		k.APIVersion = group(k.APIVersion)
		s.names[k] = it
		s.spaces[k.Name.Namespace] = append(s.spaces[k.Name.Namespace], it)
	}
}
