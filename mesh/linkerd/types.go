// SPDX-License-Identifier: Apache-2.0

package linkerd

import "slices"

// The native fields that we say, and no others: what an object holds beside them is found by reading it into these types, and
// reported.

type server struct {
	PodSelector   *selector `json:"podSelector,omitempty"`
	Port          port      `json:"port"`
	ProxyProtocol string    `json:"proxyProtocol,omitempty"`
	AccessPolicy  string    `json:"accessPolicy,omitempty"` // read alone; deny is the default
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

type authorizationPolicy struct {
	TargetRef                  reference   `json:"targetRef"`
	RequiredAuthenticationRefs []reference `json:"requiredAuthenticationRefs"` // all of them have to hold
}

type reference struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// meshTLSAuthentication holds one of its two.
type meshTLSAuthentication struct {
	Identities   []string    `json:"identities,omitempty"`
	IdentityRefs []reference `json:"identityRefs,omitempty"`
}

type networkAuthentication struct {
	Networks []network `json:"networks"`
}

type network struct {
	CIDR string `json:"cidr"`
}

type httpRoute struct {
	ParentRefs []parent   `json:"parentRefs"`
	Rules      []httpRule `json:"rules,omitempty"`
}

type parent struct {
	Group     string `json:"group"` // always written: what its absence means differs between the two groups of HTTPRoute
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // read alone
	Port      uint16 `json:"port,omitempty"`
}

type httpRule struct {
	Matches     []httpMatch `json:"matches,omitempty"`
	Filters     []filter    `json:"filters,omitempty"`
	BackendRefs []backend   `json:"backendRefs,omitempty"`
}

// httpMatch without a path takes every path, as one of the prefix / does.
type httpMatch struct {
	Path    *stringMatch  `json:"path,omitempty"`
	Method  string        `json:"method,omitempty"`
	Headers []headerMatch `json:"headers,omitempty"`
}

func (m httpMatch) equal(o httpMatch) bool {
	return (m.Path == nil) == (o.Path == nil) && (m.Path == nil || *m.Path == *o.Path) && m.Method == o.Method && slices.Equal(m.Headers, o.Headers)
}

type stringMatch struct {
	Type  string `json:"type,omitempty"`
	Value string `json:"value"`
}

type headerMatch struct {
	Type  string `json:"type,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type filter struct {
	Type                  string    `json:"type"`
	RequestHeaderModifier *modifier `json:"requestHeaderModifier,omitempty"`
}

type modifier struct {
	Set []headerValue `json:"set"`
}

type headerValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type backend struct {
	Group     string `json:"group,omitempty"` // read alone
	Kind      string `json:"kind,omitempty"`  // read alone
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // read alone
	Port      uint16 `json:"port"`
	Weight    *int64 `json:"weight,omitempty"`
}

type tcpRoute struct {
	ParentRefs []parent  `json:"parentRefs"`
	Rules      []tcpRule `json:"rules"`
}

type tcpRule struct {
	BackendRefs []backend `json:"backendRefs"`
}

type serverAuthorization struct {
	Server serverChoice `json:"server"`
	Client client       `json:"client"`
}

type serverChoice struct {
	Name     string    `json:"name,omitempty"`
	Selector *selector `json:"selector,omitempty"` // read alone; of Servers, by label
}

type client struct {
	MeshTLS *meshTLS `json:"meshTLS,omitempty"`
}

type meshTLS struct {
	Identities      []string  `json:"identities,omitempty"`
	ServiceAccounts []account `json:"serviceAccounts,omitempty"`
}

type account struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

type serviceProfile struct {
	Routes       []profileRoute `json:"routes,omitempty"` // read alone
	DstOverrides []override     `json:"dstOverrides,omitempty"`
}

type override struct {
	Authority string `json:"authority"`
	Weight    weight `json:"weight"`
}

type profileRoute struct {
	Name      string    `json:"name"`
	Condition condition `json:"condition"`
}

type condition struct {
	PathRegex string `json:"pathRegex,omitempty"`
	Method    string `json:"method,omitempty"`
}

// written is an object with its spec.
type written[T any] struct {
	Spec T `json:"spec"`
}
