// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"net/netip"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// endpoints says where each port of a service is served, and by whom.
func endpoints(e *model.Endpoints, o *mesh.Output) {
	if e.Service.Assumed {
		return
	}
	var tls *corev3.TransportSocket
	for i := range e.Ports {
		p := &e.Ports[i]
		if tls == nil {
			tls = upstream(e)
		}
		name, namespace := port(e.Settings, e.Service.Name, &p.ServicePort), e.Service.Name.Namespace
		say(o, clusterKind, namespace, name, &clusterv3.Cluster{
			Name:                          name,
			ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
			EdsClusterConfig:              &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads},
			TransportSocket:               tls,
			TypedExtensionProtocolOptions: fixed().sameProtocol,
			LbPolicy:                      balance(&e.Service.Traffic),
			OutlierDetection:              outliers(&e.Service.Traffic),
			CircuitBreakers:               limits(&e.Service.Traffic),
		})
		say(o, assignmentKind, namespace, name, assignment(name, p))
	}
}

// assignment names the addresses that are ready. The others are not named at all: Envoy sends to unhealthy ones as well when few
// are left.
func assignment(name string, p *model.EndpointsPort) *endpointv3.ClusterLoadAssignment {
	slots := make([]slot, len(p.Addresses))
	list := make([]*endpointv3.LbEndpoint, 0, len(p.Addresses))
	for i, a := range p.Addresses {
		if _, err := netip.ParseAddr(a.IP); err == nil && a.Ready && a.Port != 0 { // one that is none would cost all the others
			list = append(list, slots[i].fill(a.IP, a.Port))
		}
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	if len(list) > 0 {
		out.Endpoints = []*endpointv3.LocalityLbEndpoints{{Locality: locality, LoadBalancingWeight: localityWeight, LbEndpoints: list}}
	}
	return out
}

// slot is all that one address is made of, in one piece: a service of many pods would cost seven allocations for each.
type slot struct {
	lb       endpointv3.LbEndpoint
	host     endpointv3.LbEndpoint_Endpoint
	endpoint endpointv3.Endpoint
	address  corev3.Address
	socket   corev3.Address_SocketAddress
	ip       corev3.SocketAddress
	port     corev3.SocketAddress_PortValue
}

func (s *slot) fill(ip string, number uint16) *endpointv3.LbEndpoint {
	s.port.PortValue = uint32(number)
	s.ip.Address, s.ip.PortSpecifier = ip, &s.port
	s.socket.SocketAddress = &s.ip
	s.address.Address = &s.socket
	s.endpoint.Address = &s.address
	s.host.Endpoint = &s.endpoint
	s.lb.HostIdentifier, s.lb.HealthStatus = &s.host, corev3.HealthStatus_HEALTHY
	return &s.lb
}

// upstream speaks to the service's identities and to nobody else. An empty list would mean anybody whom the roots vouch for;
// where no identity is known, one is named that the mesh never gives to anyone.
func upstream(e *model.Endpoints) *corev3.TransportSocket {
	names := make([]*tlsv3.SubjectAltNameMatcher, 0, max(1, len(e.Identities)))
	add := func(id string) {
		names = append(names, &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: exactly(id)})
	}
	for _, id := range e.Identities {
		add(id.SPIFFE(e.Settings.TrustDomain))
	}
	if len(names) == 0 {
		add("spiffe://" + e.Settings.TrustDomain + "/nobody")
	}
	return transportSocket(&tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsParams:                      tls13,
		TlsCertificateSdsSecretConfigs: ownCertificate,
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
				ValidationContextSdsSecretConfig: roots,
			},
		},
	}})
}
