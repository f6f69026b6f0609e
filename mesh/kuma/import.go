// SPDX-License-Identifier: Apache-2.0

package kuma

import "github.com/anymesh/anymesh/mesh"

func importAll(in *mesh.Input) {}
