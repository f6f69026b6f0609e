// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"

	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/udp"
)

// openOutlet opens the ports at which the workload sends datagrams.
func (p *Proxy) openOutlet() error {
	p.outlet = &udp.Outlet{Book: p.book, Edge: p.clientEdge, Own: p.cfg.Node.IP, Idle: p.cfg.FlowIdle, Max: p.cfg.MaxFlows, Log: p.log}
	for port, authority := range p.cfg.Datagrams {
		name, err := p.cfg.Node.service(authority)
		if _, _, bad := net.SplitHostPort(authority); bad != nil && err == nil {
			err = fmt.Errorf("%q is not a service and its port", authority)
		}
		if err == nil {
			err = p.outlet.Listen(port, name+"/udp") // its TCP port may have the same number
		}
		if err != nil {
			p.outlet.Close()
			return fmt.Errorf("proxy: %w", err)
		}
	}
	return nil
}

// serveDatagrams takes one link of a peer.
func (p *Proxy) serveDatagrams(t *tls.Conn, c *inConn) {
	q := &policy.Request{Peer: c.peer, Port: c.port}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.cfg.Node.IP, c.port))
	s := &udp.Server{
		Conn: t, Edge: c.edge, Sessions: &p.sessions, Idle: p.cfg.FlowIdle, Flows: p.cfg.MaxFlows,
		Admit: func() bool { return p.inbound.Load().AdmitUDP(q).Allowed },
		Dial:  func() (net.Conn, error) { return net.DialUDP("udp", nil, to) },
	}
	if err := s.Serve(p.ending); err != nil {
		p.log.Debug("inbound: a link of datagrams ended", "from", c.peer, "err", err)
	}
}
