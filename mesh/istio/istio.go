// SPDX-License-Identifier: Apache-2.0
// sizes: package: both directions of one mesh share the native types; each alone is well below

// Package istio is the driver of Istio with sidecars: splits become VirtualServices, permissions become AuthorizationPolicies.
//
// Istio permits by less than it routes by. A route takes any RE2 expression; a policy takes exact texts, prefixes, suffixes and path
// templates, and no expression. What a policy cannot say is left out and stays refused.
//
// No PeerAuthentication is written. Every rule names its callers by certificate, so that a caller without one is refused whatever
// the mode of mTLS is, and the mode decides about more than SMI speaks of.
package istio

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
)

const (
	networking = "networking.istio.io/v1"

	kindVirtualService = "VirtualService"
)

const (
	normalised = "Istio's proxies normalise a path (dot segments, backslashes) before they match it, and pass it on so"
	noUDP      = "sidecars do not capture UDP"
)

// Driver is Istio.
var Driver = &mesh.Driver{
	Name:    "istio",
	Title:   "Istio",
	Version: "1.22 and later",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight:   mesh.Yes(),
		model.SplitMatch:    mesh.Yes(),
		model.SplitStream:   mesh.Yes(),
		model.SplitDatagram: mesh.No(noUDP + ": it goes to the root's own endpoints"),
		model.SplitSelf:     mesh.Yes(),
		model.SplitHost: mesh.Nearly("the host is routed on the ports that a ServiceEntry gives it, and on port 80 where there is none; " +
			"what no match takes is refused unless there is a ServiceEntry"),
		model.RoutePath:       {Level: model.Exact, Note: normalised},
		model.RouteMethod:     mesh.Yes(),
		model.RouteHeader:     mesh.Yes(),
		model.RouteAuthority:  mesh.Yes(),
		model.AccessCaller:    mesh.Yes(),
		model.AccessSPIFFE:    mesh.Yes(),
		model.AccessPods:      mesh.No("Istio knows a caller by its certificate, which names the service account and not the pod: this source is left out"),
		model.AccessSubset:    mesh.Yes(),
		model.AccessPort:      mesh.Yes(),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.No(noUDP + " and no policy speaks of it, to permit or to refuse: use a NetworkPolicy"),
		model.AccessPath:      {Level: model.Exact, Note: "exact texts, prefixes and suffixes; " + normalised},
		model.AccessMethod:    mesh.Yes(),
		model.AccessHeader:    {Level: model.Exact, Note: "exact texts, prefixes, suffixes and presence"},
		model.AccessAuthority: {Level: model.Exact, Note: "exact texts, prefixes and suffixes"},
		model.AccessClosed:    mesh.Yes(),
	},
	Kinds: []mesh.Kind{
		{APIVersion: networking, Kind: kindVirtualService, Resource: "virtualservices", Clash: "of two for one host the older counts alone"},
		{APIVersion: policy.API, Kind: policy.Kind, Resource: "authorizationpolicies", Clash: "what it allows is allowed beside what ours allow"},
		{APIVersion: filterAPI, Kind: kindFilter, Resource: "envoyfilters", Clash: "what both change is changed twice", Helper: true},
	},
	Marks:   []mesh.Kind{{APIVersion: networking, Kind: kindVirtualService, Resource: "virtualservices"}},
	Follows: routes,
	Injection: &mesh.Injection{Labels: map[string]string{"istio-injection": "enabled"}, Others: []string{"istio.io/rev"}, Sidecars: true,
		Enter: "an Istio that was installed by revision asks for the label istio.io/rev=REVISION in place of istio-injection",
		Leave: "a pod template that has the label sidecar.istio.io/inject keeps its proxy until the label is gone there too"},
	Route:    route,
	Access:   access,
	Settings: settings,
	Import:   importAll,
	Queries:  queries,
}

// routes are those of the Gateway API: with a Service for their parent, sidecars follow them as they follow VirtualServices.
var routes = []mesh.Kind{
	{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Resource: "httproutes"},
	{APIVersion: "gateway.networking.k8s.io/v1", Kind: "GRPCRoute", Resource: "grpcroutes"},
	{APIVersion: "gateway.networking.k8s.io/v1", Kind: "TCPRoute", Resource: "tcproutes"},
}
