// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// Ports is a set of port numbers. The zero value is the empty set, which admits nothing.
type Ports struct {
	Any  bool
	List []uint16 // sorted, without duplicates; not read when Any
}

// AnyPort is the set of all ports.
var AnyPort = Ports{Any: true}

// PortSet is the set of the given ports.
func PortSet(ports ...uint16) Ports {
	list := slices.Clone(ports)
	slices.Sort(list)
	return Ports{List: slices.Compact(list)}
}

// Has says whether a port is in the set.
func (p Ports) Has(port uint16) bool {
	if p.Any {
		return true
	}
	_, ok := slices.BinarySearch(p.List, port)
	return ok
}

// Empty says whether no port is in the set.
func (p Ports) Empty() bool { return !p.Any && len(p.List) == 0 }

// Union is the set of the ports in either.
func (p Ports) Union(o Ports) Ports {
	if p.Any || o.Any {
		return AnyPort
	}
	return PortSet(append(slices.Clone(p.List), o.List...)...)
}

// Intersect is the set of the ports in both.
func (p Ports) Intersect(o Ports) Ports {
	if p.Any {
		return o
	}
	if o.Any {
		return p
	}
	var both []uint16
	for _, n := range p.List {
		if o.Has(n) {
			both = append(both, n)
		}
	}
	return Ports{List: both}
}

// Protocol is what a port carries, as far as its Service says.
type Protocol uint8

// The protocols. Auto is a port that says nothing: what the first bytes show decides.
const (
	Auto Protocol = iota
	HTTP
	HTTP2
	GRPC
	TCP
	TLS
	UDP
)

// String is the protocol's name as Kubernetes' appProtocol writes it.
func (p Protocol) String() string {
	return [...]string{"auto", "http", "http2", "grpc", "tcp", "tls", "udp"}[p]
}

// CarriesHTTP says whether requests with method and path may arrive.
func (p Protocol) CarriesHTTP() bool { return p <= GRPC }

// CarriesBytes says whether raw TCP may arrive.
func (p Protocol) CarriesBytes() bool { return p == Auto || p == TCP || p == TLS }
