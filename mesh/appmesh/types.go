// SPDX-License-Identifier: Apache-2.0

package appmesh

// The native fields that we say or understand, and no others: what an object holds beside them is found by reading it into these
// types, and reported.

type virtualService struct {
	AWSName  string    `json:"awsName,omitempty"` // the host that clients call; empty: name.namespace
	MeshRef  *meshRef  `json:"meshRef,omitempty"` // read alone: the controller's own
	Provider *provider `json:"provider,omitempty"`
}

type meshRef struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

type provider struct {
	VirtualNode   *nodeProvider   `json:"virtualNode,omitempty"` // read alone
	VirtualRouter *routerProvider `json:"virtualRouter,omitempty"`
}

type nodeProvider struct {
	VirtualNodeRef *reference `json:"virtualNodeRef,omitempty"`
}

type routerProvider struct {
	VirtualRouterRef *reference `json:"virtualRouterRef,omitempty"`
}

type reference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // empty: that of the object
}

type virtualRouter struct {
	AWSName   string           `json:"awsName,omitempty"` // read alone
	MeshRef   *meshRef         `json:"meshRef,omitempty"` // read alone
	Listeners []routerListener `json:"listeners"`
	Routes    []route          `json:"routes,omitempty"`
}

type routerListener struct {
	PortMapping portMapping `json:"portMapping"`
}

type portMapping struct {
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"` // http, http2, grpc, tcp
}

// route holds one of its four. Routes of a lower priority number are asked first.
type route struct {
	Name       string     `json:"name"`
	Priority   *int64     `json:"priority,omitempty"`
	HTTPRoute  *httpRoute `json:"httpRoute,omitempty"`
	HTTP2Route *httpRoute `json:"http2Route,omitempty"`
	GRPCRoute  *grpcRoute `json:"grpcRoute,omitempty"` // read alone
	TCPRoute   *tcpRoute  `json:"tcpRoute,omitempty"`
}

type httpRoute struct {
	Match  httpMatch `json:"match"`
	Action action    `json:"action"`
}

// httpMatch has a prefix or a path; App Mesh wants one of them.
type httpMatch struct {
	Prefix  *string       `json:"prefix,omitempty"`
	Path    *pathMatch    `json:"path,omitempty"`
	Method  string        `json:"method,omitempty"`
	Headers []headerMatch `json:"headers,omitempty"`
	Port    uint16        `json:"port,omitempty"` // of the router's listeners; 0: any
}

// pathMatch holds one of its two. A regex covers the whole path.
type pathMatch struct {
	Exact *string `json:"exact,omitempty"`
	Regex *string `json:"regex,omitempty"`
}

type headerMatch struct {
	Name   string      `json:"name"`
	Invert bool        `json:"invert,omitempty"` // read alone
	Match  *valueMatch `json:"match,omitempty"`  // none: the header is there
}

// valueMatch holds one of its four.
type valueMatch struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
	Suffix *string `json:"suffix,omitempty"`
	Regex  *string `json:"regex,omitempty"`
}

type grpcRoute struct {
	Match  grpcMatch `json:"match"`
	Action action    `json:"action"`
}

type grpcMatch struct {
	ServiceName string        `json:"serviceName,omitempty"`
	MethodName  string        `json:"methodName,omitempty"`
	Metadata    []headerMatch `json:"metadata,omitempty"`
	Port        uint16        `json:"port,omitempty"`
}

type tcpRoute struct {
	Match  *tcpMatch `json:"match,omitempty"`
	Action action    `json:"action"`
}

type tcpMatch struct {
	Port uint16 `json:"port,omitempty"`
}

type action struct {
	WeightedTargets []target `json:"weightedTargets"`
}

type target struct {
	VirtualNodeRef *reference `json:"virtualNodeRef,omitempty"`
	Weight         int64      `json:"weight"`
	Port           uint16     `json:"port,omitempty"` // of the node's listeners; 0: its only one
}

type virtualNode struct {
	AWSName          string         `json:"awsName,omitempty"`
	MeshRef          *meshRef       `json:"meshRef,omitempty"`     // read alone
	PodSelector      *selector      `json:"podSelector,omitempty"` // none: no pod
	Listeners        []nodeListener `json:"listeners,omitempty"`
	ServiceDiscovery *discovery     `json:"serviceDiscovery,omitempty"`
	Backends         []backend      `json:"backends,omitempty"`      // read alone
	BackendGroups    []reference    `json:"backendGroups,omitempty"` // read alone
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

type nodeListener struct {
	PortMapping portMapping `json:"portMapping"`
	TLS         *listenTLS  `json:"tls,omitempty"`
}

type listenTLS struct {
	Mode        string      `json:"mode"` // STRICT, PERMISSIVE, DISABLED
	Certificate certificate `json:"certificate"`
	Validation  *validation `json:"validation,omitempty"` // none: callers need no certificate
}

type certificate struct {
	SDS *sds `json:"sds,omitempty"`
}

type sds struct {
	SecretName string `json:"secretName"`
}

type validation struct {
	Trust trust     `json:"trust"`
	Names *altNames `json:"subjectAlternativeNames,omitempty"` // none: any certificate that is trusted
}

type trust struct {
	SDS *sds `json:"sds,omitempty"`
}

type altNames struct {
	Match altMatch `json:"match"`
}

type altMatch struct {
	Exact []string `json:"exact"`
}

type discovery struct {
	DNS *dns `json:"dns,omitempty"`
}

type dns struct {
	Hostname     string `json:"hostname"`
	ResponseType string `json:"responseType,omitempty"` // read alone: how the answer is balanced
}

type backend struct {
	VirtualService struct {
		VirtualServiceRef *reference `json:"virtualServiceRef,omitempty"`
	} `json:"virtualService"`
}

type backendGroup struct {
	MeshRef         *meshRef    `json:"meshRef,omitempty"`
	VirtualServices []reference `json:"virtualservices,omitempty"`
}

type meshSpec struct {
	AWSName           string `json:"awsName,omitempty"`
	NamespaceSelector any    `json:"namespaceSelector,omitempty"`
	EgressFilter      *struct {
		Type string `json:"type"`
	} `json:"egressFilter,omitempty"`
}
