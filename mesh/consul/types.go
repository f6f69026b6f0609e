// SPDX-License-Identifier: Apache-2.0

package consul

// The native fields that we say or read, and no others.

type serviceDefaults struct {
	Protocol string `json:"protocol"`
}

type serviceSplitter struct {
	Splits []serviceSplit `json:"splits"`
}

type serviceSplit struct {
	Weight        float32 `json:"weight"`
	Service       string  `json:"service,omitempty"`       // empty: the splitter's own
	ServiceSubset string  `json:"serviceSubset,omitempty"` // read alone
	Namespace     string  `json:"namespace,omitempty"`     // read alone
}

type serviceRouter struct {
	Routes []serviceRoute `json:"routes"`
}

type serviceRoute struct {
	Match       *routeMatch `json:"match,omitempty"` // none: every request
	Destination destination `json:"destination"`
}

type routeMatch struct {
	HTTP *httpMatch `json:"http,omitempty"`
}

// httpMatch holds at most one path. A regex covers the whole text.
type httpMatch struct {
	PathExact  string        `json:"pathExact,omitempty"`
	PathPrefix string        `json:"pathPrefix,omitempty"` // of the text, and not of its segments
	PathRegex  string        `json:"pathRegex,omitempty"`
	Header     []headerMatch `json:"header,omitempty"`
	Methods    []string      `json:"methods,omitempty"`
}

// headerMatch holds one condition.
type headerMatch struct {
	Name    string `json:"name"`
	Present bool   `json:"present,omitempty"`
	Exact   string `json:"exact,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	Suffix  string `json:"suffix,omitempty"`
	Regex   string `json:"regex,omitempty"`
}

type destination struct {
	Service       string `json:"service,omitempty"`       // empty: the router's own
	ServiceSubset string `json:"serviceSubset,omitempty"` // read alone
	Namespace     string `json:"namespace,omitempty"`     // read alone
}

type serviceIntentions struct {
	Destination named    `json:"destination"`
	Sources     []source `json:"sources"`
}

type named struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // read alone
}

// source holds an action, for connections, or permissions, for requests.
type source struct {
	Name        string       `json:"name"`
	Namespace   string       `json:"namespace,omitempty"` // empty: the destination's
	Action      string       `json:"action,omitempty"`
	Permissions []permission `json:"permissions,omitempty"`
	Description string       `json:"description,omitempty"` // read alone
}

// permission decides alone when it is the first that matches.
type permission struct {
	Action string    `json:"action"`
	HTTP   httpMatch `json:"http"`
}

const allow, deny = "allow", "deny"

type serviceResolver struct {
	Redirect *redirect `json:"redirect,omitempty"`
}

type redirect struct {
	Service string `json:"service,omitempty"`
}
