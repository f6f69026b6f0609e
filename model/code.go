// SPDX-License-Identifier: Apache-2.0

package model

// Code names one kind of finding for good: it is never reused and never changes its meaning. Package codes explains each.
type Code string

// Codes of the text of an object (AM01), of its fields (AM02), of splits (AM03), of permissions (AM04), of conversion between
// versions (AM05), of what meshes can say (AM06), of reading a mesh's own objects (AM07), of writing to a cluster (AM08).
const (
	CodeSyntax          Code = "AM0101" // not YAML or JSON
	CodeNoKind          Code = "AM0102" // an object without apiVersion or kind
	CodeNoName          Code = "AM0103" // an object without a name, or with one that Kubernetes refuses
	CodeUnknownVersion  Code = "AM0104" // a version of an SMI kind that does not exist
	CodeTwice           Code = "AM0105" // the same object twice
	CodeIgnored         Code = "AM0106" // an object of a kind that is not read
	CodeUnknownField    Code = "AM0201" // a field that the version does not have
	CodeType            Code = "AM0202" // a value of the wrong type
	CodeRequired        Code = "AM0203" // a field that must be there
	CodeRegex           Code = "AM0204" // not an RE2 expression
	CodeDuplicateMatch  Code = "AM0205" // two matches of one name
	CodePort            Code = "AM0206" // not a port, or the same port twice
	CodeWeight          Code = "AM0207" // not a weight
	CodeMethod          Code = "AM0208" // not a method
	CodeHeader          Code = "AM0209" // not a header name
	CodeKind            Code = "AM0210" // a kind that cannot stand here
	CodeMoved           Code = "AM0211" // a field of another version
	CodeSPIFFE          Code = "AM0212" // not a SPIFFE ID
	CodeScheme          Code = "AM0213" // schemes of an IdentityBinding that do not go together
	CodeNoRoot          Code = "AM0301" // the root service is not there
	CodeForeignRoot     Code = "AM0302" // the root service is of another namespace
	CodeNoBackend       Code = "AM0303" // a backend's service is not there
	CodeBackendPort     Code = "AM0304" // a backend's service lacks a port of the root
	CodeNoWeight        Code = "AM0305" // all weights are 0, or no backend is usable
	CodeConflict        Code = "AM0306" // a second split without matches on one root
	CodeChain           Code = "AM0307" // a backend is another split's root
	CodeSelf            Code = "AM0308" // the root is one of its own backends
	CodeNoGroup         Code = "AM0309" // a route group of a split is not there
	CodeStreamMatch     Code = "AM0310" // a split with matches on a root that carries no HTTP
	CodeBackendTwice    Code = "AM0311" // one backend twice
	CodeAssumed         Code = "AM0312" // no Services in the input: they are assumed
	CodeForeignTarget   Code = "AM0401" // a destination in another namespace
	CodeNothingGranted  Code = "AM0402" // no rules or no sources
	CodeNoRoute         Code = "AM0403" // a route of a permission is not there
	CodeNoMatch         Code = "AM0404" // a match of a route group is not there
	CodeSubject         Code = "AM0405" // a subject that nothing can stand for
	CodeNoBinding       Code = "AM0406" // an IdentityBinding is not there
	CodeNoWorkload      Code = "AM0407" // no workload runs as the destination
	CodeServicePort     Code = "AM0408" // a port of the Service and not of the workload
	CodeForeignSPIFFE   Code = "AM0409" // a SPIFFE ID of our own trust domain in another namespace
	CodePartialPods     Code = "AM0410" // a pod selector that does not cover its accounts
	CodePartialRule     Code = "AM0411" // ports and requests that leave nothing over
	CodeCarried         Code = "AM0501" // an older version cannot hold a field: an annotation carries it
	CodeDiscarded       Code = "AM0502" // a carried field no longer has a place
	CodeNoVersion       Code = "AM0503" // the kind does not exist in that version
	CodeApproximate     Code = "AM0601" // the mesh can say it nearly
	CodeUnsupported     Code = "AM0602" // the mesh cannot say it
	CodeSelector        Code = "AM0603" // the mesh selects by label, and the labels do not tell the identity
	CodeNotUnderstood   Code = "AM0701" // a native object, or a part of one, that SMI cannot say
	CodeNativeAmbiguous Code = "AM0702" // a native object that needs facts which the input lacks
	CodeForeignObject   Code = "AM0801" // a native object of that name is there and not ours
	CodeRefused         Code = "AM0802" // the cluster refused a native object
	CodeNotServed       Code = "AM0803" // the cluster does not serve a native kind
)
