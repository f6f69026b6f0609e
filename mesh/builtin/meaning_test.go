// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// TestMeaning makes up worlds and requests: what stands on the wire, read as Envoy reads it, is what SMI means.
func TestMeaning(t *testing.T) {
	asked := map[string]int{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := randomWorld(r)
		all := translate(s)
		accepted(t, all.objects)
		for range 40 {
			q := randomRequest(r)
			title := fmt.Sprintf("world %d: %+v", seed, *q)
			sameRoute(t, title, s, all, q, asked)
			if q.Path != "*" { // Envoy answers it before any filter is asked
				sameAccess(t, title, s, all, q, asked)
			}
			if t.Failed() {
				return
			}
		}
	}
	for _, what := range []string{"split", "root", "refused route", "open", "admitted", "refused", "stream split", "admitted stream", "datagram split", "admitted datagrams"} {
		if asked[what] < 20 {
			t.Errorf("only %d of the requests were %s: the worlds are too plain to prove anything", asked[what], what)
		}
	}
}

func sameRoute(t *testing.T, title string, s *store.Store, all said, q *model.Request, asked map[string]int) {
	t.Helper()
	verdict, err := model.Evaluate(s, q)
	if err == nil && q.Layer == model.LayerStream && !s.Service(q.Service).Port(q.Port).Protocol.CarriesBytes() {
		return // a port that carries HTTP alone is no way for other bytes
	}
	got, problem := judgeRoute(all.objects, s, q)
	if err != nil || problem != nil {
		if (err == nil) != (problem == nil) {
			t.Errorf("%s: SMI: %v; the wire: %v", title, err, problem)
		}
		asked["refused route"]++
		return
	}
	want := map[string]float64{}
	for _, o := range verdict.Backends {
		want[fmt.Sprintf("%s:%d", o.Service, o.Port)] += o.Share
	}
	same := len(got) == len(want)
	for k, share := range want {
		same = same && math.Abs(got[k]-share) < 1e-8
	}
	if !same {
		t.Errorf("%s: SMI sends it to %v, the wire to %v", title, want, got)
	}
	switch {
	case len(verdict.DecidedBy) > 0 && verdict.DecidedBy[0].Object.Kind == model.KindSplit && q.Layer == model.LayerDatagram:
		asked["datagram split"]++
	case len(verdict.DecidedBy) > 0 && verdict.DecidedBy[0].Object.Kind == model.KindSplit && q.Layer == model.LayerStream:
		asked["stream split"]++
	case len(verdict.DecidedBy) > 0 && verdict.DecidedBy[0].Object.Kind == model.KindSplit:
		asked["split"]++
	default:
		asked["root"]++
	}
}

func sameAccess(t *testing.T, title string, s *store.Store, all said, q *model.Request, asked map[string]int) {
	t.Helper()
	svc := s.Service(q.Service)
	p := svc.Port(q.Port)
	if p == nil || (p.Protocol == model.UDP) != (q.Layer == model.LayerDatagram) || q.Layer == model.LayerHTTP && !p.Protocol.CarriesHTTP() || q.Layer == model.LayerStream && !p.Protocol.CarriesBytes() {
		return
	}
	for _, w := range s.Selected(q.Service) {
		number := w.TargetPort(p)
		if number == 0 {
			continue
		}
		a, _ := model.JoinAccess(s, w.Identity())
		want, decided, why := a.Admit(w, number, q, s.Settings().Host(q.Service))
		if q.SPIFFE == "" && q.From.ServiceAccount == "" {
			want = false // a caller without a certificate is not in the mesh
		}
		got, by := judgeBy(all.objects, s, w, number, q)
		if got != want {
			t.Errorf("%s: at %s port %d SMI says %v (%s), the wire %v (%s)", title, w.Ref(), number, want, why, got, by)
		}
		if want && got && a.Closed(w) {
			if d := decided[0].Object; by != "TrafficTarget/"+d.Namespace+"/"+d.Name.Name {
				t.Errorf("%s: at %s port %d SMI says that %s decides, the wire says %s", title, w.Ref(), number, d, by)
			}
		}
		switch {
		case !a.Closed(w):
			asked["open"]++
		case want && q.Layer == model.LayerDatagram:
			asked["admitted datagrams"]++
		case want && q.Layer == model.LayerStream:
			asked["admitted stream"]++
		case want:
			asked["admitted"]++
		default:
			asked["refused"]++
		}
	}
}

func one[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func some[T any](r *rand.Rand, n int, list ...T) (out []T) {
	for range r.IntN(n + 1) {
		out = append(out, one(r, list...))
	}
	return out
}

var (
	apps     = []string{"web", "catalog", "cart"}
	paths    = []string{"", "/api", "/api", "/api/.*", "/a|/b", "/items/[^/]+$", ".*\\.css", "^/x", "\\*"}
	headers  = []string{"x-user", "x-beta", "host", ":authority"}
	values   = []string{"", ".*", "b", "a,b", "catalog\\.shop.*", "v[12]"}
	partners = []string{"spiffe://partner.example/a", "spiffe://cluster.local/other/form"}
)

func randomWorld(r *rand.Rand) *store.Store {
	facts := []model.Fact{&model.Settings{TrustDomain: "cluster.local", ClusterDomain: one(r, "cluster.local", "mesh.example"),
		Access: one(r, model.AccessTargeted, model.AccessTargeted, model.AccessDeny, model.AccessAllow)}}
	protocols := []model.Protocol{model.HTTP, model.HTTP, model.HTTP2, model.GRPC, model.Auto, model.Auto, model.TCP, model.TLS}
	for _, a := range apps {
		main := port(80, 8080, one(r, protocols...))
		if r.IntN(6) == 0 {
			main.Target, main.TargetName = 0, one(r, "named", "missing")
		}
		s := service(a, main)
		if r.IntN(3) > 0 {
			s.Ports = append(s.Ports, port(90, one[uint16](r, 8080, 9090, 9090), one(r, protocols...)))
		}
		if r.IntN(2) == 0 {
			s.Ports = append(s.Ports, port(53, 5353, model.UDP))
		}
		w, second := workload(a), workload(a)
		w.Ports = []model.ContainerPort{{Name: "named", Number: 7070}, {Number: 9999}}
		second.Kind, second.Name, second.Account = model.KindStatefulSet, name(a+"-two"), one(r, a, a, "shared")
		second.Labels = map[string]string{"app": a, "tier": "two"}
		facts = append(facts, s, w, second)
	}
	for i := range 3 {
		g := group(fmt.Sprintf("g%d", i))
		g.FullPath = r.IntN(2) == 0
		for k := range r.IntN(4) {
			m := model.Match{Name: fmt.Sprintf("m%d", k), Path: one(r, paths...), Methods: some(r, 2, "GET", "POST", "X.Y"), Never: r.IntN(10) == 0}
			for _, h := range some(r, r.IntN(3), headers...) {
				m.Headers = append(m.Headers, model.Header{Name: h, Value: one(r, values...)})
			}
			g.Matches = append(g.Matches, m)
		}
		facts = append(facts, g)
	}
	for i := range r.IntN(4) {
		s := split(fmt.Sprintf("s%d", i), one(r, apps...), some(r, 2, "g0", "g1", "g2", "gone"))
		for _, b := range append(some(r, 3, apps...), one(r, "web", "missing")) {
			s.Backends = append(s.Backends, model.Backend{Service: b, Weight: one[int64](r, 0, 1, 1, 2, 7, 100, 1<<40+1, 3<<33)})
		}
		facts = append(facts, s)
	}
	facts = append(facts, randomAccess(r)...)
	return world(facts...)
}

func randomAccess(r *rand.Rand) []model.Fact {
	facts := []model.Fact{
		tcpRoute("any"), tcpRoute("t8080", 8080), tcpRoute("t80", 80, 9090),
		udpRoute("u"), udpRoute("u5353", 5353), udpRoute("u54", 54),
		&model.Binding{Name: name("partners"), SPIFFE: some(r, 2, partners...)},
		&model.Binding{Name: name("two"), Pods: map[string]string{"tier": "two"}},
		&model.Binding{Name: name("cart"), Account: "cart", Pods: map[string]string{"app": "cart"}},
	}
	for i := range r.IntN(5) {
		p := allow(fmt.Sprintf("p%d", i), one(r, account("web"), account("catalog"), account("shared"), binding("two"), binding("cart")),
			some(r, 3, account("web"), account("cart"), binding("partners"), binding("two"), binding("cart"), binding("gone")))
		for range 1 + r.IntN(3) {
			p.Rules = append(p.Rules, one(r, requests("g0"), requests("g1", "m0", "m1"), requests("g2"), requests("gone"), requests("g0", []string{}...),
				stream("any"), stream("t8080"), stream("t80"), stream("gone"), datagrams("u"), datagrams("u5353"), datagrams("u54")))
		}
		if r.IntN(5) == 0 {
			p.Port = one[uint16](r, 80, 8080, 9090)
		}
		p.Broken = r.IntN(12) == 0
		facts = append(facts, p)
	}
	return facts
}

func randomRequest(r *rand.Rand) *model.Request {
	q := &model.Request{Service: name(one(r, apps...)), Port: one[uint16](r, 80, 80, 90, 53), Headers: map[string][]string{},
		Host: one(r, "", "catalog.shop", "b", "catalog.shop:80")}
	switch r.IntN(8) {
	case 0:
		q.SPIFFE = one(r, partners...)
	case 1:
	default:
		q.From = model.Identity{Namespace: one(r, "shop", "shop", "lab"), ServiceAccount: one(r, "web", "cart", "catalog", "shared")}
	}
	switch r.IntN(4) {
	case 0:
		q.Layer = model.LayerStream
		return q
	case 1:
		q.Layer, q.Port = model.LayerDatagram, one[uint16](r, 53, 53, 53, 80)
		return q
	}
	q.Method = one(r, "GET", "POST", "DELETE", "X.Y", "XZY", "OPTIONS")
	q.Path = one(r, "/", "/api", "/apix", "/apix?y=/a", "/api/v1?z", "/b/c", "/items/1", "/items/1?x=/", "/items/1/2", "/style.css", "/x", "/%61pi", "*")
	for _, h := range some(r, 3, "x-user", "x-beta", "host") {
		q.Headers[h] = some(r, 2, "a", "b", "v1", "")
		if len(q.Headers[h]) == 0 {
			delete(q.Headers, h)
		}
	}
	return q
}
