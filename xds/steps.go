// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
)

// Steps parts changes of the built-in driver: what proxies admit comes before what leads to them, and goes after it.
func Steps(changes []mesh.Change) (first, then, last []Change) {
	for _, c := range changes {
		var x Change
		if c.Object == nil {
			x.TypeURL, x.Name = builtin.ResourceKey(c.Key)
		} else {
			x.TypeURL, x.Name, x.Resource = builtin.Resource(c.Object)
		}
		switch inbound := x.Name == "inbound" || strings.HasPrefix(x.Name, "inbound/"); {
		case inbound && c.Object == nil:
			last = append(last, x)
		case inbound:
			first = append(first, x)
		default:
			then = append(then, x)
		}
	}
	return first, then, last
}
