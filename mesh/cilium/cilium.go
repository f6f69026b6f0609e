// SPDX-License-Identifier: Apache-2.0

// Package cilium is the driver of Cilium without sidecars: splits become HTTPRoutes of the Gateway API, permissions become
// CiliumNetworkPolicies.
//
// Cilium knows a caller by the labels of its pod, which its agents have from the API server: the service account and the namespace are
// labels among them. So it is the one mesh that selects workloads by service account, tells pods of one account apart, and has a word for
// UDP. Who calls is enforced in the kernel; what is asked, by an Envoy on the node, to which a port with rules on requests is led.
//
// Three things set its rules apart from SMI's, and this package is about them. A rule on requests leads all that a caller sends to the
// port through a proxy of HTTP, which shuts raw TCP, also where another rule permits it. An expression on a path has to cover the query
// too. And a condition on a header is an exact text or none.
package cilium

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway"
	"github.com/anymesh/anymesh/model"
)

const (
	api         = "cilium.io/v2"
	kindPolicy  = "CiliumNetworkPolicy"
	kindCluster = "CiliumClusterwideNetworkPolicy"

	normalised = "Cilium's proxies normalise a path (dot segments, doubled slashes; escaped slashes by a redirect) before they match it, and pass it on so"
	noGateway  = "the cluster serves no HTTPRoute, and Cilium splits by nothing else that is written for a Service: requests go to the root's own endpoints"
	noStream   = "Cilium reads no TCPRoute whose parent is a Service: raw TCP goes to the root's own endpoints"
	noDatagram = "Cilium reads no UDPRoute: UDP goes to the root's own endpoints"
	byLabel    = "callers are known by the labels of their pods, which the API server tells, and not by certificate: authentication.mode of a policy is yours to add"
	seen       = "labels that Cilium knows pods by: without the kubernetes.io names and the hashes of templates, and as the installation's option labels leaves them"
)

// Driver is for clusters that serve the Gateway API beside Cilium's own.
//
// It has no Marks: where Cilium is the network of a cluster, its kinds are there, and another mesh may well be what runs in it.
var Driver = &mesh.Driver{
	Name:     "cilium",
	Title:    "Cilium",
	Version:  "1.18 and later",
	Claims:   claims(mesh.Yes(), mesh.Yes()),
	Kinds:    append([]mesh.Kind{gateway.Kind(gateway.V1, gateway.KindHTTP)}, policies...),
	Reads:    []mesh.Kind{gateway.Kind(gateway.V1, gateway.KindGRPC)},
	Follows:  follows,
	Older:    []*mesh.Driver{permissionsAlone},
	Route:    route,
	Access:   access,
	Settings: settings,
	Import:   importAll,
}

// permissionsAlone is for clusters without the Gateway API.
var permissionsAlone = &mesh.Driver{
	Name:     "cilium-policy",
	Title:    "Cilium, permissions alone",
	Version:  "1.18 and later, without the Gateway API",
	Claims:   claims(mesh.No(noGateway), mesh.No(noGateway)),
	Kinds:    policies,
	Follows:  follows,
	Access:   access,
	Settings: settings,
	Import:   importAll,
}

var policies = []mesh.Kind{
	{APIVersion: api, Kind: kindPolicy, Resource: "ciliumnetworkpolicies", Clash: "what it allows is allowed beside what ours allow, and where it speaks of requests raw TCP is shut"},
	{APIVersion: api, Kind: kindCluster, Resource: "ciliumclusterwidenetworkpolicies", Clash: "what it allows is allowed beside what ours allow, and where it speaks of requests raw TCP is shut"},
}

// follows is what Cilium obeys beside: what such an object admits is admitted, what it leads elsewhere goes there.
var follows = []mesh.Kind{
	{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Resource: "networkpolicies", Clash: "what it allows is allowed beside what ours allow"},
	{APIVersion: api, Kind: "CiliumEnvoyConfig", Resource: "ciliumenvoyconfigs", Clash: "of two for one Service nobody says which counts"},
}

func claims(split, self mesh.Claim) map[model.Feature]mesh.Claim {
	path, method, header := mesh.Where(normalised), mesh.Where("GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE and PATCH"), mesh.Yes()
	if split.Level == model.Unsupported {
		path, method, header = split, split, split
	}
	return map[model.Feature]mesh.Claim{
		model.SplitWeight:     split,
		model.SplitMatch:      split,
		model.SplitStream:     mesh.No(noStream),
		model.SplitDatagram:   mesh.No(noDatagram),
		model.SplitSelf:       self,
		model.SplitHost:       mesh.No("the parent of a route is a Service, and no other host"),
		model.RoutePath:       path,
		model.RouteMethod:     method,
		model.RouteHeader:     header,
		model.RouteAuthority:  mesh.No("a mesh takes no notice of the hostnames of an HTTPRoute, and the authority is no header"),
		model.AccessCaller:    mesh.Where(byLabel),
		model.AccessSPIFFE:    mesh.No("Cilium knows a caller by the labels of its pod: one of another trust domain has none"),
		model.AccessPods:      mesh.Where(seen),
		model.AccessSubset:    mesh.Where(seen),
		model.AccessPort:      mesh.Yes(),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.Yes(),
		model.AccessPath:      mesh.Where(normalised),
		model.AccessMethod:    mesh.Yes(),
		model.AccessHeader:    mesh.Where("exact texts, several of them, and presence"),
		model.AccessAuthority: mesh.Yes(),
		model.AccessClosed:    mesh.Where("all pods but those of kube-system and anymesh-system; the kubelet of a pod's own node is admitted to it always, as Cilium is installed"),
	}
}

// settings says what belongs to no workload: where all of the mesh is closed, a policy of the cluster that admits nobody. Pods without a
// namespace, as Cilium's own for health are, are none of the mesh's.
func settings(s *model.Settings, o *mesh.Output) {
	if s.Access != model.AccessDeny {
		return
	}
	o.Add(mesh.Object{APIVersion: api, Kind: kindCluster, Name: model.Name{Name: "anymesh-allow-nothing"}, Spec: &policy{
		Endpoints: &selector{Expressions: []requirement{{namespaceLabel, "Exists", nil}, {namespaceLabel, "NotIn", []string{"anymesh-system", "kube-system"}}}},
		Ingress:   []ingress{{}},
	}})
}

// route says the splits of a root, and that a port with a route is one of requests alone.
func route(r *model.Route, o *mesh.Output) {
	gateway.Route(r, o, gateway.Dialect{Shut: true})
	if len(o.Objects) == 0 {
		return
	}
	for i := range r.Ports {
		p := &r.Ports[i]
		if p.Protocol != model.Auto || !written(o, p.Number) {
			continue
		}
		for k := range p.Arms {
			a := &p.Arms[k]
			for _, s := range a.Shares {
				o.Say(weight(a, s), model.Approximate, portText(p.Number)+" does not say what it carries, and a port with a route carries requests alone: raw TCP on it is refused",
					"Name the port http-… or tcp-…, or set its appProtocol.")
			}
		}
	}
}
