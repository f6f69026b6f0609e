// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/anymesh/anymesh/mesh"
)

// SpecOf is the content of an object as a tree of JSON says it, or nil where its message cannot be so.
func SpecOf(o *mesh.Object, tree any) any {
	text, err := json.Marshal(tree)
	if err != nil {
		return nil
	}
	m := o.Spec.(spec).message.ProtoReflect().New().Interface()
	if protojson.Unmarshal(text, m) != nil {
		return nil
	}
	return spec{m}
}
