// SPDX-License-Identifier: Apache-2.0

package gateway

import "github.com/anymesh/anymesh/mesh"

// Import reads.
func Import(in *mesh.Input) {}
