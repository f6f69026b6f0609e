// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio/policy"
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

func service(n string, ports ...model.ServicePort) *model.Service {
	return &model.Service{Name: name(n), Ports: ports, Selector: map[string]string{"app": n}}
}

func http(number, target uint16) model.ServicePort {
	return model.ServicePort{Name: "http", Number: number, Target: target, Protocol: model.HTTP}
}

func workload(n, account string) *model.Workload {
	labels := map[string]string{"app": n}
	return &model.Workload{Kind: model.KindDeployment, Name: name(n), Account: account, Labels: labels, Selector: labels}
}

// permit lets web call an account by a rule.
func permit(n, to string, rules ...model.Rule) *model.Permission {
	return &model.Permission{Name: name(n), Rules: rules, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: to},
		Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}}
}

var (
	byGroup = model.Rule{Kind: model.KindGroup, Name: "g", All: true}
	byPort  = model.Rule{Kind: model.KindTCPRoute, Name: "p", All: true}
	api     = &model.RouteGroup{Name: name("g"), Matches: []model.Match{{Name: "m", Path: "/api", Methods: []string{"GET"}}}}
	only    = &model.PortRoute{Kind: model.KindTCPRoute, Name: name("p"), Ports: model.PortSet(8080)}
)

// policies are those of a world, at pods and at waypoints, by name.
func policies(s *store.Store) (at map[string]*policy.Policy, objs []mesh.Object) {
	at = map[string]*policy.Policy{}
	objs, _ = say(s)
	for i := range objs {
		if p, ok := objs[i].Spec.(*policy.Policy); ok {
			at[objs[i].Name.Name] = p
		}
	}
	return at, objs
}

func from(who, path string) *model.Request {
	return &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: who}, Service: name("catalog"), Port: 80, Method: "GET", Path: path}
}

// TestZtunnelKnowsNoRequests holds that no policy at pods speaks of requests: ztunnel leaves such rules out of an ALLOW policy, and of
// a DENY policy it would leave out what they say of requests and refuse everything.
func TestZtunnelKnowsNoRequests(t *testing.T) {
	at, _ := policies(world(service("catalog", http(80, 8080)), workload("catalog", "catalog"), permit("t", "catalog", byGroup), permit("u", "catalog", byPort), api, only))
	pods := at["catalog-deployment"]
	if pods == nil || len(pods.Rules) != 2 {
		t.Fatalf("%+v", pods)
	}
	for _, r := range pods.Rules {
		for _, o := range r.To {
			if len(o.Operation.Methods)+len(o.Operation.Paths)+len(r.When) > 0 {
				t.Errorf("a rule at pods speaks of requests: %+v", r)
			}
		}
	}
}

// TestNoWayRound holds that who may ask for some paths alone cannot call the pods themselves, and that the waypoint can.
func TestNoWayRound(t *testing.T) {
	s := world(service("catalog", http(80, 8080)), workload("catalog", "catalog"), permit("t", "catalog", byGroup), api)
	_, objs := policies(s)
	wl, q := s.Selected(name("catalog"))[0], from("web", "/api")
	j := newJudge(objs, s, q)
	if j.direct(wl, 8080) || !j.through(name(waypointName("catalog")), 80, wl, 8080) {
		t.Error("the pods are open, or the waypoint is shut out")
	}
	if newJudge(objs, s, from("web", "/other")).through(name(waypointName("catalog")), 80, wl, 8080) {
		t.Error("the waypoint lets every request through")
	}
}

// TestNoSharedWaypoint holds that what may call one account cannot reach another through a split: each has a waypoint of its own.
func TestNoSharedWaypoint(t *testing.T) {
	canary := permit("u", "canary", byGroup)
	canary.Sources[0].Name = "tester"
	s := world(service("catalog", http(80, 8080)), service("canary", http(80, 8080)), workload("catalog", "catalog"), workload("canary", "canary"), api,
		permit("t", "catalog", byGroup), canary, &model.Split{Name: name("s"), Root: "catalog", Backends: []model.Backend{{Service: "catalog", Weight: 1}, {Service: "canary", Weight: 1}}})
	_, objs := policies(s)
	wl := s.Selected(name("canary"))[0]
	if newJudge(objs, s, from("web", "/api")).through(name(waypointName("catalog")), 80, wl, 8080) {
		t.Error("web reaches canary by the permissions of catalog")
	}
	if judgeAdmit(objs, s, wl, 8080, from("web", "/api")) || !judgeAdmit(objs, s, wl, 8080, from("tester", "/api")) {
		t.Error("canary admits web, or does not admit tester")
	}
}

// TestPortsOfServices holds that a waypoint is told ports as it sees them, which are those of the Service, and that one which leads to more than
// is permitted is refused and reported.
func TestPortsOfServices(t *testing.T) {
	other := &model.PortRoute{Kind: model.KindTCPRoute, Name: name("q"), Ports: model.PortSet(9090)}
	admin := permit("u", "catalog", model.Rule{Kind: model.KindTCPRoute, Name: "q", All: true})
	admin.Sources[0].Name = "admin"
	facts := []model.Fact{workload("catalog", "catalog"), permit("t", "catalog", byPort), admin, only, other}
	at, _ := policies(world(append(facts, service("catalog", http(80, 8080), http(81, 9090)))...))
	var got []string
	for _, r := range at[waypointName("catalog")+requests].Rules {
		got = append(got, r.To[0].Operation.Ports...)
	}
	if !slices.Equal(got, []string{"80", "81"}) {
		t.Errorf("the waypoint is told ports %v", got)
	}
	two := service("also", http(80, 9090))
	two.Selector = map[string]string{"app": "catalog"}
	s := world(append(facts, service("catalog", http(80, 8080)), two)...)
	_, objs := policies(s)
	wl := s.Selected(name("catalog"))[0]
	if newJudge(objs, s, from("web", "/")).through(name(waypointName("catalog")), 80, wl, 9090) {
		t.Error("web is let through to the port of admin")
	}
	a, _ := model.JoinAccess(s, wl.Identity())
	if f := Driver.Accesses(a).Findings; !slices.ContainsFunc(f, func(f model.Finding) bool { return f.Feature == model.AccessPort && f.Level >= model.Approximate }) {
		t.Errorf("that is not reported: %+v", f)
	}
}

// TestStrangers holds that a caller whom ztunnel can never know is left out, and reported.
func TestStrangers(t *testing.T) {
	for id, ok := range map[string]bool{"spiffe://other.example/ns/a/sa/b": true, "spiffe://other.example/a/b": false, "spiffe://other.example/ns/a/b/sa/c": false, "spiffe://other.example": false} {
		if got := stranger(id) == ""; got != ok {
			t.Errorf("%s is known: %v", id, got)
		}
	}
}

// TestNames holds that the names of waypoints are such as Services have, and that no policy of a workload has that of a waypoint's.
func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, account := range []string{"web", "a.b", "a-b", "a--b", strings.Repeat("a", 100), strings.Repeat("a", 100) + "b", "default"} {
		n := waypointName(account)
		if other, is := seen[n]; is || len(n) > 63 || strings.Contains(n, ".") {
			t.Errorf("%s has the waypoint %s, as has %s", account, n, other)
		}
		seen[n] = account
		if policy.Name(model.Ref{Kind: model.KindPod, Name: name(n)}) == n+requests {
			t.Errorf("a policy of a workload is named %s%s", n, requests)
		}
	}
}
