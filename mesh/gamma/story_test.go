// SPDX-License-Identifier: Apache-2.0

package gamma

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// The story is what Istio itself is asked, as in package istio: worlds, what the driver says of them, and questions with the evaluator's answers.
var storyFile = flag.String("story", "", "write the worlds, the objects and the questions that Istio itself is asked to this file")

type storyWorld struct {
	Name     string
	Services []*model.Service
	Objects  []mesh.Object
	Asks     []storyAsk
}

type storyAsk struct {
	Request *model.Request
	Port    model.ServicePort // of the root
	Shares  map[string]float64
}

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

// storyPorts has a port of every kind that a mesh tells from its name.
var storyPorts = []model.ServicePort{
	{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP},
	{Name: "grpc", Number: 9000, Target: 9000, Protocol: model.GRPC},
	{Name: "tcp-db", Number: 5432, Target: 5432, Protocol: model.TCP},
}

var storyMatches = []model.Match{
	{Path: "/api"}, {Path: "/api/"}, {Path: "/api(/|$)"}, {Path: "/api$"}, {Path: "/v[0-9]+"}, {Path: ".*b"}, {}, {Path: "/"},
	{Methods: []string{"GET"}}, {Methods: []string{"GET", "POST"}, Path: "/api/v1$"}, {Headers: []model.Header{{Name: "x-user", Value: "beta"}}},
	{Headers: []model.Header{{Name: "x-user", Value: "b.*"}, {Name: "x-team", Value: "a|b"}}}, {Path: "/api/v1(/|$)", Headers: []model.Header{{Name: "x-team", Value: ".*"}}},
}

func storyFacts(r *rand.Rand) (facts []model.Fact) {
	for _, n := range []string{"catalog", "catalog-v1", "catalog-v2", "catalog-v3"} {
		ports := storyPorts
		if n == "catalog-v3" {
			ports = storyPorts[:1]
		}
		facts = append(facts, &model.Service{Name: name(n), Ports: ports, Selector: map[string]string{"app": n}})
	}
	for i := range 1 + r.IntN(3) {
		s := &model.Split{Name: name(fmt.Sprintf("s%d", i)), Root: "catalog"}
		for _, b := range []string{"catalog", "catalog-v1", "catalog-v2", "catalog-v3"}[r.IntN(2) : 2+r.IntN(3)] {
			s.Backends = append(s.Backends, model.Backend{Service: b, Weight: int64(r.IntN(4)) * 10})
		}
		if i > 0 || r.IntN(3) > 0 {
			g := &model.RouteGroup{Name: name(fmt.Sprintf("g%d", i))}
			for k := range 1 + r.IntN(2) {
				m := storyMatches[r.IntN(len(storyMatches))]
				m.Name = fmt.Sprint("m", k)
				g.Matches = append(g.Matches, m)
			}
			s.Groups, facts = []string{g.Name.Name}, append(facts, g)
		}
		facts = append(facts, s)
	}
	return facts
}

func storyRequest(r *rand.Rand) *model.Request {
	p := storyPorts[r.IntN(len(storyPorts))]
	q := &model.Request{Service: name("catalog"), Port: p.Number, Host: "catalog.shop.svc.cluster.local", Headers: map[string][]string{}}
	if p.Protocol == model.TCP {
		q.Layer = model.LayerStream
		return q
	}
	q.Method = []string{"GET", "POST", "PUT"}[r.IntN(3)]
	q.Path = []string{"/", "/api", "/apix", "/api/", "/api/v1", "/api/v1/x", "/v1", "/v12/x", "/ab", "/api/v1?q=b"}[r.IntN(10)]
	for _, h := range [][2]string{{"x-user", "beta"}, {"x-user", "bob"}, {"x-team", "a"}, {"x-team", "c"}} {
		if r.IntN(3) == 0 {
			q.Headers[h[0]] = []string{h[1]}
		}
	}
	return q
}

// TestStory writes the story; it also asks the judge, so that it holds something where Istio is not.
func TestStory(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	var worlds []storyWorld
	for i := range 40 {
		s := store.New()
		w := storyWorld{Name: fmt.Sprintf("random %d", i)}
		for _, f := range storyFacts(r) {
			s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
			if svc, ok := f.(*model.Service); ok {
				w.Services = append(w.Services, svc)
			}
		}
		route, _ := model.JoinRoute(s, name("catalog"))
		out := Driver.Routes(route)
		if slices.ContainsFunc(out.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate }) {
			t.Fatalf("world %d: %+v", i, out.Findings)
		}
		w.Objects = out.Objects
		for range 40 {
			w.Asks = append(w.Asks, tell(t, s, out.Objects, storyRequest(r)))
		}
		worlds = append(worlds, w)
	}
	if *storyFile == "" {
		return
	}
	text, err := json.Marshal(worlds)
	if err == nil {
		err = os.WriteFile(*storyFile, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func tell(t *testing.T, s *store.Store, objs []mesh.Object, q *model.Request) storyAsk {
	v, err := model.Evaluate(s, q)
	if err != nil {
		t.Fatal(err)
	}
	a := storyAsk{Request: q, Port: *s.Service(q.Service).Port(q.Port), Shares: map[string]float64{}}
	for _, b := range v.Backends {
		a.Shares[fmt.Sprintf("%s:%d", b.Service, b.Port)] += b.Share
	}
	got, err := judge.Route(objs, s, q)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(a.Shares) {
		t.Fatalf("%+v goes to %v (%v), and should to %v", q, got, err, a.Shares)
	}
	return a
}
