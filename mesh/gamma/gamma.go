// SPDX-License-Identifier: Apache-2.0

// Package gamma is the driver of the Gateway API for meshes (GAMMA), for any mesh that reads routes whose parent is a Service: splits become
// HTTPRoutes, TCPRoutes and UDPRoutes.
//
// The Gateway API has no word for who may call whom (GEP-3779 is a draft and in no CRD): permissions need the mesh's own driver beside
// this one. No GRPCRoute is written: an HTTPRoute takes gRPC too, and also what else comes to such a port.
package gamma

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway"
	"github.com/anymesh/anymesh/model"
)

const (
	noAccess   = "the Gateway API has no word for access: nothing was written, and the workload is as open as its mesh leaves it"
	noHost     = "the parent of a route is a Service, and no other host"
	noHostname = "a mesh takes no notice of the hostnames of an HTTPRoute, and the authority is no header"
	segments   = "exact paths and whole segments; any other path, also SMI's plain beginning, is a RegularExpression, which the Gateway API leaves to each mesh: Istio, Linkerd, Kuma and Cilium take it"
	expected   = "exact texts; others are a RegularExpression, which the Gateway API leaves to each mesh"
	standard   = "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE and PATCH"
	noTCP      = "the cluster serves no TCPRoute: raw TCP goes to the root's own endpoints"
	noUDP      = "the cluster serves no UDPRoute: UDP goes to the root's own endpoints"
	fewUDP     = "said exactly, and no mesh that is known acts on a UDPRoute with a Service for its parent: elsewhere UDP goes to the root's own endpoints"
)

// Driver is for clusters that serve TCPRoute and UDPRoute as v1, as Gateway API 1.6 does.
var Driver = &mesh.Driver{
	Name:      "gamma",
	Title:     "Gateway API (GAMMA)",
	Version:   "1.6 and later",
	Claims:    claims(mesh.Yes(), mesh.Nearly(fewUDP)),
	Kinds:     []mesh.Kind{http, gateway.Kind(gateway.V1, gateway.KindTCP), gateway.Kind(gateway.V1, gateway.KindUDP)},
	Reads:     reads,
	Injection: guest,
	Older:     []*mesh.Driver{experimental, plain},
	Route:     route(gateway.Dialect{TCP: gateway.V1, UDP: gateway.V1}),
	Access:    access,
	Import:    gateway.Import,
}

// experimental is for the experimental channel of earlier releases.
var experimental = &mesh.Driver{
	Name:      "gamma-experimental",
	Title:     "Gateway API (GAMMA), experimental channel",
	Version:   "1.1 to 1.5, with TCPRoute and UDPRoute",
	Claims:    claims(mesh.Yes(), mesh.Nearly(fewUDP)),
	Kinds:     []mesh.Kind{http, gateway.Kind(gateway.V1Alpha2, gateway.KindTCP), gateway.Kind(gateway.V1Alpha2, gateway.KindUDP)},
	Reads:     reads,
	Injection: guest,
	Route:     route(gateway.Dialect{TCP: gateway.V1Alpha2, UDP: gateway.V1Alpha2}),
	Access:    access,
	Import:    gateway.Import,
}

// plain is for the standard channel of earlier releases.
var plain = &mesh.Driver{
	Name:      "gamma-standard",
	Title:     "Gateway API (GAMMA), HTTPRoute alone",
	Version:   "1.1 to 1.5",
	Claims:    claims(mesh.No(noTCP), mesh.No(noUDP)),
	Kinds:     []mesh.Kind{http},
	Reads:     reads,
	Injection: guest,
	Route:     route(gateway.Dialect{}),
	Access:    access,
	Import:    gateway.Import,
}

// guest says that no proxies come with the language.
var guest = &mesh.Injection{Guest: true}

var (
	http  = gateway.Kind(gateway.V1, gateway.KindHTTP)
	reads = []mesh.Kind{gateway.Kind(gateway.V1, gateway.KindGRPC)}
)

func claims(stream, datagram mesh.Claim) map[model.Feature]mesh.Claim {
	out := map[model.Feature]mesh.Claim{
		model.SplitWeight:    mesh.Yes(),
		model.SplitMatch:     mesh.Yes(),
		model.SplitStream:    stream,
		model.SplitDatagram:  datagram,
		model.SplitSelf:      mesh.Yes(),
		model.SplitHost:      mesh.No(noHost),
		model.RoutePath:      mesh.Where(segments),
		model.RouteMethod:    mesh.Where(standard),
		model.RouteHeader:    mesh.Where(expected),
		model.RouteAuthority: mesh.No(noHostname),
	}
	for f := model.AccessCaller; f <= model.AccessClosed; f++ {
		out[f] = mesh.No(noAccess)
	}
	return out
}

func route(d gateway.Dialect) func(*model.Route, *mesh.Output) {
	return func(r *model.Route, o *mesh.Output) { gateway.Route(r, o, d) }
}

// access writes nothing. What permissions ask is said to be unsupported by the claims; that a permission closes, even one that grants
// nothing, is said here.
func access(a *model.Access, o *mesh.Output) {
	for i := range a.Grants {
		for k := range a.Workloads {
			if m := &a.Workloads[k]; a.Grants[i].Covers(m.Workload) && a.Closed(m.Workload) {
				o.Say(model.Intent{Feature: model.AccessCaller, Object: a.Grants[i].Permission.Ref(), Path: "spec.destination"}, model.Unsupported,
					noAccess, "Translate the permissions for the mesh itself too: anymesh matrix says which meshes enforce them.")
			}
		}
	}
}
