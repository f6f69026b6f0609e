// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// The methods of gRPC's own health service, which the test in test/oracle/istio calls, as paths.
const (
	grpcCheck = "/grpc.health.v1.Health/Check"
	grpcList  = "/grpc.health.v1.Health/List"
)

// trafficWorlds are those through which real calls are sent: splits with weights and matches, and permissions by caller, path, method, header and port.
func trafficWorlds() []fixed {
	from := func(p *model.Permission, accounts ...string) *model.Permission {
		p.Sources = nil
		for _, a := range accounts {
			p.Sources = append(p.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: a})
		}
		return p
	}
	grpc := &model.PortRoute{Kind: model.KindTCPRoute, Name: name("grpc"), Ports: model.PortSet(9000)}
	other := &model.PortRoute{Kind: model.KindTCPRoute, Name: name("other"), Ports: model.PortSet(8080)}
	closed := model.Defaults()
	closed.Access = model.AccessDeny
	beta := model.Header{Name: "x-user", Value: "beta"}
	s0 := func() *model.Split { s := split("s0", []string{"g"}, 0, 0, 1); s.Created = 1; return s }
	rest := func() *model.Split { s := split("s1", nil, 3, 7); s.Created = 2; return s }
	return []fixed{
		{"by weight, and by path", world(append(shop(), split("s", nil, 90, 10), from(permission("t", "catalog", by(model.KindGroup, "g")), "web"),
			group("g", model.Match{Path: `/grpc\.health\.v1\.Health/Check$`}))...)},
		{"by header, and by port", world(append(shop(), s0(), rest(), group("g", model.Match{Headers: []model.Header{{Name: "x-user", Value: "b.*"}}}), grpc, other,
			from(permission("t0", "catalog", by(model.KindTCPRoute, "grpc")), "web"), from(permission("t1", "catalog", by(model.KindTCPRoute, "other")), "jobs"),
			from(permission("t2", "canary", by(model.KindGroup, "g2")), "jobs"), group("g2", model.Match{Headers: []model.Header{beta}, Methods: []string{"POST"}}))...)},
		{"by expression, where all is closed", world(append(shop(), closed, s0(), rest(), group("g", model.Match{Path: "/grpc[.]health.*/L[a-z]+$"}),
			from(permission("t", "catalog", by(model.KindGroup, "g2")), "web", "jobs"), group("g2", model.Match{Path: `/grpc\.`, Methods: []string{"POST"}}),
			from(permission("t1", "canary", by(model.KindGroup, "g3")), "web"), group("g3", model.Match{Methods: []string{"GET"}}))...)},
		{"some of an account", world(append(shop(), split("s", nil, 1, 1, 1), &model.Binding{Name: name("v2"), Pods: map[string]string{"version": "v2"}},
			&model.Permission{Name: name("t"), Destination: model.Subject{Kind: model.KindBinding, Namespace: "shop", Name: "v2"}, Rules: []model.Rule{by(model.KindTCPRoute, "grpc")},
				Sources: []model.Subject{{Kind: model.KindServiceAccount, Namespace: "shop", Name: "web"}}}, grpc)...)},
	}
}

// TestTraffic writes the worlds through which real calls of gRPC are sent, with what the evaluator says of each call; all of it is said exactly.
func TestTraffic(t *testing.T) {
	var worlds []storyWorld
	for _, f := range trafficWorlds() {
		out := translate(f.world)
		story := tell(f.name, f.world, rand.New(rand.NewPCG(1, 1)))
		story.Asks = nil
		for _, caller := range []string{"web", "jobs"} {
			for _, path := range []string{grpcCheck, grpcList} {
				for _, user := range []string{"", "beta", "bob"} {
					story.Asks = append(story.Asks, call(f.world, &story, caller, path, user))
				}
			}
		}
		for _, f := range out.findings {
			if f.Level >= model.Approximate && f.Feature != model.SplitStream { // of the port for TLS, which is not called
				t.Errorf("%s: %+v", story.Name, f)
			}
		}
		worlds = append(worlds, story)
	}
	writeStory(t, worlds)
}

// call is one kind of call, with the parts of it that go where.
func call(w *store.Store, story *storyWorld, caller, path, user string) storyAsk {
	q := &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: caller}, Service: name("catalog"), Port: 9000, Method: "POST", Path: path, Headers: map[string][]string{}}
	if user != "" {
		q.Headers["x-user"] = []string{user}
	}
	q.Host = fmt.Sprint(w.Settings().Host(q.Service), ":", q.Port)
	a := storyAsk{Request: q, Port: *w.Service(q.Service).Port(q.Port), Caller: q.From.SPIFFE(w.Settings().TrustDomain), Shares: shares(w, q)}
	for _, wl := range story.Workloads {
		access, _ := model.JoinAccess(w, wl.Identity())
		admit, _, _ := access.Admit(wl, 9000, q, q.Host)
		a.Admits = append(a.Admits, storyAdmit{9000, admit, true})
	}
	return a
}
