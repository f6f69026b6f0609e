// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

func world(facts ...model.Fact) *store.Store {
	s := store.New()
	for _, f := range facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return s
}

func service(n string, selector map[string]string, ports ...model.ServicePort) *model.Service {
	if len(ports) == 0 {
		ports = []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}}
	}
	return &model.Service{Name: name(n), Ports: ports, Selector: selector}
}

func deployment(n, account string, labels map[string]string) *model.Workload {
	return &model.Workload{Kind: model.KindDeployment, Name: name(n), Account: account, Labels: labels, Selector: labels}
}

// shop is a root with two backends, as Consul knows them: each with an account of its name.
func shop() (out []model.Fact) {
	for _, n := range []string{"catalog", "catalog-v1", "catalog-v2", "web"} {
		labels := map[string]string{"app": n}
		out = append(out, service(n, labels), deployment(n, n, labels))
	}
	return out
}

func split(n, group string, weights ...int64) *model.Split {
	s := &model.Split{Name: name(n), Root: "catalog"}
	for i, w := range weights {
		s.Backends = append(s.Backends, model.Backend{Service: []string{"catalog-v1", "catalog-v2", "catalog"}[i], Weight: w})
	}
	if group != "" {
		s.Groups = []string{group}
	}
	return s
}

func routes(n string, matches ...model.Match) *model.RouteGroup {
	return &model.RouteGroup{Name: name(n), Matches: matches}
}

func permit(n, source string, rules ...model.Rule) *model.Permission {
	return &model.Permission{Name: name(n), Rules: rules, Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: source}},
		Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "catalog"}}
}

func by(k model.Kind, n string) model.Rule { return model.Rule{Kind: k, Name: n, All: true} }

// said is all that the driver says of a world, as text too.
func said(t *testing.T, s *store.Store) (objs []mesh.Object, findings []model.Finding, text string) {
	t.Helper()
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var o *mesh.Output
		switch u.Kind {
		case store.UnitRoute:
			r, _ := model.JoinRoute(s, u.Name)
			o = Driver.Routes(r)
		case store.UnitAccess:
			a, _ := model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
			o = Driver.Accesses(a)
		case store.UnitEndpoints:
			o = Driver.Addresses(model.JoinEndpoints(s, u.Name))
		default:
			o = Driver.Globals(s.Settings())
		}
		objs = append(objs, o.Objects...)
		findings = append(findings, o.Findings...)
	}
	out, err := json.Marshal(objs)
	if err != nil {
		t.Fatal(err)
	}
	return objs, findings, string(out)
}

func hasFinding(list []model.Finding, level model.Level, part string) bool {
	return slices.ContainsFunc(list, func(f model.Finding) bool { return f.Level == level && strings.Contains(f.Message, part) })
}

// TestTrapDefault holds that what no permission takes is refused, whatever the default of the mesh is: for a caller with permissions, and for
// everybody else.
func TestTrapDefault(t *testing.T) {
	w := world(append(shop(), permit("t", "web", by(model.KindGroup, "g")), routes("g", model.Match{Path: "/api"}))...)
	objs, _, text := said(t, w)
	if !strings.Contains(text, `{"action":"deny","http":{"pathRegex":".*"}}]},{"name":"*","action":"deny"}`) {
		t.Error(text)
	}
	wl := w.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "catalog"})[0]
	for from, want := range map[string][2]bool{"web": {true, false}, "catalog-v1": {false, false}} {
		for i, path := range []string{"/api/x", "/admin"} {
			q := &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: from}, Service: name("catalog"), Method: "GET", Path: path}
			if got := judgeAdmit(objs, w, wl, 8080, q); got != want[i] {
				t.Errorf("%s %s is admitted: %v", from, path, got)
			}
		}
	}
}

// TestTrapOne holds that all permissions for a service are one object, with each caller once.
func TestTrapOne(t *testing.T) {
	w := world(append(shop(), permit("a", "web", by(model.KindGroup, "g")), permit("b", "web", by(model.KindGroup, "h")), permit("c", "catalog-v1", by(model.KindTCPRoute, "p")),
		routes("g", model.Match{Path: "/a"}), routes("h", model.Match{Path: "/b"}), &model.PortRoute{Kind: model.KindTCPRoute, Name: name("p"), Ports: model.AnyPort})...)
	_, _, text := said(t, w)
	if strings.Count(text, kindIntentions) != 1 || strings.Count(text, `"name":"web","permissions"`) != 1 || !strings.Contains(text, `"pathPrefix":"/a"`) || !strings.Contains(text, `"pathPrefix":"/b"`) {
		t.Error(text)
	}
}

// TestTrapShared holds that nobody is admitted to a service behind which another account's pods stand too.
func TestTrapShared(t *testing.T) {
	w := world(append(shop(), deployment("stray", "stray", map[string]string{"app": "catalog", "x": "y"}), permit("t", "web", by(model.KindGroup, "g")), routes("g", model.Match{}))...)
	_, findings, text := said(t, w)
	if strings.Contains(text, `"allow"`) || !strings.Contains(text, `"deny"`) || !hasFinding(findings, model.Unsupported, "another service account") {
		t.Error(text, findings)
	}
}

// TestTrapNamespace holds that the namespace of a caller is written where it is another one: the name alone would be the destination's.
func TestTrapNamespace(t *testing.T) {
	p := permit("t", "web", by(model.KindGroup, "g"))
	p.Sources = append(p.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: "lab", Name: "web"})
	_, findings, text := said(t, world(append(shop(), p, routes("g", model.Match{Path: "/a"}))...))
	if strings.Count(text, `"namespace":"lab"`) != 1 || !hasFinding(findings, model.Notice, "Enterprise") {
		t.Error(text, findings)
	}
}

// TestTrapPorts holds that a permission for some of a service's ports is none, since intentions know no port.
func TestTrapPorts(t *testing.T) {
	tcp := []model.ServicePort{{Name: "tcp-a", Number: 1, Target: 1001, Protocol: model.TCP}, {Name: "tcp-b", Number: 2, Target: 1002, Protocol: model.TCP}}
	facts := func(ports ...uint16) []model.Fact {
		return append(shop(), service("catalog", map[string]string{"app": "catalog"}, tcp...), permit("t", "web", by(model.KindTCPRoute, "p")),
			&model.PortRoute{Kind: model.KindTCPRoute, Name: name("p"), Ports: model.PortSet(ports...)})
	}
	if _, findings, text := said(t, world(facts(1001)...)); strings.Contains(text, `"allow"`) || !hasFinding(findings, model.Unsupported, "know no port") {
		t.Error(text, findings)
	}
	if _, _, text := said(t, world(facts(1001, 1002)...)); !strings.Contains(text, `{"name":"web","action":"allow"}`) {
		t.Error(text)
	}
}

// TestTrapProtocol holds that permissions for requests and splits need services that carry HTTP, which is said of those, and of no others.
func TestTrapProtocol(t *testing.T) {
	raw := service("catalog", map[string]string{"app": "catalog"}, model.ServicePort{Name: "x", Number: 80, Target: 8080})
	w := world(append(shop(), raw, split("s", "", 1, 1), permit("t", "web", by(model.KindGroup, "g")), routes("g", model.Match{Path: "/a"}))...)
	_, findings, text := said(t, w)
	if strings.Contains(text, `"allow"`) || strings.Contains(text, kindSplitter) || !hasFinding(findings, model.Unsupported, "carries HTTP") || !hasFinding(findings, model.Unsupported, stream) {
		t.Error(text, findings)
	}
	grpc := service("catalog-v1", map[string]string{"app": "catalog-v1"}, model.ServicePort{Name: "grpc", Number: 80, Target: 8080, Protocol: model.GRPC})
	_, findings, text = said(t, world(append(shop(), grpc, split("s", "", 1, 1))...))
	if strings.Contains(text, kindSplitter) || !hasFinding(findings, model.Unsupported, "one protocol") || strings.Contains(text, `"protocol"`) {
		t.Error(text, findings)
	}
}

// TestTrapVirtual holds that matched requests are split by a service without instances, which carries what the root carries.
func TestTrapVirtual(t *testing.T) {
	w := world(append(shop(), split("beta", "g", 1, 3), routes("g", model.Match{Path: "/beta$"}))...)
	objs, _, text := said(t, w)
	v := virtual(name("catalog"), "beta")
	for _, want := range []string{fmt.Sprintf(`"kind":"ServiceDefaults","metadata":{"name":%q`, v.Name), fmt.Sprintf(`"kind":"ServiceSplitter","metadata":{"name":%q`, v.Name), fmt.Sprintf(`"destination":{"service":%q}`, v.Name), `"pathExact":"/beta"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	got, err := judgeRoute(objs, w, &model.Request{Service: name("catalog"), Method: "GET", Path: "/beta"})
	if err != nil || got["shop/catalog-v2:80"] != 0.75 {
		t.Error(got, err)
	}
	rest, err := judgeRoute(objs, w, &model.Request{Service: name("catalog"), Method: "GET", Path: "/betax"})
	if err != nil || rest["shop/catalog:80"] != 1 {
		t.Error(rest, err)
	}
}

// TestTrapChain holds that a backend with a split of its own, which Consul would follow, is not split to.
func TestTrapChain(t *testing.T) {
	next := &model.Split{Name: name("next"), Root: "catalog-v1", Backends: []model.Backend{{Service: "catalog-v2", Weight: 1}}}
	_, findings, text := said(t, world(append(shop(), split("s", "", 1, 1), next)...))
	if strings.Count(text, `"kind":"ServiceSplitter"`) != 1 || !hasFinding(findings, model.Unsupported, "follows the split") {
		t.Error(text, findings)
	}
	_, findings, text = said(t, world(append(shop(), split("s", "g", 1, 1, 1), split("t", "", 1), routes("g", model.Match{Path: "/a"}))...))
	if strings.Contains(text, kindRouter) || !hasFinding(findings, model.Unsupported, "the root itself") {
		t.Error(text, findings)
	}
}

// TestWeights holds that shares make up exactly 100 when floats of 32 bits are added in the order of the list, that zero stays zero, and that what is
// not gets something.
func TestWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	quarters := 0
	for range 3000 {
		var shares []model.Share
		total := int64(0)
		for range 1 + r.IntN(12) {
			w := r.Int64N(1 << r.IntN(40))
			shares, total = append(shares, model.Share{Weight: w}), total+w
		}
		if total == 0 {
			continue
		}
		list, exact := percent(shares)
		var sum float32
		for i, f := range list {
			sum += f
			want := float64(shares[i].Weight) / float64(total) * 100
			if d := float64(f) - want; (f == 0) != (shares[i].Weight == 0) || d > 0.5 || d < -3 || exact[i] && (d > 1e-4 || d < -1e-4) {
				t.Fatalf("%v: share %d is %v, want %v (exact: %v)", shares, i, f, want, exact[i])
			}
			if f != 0 && (f < 0.01 || f > 100) {
				t.Fatalf("Consul refuses %v", f)
			}
		}
		if sum != 100 {
			t.Fatalf("%v makes up %v", list, sum)
		}
		if !slices.ContainsFunc(list, func(f float32) bool { return float32(int(f*4)) != f*4 }) {
			quarters++
		}
	}
	if quarters == 0 {
		t.Error("no world falls back to quarters: the test tests too little")
	}
	for _, c := range []struct {
		in   []int64
		want string
	}{
		{[]int64{90, 10}, "[90 10] [true true]"}, {[]int64{1, 1, 1}, "[33.34 33.33 33.33] [false false false]"}, {[]int64{0, 7}, "[0 100] [true true]"}, {[]int64{1, 1 << 40}, "[0.01 99.99] [false false]"},
	} {
		var shares []model.Share
		for _, w := range c.in {
			shares = append(shares, model.Share{Weight: w})
		}
		list, exact := percent(shares)
		if got := fmt.Sprint(list, exact); got != c.want {
			t.Errorf("%v is %s, want %s", c.in, got, c.want)
		}
	}
	many := make([]model.Share, 10001)
	for i := range many {
		many[i].Weight = 1
	}
	if list, _ := percent(many); list != nil {
		t.Error("more shares than steps are shared out")
	}
}
