// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/anymesh/anymesh/model"
)

// TestFindings holds what is said of wishes that are not met exactly: each as level, feature and object.
func TestFindings(t *testing.T) {
	catalog := []model.Fact{service("catalog", port(80, 8080, model.HTTP)), workload("catalog"), group("all", model.Match{Name: "all", Path: "/x"})}
	with := func(facts ...model.Fact) []model.Fact { return append(slices.Clone(catalog), facts...) }
	half := model.Backend{Service: "catalog", Weight: math.MaxInt64}
	for _, c := range []struct {
		title string
		facts []model.Fact
		want  []string
	}{
		{"nothing is asked", catalog, nil},
		{"weights that reduce", with(service("v2", port(80, 8080, model.HTTP)), split("s", "catalog", nil, half, model.Backend{Service: "v2", Weight: math.MaxInt64})), nil},
		{"weights beyond 32 bits", with(service("v2", port(80, 8080, model.HTTP)), split("s", "catalog", nil, half, model.Backend{Service: "v2", Weight: 1})),
			[]string{"approximate split.weight TrafficSplit shop/s", "approximate split.weight TrafficSplit shop/s"}},
		{"a split of UDP alone", with(service("dns", port(53, 53, model.UDP)), split("s", "dns", nil, model.Backend{Service: "dns", Weight: 1})),
			nil},
		{"a split of a foreign host", with(split("s", "api.example.com", nil, model.Backend{Service: "catalog", Weight: 1})),
			[]string{"unsupported split.host TrafficSplit shop/s", "unsupported split.weight TrafficSplit shop/s"}},
		{"a Service that is assumed", []model.Fact{&model.Service{Name: name("catalog"), Assumed: true, Ports: []model.ServicePort{{}}}, split("s", "catalog", nil, model.Backend{Service: "catalog", Weight: 1})},
			[]string{"unsupported split.self TrafficSplit shop/s", "unsupported split.weight TrafficSplit shop/s"}},
		{"callers by label beside others", with(
			&model.Workload{Kind: model.KindDeployment, Name: name("a"), Labels: map[string]string{"tier": "1"}, Account: "mixed"},
			&model.Workload{Kind: model.KindDeployment, Name: name("b"), Labels: map[string]string{"tier": "2"}, Account: "mixed"},
			&model.Binding{Name: name("one"), Pods: map[string]string{"tier": "1"}},
			allow("p", account("catalog"), []model.Subject{binding("one"), account("web")}, requests("all"))),
			[]string{"unsupported access.pods TrafficTarget shop/p"}},
		{"UDP permitted", with(&model.PortRoute{Kind: model.KindUDPRoute, Name: name("u"), Ports: model.AnyPort},
			allow("p", account("catalog"), []model.Subject{account("web")}, model.Rule{Kind: model.KindUDPRoute, Name: "u", All: true})),
			[]string{"unsupported access.caller TrafficTarget shop/p", "unsupported access.datagram TrafficTarget shop/p"}},
		{"a port that nobody declares", with(tcpRoute("r", 9999), allow("p", account("catalog"), []model.Subject{account("web")}, stream("r"))),
			[]string{"unsupported access.caller TrafficTarget shop/p", "unsupported access.port TCPRoute shop/r", "unsupported access.stream TrafficTarget shop/p"}},
	} {
		t.Run(c.title, func(t *testing.T) {
			var got []string
			for _, f := range translate(world(c.facts...)).findings {
				got = append(got, fmt.Sprintf("%s %s %s", f.Level, f.Feature, f.Object))
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestClosed asks of each setting what a caller may do whom nobody names.
func TestClosed(t *testing.T) {
	for _, c := range []struct {
		title string
		facts []model.Fact
		want  bool
	}{
		{"no permission", nil, true},
		{"a permission of others closes", []model.Fact{allow("p", account("catalog"), []model.Subject{account("other")}, stream("any"))}, false},
		{"a permission of nobody closes", []model.Fact{allow("p", account("catalog"), nil)}, false},
		{"a broken permission closes", []model.Fact{&model.Permission{Name: name("p"), Destination: account("catalog"), Broken: true}}, false},
		{"another's permission does not", []model.Fact{allow("p", account("other"), nil)}, true},
		{"deny closes all", []model.Fact{&model.Settings{Access: model.AccessDeny}}, false},
		{"allow opens all", []model.Fact{&model.Settings{Access: model.AccessAllow}, allow("p", account("catalog"), nil)}, true},
	} {
		t.Run(c.title, func(t *testing.T) {
			w := workload("catalog")
			s := world(append([]model.Fact{service("catalog", port(80, 8080, model.Auto)), w, tcpRoute("any")}, c.facts...)...)
			objs := translate(s).objects
			for _, layer := range []model.Layer{model.LayerHTTP, model.LayerStream} {
				q := &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "web"}, Service: name("catalog"), Layer: layer, Method: "GET", Path: "/"}
				if got := judgeAdmit(objs, s, w, 8080, q); got != c.want {
					t.Errorf("layer %d: admitted: %v, want %v", layer, got, c.want)
				}
				if judgeAdmit(objs, s, w, 8081, q) {
					t.Errorf("layer %d: admitted on a port that nobody declares", layer)
				}
				q.From = model.Identity{}
				if judgeAdmit(objs, s, w, 8080, q) {
					t.Errorf("layer %d: admitted without a certificate", layer)
				}
			}
		})
	}
}

// TestChainsAreShared looks that a workload of many ports costs as many packed filters as it has different rules.
func TestChainsAreShared(t *testing.T) {
	svc := service("catalog")
	for i := range uint16(20) {
		svc.Ports = append(svc.Ports, port(80+i, 8080+i, model.HTTP))
	}
	s := world(svc, workload("catalog"), tcpRoute("first", 8080), allow("p", account("catalog"), []model.Subject{account("web")}, stream("first")))
	l, err := find[*listenerv3.Listener](translate(s).objects, "inbound/shop/Deployment/catalog")
	if err != nil {
		t.Fatal(err)
	}
	different := map[*listenerv3.Filter]bool{}
	for _, c := range l.FilterChains {
		different[c.Filters[0]] = true
	}
	if len(l.FilterChains) != 20 || len(different) != 2 {
		t.Errorf("%d chains of %d kinds, want 20 of 2", len(l.FilterChains), len(different))
	}
}
