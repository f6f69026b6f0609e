// SPDX-License-Identifier: Apache-2.0
// sizes: package: two releases of one mesh, and what the releases before them left behind, share the native types

// Package kuma is the driver of Kuma: splits become MeshHTTPRoutes and MeshTCPRoutes, permissions become MeshTrafficPermissions.
//
// [Driver] is for Kuma 2.12 and later, 3.0 too, with workload identities by MeshIdentity. It says everything by labels, since 3.0 reads
// nothing else. [Legacy] is for Kuma 2 before that, whose certificates name the tags of a pod and not its service account.
//
// Three choices, and why:
//
// Routes live in the control plane's namespace. A route in a namespace of its own holds for all clients only in the right shape, which
// differs between releases (by name up to 2.14; by three labels, one of them the zone, in 3.0), and in any other shape it holds for
// the clients of that namespace alone, without a word. In the control plane's namespace it holds for every client of the zone, in all of them.
// Routes that others write in namespaces come before ours.
//
// Permissions live in the namespace of the workloads that they open or close, and reach no further. They select by the label that the control
// plane gives every Dataplane, its service account, so that an identity is meant and not what its pods happen to be called.
//
// Who a caller is follows from the trust domain of the settings, as MeshIdentity writes it: <mesh>.<zone>.mesh.local. The mesh and the zone
// are read from it where it has that form; otherwise the mesh is called default.
package kuma

import (
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

const (
	apiVersion = "kuma.io/v1alpha1"

	kindHTTPRoute  = "MeshHTTPRoute"
	kindTCPRoute   = "MeshTCPRoute"
	kindPermission = "MeshTrafficPermission"
	kindIdentity   = "MeshIdentity"

	labelMesh      = "kuma.io/mesh"
	labelZone      = "kuma.io/zone"
	labelName      = "kuma.io/display-name"
	labelNamespace = "k8s.kuma.io/namespace"
	labelAccount   = "k8s.kuma.io/service-account"

	// system is the namespace of the control plane, unless the installation named another.
	system = "kuma-system"
)

const (
	normalised = "Kuma's proxies normalise a path (dot segments, doubled slashes) before they match it"
	l4         = "Kuma permits connections and not requests: what is tied to requests is left out, and stays refused"
	blind      = "Kuma takes a port for raw TCP unless its Service says appProtocol"
	addUp      = "only while no other MeshTrafficPermission admits more: permissions add up"
)

var kinds = []mesh.Kind{
	{APIVersion: apiVersion, Kind: kindHTTPRoute, Resource: "meshhttproutes"},
	{APIVersion: apiVersion, Kind: kindTCPRoute, Resource: "meshtcproutes"},
	{APIVersion: apiVersion, Kind: kindPermission, Resource: "meshtrafficpermissions"},
}

// identities is served by the releases whose permissions know callers by SPIFFE ID. Nothing is ever written of it.
var identities = mesh.Kind{APIVersion: apiVersion, Kind: kindIdentity, Resource: "meshidentities"}

// reads are kinds of which SMI can say something, or which say something of the mesh.
var reads = []mesh.Kind{
	{APIVersion: apiVersion, Kind: "TrafficPermission", Resource: "trafficpermissions"},
	{APIVersion: apiVersion, Kind: "TrafficRoute", Resource: "trafficroutes"},
	{APIVersion: apiVersion, Kind: "Mesh", Resource: "meshes"},
	identities,
}

// injection is the same in all releases, so that whoever goes from one to another keeps his proxies.
var injection = &mesh.Injection{Labels: map[string]string{"kuma.io/sidecar-injection": "enabled"}, Sidecars: true,
	Enter: "a namespace whose pods belong to another Mesh than default needs the label kuma.io/mesh too"}

// Driver is Kuma with workload identities.
var Driver = &mesh.Driver{
	Name:    "kuma",
	Title:   "Kuma",
	Version: "2.12 and later, with MeshIdentity",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight:     mesh.Where("in the zone of the control plane that takes them"),
		model.SplitMatch:      mesh.Where(blind),
		model.SplitStream:     mesh.Yes(),
		model.SplitDatagram:   mesh.No("Kuma does not capture UDP: it goes to the root's own endpoints"),
		model.SplitSelf:       mesh.Yes(),
		model.SplitHost:       mesh.No("Kuma routes a foreign host only through a MeshExternalService, which says where the host is; SMI does not"),
		model.RoutePath:       mesh.Where(normalised),
		model.RouteMethod:     mesh.Where("the methods of HTTP; others cannot be said"),
		model.RouteHeader:     mesh.Yes(),
		model.RouteAuthority:  mesh.Yes(),
		model.AccessCaller:    mesh.Where(addUp),
		model.AccessSPIFFE:    mesh.Where("where a MeshTrust vouches for the domain"),
		model.AccessPods:      mesh.No("Kuma knows a caller by its SPIFFE ID, which names the service account and not the pod: this source is left out"),
		model.AccessSubset:    mesh.Yes(),
		model.AccessPort:      mesh.Where("ports that a Service leads to: a port is selected by the name that the Service gives it"),
		model.AccessStream:    mesh.Yes(),
		model.AccessDatagram:  mesh.No("Kuma does not capture UDP and no policy speaks of it: use a NetworkPolicy"),
		model.AccessPath:      mesh.No(l4),
		model.AccessMethod:    mesh.No(l4),
		model.AccessHeader:    mesh.No(l4),
		model.AccessAuthority: mesh.No(l4),
		model.AccessClosed:    mesh.Where(addUp),
	},
	Kinds:     append(kinds[:len(kinds):len(kinds)], identities),
	Reads:     reads[:3:3],
	Marks:     kinds[:1:1],
	Older:     []*mesh.Driver{Legacy},
	Injection: injection,
	Route:     func(r *model.Route, o *mesh.Output) { route(r, o, named{labels: true}) },
	Access:    access,
	Settings:  settings,
	Import:    importAll,
	Queries:   queries,
}

// Legacy is Kuma 2 with the mesh's own certificates, which name the tags of a pod.
var Legacy = &mesh.Driver{
	Name:    "kuma-2",
	Title:   "Kuma 2",
	Version: "2.6 to 2.14, with mtls of the Mesh",
	Claims: map[model.Feature]mesh.Claim{
		model.SplitWeight:     mesh.Yes(),
		model.SplitMatch:      mesh.Where(blind),
		model.SplitStream:     mesh.Yes(),
		model.SplitDatagram:   mesh.No("Kuma does not capture UDP: it goes to the root's own endpoints"),
		model.SplitSelf:       mesh.Yes(),
		model.SplitHost:       mesh.No("Kuma 2 routes a foreign host only through an ExternalService, which says where the host is; SMI does not"),
		model.RoutePath:       mesh.Where(normalised),
		model.RouteMethod:     mesh.Where("the methods of HTTP; others cannot be said"),
		model.RouteHeader:     mesh.Yes(),
		model.RouteAuthority:  mesh.Yes(),
		model.AccessCaller:    mesh.No(tagged),
		model.AccessSPIFFE:    mesh.No(tagged),
		model.AccessPods:      mesh.No(tagged),
		model.AccessSubset:    mesh.No(tagged),
		model.AccessPort:      mesh.No(tagged),
		model.AccessStream:    mesh.No(tagged),
		model.AccessDatagram:  mesh.No("Kuma does not capture UDP and no policy speaks of it: use a NetworkPolicy"),
		model.AccessPath:      mesh.No(l4),
		model.AccessMethod:    mesh.No(l4),
		model.AccessHeader:    mesh.No(l4),
		model.AccessAuthority: mesh.No(l4),
		model.AccessClosed:    mesh.Yes(),
	},
	Kinds:     kinds,
	Reads:     reads[:3:3],
	Marks:     kinds[:1:1],
	Injection: injection,
	Route:     func(r *model.Route, o *mesh.Output) { route(r, o, named{}) },
	Access:    accessByTags,
	Settings:  settingsByTags,
	Import:    importAll,
	Queries:   queries,
}

// tagged is why nobody can be admitted by account.
const tagged = "certificates of the Mesh name a pod's tags and not its service account: nobody is admitted, and the destination is closed; " +
	"give the mesh a MeshIdentity (Kuma 2.12)"

// place reads the mesh and the zone from a trust domain of MeshIdentity's own form; the zone is empty where it has another.
func place(trustDomain string) (meshName, zone string) {
	rest, ok := strings.CutSuffix(trustDomain, ".mesh.local")
	m, z, two := strings.Cut(rest, ".")
	if !ok || !two || m == "" || z == "" || strings.Contains(z, ".") {
		return "default", ""
	}
	return m, z
}

// ours is an object of the mesh.
func ours(s *model.Settings, kind string, n model.Name, spec any) mesh.Object {
	m, _ := place(s.TrustDomain)
	return mesh.Object{APIVersion: apiVersion, Kind: kind, Name: n, Labels: map[string]string{labelMesh: m}, Spec: spec}
}
