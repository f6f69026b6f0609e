// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"strconv"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi/version"
	"go.yaml.in/yaml/v3"
)

// Weight is a weight as it was written: a whole number, or in split v1alpha1 a Kubernetes quantity such as 500m.
type Weight struct {
	written string
	quoted  bool
	value   version.Decimal
}

// Whole is a whole weight.
func Whole(n int64) Weight {
	return Weight{strconv.FormatInt(n, 10), false, version.Whole(n)}
}

// String is the weight as it was written; 0 where none was.
func (w Weight) String() string {
	if w.written == "" {
		return "0"
	}
	return w.written
}

// UnmarshalNode reads a number or a quantity.
func (w *Weight) UnmarshalNode(n *yaml.Node) []object.Problem {
	v, ok := version.Quantity(n)
	if !ok {
		return []object.Problem{{Code: model.CodeWeight, Line: n.Line, Column: n.Column, Message: "not a weight: " + n.Value,
			Hint: "Write a whole number of 0 or more; weights are relative to each other."}}
	}
	*w = Weight{string(object.AppendJSON(nil, n)), false, v}
	if n.Tag == "!!str" {
		*w = Weight{n.Value, true, v}
	}
	return nil
}

// MarshalJSON writes the weight as it was written.
func (w Weight) MarshalJSON() ([]byte, error) {
	if w.quoted {
		return object.AppendString(nil, w.String()), nil
	}
	return []byte(w.String()), nil
}
