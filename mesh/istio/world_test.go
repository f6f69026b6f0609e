// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

// world is a store of facts.
func world(facts ...model.Fact) *store.Store {
	s := store.New()
	for _, f := range facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return s
}

// shopPorts has a port of every kind.
var shopPorts = []model.ServicePort{
	{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP},
	{Name: "grpc", Number: 9000, Target: 9000, Protocol: model.GRPC},
	{Name: "tcp-db", Number: 5432, Target: 5432, Protocol: model.TCP},
	{Name: "other", Number: 7000, Target: 7001, Protocol: model.Auto},
	{Name: "tls", Number: 443, Target: 8443, Protocol: model.TLS},
}

// shop is a root with three backends, one of which lacks ports, and two identities behind them.
func shop() []model.Fact {
	return []model.Fact{
		&model.Service{Name: name("catalog"), Ports: shopPorts, Selector: map[string]string{"app": "catalog"}},
		&model.Service{Name: name("catalog-v1"), Ports: shopPorts, Selector: map[string]string{"app": "catalog", "version": "v1"}},
		&model.Service{Name: name("catalog-v2"), Ports: shopPorts, Selector: map[string]string{"app": "catalog", "version": "v2"}},
		&model.Service{Name: name("catalog-v3"), Ports: shopPorts[:2], Selector: map[string]string{"app": "catalog", "version": "v3"}},
		deployment("catalog-v1", "catalog", map[string]string{"app": "catalog", "version": "v1"}),
		deployment("catalog-v2", "catalog", map[string]string{"app": "catalog", "version": "v2"}),
		deployment("catalog-v3", "canary", map[string]string{"app": "catalog", "version": "v3"}),
	}
}

func deployment(n, account string, labels map[string]string) *model.Workload {
	return &model.Workload{Kind: model.KindDeployment, Name: name(n), Account: account, Labels: labels, Selector: labels}
}

func group(n string, matches ...model.Match) *model.RouteGroup {
	for i := range matches {
		matches[i].Name = fmt.Sprintf("m%d", i)
	}
	return &model.RouteGroup{Name: name(n), Matches: matches}
}

func split(n string, groups []string, weights ...int64) *model.Split {
	s := &model.Split{Name: name(n), Root: "catalog", Groups: groups}
	for i, w := range weights {
		s.Backends = append(s.Backends, model.Backend{Service: []string{"catalog-v1", "catalog-v2", "catalog-v3"}[i], Weight: w})
	}
	return s
}

// permission lets web call an account by one group or port route.
func permission(n, to string, rules ...model.Rule) *model.Permission {
	return &model.Permission{Name: name(n), Rules: rules,
		Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: to},
		Sources:     []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}}
}

func by(kind model.Kind, n string) model.Rule { return model.Rule{Kind: kind, Name: n, All: true} }

// output is all that the driver says of a world.
type output struct {
	objects  []mesh.Object
	findings []model.Finding // of the driver
	faults   []model.Finding // of the model
	granted  []model.Finding
	units    map[store.Unit][]model.Finding
}

func translate(s *store.Store) *output {
	out := &output{units: map[store.Unit][]model.Finding{}}
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var o *mesh.Output
		var faults []model.Finding
		switch u.Kind {
		case store.UnitRoute:
			var r *model.Route
			r, faults = model.JoinRoute(s, u.Name)
			o = Driver.Routes(r)
		case store.UnitAccess:
			var a *model.Access
			a, faults = model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
			o = Driver.Accesses(a)
		case store.UnitSettings:
			o = Driver.Globals(s.Settings())
		default:
			continue
		}
		out.objects = append(out.objects, o.Objects...)
		out.findings = append(out.findings, o.Findings...)
		out.granted = append(out.granted, o.Granted()...)
		out.faults = append(out.faults, faults...)
		out.units[u] = o.Findings
	}
	return out
}

var (
	paths = []string{"", ".*", "/", "/api", "/api/.*", "/api$", "^/api$", "/a|/b", "/(api|web)/x$", `.*\.css$`, "/items/[^/]+", "/items/[^/]+$", "/items/[^/]+/parts",
		"/items/[^/]*/x$", "/x/.*/y$", "/v[0-9]+/", "/a*b", "/{id}", "/static/?", "/é"}
	methods     = [][]string{nil, nil, nil, {"GET"}, {"GET", "POST"}, {"PATCH"}}
	headerNames = []string{"x-user", "x-user", "user-agent", "host", ":authority", "method", "x.y"}
	values      = []string{".*", "beta", "beta.*", ".*beta", "a|b", "v[12]", "v[0-9]+", "", "(?i)beta", ".+", "catalog.*"}
	requestPath = []string{"/", "/api", "/api/", "/api/x", "/apix", "/a", "/b", "/bc", "/api/x", "/web/x", "/main.css", "/x/main.css", "/items/", "/items/1", "/items/1/",
		"/items/1/2", "/items/1/parts", "/items/1/partsx", "/items/1/parts/2", "/items//x", "/items/1/x", "/x/y", "/x//y", "/x/1/2/y", "/v1/", "/v12/a", "/v/a", "/a*b", "/aaab",
		"/{id}", "/static", "/static/a", "/é", "/items/a|b", "/api?q=/web/x", "*"}
	requestValue = []string{"beta", "beta2", "xbeta", "BETA", "a", "b", "v1", "v12", "", "catalog", "Catalog"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func randomMatch(r *rand.Rand) model.Match {
	m := model.Match{Path: pick(r, paths), Methods: pick(r, methods)}
	for range max(0, r.IntN(5)-2) {
		m.Headers = append(m.Headers, model.Header{Name: pick(r, headerNames), Value: pick(r, values)})
	}
	return m
}

// randomWorld has splits and permissions of every kind.
func randomWorld(r *rand.Rand) *store.Store {
	facts := shop()
	settings := model.Defaults()
	settings.Access = model.AccessDefault(max(0, r.IntN(5)-2))
	facts = append(facts, settings)
	for i := range 4 {
		var list []model.Match
		for range 1 + r.IntN(3) {
			list = append(list, randomMatch(r))
		}
		g := group(fmt.Sprintf("g%d", i), list...)
		g.FullPath = r.IntN(4) == 0
		facts = append(facts, g)
	}
	facts = append(facts, &model.PortRoute{Kind: model.KindTCPRoute, Name: name("p0"), Ports: model.PortSet(5432, 7001)},
		&model.PortRoute{Kind: model.KindTCPRoute, Name: name("p1"), Ports: model.PortSet(8080, 9000)}, &model.PortRoute{Kind: model.KindTCPRoute, Name: name("p2"), Ports: model.AnyPort},
		&model.Binding{Name: name("v2"), Pods: map[string]string{"version": "v2"}})
	if r.IntN(4) == 0 { // an account whose labels also find those of another
		facts = append(facts, &model.Workload{Kind: model.KindPod, Name: name("stray"), Account: "stray", Labels: map[string]string{"app": "catalog", "version": "v2", "x": "y"}})
	}
	for i := range r.IntN(4) {
		facts = append(facts, randomSplit(r, i))
	}
	for i := range r.IntN(4) {
		facts = append(facts, randomPermission(r, i))
	}
	return world(facts...)
}

func randomSplit(r *rand.Rand, i int) *model.Split {
	s := &model.Split{Name: name(fmt.Sprintf("s%d", i)), Created: int64(i), Root: "catalog"}
	for _, b := range []string{"catalog-v1", "catalog-v2", "catalog-v3", "catalog"} {
		if r.IntN(2) == 0 {
			s.Backends = append(s.Backends, model.Backend{Service: b, Weight: pick(r, []int64{0, 5, 10, 30, 90})})
		}
	}
	for k := range r.IntN(3) {
		s.Groups = append(s.Groups, fmt.Sprintf("g%d", (i+k)%4))
	}
	return s
}

func randomPermission(r *rand.Rand, i int) *model.Permission {
	p := permission(fmt.Sprintf("t%d", i), pick(r, []string{"catalog", "catalog", "canary"}))
	if r.IntN(5) == 0 {
		p.Destination = model.Subject{Kind: model.KindBinding, Namespace: "shop", Name: "v2"}
	}
	p.Sources = p.Sources[:r.IntN(2)]
	for range r.IntN(3) {
		p.Sources = append(p.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: pick(r, []string{"shop", "lab"}), Name: pick(r, []string{"web", "lab", "web2"})})
	}
	for range 1 + r.IntN(2) {
		if r.IntN(3) == 0 {
			p.Rules = append(p.Rules, by(model.KindTCPRoute, fmt.Sprintf("p%d", r.IntN(3))))
			continue
		}
		rule := by(model.KindGroup, fmt.Sprintf("g%d", r.IntN(4)))
		if r.IntN(3) == 0 {
			rule.All, rule.Matches = false, []string{"m0"}
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

// randomRequest asks one of the shop's Services.
func randomRequest(r *rand.Rand) *model.Request {
	p := pick(r, shopPorts)
	q := &model.Request{Service: name("catalog"), Port: p.Number, Headers: map[string][]string{}, From: model.Identity{Namespace: pick(r, []string{"shop", "lab"}), ServiceAccount: pick(r, []string{"web", "lab", "web2"})}}
	if r.IntN(12) == 0 {
		q.From = model.Identity{}
	}
	if !p.Protocol.CarriesHTTP() || p.Protocol == model.Auto && r.IntN(2) == 0 {
		q.Layer = model.LayerStream
		return q
	}
	q.Method, q.Path = pick(r, []string{"GET", "POST", "PATCH", "PUT"}), pick(r, requestPath)
	for _, h := range headerNames {
		if r.IntN(2) == 0 && h != "host" && h != ":authority" {
			q.Headers[h] = []string{pick(r, requestValue)}
			if r.IntN(4) == 0 {
				q.Headers[h] = append(q.Headers[h], pick(r, requestValue))
			}
		}
	}
	return q
}
