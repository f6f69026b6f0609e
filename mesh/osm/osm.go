// SPDX-License-Identifier: Apache-2.0

// Package osm is the driver of Open Service Mesh, which reads SMI itself: access v1alpha3, specs v1alpha4, split v1alpha2.
//
// What it reads it understands in a way of its own (release 1.2, packages catalog, smi and envoy of its repository), and what is written
// here is written for that:
//
//   - expressions on paths cover the whole path; a rule that names no matches grants nothing; of several permissions for one destination
//     the ports are added up, and apart from them the requests;
//   - a permission without sources admits everybody, one without a TCPRoute holds on every port, and a port that carries raw TCP is
//     open until some TrafficTarget names its account;
//   - the first route that takes a request decides, so that of two which overlap one would refuse what the other permits.
//
// TrafficTargets count only where permissive mode is off, and then all of the mesh is closed.
package osm

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
)

var versions = dialect.Versions{
	model.KindSplit:      "split.smi-spec.io/v1alpha2",
	model.KindGroup:      "specs.smi-spec.io/v1alpha4",
	model.KindTCPRoute:   "specs.smi-spec.io/v1alpha4",
	model.KindPermission: "access.smi-spec.io/v1alpha3",
}

const (
	policies = "policy.openservicemesh.io"
	configs  = "config.openservicemesh.io"

	// nobody is a service account that Kubernetes cannot have: its names are in lower case. A TrafficTarget without sources would admit
	// everybody.
	nobody = "Nobody"

	noMatch = "splits of OSM have no matches: the split is left out, and requests go where unmatched ones go"
	noUDP   = "OSM does not carry UDP"
)

// Driver is Open Service Mesh.
var Driver = &mesh.Driver{
	Name:    "osm",
	Title:   "Open Service Mesh",
	Version: "1.2",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight:    mesh.Yes(),
		model.SplitStream:    mesh.Yes(),
		model.SplitSelf:      mesh.Yes(),
		model.SplitMatch:     mesh.No(noMatch),
		model.SplitDatagram:  mesh.No(noUDP),
		model.SplitHost:      mesh.No("OSM splits Services alone"),
		model.RoutePath:      mesh.No(noMatch),
		model.RouteMethod:    mesh.No(noMatch),
		model.RouteHeader:    mesh.No(noMatch),
		model.RouteAuthority: mesh.No(noMatch),

		model.AccessCaller:    mesh.Where("with permissive mode switched off"),
		model.AccessSPIFFE:    mesh.No("OSM knows callers by service account: this source is left out"),
		model.AccessPods:      mesh.No("OSM knows a caller by its certificate, which names the service account and not the pod: this source is left out"),
		model.AccessSubset:    mesh.No("a destination of OSM is a service account whole: the permission is left out, and its destination is closed whole"),
		model.AccessPort:      mesh.Where("of those that a Service leads to; all requests of a caller hold on all of its ports"),
		model.AccessStream:    mesh.Where("on ports that their Service calls TCP: OSM takes a port that says nothing for HTTP"),
		model.AccessDatagram:  mesh.No(noUDP + ", and does not close it: use a NetworkPolicy"),
		model.AccessPath:      mesh.Yes(),
		model.AccessMethod:    mesh.Where("the methods of RFC 9110 and PATCH"),
		model.AccessHeader:    mesh.Where("one condition on a header"),
		model.AccessAuthority: mesh.Yes(),
		model.AccessClosed:    mesh.Where("with permissive mode switched off"),
	},
	Kinds: versions.Kinds(),
	Reads: []mesh.Kind{
		{APIVersion: configs + "/v1alpha2", Kind: "MeshConfig", Resource: "meshconfigs"},
		{APIVersion: policies + "/v1alpha1", Kind: "IngressBackend", Resource: "ingressbackends"},
	},
	Marks: []mesh.Kind{{APIVersion: configs + "/v1alpha2", Kind: "MeshConfig", Resource: "meshconfigs"}},
	Injection: &mesh.Injection{Labels: map[string]string{"openservicemesh.io/monitored-by": "osm"}, Annotations: map[string]string{"openservicemesh.io/sidecar-injection": "enabled"}, Sidecars: true,
		Enter: "the value of openservicemesh.io/monitored-by is the name that the mesh was installed by"},
	Route:   route,
	Access:  access,
	Import:  importAll,
	Queries: queries,
}
