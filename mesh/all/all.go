// SPDX-License-Identifier: Apache-2.0

// Package all is the list of drivers. A mesh is added by one folder and one line here; command names, the matrix and all else that speaks
// of every mesh follow from it.
package all

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/ambient"
	"github.com/anymesh/anymesh/mesh/appmesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/mesh/cilium"
	"github.com/anymesh/anymesh/mesh/consul"
	"github.com/anymesh/anymesh/mesh/gamma"
	"github.com/anymesh/anymesh/mesh/istio"
	"github.com/anymesh/anymesh/mesh/kuma"
	"github.com/anymesh/anymesh/mesh/linkerd"
	"github.com/anymesh/anymesh/mesh/nginx"
	"github.com/anymesh/anymesh/mesh/osm"
	"github.com/anymesh/anymesh/mesh/traefik"
)

// Meshes lists every mesh by its newest driver, by name.
func Meshes() []*mesh.Driver {
	return []*mesh.Driver{
		ambient.Driver,
		appmesh.Driver,
		builtin.Driver,
		cilium.Driver,
		consul.Driver,
		gamma.Driver,
		istio.Driver,
		kuma.Driver,
		linkerd.Driver,
		nginx.Driver,
		osm.Driver,
		traefik.Driver,
	}
}

// Drivers lists every driver: those of the meshes, each followed by the ones for its earlier releases.
func Drivers() (out []*mesh.Driver) {
	for _, d := range Meshes() {
		out = append(append(out, d), d.Older...)
	}
	return out
}
