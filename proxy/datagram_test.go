// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/ads"
)

const dns = "dns.shop.svc.cluster.local:53/udp"

// setDatagrams says how flows reach a UDP port.
func (c *control) setDatagrams(name string, arms ...arm) {
	w := &tcpv3.TcpProxy_WeightedCluster{}
	for _, a := range arms {
		w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: a.cluster, Weight: a.weight})
	}
	c.set(ads.Listener, name, &listenerv3.Listener{Name: name,
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Protocol: corev3.SocketAddress_UDP,
			Address: "0.0.0.0", PortSpecifier: &corev3.SocketAddress_PortValue{}}}},
		DefaultFilterChain: &listenerv3.FilterChain{Filters: []*listenerv3.Filter{tcpFilter(&tcpv3.TcpProxy{StatPrefix: name,
			ClusterSpecifier: &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}})}}})
}

// udpApp answers each datagram with a word and what it was sent.
func (w *world) udpApp(d *pod, port uint16, word string) {
	w.t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.ip, port)))
	check(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(append([]byte(word+" "), buf[:n]...), from)
		}
	}()
}

// flow is a socket of a pod's process, which sends to one port of its proxy.
func (d *pod) flow(t testing.TB, port uint16) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.ip, 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.ip, port)))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// answerTo sends until an answer comes: UDP may lose any.
func answerTo(t testing.TB, c *net.UDPConn, text string) string {
	t.Helper()
	buf := make([]byte, 65535)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, err := c.Write([]byte(text)); err != nil {
			continue
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		for {
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			if word, rest, ok := strings.Cut(string(buf[:n]), " "); ok && rest == text {
				return word
			}
		}
	}
	t.Fatalf("no answer to %.20q", text)
	return ""
}

func asks(port uint16, service string) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Datagrams = map[uint16]string{port: service} }
}

// resolvers is a mesh with two versions of a UDP service; rules hold for both.
func resolvers(t testing.TB, rules *rbacv3.RBAC) (w *world, v1, v2 *pod) {
	w = newWorld(t)
	var ds []*pod
	var arms []arm
	for i, word := range []string{"one", "two"} {
		workload, cluster := fmt.Sprintf("shop/dns-v%d", i+1), fmt.Sprintf("dns-v%d.shop.svc.cluster.local:53/udp", i+1)
		w.setInbound(workload, []door{{port: 5353, flows: true, flowRules: rules}})
		d := w.pod(workload).ready(t)
		w.udpApp(d, 5353, word)
		w.cluster(cluster, 5353, workload, d)
		arms, ds = append(arms, arm{cluster, uint32(3 - 2*i)}), append(ds, d)
	}
	w.setDatagrams(dns, arms...)
	return w, ds[0], ds[1]
}

func TestUDPSplit(t *testing.T) {
	w, _, _ := resolvers(t, nil)
	web := w.client("shop/web", asks(5300, "dns:53"))
	const n = 300
	two := 0
	for range n {
		c := web.flow(t, 5300)
		word := answerTo(t, c, "a")
		if again := answerTo(t, c, "b"); again != word {
			t.Fatalf("a flow went to %s and then to %s", word, again)
		}
		if word == "two" {
			two++
		}
		c.Close()
	}
	if sigma := math.Sqrt(n * 0.25 * 0.75); math.Abs(float64(two)-n*0.25) > 4*sigma {
		t.Errorf("%d of %d flows went to the 25 %% arm", two, n)
	}
	c := web.flow(t, 5300)
	for _, size := range []int{0, 1, 1400, 9000, 60000} {
		answerTo(t, c, strings.Repeat("x", size))
	}
}

func TestUDPAccess(t *testing.T) {
	ca := newCA(t, "mesh.test")
	permit := grants([]string{ca.id("shop/web")}, map[string][]*rbacv3.Permission{"p": {anyRequest()}})
	w, _, _ := resolvers(t, permit)
	web, eve := w.client("shop/web", asks(5300, "dns.shop:53")), w.client("shop/eve", asks(5300, "dns:53"))
	c := web.flow(t, 5300)
	answerTo(t, c, "hello")

	counts := func(source string) (denied uint64) {
		for _, e := range w.stats.Snapshot() {
			if e.Side == "server" && e.Source == source {
				denied += e.Denied
			}
		}
		return denied
	}
	e := eve.flow(t, 5300)
	eventually(t, "eve's flow is denied and counted", func() bool { e.Write([]byte("let me in")); return counts("shop/eve") == 1 })
	w.setBoth([]door{{port: 5353, flows: true, flowRules: &rbacv3.RBAC{}}})
	eventually(t, "a permission that is taken away holds for flows under way", func() bool { c.Write([]byte("again")); return counts("shop/web") == 1 })
	w.setBoth([]door{{port: 5353, flows: true}})
	answerTo(t, e, "now?") // the same flow, without a new connection
	answerTo(t, c, "me too")
	w.setBoth([]door{{port: 5353, bytes: true}})
	eventually(t, "a port without a chain of datagrams refuses them", func() bool { c.Write([]byte("x")); return counts("shop/web") == 2 })
}

func (w *world) setBoth(doors []door) {
	w.setInbound("shop/dns-v1", doors)
	w.setInbound("shop/dns-v2", doors)
}

// TestUDPIsNotBytes holds that frames are never read as bytes, nor bytes as frames.
func TestUDPIsNotBytes(t *testing.T) {
	w := newWorld(t)
	w.setInbound("shop/a", []door{{port: 53, flows: true}, {port: 54, bytes: true, http: true}, {port: 55, flows: true, bytes: true, http: true}})
	d := w.pod("shop/a").ready(t)
	svid := w.ca.issue(t, "shop/web")
	for _, c := range []struct {
		port string
		alpn []string
		ok   bool
	}{
		{"53", []string{"anymesh-udp"}, true},
		{"53", nil, false},
		{"53", []string{"h2"}, false},
		{"53", []string{"anymesh-udp", "h2"}, false},
		{"54", []string{"anymesh-udp"}, false},
		{"54", []string{"h2", "anymesh-udp"}, false},
		{"54", nil, true},
		{"55", []string{"anymesh-udp"}, true},
		{"55", []string{"h2"}, true},
		{"56", []string{"anymesh-udp"}, false},
	} {
		conn, err := w.dialPeer(d, svid, c.port+".x", c.alpn...)
		if (err == nil) != c.ok {
			t.Errorf("port %s with %q: %v", c.port, c.alpn, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	// What is no frame ends the link.
	conn, err := w.dialPeer(d, svid, "53.x", "anymesh-udp")
	check(t, err)
	defer conn.Close()
	conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := conn.Read(make([]byte, 10)); err == nil || isTimeout(err) {
		t.Errorf("an HTTP request on a link of datagrams: %d bytes, %v", n, err)
	}
}

// TestUDPMovesOn holds that flows find another way when the one they had goes.
func TestUDPMovesOn(t *testing.T) {
	w, v1, v2 := resolvers(t, nil)
	const both = "both.shop.svc.cluster.local:53/udp"
	w.setCluster(both, w.ca.id("shop/dns-v1"), w.ca.id("shop/dns-v2"))
	w.setEndpoints(both, 5353, v1, v2)
	w.setDatagrams(both, arm{both, 1})
	web := w.client("shop/web", asks(5300, "both:53"))
	var flows []*net.UDPConn
	for range 20 {
		c := web.flow(t, 5300)
		answerTo(t, c, "x")
		flows = append(flows, c)
	}
	w.setEndpoints(both, 5353, v2)
	check(t, v1.stop())
	for _, c := range flows {
		if word := answerTo(t, c, "y"); word != "two" {
			t.Fatalf("%s answered, whose proxy has ended", word)
		}
	}
}

// TestUDPNoService holds that datagrams to what is not there are dropped, and pass once it is.
func TestUDPNoService(t *testing.T) {
	w := newWorld(t)
	web := w.client("shop/web", asks(5300, "later:53"))
	c := web.flow(t, 5300)
	eventually(t, "the failure is counted", func() bool {
		c.Write([]byte("x"))
		for _, e := range w.stats.Snapshot() {
			if e.Side == "client" && e.Failed > 0 {
				return true
			}
		}
		return false
	})
	const later = "later.shop.svc.cluster.local:53/udp"
	w.setInbound("shop/later", []door{{port: 53, flows: true}})
	d := w.pod("shop/later").ready(t)
	w.udpApp(d, 53, "here")
	w.cluster(later, 53, "shop/later", d)
	w.setDatagrams(later, arm{later, 1})
	answerTo(t, c, "y")
	var text bytes.Buffer
	for _, e := range w.stats.Snapshot() {
		fmt.Fprintln(&text, e.Side, e.Service, e.Allowed, e.Denied, e.Failed)
	}
	if !strings.Contains(text.String(), later) {
		t.Errorf("the flow is not in the statistics:\n%s", &text)
	}
}

func TestUDPBadDoors(t *testing.T) {
	w := newWorld(t)
	for _, service := range []string{"", "dns", "dns:0", "dns:x", "10.0.0.1:53", ":53", "dns:53/udp"} {
		cfg := proxy.Config{Node: proxy.Node{Namespace: "shop", Workload: "web", IP: freeIP()}, ADS: w.conn(), SVID: w.ca.issue(t, "shop/web"),
			Bundles: w.ca.bundle(), Datagrams: map[uint16]string{5300: service}}
		if _, err := proxy.New(cfg); err == nil {
			t.Errorf("%q is taken for a service and its port", service)
		}
	}
}
