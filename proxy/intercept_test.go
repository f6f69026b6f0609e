// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/anymesh/anymesh/proxy"
)

// TestIntercepted runs without direct mode: the client dials the endpoint itself, and the server's proxy, which has taken
// the connection over, is told where it wanted to go.
func TestIntercepted(t *testing.T) {
	w := newWorld(t)
	w.setInbound("shop/api", open(8091))
	d := w.serve("shop/api", 8091, says("taken over"), func(c *proxy.Config) {
		c.Direct, c.InboundPort = false, 8080
		c.OriginalDst = func(c net.Conn) (netip.AddrPort, error) {
			at := c.LocalAddr().(*net.TCPAddr).AddrPort()
			return netip.AddrPortFrom(at.Addr(), at.Port()+11), nil
		}
	})
	w.cluster(api, 8080, "shop/api", d)
	w.setRoutes(api, to("", nil, arm{api, 1}))
	w.setListener(api, "http")
	c := w.client("shop/web", func(c *proxy.Config) { c.Direct = false }).http1(t)
	if a := get(t, c, "http://api:8080/"); a.body != "taken over" {
		t.Errorf("%+v", a)
	}
}
