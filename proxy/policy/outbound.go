// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// Listener is a compiled outbound Listener: how clients reach one service port.
type Listener struct {
	Name  string  // host:port
	HTTP  bool    // carries HTTP; routes come from the RouteConfiguration of the same name
	HTTP2 bool    // the port speaks HTTP/2 alone
	TCP   *Shares // carries bytes; nil: does not
	UDP   *Shares // carries datagrams, shared out by flow; nil: does not
}

// Clusters lists the clusters that the listener itself names.
func (l *Listener) Clusters() []string {
	switch {
	case l.TCP != nil:
		return l.TCP.names
	case l.UDP != nil:
		return l.UDP.names
	}
	return nil
}

// Listener compiles an outbound Listener.
func (c *Compiler) Listener(m *listenerv3.Listener) (*Listener, error) {
	if err := only(m, "name api_listener default_filter_chain address stat_prefix traffic_direction bind_to_port"); err != nil {
		return nil, err
	}
	out := &Listener{Name: m.Name}
	if m.ApiListener != nil {
		h := &hcmv3.HttpConnectionManager{}
		err := first(unpack(m.ApiListener.ApiListener, h), manager(h))
		if err != nil {
			return nil, err
		}
		if got := h.GetRds().GetRouteConfigName(); got != m.Name {
			return nil, fmt.Errorf("HttpConnectionManager: rds.route_config_name is %q, understood is only the listener's own name", got)
		}
		if _, rbac, err := httpFilters(c, h.HttpFilters); err != nil {
			return nil, err
		} else if rbac != nil {
			return nil, errors.New("HttpConnectionManager: RBAC is not understood on the outbound side")
		}
		out.HTTP, out.HTTP2 = true, h.CodecType == hcmv3.HttpConnectionManager_HTTP2
	}
	if err := c.streams(out, m); err != nil {
		return nil, err
	}
	if !out.HTTP && out.TCP == nil && out.UDP == nil {
		return nil, errors.New("Listener: neither api_listener nor default_filter_chain is set")
	}
	return out, nil
}

// streams compiles the chain of bytes. At an address of UDP it is the chain of flows, and there is nothing else.
func (c *Compiler) streams(out *Listener, m *listenerv3.Listener) error {
	d := m.DefaultFilterChain
	if d == nil {
		return nil
	}
	if err := only(d, "name filters"); err != nil {
		return err
	}
	if len(d.Filters) != 1 {
		return errors.New("default_filter_chain: understood is exactly one tcp_proxy")
	}
	s, err := tcpProxy(d.Filters[0])
	if err != nil {
		return err
	}
	if m.GetAddress().GetSocketAddress().GetProtocol() != corev3.SocketAddress_UDP {
		out.TCP = &s
		return nil
	}
	if out.HTTP {
		return errors.New("Listener: api_listener at an address of UDP is not understood")
	}
	out.UDP = &s
	return nil
}

// manager checks what both sides have in common. Listed and not read are fields that change neither who may do what nor
// where it goes: names, logs, time-outs of Envoy's own, and the headers that we always treat strictly.
func manager(h *hcmv3.HttpConnectionManager) error {
	err := only(h, `stat_prefix codec_type rds route_config http_filters upgrade_configs access_log generate_request_id
		use_remote_address skip_xff_append forward_client_cert_details set_current_client_cert_details server_name
		server_header_transformation stream_idle_timeout request_timeout request_headers_timeout http_protocol_options
		http2_protocol_options common_http_protocol_options tracing normalize_path path_with_escaped_slashes_action`)
	if err != nil {
		return err
	}
	// Paths are judged as they were sent. To be asked for more must not pass silently.
	if h.NormalizePath.GetValue() {
		return errors.New("HttpConnectionManager: normalize_path is not understood")
	}
	switch h.PathWithEscapedSlashesAction {
	case hcmv3.HttpConnectionManager_IMPLEMENTATION_SPECIFIC_DEFAULT, hcmv3.HttpConnectionManager_KEEP_UNCHANGED:
	default:
		return errors.New("HttpConnectionManager: path_with_escaped_slashes_action is not understood")
	}
	switch h.CodecType {
	case hcmv3.HttpConnectionManager_AUTO, hcmv3.HttpConnectionManager_HTTP1, hcmv3.HttpConnectionManager_HTTP2:
		return nil
	}
	return fmt.Errorf("HttpConnectionManager: codec_type %s is not understood", h.CodecType)
}

func tcpProxy(f *listenerv3.Filter) (Shares, error) {
	t := &tcpv3.TcpProxy{}
	err := first(unpack(f.GetTypedConfig(), t),
		only(t, "stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts"))
	if err != nil {
		return Shares{}, err
	}
	w := t.GetWeightedClusters()
	if w == nil {
		return one(t.GetCluster())
	}
	var s Shares
	for _, c := range w.Clusters {
		if err := first(only(c, "name weight"), s.add(c.Name, plain(c.Weight))); err != nil {
			return s, err
		}
	}
	return s, s.check()
}
