// SPDX-License-Identifier: Apache-2.0
// sizes: package: both directions of one mesh share the native types; each alone is well below

// Package appmesh is the driver of AWS App Mesh: splits become VirtualServices with VirtualRouters, permissions become listeners that
// ask for certificates by name.
//
// App Mesh reached its end of support on 30 September 2026: the way from it is what matters, and the way to it is there for who still has to
// keep a part of it running. It has no policy of access. All it can do is to ask callers for a certificate, and to list the names in it:
// so a permission is for all that a port carries, or it is left out. The certificates come from SPIRE (SDS), which has to be there; where it is
// not, such a listener admits nobody.
//
// Nodes are of two kinds. One without pods stands for a Service, by its DNS name: routers share among these. One with pods holds the
// listeners of a workload.
package appmesh

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

const (
	group = "appmesh.k8s.aws"
	api   = group + "/v1beta2"

	kindService = "VirtualService"
	kindRouter  = "VirtualRouter"
	kindNode    = "VirtualNode"
	kindGroup   = "BackendGroup"
	kindMesh    = "Mesh"

	// nobody is the end of a SPIFFE ID that no workload has: App Mesh knows no list of names that admits no one.
	nobody = "/anymesh/nobody"
)

const (
	noRule = "App Mesh has no rules on requests, it knows only who may connect: the match is left out and stays refused"
	noHost = "a route of App Mesh does not look at the host"
	noUDP  = "App Mesh does not carry UDP"
)

// Driver is AWS App Mesh.
var Driver = &mesh.Driver{
	Name:    "appmesh",
	Title:   "AWS App Mesh",
	Version: "controller 1.13",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight: mesh.Where("weights of at most 100, which others are rounded to, and ten backends; a client has to name the VirtualService among its backends"),
		model.SplitMatch:  mesh.Yes(),
		model.SplitStream: mesh.Yes(),
		model.SplitSelf:   mesh.Yes(),

		model.SplitDatagram:  mesh.No(noUDP),
		model.SplitHost:      mesh.No("a router listens on ports, and nothing says which a foreign host has"),
		model.RoutePath:      mesh.Where("expressions of up to 255 letters"),
		model.RouteMethod:    mesh.Where("the methods of RFC 9110 and PATCH"),
		model.RouteHeader:    mesh.Where("ten headers, expressions of up to 255 letters"),
		model.RouteAuthority: mesh.No(noHost + ": the match is left out, and its requests go where unmatched ones go"),

		model.AccessCaller: mesh.Nearly("by the SPIFFE ID in a certificate of SPIRE's: the caller's own VirtualNode has to present it (backendDefaults.clientPolicy.tls) and to have the " +
			"VirtualService among its backends; ports that neither a Service nor the pod declares stay open, and the kubelet's checks are refused"),
		model.AccessSPIFFE:    mesh.Nearly("IDs of the mesh's own trust domain: a listener trusts one bundle"),
		model.AccessPods:      mesh.No("App Mesh knows a caller by its certificate, and not by its pod: this source is left out"),
		model.AccessSubset:    mesh.Yes(),
		model.AccessPort:      mesh.Yes(),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.No(noUDP + ", and nothing of it can be closed: use a NetworkPolicy"),
		model.AccessPath:      mesh.Nearly("only an expression that takes every path; any other is left out and stays refused"),
		model.AccessMethod:    mesh.No(noRule),
		model.AccessHeader:    mesh.No(noRule),
		model.AccessAuthority: mesh.No(noRule),
		model.AccessClosed:    mesh.Nearly("the ports that a Service or the pod declares; without SPIRE nobody is admitted to them"),
	},
	Kinds: []mesh.Kind{
		{APIVersion: api, Kind: kindNode, Resource: "virtualnodes"},
		{APIVersion: api, Kind: kindRouter, Resource: "virtualrouters"},
		{APIVersion: api, Kind: kindService, Resource: "virtualservices"},
	},
	Reads: []mesh.Kind{
		{APIVersion: api, Kind: kindGroup, Resource: "backendgroups"},
		{APIVersion: api, Kind: kindMesh, Resource: "meshes"},
	},
	Marks: []mesh.Kind{{APIVersion: api, Kind: kindMesh, Resource: "meshes"}},
	Injection: &mesh.Injection{Labels: map[string]string{"appmesh.k8s.aws/sidecarInjectorWebhook": "enabled"}, Sidecars: true,
		Enter: "the namespace needs the labels too by which its Mesh selects namespaces (spec.namespaceSelector)"},
	Route:   routes,
	Access:  access,
	Import:  importAll,
	Queries: queries,
}
