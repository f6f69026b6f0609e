// SPDX-License-Identifier: Apache-2.0

// Package traefik is the driver of Traefik Mesh (once Maesh), which reads SMI itself: access v1alpha2, specs v1alpha3, split v1alpha3.
//
// Traefik Mesh is a proxy on each node, which clients call by a name of its own, svc.ns.traefik.mesh: who calls the Service itself passes
// it by, and with it every split and every permission. It knows callers by the IP of their pods. What it reads it understands in a way
// of its own (packages topology and provider of its repository), and what is written here is written for that:
//
//   - a path is matched behind its first slash, by a router that refuses capture groups and nothing at all; headers are matched anywhere;
//   - a match without conditions says nothing beside others; a permission without any permits everything;
//   - of several permissions that take a request the longest rule decides alone;
//   - a permission of raw TCP is for everybody; a split that names its own root is dropped.
package traefik

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
)

var versions = dialect.Versions{
	model.KindSplit:      "split.smi-spec.io/v1alpha3",
	model.KindGroup:      "specs.smi-spec.io/v1alpha3",
	model.KindTCPRoute:   "specs.smi-spec.io/v1alpha3",
	model.KindPermission: "access.smi-spec.io/v1alpha2",
}

const (
	byName   = "for clients that call the Service as svc.ns.traefik.mesh: who calls it otherwise passes the mesh by"
	noHost   = "Traefik does not look for the host among the headers"
	noStream = "a permission of raw TCP would admit everybody, since Traefik Mesh does not look at its sources"
	noUDP    = "UDP Services do not work where access is controlled"

	// nobody is a service account that Kubernetes cannot have: its names are in lower case; never is a path that no request has.
	nobody = "Nobody"
	never  = `/[^\x{0}-\x{10FFFF}]`
)

// Driver is Traefik Mesh.
var Driver = &mesh.Driver{
	Name:    "traefik",
	Title:   "Traefik Mesh",
	Version: "1.4",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight: mesh.Nearly(byName + "; a backend that is split itself is split again"),
		model.SplitMatch:  mesh.Nearly(byName),
		model.RoutePath:   mesh.Where("after its percent signs are decoded"),
		model.RouteMethod: mesh.Where("the methods of RFC 9110 and PATCH"),
		model.RouteHeader: mesh.Where("one condition on a header; of a header that is repeated any one value"),

		model.SplitStream:    mesh.No("Traefik Mesh sends TCP to the root's target port at every backend, and not to the backend's own: the split is left out"),
		model.SplitDatagram:  mesh.No(noUDP),
		model.SplitSelf:      mesh.No("Traefik Mesh drops a split that names its own root: it is left out, and requests go to the root"),
		model.SplitHost:      mesh.No("Traefik Mesh splits Services alone"),
		model.RouteAuthority: mesh.No(noHost + ": the match is left out, and its requests go where unmatched ones go"),

		model.AccessCaller:    mesh.Nearly("with acl: true, by the IP of the caller's pods, without mutual TLS; " + byName),
		model.AccessPort:      mesh.Where("of a Service whose targetPort is that number"),
		model.AccessPath:      mesh.Where("after its percent signs are decoded"),
		model.AccessMethod:    mesh.Where("the methods of RFC 9110 and PATCH"),
		model.AccessHeader:    mesh.Where("one condition on a header; of a header that is repeated any one value"),
		model.AccessStream:    mesh.Nearly(noStream + ": requests alone are permitted"),
		model.AccessClosed:    mesh.Nearly("with acl: true, " + byName),
		model.AccessSPIFFE:    mesh.No("Traefik Mesh knows callers by the IP of their pods: this source is left out"),
		model.AccessPods:      mesh.No("Traefik Mesh knows a source by its service account: this one is left out"),
		model.AccessSubset:    mesh.No("a destination of Traefik Mesh is a service account whole: the permission is left out"),
		model.AccessDatagram:  mesh.No(noUDP),
		model.AccessAuthority: mesh.No(noHost + ": the match is left out and stays refused"),
	},
	Kinds: versions.Kinds(),
	Injection: &mesh.Injection{Enter: "clients call SERVICE.NAMESPACE.traefik.mesh, or pass the mesh by",
		Leave: "clients that call SERVICE.NAMESPACE.traefik.mesh have to call SERVICE.NAMESPACE again: change them before the mesh goes"},
	Route:   route,
	Access:  access,
	Import:  importAll,
	Queries: queries,
}
