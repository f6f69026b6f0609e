// SPDX-License-Identifier: Apache-2.0
// sizes: package: both directions of one API share its native types; each alone is well below

// Package gateway says splits in the words of the Gateway API for meshes (GAMMA): routes whose parent is a Service. It is no driver; the
// drivers of meshes that read such routes share it.
//
// Three things set the Gateway API apart from SMI, and this package is about them. A request that no rule takes is refused, so that
// every port that is spoken of has a last rule that leads to the root itself. The order of rules counts for little: the most specific
// match wins, so that what SMI decides by order is written out until any order gives the same (see order.go). And a
// path prefix is one of whole segments, so that what SMI calls a prefix is mostly a regular expression here (see match.go).
package gateway

import "github.com/anymesh/anymesh/mesh"

// The API group and its versions.
const (
	Group    = "gateway.networking.k8s.io"
	V1       = Group + "/v1"
	V1Alpha2 = Group + "/v1alpha2"
)

// The kinds of routes.
const (
	KindHTTP = "HTTPRoute"
	KindGRPC = "GRPCRoute"
	KindTLS  = "TLSRoute"
	KindTCP  = "TCPRoute"
	KindUDP  = "UDPRoute"
)

// Kind of an API version; its plural is what all kinds of routes have.
func Kind(version, kind string) mesh.Kind {
	plural := map[string]string{KindHTTP: "httproutes", KindGRPC: "grpcroutes", KindTLS: "tlsroutes", KindTCP: "tcproutes", KindUDP: "udproutes"}
	return mesh.Kind{APIVersion: version, Kind: kind, Resource: plural[kind]}
}

// The native fields that we say, and no others: what an object holds beside them is found by reading it into these types, and
// reported.

// HTTPRoute is the spec of one.
type HTTPRoute struct {
	ParentRefs []ParentRef `json:"parentRefs,omitempty"`
	Hostnames  []string    `json:"hostnames,omitempty"` // read alone: a mesh takes no notice of them
	Rules      []HTTPRule  `json:"rules,omitempty"`
}

// HTTPRule sends the requests that meet any of its matches to backends.
type HTTPRule struct {
	Name        string       `json:"name,omitempty"` // read alone
	Matches     []HTTPMatch  `json:"matches,omitempty"`
	BackendRefs []BackendRef `json:"backendRefs,omitempty"`
}

// HTTPMatch holds for requests that meet all of its conditions.
type HTTPMatch struct {
	Path    *TextMatch    `json:"path,omitempty"` // none: the prefix /
	Method  string        `json:"method,omitempty"`
	Headers []HeaderMatch `json:"headers,omitempty"`
}

// The types of matches.
const (
	Exact      = "Exact"
	Prefix     = "PathPrefix" // of whole segments
	Expression = "RegularExpression"
)

// TextMatch is a condition on a path.
type TextMatch struct {
	Type  string `json:"type,omitempty"` // none: Prefix
	Value string `json:"value,omitempty"`
}

// HeaderMatch is a condition on a header. Of several on one name only the first counts.
type HeaderMatch struct {
	Type  string `json:"type,omitempty"` // none: Exact
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ParentRef is what a route is attached to.
type ParentRef struct {
	Group       *string `json:"group,omitempty"` // none: that of the Gateway API; empty: Kubernetes' own
	Kind        string  `json:"kind,omitempty"`  // none: Gateway
	Namespace   string  `json:"namespace,omitempty"`
	Name        string  `json:"name"`
	SectionName string  `json:"sectionName,omitempty"` // read alone
	Port        uint16  `json:"port,omitempty"`        // none: all of them
}

// BackendRef is one receiver. Weight is relative to the others, 0 to a million.
type BackendRef struct {
	Group     *string `json:"group,omitempty"`     // read alone
	Kind      string  `json:"kind,omitempty"`      // read alone
	Namespace string  `json:"namespace,omitempty"` // read alone
	Name      string  `json:"name"`
	Port      uint16  `json:"port"`
	Weight    *int32  `json:"weight,omitempty"` // none: 1
}

// PortRoute is the spec of a TCPRoute and of a UDPRoute.
type PortRoute struct {
	ParentRefs []ParentRef `json:"parentRefs,omitempty"`
	Rules      []PortRule  `json:"rules,omitempty"` // one
}

// PortRule sends all that comes to backends.
type PortRule struct {
	Name        string       `json:"name,omitempty"` // read alone
	BackendRefs []BackendRef `json:"backendRefs,omitempty"`
}

// What an object holds at most (the CRD of HTTPRoute).
const (
	mostRules      = 16
	mostInRule     = 64  // matches
	mostMatches    = 128 // in all rules
	mostBackends   = 16
	mostHeaders    = 16
	longestPath    = 1024
	longestHeader  = 4096
	greatestWeight = 1_000_000
)
