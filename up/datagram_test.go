// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// resolvers is a UDP service of two versions beside the shop, which web alone may ask.
const resolvers = `
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: shop}
spec: {selector: {app: dns}, ports: [{name: dns, port: 53, targetPort: 5353, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns-v2, namespace: shop}
spec: {selector: {app: dns, version: v2}, ports: [{name: dns, port: 53, targetPort: 5353, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns-v1, namespace: shop, labels: {app: dns, version: v1}}
spec: {serviceAccountName: dns, containers: [{name: app, image: x, ports: [{containerPort: 5353, protocol: UDP}]}]}
status: {podIP: NET.31}
---
apiVersion: v1
kind: Pod
metadata: {name: dns-v2, namespace: shop, labels: {app: dns, version: v2}}
spec: {serviceAccountName: dns, containers: [{name: app, image: x, ports: [{containerPort: 5353, protocol: UDP}]}]}
status: {podIP: NET.32}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: UDPRoute
metadata: {name: dns, namespace: shop}
spec: {matches: {ports: [5353]}}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: to-dns, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: dns, namespace: shop}
  rules: [{kind: UDPRoute, name: dns}]
  sources: [{kind: ServiceAccount, name: web, namespace: shop}]
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: dns, namespace: shop}
spec: {service: dns, backends: [{service: dns, weight: 0}, {service: dns-v2, weight: 1}]}
`

// resolve runs the UDP process of a pod.
func (m *mesh) resolve(last, port int, word string) {
	m.t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(m.ip(last)), Port: port})
	check(m.t, err)
	m.t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2000)
		for {
			_, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort([]byte(word), from)
		}
	}()
}

// at is a port of a pod's address.
func (m *mesh) at(last, port int) string { return net.JoinHostPort(m.ip(last), strconv.Itoa(port)) }

// ask sends one datagram of a new flow, and says what came back within a moment.
func (m *mesh) ask(last, port int) string {
	c, err := net.Dial("udp", m.at(last, port))
	check(m.t, err)
	defer c.Close()
	_, _ = c.Write([]byte("who?"))
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 2000)
	n, err := c.Read(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// TestUDP is a UDP service in a folder: who may ask it, and which version answers.
func TestUDP(t *testing.T) {
	t.Parallel()
	m := start(t, func(m *mesh) {
		m.write("dns.yaml", strings.ReplaceAll(resolvers, "NET", m.net))
		pods := m.read("pods.yaml")
		for _, pod := range []string{"web", "intruder"} {
			pods = strings.Replace(pods, "{name: "+pod+", namespace: shop,", "{name: "+pod+", namespace: shop, annotations: {anymesh.dev/udp: '5300=dns:53'},", 1)
		}
		m.write("pods.yaml", pods)
	})
	m.resolve(31, 5353, "v1")
	m.resolve(32, 5353, "v2")
	until(t, "web is answered", func() bool { return m.ask(1, 5300) == "v2" })
	for range 20 {
		if got := m.ask(1, 5300); got == "v1" {
			t.Fatal("a version without weight answered")
		}
	}
	if got := m.ask(66, 5300); got != "" {
		t.Errorf("the intruder was answered by %s", got)
	}
	until(t, "the denial is counted", func() bool {
		res, err := http.Get("http://" + m.status.Admin + "/metrics")
		check(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		check(t, err)
		return slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "anymesh_udp_flows_total") && strings.Contains(line, `source="shop/intruder"`) &&
				strings.Contains(line, `verdict="denied"`) && strings.HasSuffix(line, "} 1")
		})
	})
	m.edit("dns.yaml", "{service: dns, weight: 0}, {service: dns-v2, weight: 1}", "{service: dns, weight: 1}, {service: dns-v2, weight: 0}")
	until(t, "the root itself answers, with both of its pods", func() bool { return m.ask(1, 5300) == "v1" })
	m.edit("dns.yaml", "sources: [{kind: ServiceAccount, name: web,", "sources: [{kind: ServiceAccount, name: intruder,")
	until(t, "the intruder is answered", func() bool { return m.ask(66, 5300) != "" })
	if got := m.ask(1, 5300); got != "" {
		t.Errorf("web was answered by %s", got)
	}
}
