// SPDX-License-Identifier: Apache-2.0

// Package consul is the driver of Consul on Kubernetes: splits become ServiceSplitters and ServiceRouters, permissions become
// ServiceIntentions.
//
// Consul's identity is the service and not the account. With ACLs, consul-k8s lets a pod register only as the service that is called as its
// account, so that the two names are one: that is what permissions rely on. Where another account's pods stand behind the Service of that name,
// Consul could not tell them apart, and nobody is admitted.
//
// Namespaces of Kubernetes are namespaces of Consul Enterprise, mirrored. A namespace is written only where a caller is of another one than its
// destination: the Community edition, which has none, refuses such an object rather than to mistake who is meant.
//
// A Consul service has one protocol and one port. ServiceDefaults say the protocol of those that are split, or split to, or permitted by request,
// where all ports of the Service agree on it: neither splits nor permissions for requests are taken without.
package consul

import (
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

const (
	apiVersion = "consul.hashicorp.com/v1alpha1"

	kindDefaults   = "ServiceDefaults"
	kindSplitter   = "ServiceSplitter"
	kindRouter     = "ServiceRouter"
	kindIntentions = "ServiceIntentions"
	kindResolver   = "ServiceResolver"

	// root is the namespace of the one policy that belongs to no service.
	root = "consul"
)

const (
	stream    = "Consul shares out requests and not connections, and takes a service for raw TCP unless all ports of its Service carry HTTP"
	byName    = "by service: with ACLs an account's name is its service's"
	asItIs    = "paths are matched as they are sent"
	knownOnly = "the methods of HTTP; others cannot be said"
)

// Driver is Consul.
var Driver = &mesh.Driver{
	Name:    "consul",
	Title:   "Consul",
	Version: "consul-k8s 1.0 and later",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight:     mesh.Where("in steps of 0.01 %"),
		model.SplitMatch:      mesh.Yes(),
		model.SplitStream:     mesh.No(stream),
		model.SplitDatagram:   mesh.No("Consul does not carry UDP: it goes to the root's own endpoints"),
		model.SplitSelf:       mesh.Yes(),
		model.SplitHost:       mesh.No("Consul routes a foreign host only as a destination of a terminating gateway; SMI does not say where it is"),
		model.RoutePath:       mesh.Where(asItIs),
		model.RouteMethod:     mesh.Where(knownOnly),
		model.RouteHeader:     mesh.Yes(),
		model.RouteAuthority:  mesh.Yes(),
		model.AccessCaller:    mesh.Where(byName),
		model.AccessSPIFFE:    mesh.No("Consul knows callers of other domains as services of a peer, and not by SPIFFE ID: this source is left out"),
		model.AccessPods:      mesh.No("Consul knows a caller by its service and not by its pod: this source is left out"),
		model.AccessSubset:    mesh.No("Consul knows a service and not some of its pods: all of them are closed, and this permission is left out"),
		model.AccessPort:      mesh.Where("where the ports are all that the service has: intentions know no port"),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.No("Consul does not carry UDP and no intention speaks of it: use a NetworkPolicy"),
		model.AccessPath:      mesh.Where(asItIs),
		model.AccessMethod:    mesh.Where(knownOnly),
		model.AccessHeader:    mesh.Yes(),
		model.AccessAuthority: mesh.Yes(),
		model.AccessClosed:    mesh.Yes(),
	},
	Kinds: []mesh.Kind{
		{APIVersion: apiVersion, Kind: kindDefaults, Resource: "servicedefaults"},
		{APIVersion: apiVersion, Kind: kindSplitter, Resource: "servicesplitters"},
		{APIVersion: apiVersion, Kind: kindRouter, Resource: "servicerouters"},
		{APIVersion: apiVersion, Kind: kindIntentions, Resource: "serviceintentions"},
	},
	Reads:    []mesh.Kind{{APIVersion: apiVersion, Kind: kindResolver, Resource: "serviceresolvers"}},
	Marks:    []mesh.Kind{{APIVersion: apiVersion, Kind: kindIntentions, Resource: "serviceintentions"}},
	Route:    route,
	Access:   access,
	Settings: settings,
	Injection: &mesh.Injection{Sidecars: true,
		Enter: "the annotation consul.hashicorp.com/connect-inject: \"true\" in each pod template",
		Leave: "the annotation consul.hashicorp.com/connect-inject taken out of each pod template"},
	Import:  importAll,
	Queries: queries,
}

func ours(kind string, n model.Name, spec any) mesh.Object {
	return mesh.Object{APIVersion: apiVersion, Kind: kind, Name: n, Spec: spec}
}

// carries is what Consul calls protocols that carry requests.
var carries = map[model.Protocol]string{model.HTTP: "http", model.HTTP2: "http2", model.GRPC: "grpc"}

// protocol is that of a Service all of whose ports agree that they carry HTTP, in Consul's words; empty for any other, which is raw TCP.
func protocol(s *model.Service) (p string) {
	for i := range s.Ports {
		if s.Ports[i].Protocol == model.UDP {
			continue
		}
		q := carries[s.Ports[i].Protocol]
		if q == "" || p != "" && p != q {
			return ""
		}
		p = q
	}
	return p
}

// defaults says what a service carries, for whoever needs it: a split of it or to it, or a permission for requests.
func defaults(n model.Name, protocol string) mesh.Object {
	o := ours(kindDefaults, n, &serviceDefaults{protocol})
	o.Shared = true
	return o
}
