// SPDX-License-Identifier: Apache-2.0

package all_test

import (
	"flag"
	"hash/fnv"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/mesh/meshtest"
)

var everyPair = flag.Bool("every-pair", false, "take every case through every pair of meshes, and not a part of them")

// part is how many of the cases a pair of meshes is asked about: one of so many, chosen by the names.
const part = 16

// TestPairs takes the corpus through all pairs of meshes that can be written and read: from SMI to one, to SMI, to the other, to SMI.
func TestPairs(t *testing.T) {
	var meshes []*mesh.Driver
	for _, d := range all.Meshes() {
		if d.Import != nil && d.Writes() {
			meshes = append(meshes, d)
		}
	}
	worlds, exact, asked := meshtest.Worlds(meshtest.Cases(t)), 0, 0
	for _, a := range meshes {
		for _, b := range meshes {
			if a == b {
				continue
			}
			t.Run(a.Name+" to "+b.Name, func(t *testing.T) {
				for _, w := range worlds {
					h := fnv.New32a()
					h.Write([]byte(a.Name + b.Name + w.Name))
					if !*everyPair && h.Sum32()%part != 0 {
						continue
					}
					problems, same := meshtest.Pair(a, b, w)
					for _, p := range problems {
						t.Error(p)
					}
					asked++
					if same {
						exact++
					}
				}
			})
		}
	}
	t.Logf("%d meshes; %d worlds taken through a pair, %d of them exactly", len(meshes), asked, exact)
	if exact < asked/10 {
		t.Error("the test tests too little")
	}
}
