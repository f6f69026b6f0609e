// SPDX-License-Identifier: Apache-2.0

package istio

// The native fields that we say, and no others: what an object holds beside them is found by reading it into these types, and
// reported.

type virtualService struct {
	Hosts    []string    `json:"hosts"`
	Gateways []string    `json:"gateways,omitempty"` // read alone
	ExportTo []string    `json:"exportTo,omitempty"` // read alone
	HTTP     []httpRoute `json:"http,omitempty"`
	TLS      []tlsRoute  `json:"tls,omitempty"`
	TCP      []tcpRoute  `json:"tcp,omitempty"`
}

type httpRoute struct {
	Name  string        `json:"name,omitempty"`
	Match []httpMatch   `json:"match,omitempty"`
	Route []destination `json:"route"`
}

type httpMatch struct {
	Name      string                 `json:"name,omitempty"` // read alone
	URI       *stringMatch           `json:"uri,omitempty"`
	Method    *stringMatch           `json:"method,omitempty"`
	Authority *stringMatch           `json:"authority,omitempty"`
	Headers   map[string]stringMatch `json:"headers,omitempty"`
	Port      uint16                 `json:"port,omitempty"`
}

// stringMatch holds one of its three. A regex covers the whole text.
type stringMatch struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix string  `json:"prefix,omitempty"`
	Regex  string  `json:"regex,omitempty"`
}

type tcpRoute struct {
	Match []portMatch   `json:"match,omitempty"`
	Route []destination `json:"route"`
}

type portMatch struct {
	Port uint16 `json:"port,omitempty"`
}

type tlsRoute struct {
	Match []tlsMatch    `json:"match"`
	Route []destination `json:"route"`
}

type tlsMatch struct {
	Port     uint16   `json:"port,omitempty"`
	SNIHosts []string `json:"sniHosts"`
}

type destination struct {
	Destination target `json:"destination"`
	Weight      *int32 `json:"weight,omitempty"` // none: all, and then there is no other
}

type target struct {
	Host   string      `json:"host"`
	Subset string      `json:"subset,omitempty"` // read alone
	Port   *portNumber `json:"port,omitempty"`
}

type portNumber struct {
	Number uint16 `json:"number"`
}
