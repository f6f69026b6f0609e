// SPDX-License-Identifier: Apache-2.0

package proxybench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/proxy/lane"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
	"github.com/anymesh/anymesh/proxy/wire"
)

// rules is how many routes there are; the last one is asked for.
const rules = 100

// TestMain turns the test's own binary into one hop, a process of its own, where it is told so: kind, where it listens, the server.
func TestMain(m *testing.M) {
	kind, listen, server := os.Getenv("HOP"), os.Getenv("HOP_LISTEN"), os.Getenv("HOP_SERVER")
	if kind == "" {
		os.Exit(m.Run())
	}
	at := netip.MustParseAddrPort(listen)
	l, err := wire.ListenNear(at.Addr(), at.Port())
	if err != nil {
		panic(err)
	}
	if kind == "reverseproxy" {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server})
		p.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
		panic(http.Serve(l, p))
	}
	s := &lane.Server{Idle: time.Minute, Header: time.Minute, Slow: func(net.Conn) bool { return false }}
	go s.Watch(context.Background())
	attend, err := attendant(kind == "ruled", server)
	if err != nil {
		panic(err)
	}
	panic(s.Serve(l, attend))
}

// attendant makes the handlers of a hop in the clear. ruled: with routes, a split, a deadline, metrics and a header.
func attendant(ruled bool, server string) (func(net.Conn) lane.Handler, error) {
	to := map[string]*upstream.Process{}
	for _, name := range []string{"v1", "v2"} {
		to[name] = &upstream.Process{Addr: server, Dial: new(net.Dialer).DialContext}
	}
	if !ruled {
		return func(net.Conn) lane.Handler {
			return func(x *lane.Exchange) {
				if _, err := x.Forward(lane.Way{To: to["v1"]}); err != nil {
					panic(err)
				}
			}
		}, nil
	}
	routes, err := new(policy.Compiler).Routes(table())
	if err != nil {
		return nil, err
	}
	all := stats.New()
	return func(net.Conn) lane.Handler {
		edges := map[string]*stats.Edge{}
		for name := range to {
			edges[name] = all.Edge(stats.Key{Side: stats.Client, Backend: name})
		}
		var q policy.Request
		return func(x *lane.Exchange) {
			x.Request.Fields = append(x.Request.Fields, message.Field{Name: "x-forwarded-client-cert", Value: "By=spiffe://a;URI=spiffe://b"})
			q = policy.Request{Method: x.Request.Method, Path: x.Request.Path, Authority: x.Request.Authority, Headers: &x.Request}
			d, ok := routes.Route(&q)
			if !ok {
				panic("no route")
			}
			o, err := x.Forward(lane.Way{To: to[d.Cluster], Timeout: d.Timeout})
			if err != nil {
				panic(err)
			}
			edges[d.Cluster].HTTP(o, time.Since(x.Start))
		}
	}, nil
}

func table() *corev3.RouteConfiguration {
	v := &corev3.VirtualHost{Domains: []string{"*"}}
	for i := range rules {
		v.Routes = append(v.Routes, &corev3.Route{
			Match: &corev3.RouteMatch{
				PathSpecifier: &corev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: fmt.Sprintf("/r%d/v[0-9]+/items/[0-9]+", i)}},
				Headers: []*corev3.HeaderMatcher{{Name: ":method", HeaderMatchSpecifier: &corev3.HeaderMatcher_StringMatch{
					StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "GET"}}}}},
			},
			Action: &corev3.Route_Route{Route: &corev3.RouteAction{Timeout: durationpb.New(10 * time.Second),
				ClusterSpecifier: &corev3.RouteAction_WeightedClusters{WeightedClusters: &corev3.WeightedCluster{Clusters: []*corev3.WeightedCluster_ClusterWeight{
					{Name: "v1", Weight: wrapperspb.UInt32(90)}, {Name: "v2", Weight: wrapperspb.UInt32(10)}}}}}},
		})
	}
	return &corev3.RouteConfiguration{VirtualHosts: []*corev3.VirtualHost{v}}
}

// hop starts the test's own binary as a hop.
func (s *site) hop(kind string, n int) contestant {
	addr := fmt.Sprintf("%s.%d:15001", s.net, n)
	bin, err := os.Executable()
	check(s.b, err)
	name := kind
	if kind == "ruled" || kind == "plain" {
		name = "ours"
	}
	return contestant{name, s.start(addr, []string{"HOP=" + kind, "HOP_LISTEN=" + addr, "HOP_SERVER=" + s.net + ".11:8080"}, bin), addr, direct}
}

// direct is a request to a hop.
var direct = fmt.Sprintf("GET /r%d/v1/items/17 HTTP/1.1\r\nHost: catalog.shop:8080\r\nUser-Agent: bench/1.0 (of proxies)\r\nAccept: */*\r\nX-Request-Id: 0123456789abcdef\r\n\r\n", rules-1)

// haproxyHop is HAProxy in the same place. ruled: with as many rules, the same split, a header taken out and one set, and its own metrics.
func (s *site) haproxyHop(ruled bool, n int) (contestant, bool) {
	var front strings.Builder
	if ruled {
		front.WriteString("  acl get method GET\n")
		front.WriteString("  http-request del-header X-Forwarded-Client-Cert\n  http-request set-header X-Forwarded-Client-Cert By=spiffe://a;URI=spiffe://b\n")
		for i := range rules {
			fmt.Fprintf(&front, "  acl r%d path_reg ^/r%[1]d/v[0-9]+/items/[0-9]+$\n  use_backend split if get r%[1]d\n", i)
		}
	} else {
		front.WriteString("  default_backend v1\n")
	}
	addr := fmt.Sprintf("%s.%d:15001", s.net, n)
	return s.haproxy(addr, fmt.Sprintf("frontend f\n  bind %s\n%sbackend v1\n  server a %[3]s.11:8080\nbackend split\n  server v1 %[3]s.11:8080 weight 90\n  server v2 %[3]s.11:8080 weight 10\n", addr, front.String(), s.net))
}

// BenchmarkHop is one hop in the clear: ours, HAProxy, nginx, and Go's ReverseProxy, in turns.
func BenchmarkHop(b *testing.B) {
	s := newSite(b)
	all := []contestant{}
	if h, ok := s.haproxyHop(false, 1); ok {
		all = append(all, h)
	}
	if n, ok := s.nginx(s.net+".2:15001", "server { listen "+s.net+".2:15001; location / { proxy_pass http://app; } }"); ok {
		all = append(all, n)
	}
	all = append(all, s.hop("plain", 3), s.hop("reverseproxy", 4))
	s.loads(b, all)
}

// BenchmarkRuledHop is the same with a hundred rules, a split, metrics, a deadline and a header.
func BenchmarkRuledHop(b *testing.B) {
	s := newSite(b)
	all := []contestant{}
	if h, ok := s.haproxyHop(true, 1); ok {
		all = append(all, h)
	}
	s.loads(b, append(all, s.hop("ruled", 3)))
}

func (s *site) loads(b *testing.B, all []contestant) {
	for _, n := range []int{2, 16, 64, 256} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) { load{n, requests, false}.contest(b, all...) })
	}
	b.Run("fresh", func(b *testing.B) { load{16, requests / 4, true}.contest(b, all...) })
}
