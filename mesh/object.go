// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// ManagedBy is the label that marks an object as ours: nothing without it is ever changed or pruned.
const ManagedBy, Us = "app.kubernetes.io/managed-by", "anymesh"

// Object is one native object that a driver says. Spec marshals to JSON; the same wish must always marshal to the same bytes.
type Object struct {
	APIVersion  string
	Kind        string
	Name        model.Name
	Labels      map[string]string // that the mesh needs, beside the one that marks the object as ours
	Annotations map[string]string
	Spec        any
	Shared      bool // several units may say the object, all in the same words: it stays while one of them does
}

// Key tells an object from every other of its mesh.
type Key struct {
	APIVersion, Kind string
	Name             model.Name
}

// Key of the object.
func (o *Object) Key() Key { return Key{o.APIVersion, o.Kind, o.Name} }

// String writes the key as kind namespace/name.
func (k Key) String() string { return k.Kind + " " + k.Name.String() }

// Compare orders keys by API, kind, namespace and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(k.APIVersion, o.APIVersion), strings.Compare(k.Kind, o.Kind), k.Name.Compare(o.Name))
}

type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

var ours = map[string]string{ManagedBy: Us}

// labels are the object's own and the mark.
func (o *Object) labels() map[string]string {
	if len(o.Labels) == 0 {
		return ours
	}
	all := maps.Clone(o.Labels)
	all[ManagedBy] = Us
	return all
}

// MarshalJSON writes the object in the shape of Kubernetes, with the label that marks it as ours.
func (o *Object) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Spec       any      `json:"spec"`
	}{o.APIVersion, o.Kind, metadata{o.Name.Name, o.Name.Namespace, o.labels(), o.Annotations}, o.Spec})
}

// Change is one step of a plan: an object to be as it says, or to be gone.
type Change struct {
	Key    Key
	Object *Object     // nil: delete
	For    []model.Ref // the SMI objects that it is made for, where there are any
}
