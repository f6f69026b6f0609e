// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The kinds of resources. API and kind together are the name of the message, so that the type URL follows from a key.
var (
	clusterKind    = mesh.Kind{APIVersion: "envoy.config.cluster.v3", Kind: "Cluster"}
	assignmentKind = mesh.Kind{APIVersion: "envoy.config.endpoint.v3", Kind: "ClusterLoadAssignment"}
	listenerKind   = mesh.Kind{APIVersion: "envoy.config.listener.v3", Kind: "Listener"}
	routesKind     = mesh.Kind{APIVersion: "envoy.config.route.v3", Kind: "RouteConfiguration"}
)

// Resource is an object of this driver as xDS carries it. The message is shared and must not be altered. An object of another driver
// is a panic.
func Resource(o *mesh.Object) (typeURL, name string, m proto.Message) {
	s, ok := o.Spec.(spec)
	if !ok {
		panic(fmt.Sprintf("builtin: %s is not a resource of the built-in mesh", o.Key()))
	}
	typeURL, name = ResourceKey(o.Key())
	return typeURL, name, s.message
}

// ResourceKey is the type and the name of the resource behind a key, which is all that a removal says.
func ResourceKey(k mesh.Key) (typeURL, name string) {
	return "type.googleapis.com/" + k.APIVersion + "." + k.Kind, k.Name.Name
}

// say adds a resource. Its namespace is that of the unit that says it; its name is unique without.
func say(o *mesh.Output, k mesh.Kind, namespace, name string, m proto.Message) {
	o.Add(mesh.Object{APIVersion: k.APIVersion, Kind: k.Kind, Name: model.Name{Namespace: namespace, Name: name}, Spec: spec{m}})
}

// spec is the content of an object.
type spec struct{ message proto.Message }

// MarshalJSON writes the message with the field names of Envoy's documents. The library varies its white space on purpose, so that
// nobody relies on it; without it the bytes are those of the content alone.
func (s spec) MarshalJSON() ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(s.message)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(text))
	err = json.Compact(&b, text)
	return b.Bytes(), err
}

// Digest is a fingerprint of the content, at a tenth of the cost of its JSON.
func (s spec) Digest(seed maphash.Seed) uint64 {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.message)
	if err != nil {
		panic(fmt.Sprintf("builtin: %T does not marshal: %v", s.message, err))
	}
	return maphash.Bytes(seed, b)
}

// typed packs a configuration that names its own type.
func typed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(fmt.Sprintf("builtin: %T does not marshal: %v", m, err))
	}
	return a
}
