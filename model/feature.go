// SPDX-License-Identifier: Apache-2.0

package model

// Feature is one kind of wish that SMI can express and a mesh may or may not be able to grant.
type Feature uint8

// The features. Conditions on requests appear twice, since a mesh often routes by more than it can permit by.
const (
	SplitWeight     Feature = iota // backends share traffic by weight
	SplitMatch                     // only matched requests are split
	SplitStream                    // raw TCP is split
	SplitDatagram                  // UDP is split
	SplitSelf                      // the root is one of its own backends
	SplitHost                      // the root is a foreign host name
	RoutePath                      // a split's requests are matched by path
	RouteMethod                    // ... by method
	RouteHeader                    // ... by header
	RouteAuthority                 // ... by host
	AccessCaller                   // callers are admitted by service account
	AccessSPIFFE                   // callers of another trust domain are admitted by SPIFFE ID
	AccessPods                     // callers are admitted by pod label, apart from others of their account
	AccessSubset                   // a permission holds for some of an identity's workloads
	AccessPort                     // a permission holds on some ports
	AccessStream                   // raw TCP is permitted
	AccessDatagram                 // UDP is permitted
	AccessPath                     // requests are permitted by path
	AccessMethod                   // ... by method
	AccessHeader                   // ... by header
	AccessAuthority                // ... by host
	AccessClosed                   // the mesh is closed where no permission admits (accessDefault: deny)
	NumFeatures     int     = iota
)

var features = [NumFeatures]struct{ name, title string }{
	{"split.weight", "TrafficSplit: weights"},
	{"split.match", "TrafficSplit: matches"},
	{"split.stream", "TrafficSplit on raw TCP"},
	{"split.datagram", "TrafficSplit on UDP"},
	{"split.self", "TrafficSplit: root among its backends"},
	{"split.host", "TrafficSplit: root is a foreign host"},
	{"route.path", "split by path"},
	{"route.method", "split by method"},
	{"route.header", "split by header"},
	{"route.authority", "split by host"},
	{"access.caller", "TrafficTarget: service accounts"},
	{"access.spiffe", "TrafficTarget: foreign SPIFFE IDs"},
	{"access.pods", "TrafficTarget: callers by pod label"},
	{"access.subset", "TrafficTarget: destination by pod label"},
	{"access.port", "TrafficTarget: ports"},
	{"access.stream", "TrafficTarget: raw TCP"},
	{"access.datagram", "TrafficTarget: UDP"},
	{"access.path", "permit by path"},
	{"access.method", "permit by method"},
	{"access.header", "permit by header"},
	{"access.authority", "permit by host"},
	{"access.closed", "closed unless permitted"},
}

// String is the feature's name in reports: a word of the language, a dot, a word.
func (f Feature) String() string { return features[f].name }

// Title is the feature in words, for the support matrix.
func (f Feature) Title() string { return features[f].title }

// Features is a set of features.
type Features uint32

// Has says whether a feature is in the set.
func (s Features) Has(f Feature) bool { return s&(1<<f) != 0 }

// Intent is one thing that a user asked for, at the place where he asked for it.
type Intent struct {
	Feature Feature
	Object  Ref
	Path    string // of the field, in the newest version's shape: spec.backends[0].weight
}

// Level says how near to its wish an intent came.
type Level uint8

// The levels, from good to bad. Notice is for what is legal and granted, and yet may not be what was meant.
const (
	Exact Level = iota
	Notice
	Approximate
	Unsupported
	Invalid
)

// String is the level's word in reports.
func (l Level) String() string {
	return [...]string{"exact", "notice", "approximate", "unsupported", "invalid"}[l]
}

// MarshalText writes the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding says what became of one wish, or what is wrong with one object.
type Finding struct {
	Mesh    string  // the driver that found it; empty where it holds for every mesh
	Level   Level   //
	Code    Code    // stable, explained in docs/codes.md
	Object  Ref     //
	Path    string  // of the field, in the newest version's shape
	Feature Feature // where Wish
	Wish    bool    // the finding answers an intent; otherwise it is about the object itself
	Message string  // what is the case
	Hint    string  // what to do about it
}
