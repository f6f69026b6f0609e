// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// The worlds of TestConformance: three callers, two services of which one has two versions, and made-up policies.

func shop(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

// callers and servers have the last number of their addresses, and an account of their own name.
var (
	callerNumber = map[string]int{"web": 1, "jobs": 2, "eve": 3}
	serverNumber = map[string]int{"catalog-v1": 11, "catalog-v2": 12, "orders-v1": 13}
	serviceNames = []string{"catalog", "catalog-v1", "catalog-v2", "orders"}
)

func accountOf(server string) string { return server[:len(server)-3] }

// standing are the facts that do not change.
func standing(ip func(int) string) []store.Event {
	var out []store.Event
	add := func(ref model.Ref, facts ...model.Fact) { out = append(out, store.Event{Object: ref, Facts: facts}) }
	pod := func(name, account string, number int) {
		labels := map[string]string{"app": account, "pod": name}
		w := &model.Workload{Kind: model.KindPod, Name: shop(name), Labels: labels, Selector: labels, Account: account}
		p := &model.Pod{Name: shop(name), Address: ip(number), Labels: labels, Account: account, Workload: w.Ref(), Ready: true,
			Datagrams: map[uint16]string{}}
		for i, s := range serviceNames {
			p.Datagrams[uint16(5300+i)] = s + ":53"
		}
		add(p.Ref(), w, p)
	}
	for name, n := range callerNumber {
		pod(name, name, n)
	}
	for name, n := range serverNumber {
		pod(name, accountOf(name), n)
	}
	for _, name := range serviceNames {
		s := &model.Service{Name: shop(name), Selector: map[string]string{"pod": name}, Ports: []model.ServicePort{
			{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}, {Name: "tcp", Number: 90, Target: 9090, Protocol: model.TCP},
			{Name: "any", Number: 70, Target: 7070}, {Name: "udp", Number: 53, Target: 5353, Protocol: model.UDP}}}
		if name == "catalog" || name == "orders" {
			s.Selector = map[string]string{"app": name}
		}
		add(s.Ref(), s)
	}
	return out
}

func one[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func some[T any](r *rand.Rand, n int, list ...T) (out []T) {
	for range r.IntN(n + 1) {
		out = append(out, one(r, list...))
	}
	return out
}

// policies makes up what is changed from world to world: always the same objects, so that the next world replaces this one.
func policies(r *rand.Rand) []store.Event {
	settings := *model.Defaults()
	settings.Access = one(r, model.AccessTargeted, model.AccessTargeted, model.AccessTargeted, model.AccessDeny, model.AccessAllow)
	out := []store.Event{{Object: settings.Ref(), Facts: []model.Fact{&settings}}}
	say := func(f model.Fact, there bool) {
		e := store.Event{Object: f.Ref()}
		if there {
			e.Facts = []model.Fact{f}
		}
		out = append(out, e)
	}
	for i := range 3 {
		g := &model.RouteGroup{Name: shop(fmt.Sprintf("g%d", i)), FullPath: r.IntN(3) == 0}
		for k := range 1 + r.IntN(3) {
			m := model.Match{Name: fmt.Sprintf("m%d", k), Path: one(r, "", "/api", "/api/.*", "/a|/b", "/items/[^/]+$", `.*\.css`, "^/x"),
				Methods: some(r, 2, "GET", "POST", "X.Y")}
			for _, h := range some(r, 1, "x-user", "x-beta", "host") {
				m.Headers = append(m.Headers, model.Header{Name: h, Value: one(r, ".*", "b", "a,b", "v[12]", "catalog.*")})
			}
			g.Matches = append(g.Matches, m)
		}
		say(g, r.IntN(10) > 0)
	}
	for i, kind := range []model.Kind{model.KindTCPRoute, model.KindUDPRoute} {
		say(&model.PortRoute{Kind: kind, Name: shop("any"), Ports: model.AnyPort}, true)
		say(&model.PortRoute{Kind: kind, Name: shop("some"), Ports: model.PortSet([]uint16{9090, 5353}[i], 7070)}, r.IntN(8) > 0)
	}
	for i := range 3 {
		s := &model.Split{Name: shop(fmt.Sprintf("s%d", i)), Root: one(r, "catalog", "catalog", "orders"), Groups: some(r, 2, "g0", "g1", "g2", "gone")}
		for range 1 + r.IntN(2) {
			s.Backends = append(s.Backends, model.Backend{Service: one(r, serviceNames...), Weight: one[int64](r, 0, 1, 1, 9)})
		}
		say(s, r.IntN(2) == 0)
	}
	for i := range 4 {
		say(permission(r, fmt.Sprintf("p%d", i)), r.IntN(3) > 0)
	}
	return out
}

func permission(r *rand.Rand, name string) *model.Permission {
	account := func(n string) model.Subject {
		return model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: n}
	}
	p := &model.Permission{Name: shop(name), Destination: account(one(r, "catalog", "catalog", "orders")),
		Sources: some(r, 2, account("web"), account("jobs"), account("eve")), Broken: r.IntN(15) == 0}
	for range 1 + r.IntN(2) {
		rule := model.Rule{Kind: one(r, model.KindGroup, model.KindGroup, model.KindTCPRoute, model.KindUDPRoute), Name: one(r, "any", "some"), All: true}
		if rule.Kind == model.KindGroup {
			rule.Name = one(r, "g0", "g1", "g2")
			if r.IntN(4) == 0 {
				rule.Matches, rule.All = []string{one(r, "m0", "m1")}, false
			}
		}
		p.Rules = append(p.Rules, rule)
	}
	if r.IntN(8) == 0 {
		p.Port = one[uint16](r, 8080, 9090, 5353)
	}
	return p
}

func question(r *rand.Rand) *model.Request {
	q := &model.Request{Service: shop(one(r, "catalog", "catalog", "orders", "catalog-v2")), Headers: map[string][]string{},
		From: model.Identity{Namespace: "shop", ServiceAccount: one(r, "web", "web", "jobs", "eve")}}
	switch r.IntN(6) {
	case 0:
		q.Layer, q.Port = model.LayerStream, one[uint16](r, 90, 90, 70)
	case 1:
		q.Layer, q.Port = model.LayerDatagram, 53
	default:
		q.Port = one[uint16](r, 80, 80, 70)
		q.Host = fmt.Sprintf("%s%s:%d", q.Service.Name, one(r, "", ".shop", ".shop.svc.cluster.local"), q.Port)
		q.Method = one(r, "GET", "GET", "POST", "DELETE", "X.Y", "XZY")
		q.Path = one(r, "/", "/api", "/apix", "/apix?y=/a", "/api/v1?z", "/b/c", "/items/1", "/items/1?x=/", "/items/1/2", "/style.css", "/x",
			"/%61pi", "//api", "/api/../x", "/API", "/x;/api", `/x\api`)
		for _, h := range some(r, 2, "x-user", "x-beta") {
			q.Headers[h] = append(q.Headers[h], some(r, 2, "a", "b", "v1")...)
			if len(q.Headers[h]) == 0 {
				delete(q.Headers, h)
			}
		}
	}
	return q
}
