// SPDX-License-Identifier: Apache-2.0
// sizes: package: both directions of one mesh, in three dialects, share the native types and the rank of matches; each is about half

// Package linkerd is the driver of Linkerd, in three dialects of its releases. Splits become HTTPRoutes and TCPRoutes of the root Service,
// and ServiceProfiles before; permissions become a Server for each port of a workload, with HTTPRoutes and AuthorizationPolicies.
//
// Linkerd asks one route of a request, the one whose match says most, and not all that take it: whoever writes two routes for
// one port has to know which of them is asked. Where permissions overlap, one route holds them all, and each match names its callers
// by the header l5d-client-id, which the server's proxy writes from the certificate before it asks.
//
// A Server closes one port of a workload. Ports that neither the pod nor a Service declares follow Linkerd's own default policy.
package linkerd

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

const (
	policyGroup  = "policy.linkerd.io"
	linkerdGroup = "linkerd.io"
	gateway      = "gateway.networking.k8s.io"
	policies     = policyGroup + "/v1alpha1"

	kindServer        = "Server"
	kindPolicy        = "AuthorizationPolicy"
	kindMeshTLS       = "MeshTLSAuthentication"
	kindNetwork       = "NetworkAuthentication"
	kindHTTPRoute     = "HTTPRoute"
	kindTCPRoute      = "TCPRoute"
	kindProfile       = "ServiceProfile"
	kindAuthorization = "ServerAuthorization"
)

// reads are the kinds that import understands in whatever dialect.
var reads = []mesh.Kind{
	{APIVersion: policyGroup + "/v1beta3", Kind: kindHTTPRoute, Resource: "httproutes"},
	{APIVersion: gateway + "/v1", Kind: "GRPCRoute", Resource: "grpcroutes"},
	{APIVersion: policyGroup + "/v1beta1", Kind: kindAuthorization, Resource: "serverauthorizations"},
	{APIVersion: linkerdGroup + "/v1alpha2", Kind: kindProfile, Resource: "serviceprofiles", Clash: "it overrides the routes of its Service"},
}

// injection is the same for all releases.
var injection = &mesh.Injection{Annotations: map[string]string{"linkerd.io/inject": "enabled"}, Sidecars: true,
	Leave: "a pod template that has the annotation linkerd.io/inject keeps its proxy until the annotation is gone there too"}

// dialect is what differs between releases.
type dialect struct {
	servers string // apiVersion of Server
	routes  string // apiVersion of HTTPRoute
	streams bool   // there is TCPRoute
}

var (
	newest = &dialect{policyGroup + "/v1beta3", gateway + "/v1", true}
	own    = &dialect{policyGroup + "/v1beta3", policyGroup + "/v1beta3", false}
)

const (
	profiles = "a ServiceProfile of the same Service overrides it: delete that in the same step; Linkerd splits what goes to the cluster IP, so that a headless root is not split"
	repeated = "Linkerd looks at a repeated header value by value, where SMI joins them with a comma"
	noUDP    = "Linkerd does not carry UDP"
	noHost   = "Linkerd has no expression for the host of a request: the match is left out"
	declared = "on the ports that the pod or a Service before it declares; others follow config.linkerd.io/default-inbound-policy, which should be deny"
	checks   = ". The kubelet's checks are open to every caller, since the kubelet has no identity"
	closes   = "each workload that is known is closed " + declared
)

func routeClaims() map[model.Feature]mesh.Claim {
	return map[model.Feature]mesh.Claim{
		model.SplitWeight:     mesh.Where(profiles),
		model.SplitMatch:      mesh.Yes(),
		model.SplitStream:     mesh.Where("on ports that carry requests too, the requests are split and raw TCP is not"),
		model.SplitDatagram:   mesh.No(noUDP + ": it goes to the root's own endpoints"),
		model.SplitSelf:       mesh.Yes(),
		model.SplitHost:       mesh.No("Linkerd routes what goes to a Service, and not what goes to a host"),
		model.RoutePath:       mesh.Yes(),
		model.RouteMethod:     mesh.Where("the methods of HTTP and PATCH; others are left out"),
		model.RouteHeader:     mesh.Where(repeated),
		model.RouteAuthority:  mesh.No(noHost),
		model.AccessCaller:    mesh.Where(declared + checks),
		model.AccessSPIFFE:    mesh.Where("for callers that show a SPIFFE ID, such as those outside Kubernetes; Linkerd's own show a DNS name"),
		model.AccessPods:      mesh.No("Linkerd knows a caller by its certificate, which names the service account and not the pod: this source is left out"),
		model.AccessSubset:    mesh.Yes(),
		model.AccessPort:      mesh.Yes(),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.No(noUDP + " and no policy speaks of it, to permit or to refuse: use a NetworkPolicy"),
		model.AccessPath:      mesh.Yes(),
		model.AccessMethod:    mesh.Where("the methods of HTTP and PATCH; others are left out"),
		model.AccessHeader:    mesh.Where("exact texts and presence: " + repeated + ", so that the proxy sets the header to the text that was permitted, and expressions stay refused"),
		model.AccessAuthority: mesh.No(noHost + " and stays refused"),
		model.AccessClosed:    mesh.Nearly(closes + checks),
	}
}

func without(claims map[model.Feature]mesh.Claim, why string, list ...model.Feature) map[model.Feature]mesh.Claim {
	for _, f := range list {
		claims[f] = mesh.No(why)
	}
	return claims
}

// Driver is Linkerd with the Gateway API's own kinds.
var Driver = &mesh.Driver{
	Name:    "linkerd",
	Title:   "Linkerd",
	Version: "2.17 and later, with the Gateway API's HTTPRoute v1 and TCPRoute v1alpha2",
	Claims:  routeClaims(),
	Kinds: append(policyKinds(newest),
		mesh.Kind{APIVersion: gateway + "/v1", Kind: kindHTTPRoute, Resource: "httproutes"},
		mesh.Kind{APIVersion: gateway + "/v1alpha2", Kind: kindTCPRoute, Resource: "tcproutes"}),
	Reads: reads,
	Marks: []mesh.Kind{
		{APIVersion: policyGroup + "/v1beta1", Kind: kindServer, Resource: "servers"},
		{APIVersion: policyGroup + "/v1beta3", Kind: kindServer, Resource: "servers"},
	},
	Older:     []*mesh.Driver{ownRoutes, profiled},
	Injection: injection,
	Route:     newest.route,
	Access:    newest.access,
	Import:    importAll,
	Queries:   queries,
}

// ownRoutes is Linkerd with its own copy of HTTPRoute, which comes with it.
var ownRoutes = &mesh.Driver{
	Name:    "linkerd-2.16",
	Title:   "Linkerd 2.16",
	Version: "2.16 and later, without the Gateway API's own kinds",
	Claims: without(routeClaims(), "connections are split by TCPRoute, which this cluster does not serve: they go to the root's own endpoints",
		model.SplitStream),
	Kinds: append(policyKinds(own),
		mesh.Kind{APIVersion: policyGroup + "/v1beta3", Kind: kindHTTPRoute, Resource: "httproutes"}),
	Reads:     reads,
	Injection: injection,
	Route:     own.route,
	Access:    own.access,
	Import:    importAll,
	Queries:   queries,
}

func policyKinds(d *dialect) []mesh.Kind {
	return []mesh.Kind{
		{APIVersion: d.servers, Kind: kindServer, Resource: "servers"},
		{APIVersion: policies, Kind: kindPolicy, Resource: "authorizationpolicies"},
		{APIVersion: policies, Kind: kindMeshTLS, Resource: "meshtlsauthentications"},
		{APIVersion: policies, Kind: kindNetwork, Resource: "networkauthentications"},
	}
}
