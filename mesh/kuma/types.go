// SPDX-License-Identifier: Apache-2.0

package kuma

// The native fields that we say or read, and no others.

type targetRef struct {
	Kind        string            `json:"kind"`
	Name        string            `json:"name,omitempty"`
	Namespace   string            `json:"namespace,omitempty"` // read alone
	Labels      map[string]string `json:"labels,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`       // of a subset, before 3.0
	ProxyTypes  []string          `json:"proxyTypes,omitempty"` // read alone
	SectionName string            `json:"sectionName,omitempty"`
}

type httpRoute struct {
	TargetRef *targetRef `json:"targetRef,omitempty"`
	To        []httpTo   `json:"to,omitempty"`
}

type httpTo struct {
	TargetRef targetRef  `json:"targetRef"`
	Rules     []httpRule `json:"rules"`
}

type httpRule struct {
	Matches []match  `json:"matches"`
	Default backends `json:"default"`
}

type backends struct {
	BackendRefs []backendRef `json:"backendRefs,omitempty"`
}

type match struct {
	Path    *pathMatch    `json:"path,omitempty"`
	Method  string        `json:"method,omitempty"`
	Headers []headerMatch `json:"headers,omitempty"`
}

// pathMatch is of a type; a regular expression covers the whole path.
type pathMatch struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

const (
	pathExact  = "Exact"
	pathPrefix = "PathPrefix"
	expression = "RegularExpression"
)

type headerMatch struct {
	Type  string `json:"type,omitempty"` // empty: Exact
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

type backendRef struct {
	Kind      string            `json:"kind"`
	Name      string            `json:"name,omitempty"`
	Namespace string            `json:"namespace,omitempty"` // read alone
	Labels    map[string]string `json:"labels,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"` // read alone
	Port      uint16            `json:"port,omitempty"`
	Weight    *int64            `json:"weight,omitempty"` // none: 1
}

type tcpRoute struct {
	TargetRef *targetRef `json:"targetRef,omitempty"`
	To        []tcpTo    `json:"to"`
}

type tcpTo struct {
	TargetRef targetRef `json:"targetRef"`
	Rules     []tcpRule `json:"rules"`
}

type tcpRule struct {
	Default backends `json:"default"`
}

type permission struct {
	TargetRef *targetRef `json:"targetRef,omitempty"`
	Rules     []rule     `json:"rules,omitempty"`
	From      []from     `json:"from,omitempty"` // before 3.0
}

type rule struct {
	Default verdicts `json:"default"`
}

type verdicts struct {
	Allow               []caller `json:"allow,omitempty"`
	AllowWithShadowDeny []caller `json:"allowWithShadowDeny,omitempty"` // read alone
	Deny                []caller `json:"deny,omitempty"`
}

type caller struct {
	SpiffeID *spiffeID `json:"spiffeID,omitempty"`
}

type spiffeID struct {
	Type  string `json:"type"` // Exact or Prefix
	Value string `json:"value"`
}

type from struct {
	TargetRef targetRef `json:"targetRef"`
	Default   action    `json:"default"`
}

type action struct {
	Action string `json:"action"`
}

// trafficPermission and trafficRoute are the policies of Kuma 1, which 3.0 no longer has. They are read alone.
type trafficPermission struct {
	Sources      []selector `json:"sources"`
	Destinations []selector `json:"destinations"`
}

type selector struct {
	Match map[string]string `json:"match"`
}

type trafficRoute struct {
	Sources      []selector `json:"sources"`
	Destinations []selector `json:"destinations"`
	Conf         routeConf  `json:"conf"`
}

type routeConf struct {
	Split       []splitConf       `json:"split,omitempty"`
	Destination map[string]string `json:"destination,omitempty"`
	HTTP        []httpConf        `json:"http,omitempty"`
}

type splitConf struct {
	Weight      int64             `json:"weight"`
	Destination map[string]string `json:"destination"`
}

type httpConf struct {
	Match       matchConf         `json:"match"`
	Split       []splitConf       `json:"split,omitempty"`
	Destination map[string]string `json:"destination,omitempty"`
}

type matchConf struct {
	Method  *text           `json:"method,omitempty"`
	Path    *text           `json:"path,omitempty"`
	Headers map[string]text `json:"headers,omitempty"`
}

// text holds one of its three. A regex covers the whole text.
type text struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix string  `json:"prefix,omitempty"`
	Regex  string  `json:"regex,omitempty"`
}
