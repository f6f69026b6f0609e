// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

// Cluster is a compiled Cluster: who its endpoints are.
type Cluster struct {
	Name string
	// IDs are the SPIFFE IDs that an endpoint may have, sorted. Empty means nobody, not anybody.
	IDs []string
	Traffic
}

// Same tells whether connections made under o are good under c as well.
func (c *Cluster) Same(o *Cluster) bool {
	return o != nil && c.Name == o.Name && slices.Equal(c.IDs, o.IDs)
}

// Cluster compiles a Cluster that is reached over mTLS.
func (c *Compiler) Cluster(m *clusterv3.Cluster) (*Cluster, error) {
	err := only(m, "name type eds_cluster_config transport_socket typed_extension_protocol_options lb_policy connect_timeout alt_stat_name outlier_detection circuit_breakers")
	if err != nil {
		return nil, err
	}
	if m.GetType() != clusterv3.Cluster_EDS {
		return nil, fmt.Errorf("Cluster: type %s is not understood, only EDS", m.GetType())
	}
	e := m.EdsClusterConfig
	if n := e.GetServiceName(); n != "" && n != m.Name {
		return nil, fmt.Errorf("Cluster: eds service_name %q differs from the cluster's name", n)
	}
	t, err := traffic(m)
	if err != nil {
		return nil, err
	}
	for _, a := range m.TypedExtensionProtocolOptions {
		h := &httpv3.HttpProtocolOptions{}
		if err := unpack(a, h); err != nil {
			return nil, err
		}
		if h.GetUseDownstreamProtocolConfig() == nil {
			return nil, errors.New("HttpProtocolOptions: understood is only use_downstream_protocol_config")
		}
	}
	ids, err := upstreamTLS(m.TransportSocket)
	return &Cluster{m.Name, ids, t}, err
}

// OwnCluster checks the cluster of the hand-over to the local process.
func (c *Compiler) OwnCluster(m *clusterv3.Cluster) error {
	if err := only(m, "name type lb_policy connect_timeout typed_extension_protocol_options"); err != nil {
		return err
	}
	if m.GetType() != clusterv3.Cluster_ORIGINAL_DST || m.LbPolicy != clusterv3.Cluster_CLUSTER_PROVIDED {
		return errors.New("Cluster: understood is only ORIGINAL_DST with CLUSTER_PROVIDED")
	}
	return nil
}

func upstreamTLS(s *corev3.TransportSocket) ([]string, error) {
	t := &tlsv3.UpstreamTlsContext{}
	err := first(unpack(s.GetTypedConfig(), t), only(t, "common_tls_context sni max_session_keys"))
	if err != nil {
		return nil, err
	}
	v, err := commonTLS(t.CommonTlsContext)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range v.GetMatchTypedSubjectAltNames() {
		id := s.GetMatcher().GetExact()
		if err := only(s.GetMatcher(), "exact"); err != nil || id == "" || s.SanType != tlsv3.SubjectAltNameMatcher_URI {
			return nil, errors.New("match_typed_subject_alt_names: understood are only exact URIs")
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func downstreamTLS(s *corev3.TransportSocket) error {
	t := &tlsv3.DownstreamTlsContext{}
	err := first(unpack(s.GetTypedConfig(), t), only(t, "common_tls_context require_client_certificate disable_stateless_session_resumption"))
	if err != nil {
		return err
	}
	if !t.RequireClientCertificate.GetValue() {
		return errors.New("DownstreamTlsContext: require_client_certificate must be true")
	}
	v, err := commonTLS(t.CommonTlsContext)
	if err == nil && len(v.GetMatchTypedSubjectAltNames()) > 0 {
		err = errors.New("DownstreamTlsContext: match_typed_subject_alt_names is not understood; use RBAC")
	}
	return err
}

// commonTLS checks that the certificates are the workload's own and that peers are verified against the mesh's roots.
func commonTLS(m *tlsv3.CommonTlsContext) (*tlsv3.CertificateValidationContext, error) {
	if m == nil {
		return nil, errors.New("common_tls_context is missing")
	}
	// TLS versions and ALPN are ours to choose: 1.3, and by the codec.
	err := only(m, `tls_params alpn_protocols tls_certificate_sds_secret_configs combined_validation_context
		validation_context_sds_secret_config`)
	if err != nil {
		return nil, err
	}
	if s := m.TlsCertificateSdsSecretConfigs; len(s) != 1 || s[0].Name != "default" {
		return nil, errors.New(`CommonTlsContext: the certificate must be the SDS secret "default"`)
	}
	roots := m.GetValidationContextSdsSecretConfig()
	var v *tlsv3.CertificateValidationContext
	if b := m.GetCombinedValidationContext(); b != nil {
		if err := only(b, "default_validation_context validation_context_sds_secret_config"); err != nil {
			return nil, err
		}
		roots, v = b.ValidationContextSdsSecretConfig, b.DefaultValidationContext
	}
	if roots.GetName() != "ROOTCA" {
		return nil, errors.New(`CommonTlsContext: the roots must be the SDS secret "ROOTCA"`)
	}
	if v != nil {
		err = only(v, "match_typed_subject_alt_names")
	}
	return v, err
}

// Endpoints is a compiled ClusterLoadAssignment.
type Endpoints struct {
	Name  string
	Addrs []netip.AddrPort // the healthy ones, in the order of the resource
}

// Endpoints compiles a ClusterLoadAssignment.
func (c *Compiler) Endpoints(m *endpointv3.ClusterLoadAssignment) (*Endpoints, error) {
	if err := only(m, "cluster_name endpoints"); err != nil {
		return nil, err
	}
	out := &Endpoints{Name: m.ClusterName}
	for _, l := range m.Endpoints {
		if err := only(l, "locality lb_endpoints load_balancing_weight"); err != nil {
			return nil, err
		}
		for _, e := range l.LbEndpoints {
			a, ok, err := address(e)
			if err != nil {
				return nil, err
			}
			if ok {
				out.Addrs = append(out.Addrs, a)
			}
		}
	}
	return out, nil
}

func address(m *endpointv3.LbEndpoint) (netip.AddrPort, bool, error) {
	var none netip.AddrPort
	err := first(only(m, "endpoint health_status metadata load_balancing_weight"), only(m.GetEndpoint(), "address hostname"))
	if err != nil {
		return none, false, err
	}
	if w := m.LoadBalancingWeight; w != nil && w.Value != 1 {
		return none, false, errors.New("LbEndpoint: load_balancing_weight other than 1 is not understood")
	}
	s := m.GetEndpoint().GetAddress().GetSocketAddress()
	ip, err := netip.ParseAddr(s.GetAddress())
	if err != nil || s.GetPortValue() == 0 || s.GetPortValue() > 65535 {
		return none, false, fmt.Errorf("LbEndpoint: %q port %d is not an address", s.GetAddress(), s.GetPortValue())
	}
	// Unknown counts as healthy, as in Envoy and gRPC: nobody has said otherwise.
	h := m.HealthStatus
	ok := h == corev3.HealthStatus_HEALTHY || h == corev3.HealthStatus_UNKNOWN
	return netip.AddrPortFrom(ip.Unmap(), uint16(s.GetPortValue())), ok, nil
}
