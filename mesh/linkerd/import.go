// SPDX-License-Identifier: Apache-2.0

package linkerd

import "github.com/anymesh/anymesh/mesh"

func importAll(in *mesh.Input) {}
