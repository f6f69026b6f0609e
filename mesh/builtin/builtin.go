// SPDX-License-Identifier: Apache-2.0

// Package builtin is the driver of the mesh that anymesh brings along: it says everything as plain Envoy xDS v3 resources, which our own
// proxy follows, and which an Envoy would follow alike. The README beside this file is the contract.
//
// Nothing is decided here that the model has not decided: a split comes with resolved shares, a permission with resolved callers and
// ports. What is left is to say it so that a reader of Envoy's documents reads the same, and where that is not possible to
// say less.
package builtin

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// Driver is the built-in mesh.
var Driver = &mesh.Driver{
	Name:  "builtin",
	Title: "the built-in mesh",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight:     mesh.Yes(),
		model.SplitMatch:      mesh.Yes(),
		model.SplitStream:     mesh.Yes(),
		model.SplitDatagram:   mesh.Yes(),
		model.SplitSelf:       mesh.Yes(),
		model.SplitHost:       mesh.No(noHost),
		model.RoutePath:       mesh.Yes(),
		model.RouteMethod:     mesh.Yes(),
		model.RouteHeader:     mesh.Yes(),
		model.RouteAuthority:  mesh.Yes(),
		model.AccessCaller:    mesh.Yes(),
		model.AccessSPIFFE:    mesh.Yes(),
		model.AccessPods:      mesh.No("a caller is known by its certificate, which names the service account and not the pod: this source is left out"),
		model.AccessSubset:    mesh.Yes(),
		model.AccessPort:      mesh.Yes(),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.Yes(),
		model.AccessPath:      mesh.Yes(),
		model.AccessMethod:    mesh.Yes(),
		model.AccessHeader:    mesh.Yes(),
		model.AccessAuthority: mesh.Yes(),
		model.AccessClosed:    mesh.Yes(),
	},
	Kinds:     []mesh.Kind{clusterKind, assignmentKind, listenerKind, routesKind},
	Route:     route,
	Access:    access,
	Endpoints: endpoints,
	Settings:  settings,
	Queries:   queries,
}
