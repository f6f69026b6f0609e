// SPDX-License-Identifier: Apache-2.0

// Package ambient is the driver of Istio without sidecars. Two proxies enforce there what a sidecar enforces alone.
//
// ztunnel stands before every pod. It knows who calls and on which port, and takes no notice of rules that speak of requests: they admit
// nobody. A waypoint stands before a Service that is labelled so, and knows requests; what passed it comes to the pod in the name of the
// waypoint and not of the caller, and who calls the pod itself never meets it.
//
// So each account that is called has a waypoint of its own, and two policies: one at the waypoint, which says who may ask what; and
// one at the pods, which admits to them the waypoint, and directly those alone whose calls need not be looked into. A
// waypoint that the account shared with another would let in with one's permissions what comes to the other.
//
// Splits are routes of the Gateway API, which the waypoint of the root follows, whichever it is.
package ambient

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
)

const (
	waypoint   = "a waypoint splits, and none stands before a Service without the label istio.io/use-waypoint"
	ways       = "calls to the pods themselves, and to Services that use no waypoint or that of the called account; what another waypoint passes on, as at a split between accounts, is refused"
	normalised = "waypoints normalise a path (dot segments, backslashes) before they match it, and pass it on so"
	noUDP      = "ztunnel does not capture UDP"
)

// Driver is Istio's ambient mode, as it splits raw TCP too: it reads TCPRoutes from Gateway API 1.6 on.
var Driver = &mesh.Driver{
	Name:      "ambient",
	Title:     "Istio (ambient)",
	Version:   "1.31 and later, with Gateway API 1.6",
	Claims:    claims(mesh.Where(waypoint)),
	Injection: injection,
	Follows:   follows,
	Kinds:     append([]mesh.Kind{gateway.Kind(gateway.V1, gateway.KindTCP)}, kinds...),
	Older:     []*mesh.Driver{requestsAlone},
	Route:     route(gateway.Dialect{TCP: gateway.V1, Both: true}),
	Access:    access,
	Settings:  settings,
	Import:    importAll,
	Queries:   queries,
}

// requestsAlone is for what came before.
var requestsAlone = &mesh.Driver{
	Name:      "ambient-http",
	Title:     "Istio (ambient), HTTPRoute alone",
	Version:   "1.24 to 1.30, or Gateway API before 1.6",
	Claims:    claims(mesh.No("Istio reads no TCPRoute here: raw TCP goes to the root's own endpoints")),
	Injection: injection,
	Follows:   follows,
	Kinds:     kinds,
	Route:     route(gateway.Dialect{}),
	Access:    access,
	Settings:  settings,
	Import:    importAll,
	Queries:   queries,
}

// follows are what waypoints obey of the language for sidecars, where they do at all.
var follows = []mesh.Kind{{APIVersion: "networking.istio.io/v1", Kind: "VirtualService", Resource: "virtualservices", Clash: "waypoints do not promise which of the two counts"}}

// injection is the same for all releases: no proxy is in a pod.
var injection = &mesh.Injection{Labels: map[string]string{"istio.io/dataplane-mode": "ambient"},
	Enter: "Services use a waypoint by the label istio.io/use-waypoint: the report says which need it"}

var kinds = []mesh.Kind{
	gateway.Kind(gateway.V1, gateway.KindHTTP),
	{APIVersion: gateway.V1, Kind: kindGateway, Resource: "gateways"},
	{APIVersion: policy.API, Kind: policy.Kind, Resource: "authorizationpolicies"},
}

func claims(stream mesh.Claim) map[model.Feature]mesh.Claim {
	return map[model.Feature]mesh.Claim{
		model.SplitWeight:     mesh.Where(waypoint),
		model.SplitMatch:      mesh.Where(waypoint),
		model.SplitStream:     stream,
		model.SplitDatagram:   mesh.No(noUDP + ": it goes to the root's own endpoints"),
		model.SplitSelf:       mesh.Where(waypoint),
		model.SplitHost:       mesh.No("the parent of a route is a Service, and no other host"),
		model.RoutePath:       mesh.Where(normalised),
		model.RouteMethod:     mesh.Where("GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE and PATCH"),
		model.RouteHeader:     mesh.Yes(),
		model.RouteAuthority:  mesh.No("a waypoint takes no notice of the hostnames of an HTTPRoute, and the authority is no header"),
		model.AccessCaller:    mesh.Nearly(ways),
		model.AccessSPIFFE:    mesh.Nearly("IDs of the form spiffe://domain/ns/namespace/sa/account, for ztunnel knows no other; " + ways),
		model.AccessPods:      mesh.No("Istio knows a caller by its certificate, which names the service account and not the pod: this source is left out"),
		model.AccessSubset:    mesh.Where("where raw TCP is permitted: a waypoint stands before all workloads of an account, and cannot tell them apart"),
		model.AccessPort:      mesh.Where("where a port of a Service leads to one port of the pods"),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.No(noUDP + " and no policy speaks of it, to permit or to refuse: use a NetworkPolicy"),
		model.AccessPath:      mesh.Where("exact texts, prefixes and suffixes; " + normalised),
		model.AccessMethod:    mesh.Yes(),
		model.AccessHeader:    mesh.Where("exact texts, prefixes, suffixes and presence"),
		model.AccessAuthority: mesh.Where("exact texts, prefixes and suffixes"),
		model.AccessClosed:    mesh.Yes(),
	}
}

// settings says what belongs to no workload: where all of the mesh is closed, a policy that allows nothing says so to every ztunnel.
func settings(s *model.Settings, o *mesh.Output) {
	if s.Access == model.AccessDeny {
		o.Add(policy.Closed())
	}
}

// route says the splits of a root, and that they wait for a waypoint: nobody can see from here whether there is one.
func route(d gateway.Dialect) func(*model.Route, *mesh.Output) {
	return func(r *model.Route, o *mesh.Output) {
		gateway.Route(r, o, d)
		for _, s := range r.Splits {
			for in := range r.Intents {
				if in.Feature == model.SplitWeight && in.Object == s.Ref() && len(o.Objects) > 0 {
					o.SayAs(in, model.Notice, model.CodeNeeds, "splits once Service "+r.Name.String()+" uses a waypoint",
						"Label the Service istio.io/use-waypoint: "+waypointName("ACCOUNT")+" where the account of its workloads is called by permission; otherwise name any waypoint of the namespace (istioctl waypoint apply).")
					break
				}
			}
		}
	}
}
