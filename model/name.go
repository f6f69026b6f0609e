// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strings"
)

// Name is where an object lives: unique within its kind.
type Name struct{ Namespace, Name string }

// String is the form in which findings and commands write a name: namespace/name.
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Compare orders names by namespace, then by name.
func (n Name) Compare(o Name) int {
	if c := strings.Compare(n.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(n.Name, o.Name)
}

// Kind is what an object is, in the word its API uses.
type Kind string

// The kinds that facts are made of.
const (
	KindSplit          Kind = "TrafficSplit"
	KindGroup          Kind = "HTTPRouteGroup"
	KindTCPRoute       Kind = "TCPRoute"
	KindUDPRoute       Kind = "UDPRoute"
	KindPermission     Kind = "TrafficTarget"
	KindBinding        Kind = "IdentityBinding"
	KindService        Kind = "Service"
	KindEndpointSlice  Kind = "EndpointSlice"
	KindPod            Kind = "Pod"
	KindServiceAccount Kind = "ServiceAccount"
	KindDeployment     Kind = "Deployment"
	KindStatefulSet    Kind = "StatefulSet"
	KindDaemonSet      Kind = "DaemonSet"
	KindRollout        Kind = "Rollout" // of Argo Rollouts
	KindSettings       Kind = "Settings"
)

// Ref points at one object.
type Ref struct {
	Kind Kind
	Name
}

// String writes the reference as kind namespace/name.
func (r Ref) String() string { return string(r.Kind) + " " + r.Name.String() }

// Compare orders references by kind, namespace and name.
func (r Ref) Compare(o Ref) int {
	if c := strings.Compare(string(r.Kind), string(o.Kind)); c != 0 {
		return c
	}
	return r.Name.Compare(o.Name)
}

// Identity is who a workload is: a Kubernetes service account in our own trust domain.
type Identity struct{ Namespace, ServiceAccount string }

// String writes an identity as namespace/account.
func (i Identity) String() string { return i.Namespace + "/" + i.ServiceAccount }

// Compare orders identities by namespace, then by account.
func (i Identity) Compare(o Identity) int {
	return cmp.Or(strings.Compare(i.Namespace, o.Namespace), strings.Compare(i.ServiceAccount, o.ServiceAccount))
}

// SPIFFE is the identity as a SPIFFE ID in a trust domain, in the form that Istio, OSM and the built-in mesh use.
func (i Identity) SPIFFE(trustDomain string) string {
	return "spiffe://" + trustDomain + "/ns/" + i.Namespace + "/sa/" + i.ServiceAccount
}

// ParseSPIFFE reads a SPIFFE ID, with or without its scheme, as an identity of the trust domain. It reports false for an ID
// of another domain or of another form.
func ParseSPIFFE(id, trustDomain string) (Identity, bool) {
	path, ok := strings.CutPrefix(strings.TrimPrefix(id, "spiffe://"), trustDomain+"/ns/")
	if !ok {
		return Identity{}, false
	}
	ns, sa, ok := strings.Cut(path, "/sa/")
	if !ok || ns == "" || sa == "" || strings.Contains(ns, "/") || strings.Contains(sa, "/") {
		return Identity{}, false
	}
	return Identity{ns, sa}, true
}

// ParseServiceName reads the name by which an SMI object in a namespace calls a service: `svc`, `svc.ns`, `svc.ns.svc` or the full
// DNS name with the cluster domain. It reports false for every other name, which is then a foreign host. A name of two
// labels is a service only when the second label is the object's own namespace: `shop.com` is a host.
func ParseServiceName(name, namespace, clusterDomain string) (Name, bool) {
	name = strings.TrimSuffix(name, ".")
	service, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		return Name{namespace, service}, service != ""
	}
	ns, rest, long := strings.Cut(rest, ".")
	if !long {
		return Name{ns, service}, ns == namespace
	}
	if rest == "svc" || rest == "svc."+clusterDomain {
		return Name{ns, service}, true
	}
	return Name{}, false
}
