// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// plain is a driver that says all that a unit knows, so that whatever changes in a unit changes an object.
func plain() *mesh.Driver {
	add := func(o *mesh.Output, kind string, n model.Name, spec any) {
		o.Add(mesh.Object{APIVersion: "plain/v1", Kind: kind, Name: n, Spec: spec})
	}
	return &mesh.Driver{
		Name: "plain", Title: "Plain", Claims: map[model.Feature]mesh.Claim{model.SplitWeight: mesh.Yes(), model.AccessCaller: mesh.Nearly("says all it knows")},
		Route: func(r *model.Route, o *mesh.Output) {
			if r.Service != nil || len(r.Ports) > 0 {
				add(o, "Route", r.Name, fmt.Sprintf("%+v", describeRoute(r)))
			}
			for _, n := range receivers(r) {
				o.Add(mesh.Object{APIVersion: "plain/v1", Kind: "Receiver", Name: n, Shared: true})
			}
		},
		Access: func(a *model.Access, o *mesh.Output) {
			for _, w := range a.Workloads {
				text := fmt.Sprintf("%v %v %v %v %v %s", a.Identity, a.Closed(w.Workload), w.Ambiguous, w.Shared, w.Listens, describeGrants(a))
				for _, d := range w.Doors {
					text += fmt.Sprintf(" %v %+v %d", d.Service, *d.Port, d.Target)
				}
				add(o, "Access", model.Name{Namespace: w.Name.Namespace, Name: string(w.Kind) + "." + w.Name.Name}, text)
			}
		},
		Endpoints: func(e *model.Endpoints, o *mesh.Output) {
			add(o, "Endpoints", e.Service.Name, fmt.Sprintf("%+v %v", e.Ports, e.Identities))
		},
		Settings: func(s *model.Settings, o *mesh.Output) { add(o, "Settings", model.Name{}, *s) },
	}
}

// receivers are the Services that a root is shared out to.
func receivers(r *model.Route) (out []model.Name) {
	for _, p := range r.Ports {
		for _, a := range p.Arms {
			for _, s := range a.Shares {
				if !slices.Contains(out, s.Service) {
					out = append(out, s.Service)
				}
			}
		}
	}
	return out
}

func describeRoute(r *model.Route) (out []string) {
	for _, p := range r.Ports {
		out = append(out, fmt.Sprintf("%+v", p.ServicePort))
		for _, a := range p.Arms {
			out = append(out, a.Split.Name.String(), fmt.Sprint(a.Any))
			for _, m := range a.Matches {
				out = append(out, fmt.Sprintf("%+v %v", *m.Match, m.Group.FullPath))
			}
			for _, s := range a.Shares {
				out = append(out, fmt.Sprintf("%v %+v %d %v", s.Service, *s.Port, s.Weight, s.Chain))
			}
		}
	}
	return out
}

func describeGrants(a *model.Access) (out string) {
	for _, g := range a.Grants {
		out += fmt.Sprintf("%v %v %v %v %v", g.Permission.Name, g.Sources, g.Stream, g.HTTPPorts, g.Datagram)
		for _, w := range g.Subset {
			out += " only " + w.Ref().String()
		}
		for _, m := range g.HTTP {
			out += fmt.Sprintf(" %+v", *m.Match)
		}
	}
	return out
}

func facts(list ...model.Fact) (out []store.Event) {
	for _, f := range list {
		out = append(out, store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return out
}

// world applies plans, as a sink would.
type world map[mesh.Key]string

func (w world) apply(t testing.TB, plans []engine.Plan) {
	t.Helper()
	for _, c := range plans[0].Changes {
		if c.Object == nil {
			if _, ok := w[c.Key]; !ok {
				t.Fatalf("%s is deleted and was never there", c.Key)
			}
			delete(w, c.Key)
			continue
		}
		if now := fmt.Sprint(c.Object.Spec); w[c.Key] == now {
			t.Fatalf("%s is written and did not change", c.Key)
		} else {
			w[c.Key] = now
		}
	}
}

// TestTwin edits a world at random: what comes of it step by step is what comes of it afresh, in any order.
func TestTwin(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			e, said, now := engine.New(engine.Target{Driver: plain()}), world{}, map[model.Ref]store.Event{}
			said.apply(t, e.Flush())
			for step := range 300 {
				ev := edit(r)
				now[ev.Object] = ev
				e.Set(ev)
				if r.IntN(3) == 0 {
					said.apply(t, e.Flush())
				}
				if step%100 == 99 {
					said.apply(t, e.Flush())
					compare(t, e, said, now, r)
				}
			}
		})
	}
}

func compare(t *testing.T, e *engine.Engine, said world, now map[model.Ref]store.Event, r *rand.Rand) {
	t.Helper()
	fresh, want := engine.New(engine.Target{Driver: plain()}), world{}
	list := slices.SortedFunc(maps.Values(now), func(a, b store.Event) int { return a.Object.Compare(b.Object) })
	r.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	fresh.Set(list...)
	want.apply(t, fresh.Flush())
	for k := range want {
		if said[k] != want[k] {
			t.Errorf("%s is\n%s, afresh it is\n%s", k, said[k], want[k])
		}
	}
	for k := range said {
		if _, ok := want[k]; !ok {
			t.Errorf("%s is there, afresh it is not", k)
		}
	}
	if got, want := e.Findings(), fresh.Findings(); !reflect.DeepEqual(got, want) {
		t.Errorf("findings are\n%+v, afresh they are\n%+v", got, want)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// edit is one event about one of a few objects: most of them meet.
func edit(r *rand.Rand) store.Event {
	ns := []string{"a", "b"}[r.IntN(2)]
	some := func(prefix string, n int) string { return prefix + string(rune('0'+r.IntN(n))) }
	name := func(prefix string, n int) model.Name { return model.Name{Namespace: ns, Name: some(prefix, n)} }
	labels := func() map[string]string { return map[string]string{"app": some("s", 3), "v": some("", 2)} }
	var f model.Fact
	switch r.IntN(10) {
	case 0:
		f = &model.Service{Name: name("s", 3), Selector: map[string]string{"app": some("s", 3)}, Ports: []model.ServicePort{{Name: "http", Number: uint16(80 + r.IntN(2)), Target: 8080, Protocol: model.Protocol(r.IntN(7))}}}
	case 1:
		l := labels()
		f = &model.Workload{Kind: model.KindDeployment, Name: name("w", 3), Labels: l, Selector: map[string]string{"app": l["app"]}, Account: some("acc", 3), Ports: []model.ContainerPort{{Number: uint16(8080 + r.IntN(2))}}}
	case 2:
		f = &model.Pod{Name: name("p", 3), Address: "10.0.0." + some("", 9), Labels: labels(), Account: some("acc", 3), Workload: model.Ref{Kind: model.KindDeployment, Name: name("w", 3)}, Ready: r.IntN(2) == 0}
	case 3:
		f = &model.EndpointSlice{Name: name("e", 3), Service: name("s", 3), Ports: []model.EndpointPort{{Name: "http", Number: 8080}}, Endpoints: []model.Endpoint{{Address: "10.1.0." + some("", 9), Ready: true}}}
	case 4:
		root := []string{some("s", 3), "s0." + ns, "s1.b", "shop.example"}[r.IntN(4)]
		sp := &model.Split{Name: name("x", 3), Root: root, Created: int64(r.IntN(3)), Backends: []model.Backend{{Service: some("s", 4), Weight: int64(r.IntN(3))}, {Service: some("s", 3), Weight: 1}}}
		if r.IntN(2) == 0 {
			sp.Groups = []string{some("g", 3)}
		}
		f = sp
	case 5:
		f = &model.RouteGroup{Name: name("g", 2), Matches: []model.Match{{Name: some("m", 2), Path: "/" + some("", 5)}}}
	case 6:
		f = &model.PortRoute{Kind: []model.Kind{model.KindTCPRoute, model.KindUDPRoute}[r.IntN(2)], Name: name("t", 2), Ports: model.PortSet(uint16(80+r.IntN(2)), 8080)}
	case 7:
		kinds := []model.Kind{model.KindServiceAccount, model.KindBinding}
		subject := func() model.Subject {
			return model.Subject{Kind: kinds[r.IntN(2)], Namespace: []string{"a", "b", ns, ns}[r.IntN(4)], Name: some("acc", 3)}
		}
		rule := []model.Rule{{Kind: model.KindGroup, Name: some("g", 3), All: true}, {Kind: model.KindTCPRoute, Name: some("t", 3), All: true}}[r.IntN(2)]
		f = &model.Permission{Name: name("p", 3), Destination: subject(), Sources: []model.Subject{subject(), subject()}, Rules: []model.Rule{rule}, Port: uint16(80 * r.IntN(2))}
	case 8:
		b := &model.Binding{Name: name("acc", 3)}
		switch r.IntN(3) {
		case 0:
			b.Account = some("acc", 3)
		case 1:
			b.Pods = map[string]string{"v": some("", 2)}
		default:
			b.SPIFFE = []string{model.Identity{Namespace: ns, ServiceAccount: some("acc", 3)}.SPIFFE("cluster.local"), "spiffe://other/x"}
		}
		f = b
	default:
		f = &model.Settings{TrustDomain: some("td", 2), ClusterDomain: "cluster.local", Access: model.AccessDefault(r.IntN(3)), CrossNamespace: r.IntN(2) == 0}
	}
	ev := store.Event{Object: f.Ref(), Facts: []model.Fact{f}}
	if r.IntN(4) == 0 && f.Ref().Kind != model.KindSettings {
		ev.Facts = nil
	}
	return ev
}

// TestOneChange asks that an edit touches what it concerns and nothing else.
func TestOneChange(t *testing.T) {
	n := func(s string) model.Name { return model.Name{Namespace: "shop", Name: s} }
	e := engine.New(engine.Target{Driver: plain()})
	for i := range 50 {
		s := fmt.Sprint("s", i)
		e.Set(facts(&model.Service{Name: n(s), Ports: []model.ServicePort{{Number: 80, Protocol: model.HTTP}}},
			&model.Split{Name: n(s), Root: s, Backends: []model.Backend{{Service: s, Weight: 1}}})...)
	}
	e.Flush()
	e.Set(facts(&model.Split{Name: n("s7"), Root: "s7", Backends: []model.Backend{{Service: "s7", Weight: 2}}})...)
	plans := e.Flush()
	if got := len(plans[0].Changes); got != 1 {
		t.Fatalf("one edit made %d changes: %v", got, plans[0].Changes)
	}
	if plans = e.Flush(); len(plans[0].Changes) != 0 {
		t.Fatalf("nothing was edited, and %v changed", plans[0].Changes)
	}
}

// sink collects changes, and refuses the first few times.
type sink struct {
	mu      sync.Mutex
	refuse  int
	changes []mesh.Change
	got     chan struct{}
}

func (s *sink) Apply(_ context.Context, c []mesh.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("not now")
	}
	s.changes = append(s.changes, c...)
	s.got <- struct{}{}
	return nil
}

// batches is a source of prepared steps.
type batches chan []store.Event

func (b batches) Run(ctx context.Context, out chan<- []store.Event) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case x := <-b:
			out <- x
		}
	}
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, src := &sink{refuse: 2, got: make(chan struct{}, 10)}, make(batches)
	e := engine.New(engine.Target{Driver: plain(), Sink: s})
	done := make(chan error)
	go func() { done <- e.Run(ctx, engine.Options{}, src) }()
	svc := &model.Service{Name: model.Name{Namespace: "shop", Name: "s"}, Ports: []model.ServicePort{{Number: 80}}}
	src <- facts(svc)
	select {
	case <-s.got:
	case <-time.After(10 * time.Second):
		t.Fatal("a change that was refused at first never arrived")
	}
	if err := e.Ask(ctx, func(e *engine.Engine) {
		if e.Store.Service(svc.Name) == nil {
			t.Error("the loop does not know the service")
		}
	}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, c := range s.changes {
		keys[c.Key.String()] = true
	}
	for _, k := range []string{"Route shop/s", "Endpoints shop/s", "Settings /"} {
		if !keys[k] {
			t.Errorf("%s was not applied: %v", k, keys)
		}
	}
}
