// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"path/filepath"
	"testing"

	"github.com/anymesh/anymesh/mesh/meshtest"
)

var crds = []string{"kuma/kuma.io_meshhttproutes.yaml", "kuma/kuma.io_meshtcproutes.yaml", "kuma/kuma.io_meshtrafficpermissions.yaml"}

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, CRDs: crds, Same: same})
}

// TestLegacy is the same story of Kuma 2; its goldens lie in a folder of their own.
func TestLegacy(t *testing.T) {
	t.Chdir(filepath.Join("testdata", Legacy.Name))
	meshtest.Run(t, meshtest.Subject{Driver: Legacy, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, CRDs: crds, Same: same})
}
