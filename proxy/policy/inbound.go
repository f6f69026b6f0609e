// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	origdstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Own is the cluster of the hand-over to the local process.
const Own = "inbound"

// OwnUDP is the same where datagrams come framed in a stream, and FramedUDP the protocol by which such a stream is offered. No
// resource is called so: who does not know the framing finds no cluster, and does not hand it to the process as bytes.
const (
	OwnUDP    = "inbound-udp"
	FramedUDP = "anymesh-udp"
)

// Inbound is a compiled inbound Listener: what one workload admits. A nil Inbound admits nothing.
type Inbound struct {
	Name  string
	ports map[uint16]*ports
}

// ports holds the chains that a port can have.
type ports struct {
	alpn                        []string
	http, bytes, udp            *rbac
	hasHTTP, hasBytes, hasFlows bool
}

// Chain says how a connection is to be read.
type Chain int

// The chains that a connection can be given.
const (
	None Chain = iota // refused
	ForHTTP
	ForBytes
	ForDatagrams
)

// Chain picks the filter chain for a connection to port that offers the given ALPN protocols, and the protocols to
// negotiate from.
func (i *Inbound) Chain(port uint16, offered []string) (Chain, []string) {
	p := i.port(port)
	switch {
	case p == nil:
		return None, nil
	case slices.Contains(offered, FramedUDP):
		if len(offered) == 1 && p.hasFlows {
			return ForDatagrams, offered
		}
		return None, nil // frames are no bytes for the process
	case p.hasHTTP && slices.ContainsFunc(offered, func(o string) bool { return slices.Contains(p.alpn, o) }):
		return ForHTTP, p.alpn
	case p.hasBytes:
		return ForBytes, nil
	}
	return None, nil
}

// Admit judges one HTTP request.
func (i *Inbound) Admit(q *Request) Verdict {
	p := i.port(q.Port)
	if p == nil || !p.hasHTTP {
		return Verdict{}
	}
	return p.http.admit(q)
}

// AdmitTCP judges a connection of bytes; of q only Peer and Port are read.
func (i *Inbound) AdmitTCP(q *Request) Verdict {
	p := i.port(q.Port)
	if p == nil || !p.hasBytes {
		return Verdict{}
	}
	return p.bytes.admit(q)
}

// AdmitUDP judges a datagram; of q only Peer and Port are read.
func (i *Inbound) AdmitUDP(q *Request) Verdict {
	p := i.port(q.Port)
	if p == nil || !p.hasFlows {
		return Verdict{}
	}
	return p.udp.admit(q)
}

func (i *Inbound) port(n uint16) *ports {
	if i == nil {
		return nil
	}
	return i.ports[n]
}

// Inbound compiles an inbound Listener.
func (c *Compiler) Inbound(m *listenerv3.Listener) (*Inbound, error) {
	err := only(m, `name address listener_filters filter_chains traffic_direction stat_prefix bind_to_port
		use_original_dst transparent enable_reuse_port`)
	if err != nil {
		return nil, err
	}
	for _, f := range m.ListenerFilters {
		if err := listenerFilter(f); err != nil {
			return nil, err
		}
	}
	out := &Inbound{Name: m.Name, ports: map[uint16]*ports{}}
	for n, f := range m.FilterChains {
		if err := c.chain(out, f); err != nil {
			return nil, fmt.Errorf("filter chain %d %q: %w", n, f.Name, err)
		}
	}
	return out, nil
}

func listenerFilter(f *listenerv3.ListenerFilter) error {
	a := f.GetTypedConfig()
	if unpack(a, &origdstv3.OriginalDst{}) == nil || unpack(a, &inspectorv3.TlsInspector{}) == nil {
		return nil
	}
	return fmt.Errorf("listener filter %q: understood are only original_dst and tls_inspector", f.Name)
}

func (c *Compiler) chain(out *Inbound, f *listenerv3.FilterChain) error {
	m := f.FilterChainMatch
	if m == nil {
		return errors.New("filter_chain_match is missing")
	}
	err := first(only(f, "name filter_chain_match filters transport_socket transport_socket_connect_timeout"),
		only(m, "destination_port transport_protocol application_protocols"), downstreamTLS(f.TransportSocket))
	if err != nil {
		return err
	}
	n := m.DestinationPort.GetValue()
	if m.TransportProtocol != "tls" || n == 0 || n > 65535 {
		return errors.New("filter_chain_match: destination_port and transport_protocol tls are needed")
	}
	p := out.ports[uint16(n)]
	if p == nil {
		p = &ports{}
		out.ports[uint16(n)] = p
	}
	if slices.Equal(m.ApplicationProtocols, []string{FramedUDP}) {
		if p.hasFlows {
			return fmt.Errorf("a second chain of datagrams for port %d", n)
		}
		p.hasFlows = true
		p.udp, err = c.byteChain(f.Filters, OwnUDP)
		return err
	}
	if len(m.ApplicationProtocols) > 0 {
		for _, a := range m.ApplicationProtocols {
			if a != "h2" && a != "http/1.1" {
				return fmt.Errorf("application protocol %q is not understood", a)
			}
		}
		if p.hasHTTP {
			return fmt.Errorf("a second HTTP chain for port %d", n)
		}
		p.hasHTTP, p.alpn = true, m.ApplicationProtocols
		p.http, err = c.httpChain(f.Filters)
		return err
	}
	if p.hasBytes {
		return fmt.Errorf("a second byte chain for port %d", n)
	}
	p.hasBytes = true
	p.bytes, err = c.byteChain(f.Filters, Own)
	return err
}

func (c *Compiler) httpChain(fs []*listenerv3.Filter) (*rbac, error) {
	if len(fs) != 1 {
		return nil, errors.New("understood is exactly one HttpConnectionManager")
	}
	h := &hcmv3.HttpConnectionManager{}
	if err := first(unpack(fs[0].GetTypedConfig(), h), manager(h), handOver(c, h.GetRouteConfig())); err != nil {
		return nil, err
	}
	router, r, err := httpFilters(c, h.HttpFilters)
	if err == nil && !router {
		err = errors.New("the router filter is missing")
	}
	return r, err
}

// handOver checks that all goes to the local process: routing on the inbound side is not ours to do.
func handOver(c *Compiler, m *routev3.RouteConfiguration) error {
	if m == nil {
		return errors.New("HttpConnectionManager: an inline route_config is needed")
	}
	r, err := c.Routes(m)
	if err != nil {
		return err
	}
	if len(r.rules) != 1 || !slices.Equal(r.Clusters(), []string{Own}) ||
		m.VirtualHosts[0].Routes[0].Match.GetPrefix() != "/" || len(m.VirtualHosts[0].Routes[0].Match.Headers) > 0 {
		return errors.New(`route_config: understood is only prefix "/" to the cluster "inbound"`)
	}
	return nil
}

func httpFilters(c *Compiler, fs []*hcmv3.HttpFilter) (router bool, r *rbac, err error) {
	for _, f := range fs {
		if err := only(f, "name typed_config"); err != nil {
			return false, nil, err
		}
		a := f.GetTypedConfig()
		if unpack(a, &routerv3.Router{}) == nil {
			router = true
			continue
		}
		m := &httprbacv3.RBAC{}
		if err := first(unpack(a, m), only(m, "rules rules_stat_prefix")); err != nil {
			return false, nil, fmt.Errorf("HTTP filter %q: %w", f.Name, err)
		}
		if r != nil || router {
			return false, nil, fmt.Errorf("HTTP filter %q: understood is one RBAC before the router", f.Name)
		}
		if r, err = c.rbac(m.Rules, forHTTP); err != nil {
			return false, nil, err
		}
	}
	return router, r, nil
}

func (c *Compiler) byteChain(fs []*listenerv3.Filter, own string) (*rbac, error) {
	if len(fs) == 0 || len(fs) > 2 {
		return nil, errors.New("understood is tcp_proxy, or rbac and tcp_proxy")
	}
	s, err := tcpProxy(fs[len(fs)-1])
	if err != nil {
		return nil, err
	}
	if !slices.Equal(s.names, []string{own}) {
		return nil, fmt.Errorf("tcp_proxy: understood is only the cluster %q", own)
	}
	if len(fs) == 1 {
		return nil, nil
	}
	m := &netrbacv3.RBAC{}
	if err := first(unpack(fs[0].GetTypedConfig(), m), only(m, "rules stat_prefix enforcement_type")); err != nil {
		return nil, err
	}
	return c.rbac(m.Rules, forBytes)
}

func plain(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }
