// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// port is a port by number or by name.
type port struct {
	Number uint16
	Name   string // read alone
}

// MarshalJSON writes the number, or the name where there is none.
func (p port) MarshalJSON() ([]byte, error) {
	if p.Number == 0 {
		return json.Marshal(p.Name)
	}
	return json.Marshal(p.Number)
}

// UnmarshalNode reads either.
func (p *port) UnmarshalNode(n *yaml.Node) []object.Problem {
	text, ok := object.Text(n)
	if ok && n.Tag != "!!int" {
		p.Name = text
		return nil
	}
	number, err := strconv.ParseUint(n.Value, 10, 16)
	if err != nil || number == 0 {
		return []object.Problem{{Code: model.CodePort, Message: n.Value + " is no port"}}
	}
	p.Number = uint16(number)
	return nil
}

// weight is a whole number. It is read from a quantity of Kubernetes, as linkerd-smi wrote them, in thousandths.
type weight struct{ N int64 }

// MarshalJSON writes the number.
func (w weight) MarshalJSON() ([]byte, error) { return json.Marshal(w.N) }

var suffixes = map[string]int64{"": 1000, "m": 1, "k": 1000_000, "M": 1000_000_000, "G": 1000_000_000_000}

// UnmarshalNode reads a quantity.
func (w *weight) UnmarshalNode(n *yaml.Node) []object.Problem {
	number := strings.TrimRight(n.Value, "mkMG")
	unit, known := suffixes[n.Value[len(number):]]
	r, ok := new(big.Rat).SetString(number)
	if !ok || !known {
		return []object.Problem{{Code: model.CodeWeight, Message: n.Value + " is no weight"}}
	}
	if r.Mul(r, big.NewRat(unit, 1)); !r.IsInt() || r.Sign() < 0 || !r.Num().IsInt64() {
		return []object.Problem{{Code: model.CodeWeight, Message: fmt.Sprintf("%s is no weight: they are whole thousandths from 0", n.Value)}}
	}
	w.N = r.Num().Int64()
	return nil
}
