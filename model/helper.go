// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// Helpers is a set of means by which a driver may say what its mesh's own language has no word for. None is used where the settings do not
// name it, and what is said by one is reported.
type Helpers uint8

// The helpers.
const (
	HelperExpressions Helpers = 1 << iota // Istio: permissions by expression, added to its proxies' rules by EnvoyFilters
)

var helpers = []string{"expressions"} // by bit

// HelperNames are the words by which helpers are written.
func HelperNames() []string { return slices.Clone(helpers) }

// ParseHelper reads one; ok is false where there is none of the name.
func ParseHelper(name string) (h Helpers, ok bool) {
	i := slices.Index(helpers, name)
	return 1 << max(i, 0), i >= 0
}

// Has says whether all of some helpers are in the set.
func (h Helpers) Has(o Helpers) bool { return h&o == o }
