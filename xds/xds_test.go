// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

func TestApply(t *testing.T) {
	s := New(Options{})
	apply(t, s, setCluster("a", time.Second), setCluster("b", time.Second), setCluster("a", 2*time.Second), Change{cds, "c", nil})
	if s.Version() != 1 || len(s.Dump(cds)) != 2 || s.Dump(eds) != nil {
		t.Fatalf("version %d, %d clusters", s.Version(), len(s.Dump(cds)))
	}
	var c cluster.Cluster
	if err := s.Dump(cds)[0].GetResource().UnmarshalTo(&c); err != nil || c.GetConnectTimeout().GetSeconds() != 2 {
		t.Errorf("the last change to a name did not count: %v, %v", c.GetConnectTimeout(), err)
	}
	apply(t, s, setCluster("a", 2*time.Second))
	if s.Version() != 1 {
		t.Error("the same content again was taken for a change")
	}
	for name, bad := range map[string]Change{
		"type":     {eds, "x", setCluster("x", 1).Resource},
		"no name":  {cds, "", setCluster("", 1).Resource},
		"wildcard": {cds, "*", setCluster("*", 1).Resource},
		"not UTF8": setCluster("\xff", 1),
	} {
		if err := s.Apply([]Change{setCluster("new", 1), bad}); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	if len(s.Dump(cds)) != 2 || s.Version() != 1 {
		t.Error("a refused Apply left something behind")
	}
	apply(t, s, Change{cds, "a", nil}, Change{cds, "b", nil})
	if s.Version() != 2 || s.Dump(cds) != nil {
		t.Errorf("after deletion: version %d, %v", s.Version(), s.Dump(cds))
	}
}

func TestDeltaOnDemand(t *testing.T) {
	s, address := start(t, Options{})
	apply(t, s, setEndpoints("here", "127.0.0.1:1"), setEndpoints("other", "127.0.0.1:2"))
	d := connect(t, dial(t, address), "n")
	d.subscribe(eds, "here", "missing")
	d.ack(d.expect(eds, "here", "-missing"))
	apply(t, s, setEndpoints("other", "127.0.0.1:3"), setEndpoints("missing", "127.0.0.1:4"))
	d.ack(d.expect(eds, "missing"))
	apply(t, s, Change{eds, "here", nil})
	d.expect(eds, "-here") // left without an answer: the next does not wait for it
	apply(t, s, setEndpoints("missing", "127.0.0.1:5"))
	d.expect(eds, "missing")
	d.subscribe(eds, "missing")
	d.expect(eds, "missing") // asked again, told again
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: eds, ResourceNamesUnsubscribe: []string{"missing"}})
	d.subscribe(eds, "other")
	d.expect(eds, "other")
	apply(t, s, setEndpoints("missing", "127.0.0.1:6"))
	apply(t, s, setEndpoints("other", "127.0.0.1:7"))
	d.expect(eds, "other")
}

func TestDeltaWildcard(t *testing.T) {
	s, address := start(t, Options{})
	c := dial(t, address)
	d := connect(t, c, "n")
	d.subscribe(cds) // an empty first request means everything
	d.ack(d.expect(cds))
	apply(t, s, setCluster("a", 1), setCluster("b", 1))
	d.ack(d.expect(cds, "a", "b"))
	apply(t, s, setCluster("c", 1), Change{cds, "a", nil})
	d.expect(cds, "-a", "c")
	d.subscribe(cds, "c", "none")
	d.expect(cds, "c", "-none")
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{"c", "none"}})
	d.expect(cds, "c", "-none") // the wildcard still wants what there is
	d.subscribe(cds, "b")
	d.expect(cds, "b")
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{"*"}})
	d.subscribe(rds) // for routes, an empty request means nothing; its order proves that the former was handled
	d.subscribe(eds, "x")
	d.expect(eds, "-x")
	apply(t, s, setCluster("c", 2), setCluster("b", 2), setRoutes("r", map[string]uint32{"b": 1}))
	d.expect(cds, "b")
	apply(t, s, setEndpoints("x"))
	d.expect(eds, "x")
}

func TestResumeSendsOnlyWhatChanged(t *testing.T) {
	s, address := start(t, Options{})
	apply(t, s, setCluster("a", 1), setCluster("b", 1), setCluster("c", 1))
	c := dial(t, address)
	known := map[string]string{}
	d := connect(t, c, "n")
	d.subscribe(cds, "*")
	for _, r := range d.expect(cds, "a", "b", "c").GetResources() {
		known[r.GetName()] = r.GetVersion()
	}
	// The same content in another server, after a restart, has the same versions.
	s, address = start(t, Options{})
	apply(t, s, setCluster("b", 2), setCluster("a", 1), setCluster("d", 1))
	c = dial(t, address)
	for _, all := range []bool{true, false} {
		again := connect(t, c, "n")
		want := []string{"b", "-c", "d"}
		subscribe := []string{"*"}
		if !all {
			subscribe, want = []string{"a", "b", "c"}, []string{"b", "-c"}
		}
		again.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesSubscribe: subscribe, InitialResourceVersions: known})
		again.expect(cds, want...)
	}
	again := connect(t, c, "n")
	again.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesSubscribe: []string{"a"}, InitialResourceVersions: map[string]string{"a": known["a"]}})
	again.subscribe(eds, "x")
	again.expect(eds, "-x") // nothing about clusters before it
	apply(t, s, setCluster("a", 3))
	again.expect(cds, "a")
}

func TestMakeBeforeBreak(t *testing.T) {
	s, address := start(t, Options{})
	apply(t, s, setCluster("v1", 1), setEndpoints("v1", "127.0.0.1:1"), setListener("l1", "r1"), setRoutes("r1", map[string]uint32{"v1": 1}),
		setListener("l0", "r0"), setRoutes("r0", map[string]uint32{"v1": 1}))
	d := connect(t, dial(t, address), "n")
	for _, url := range []string{rds, lds, eds, cds} {
		d.subscribe(url, "*")
	}
	for range 4 {
		d.next()
	}
	// No answer was given to any of that; nor does any of this wait for one.
	apply(t, s, setRoutes("r1", map[string]uint32{"v2": 1}), Change{rds, "r0", nil}, Change{lds, "l0", nil}, Change{eds, "v1", nil},
		Change{cds, "v1", nil}, setListener("l2", "r1"), setEndpoints("v2", "127.0.0.1:2"), setCluster("v2", 1))
	d.expect(cds, "v2")
	d.expect(eds, "v2")
	d.expect(lds, "l2")
	d.expect(rds, "r1", "-r0")
	d.expect(lds, "-l0")
	d.expect(eds, "-v1")
	d.expect(cds, "-v1")
}

func TestNACK(t *testing.T) {
	nacks := make(chan NACK, 1)
	s, address := start(t, Options{OnNACK: func(n NACK) { nacks <- n }})
	apply(t, s, setCluster("a", 1))
	d := connect(t, dial(t, address), "proxy-1")
	d.subscribe(cds, "*")
	d.ack(d.expect(cds, "a"))
	apply(t, s, setCluster("a", 2))
	bad := d.expect(cds, "a")
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResponseNonce: bad.GetNonce(), ErrorDetail: rpcError("no such lb policy")})
	n := <-nacks
	if n.Node != "proxy-1" || n.TypeURL != cds || n.Version != "2" || n.Message != "no such lb policy" || n.Time.IsZero() {
		t.Errorf("NACK is %+v", n)
	}
	status := s.Statuses()
	if len(status) != 1 || len(status[0].Types) != 1 {
		t.Fatalf("statuses: %+v", status)
	}
	if y := status[0].Types[0]; y.Sent != "2" || y.Acked != "1" || y.NACK == nil || *y.NACK != n || y.Pending || y.Resources != 1 {
		t.Errorf("status: %+v", y)
	}
	apply(t, s, setCluster("b", 1))
	d.ack(d.expect(cds, "b")) // what was rejected is not told again until it changes
	apply(t, s, setCluster("a", 3))
	d.ack(d.expect(cds, "a"))
	eventually(t, "the acknowledgement counts", func() bool {
		y := s.Statuses()[0].Types[0]
		return y.Acked == "4" && y.NACK == nil
	})
}

func TestStatusesForgetStreams(t *testing.T) {
	s, address := start(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := dial(t, address).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "n"}, TypeUrl: "type.googleapis.com/of.our.own", ResourceNamesSubscribe: []string{"x", "*"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if got := s.Statuses(); len(got) != 1 || got[0].Node != "n" || !got[0].Delta {
		t.Errorf("statuses: %+v", got)
	}
	cancel()
	eventually(t, "the stream is forgotten", func() bool { return len(s.Statuses()) == 0 })
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if len(s.store.shelves) != 0 {
		t.Errorf("a type that only a client knew is kept: %v", s.store.shelves)
	}
}

func TestVisible(t *testing.T) {
	s, address := start(t, Options{Visible: func(node *core.Node, _, name string) bool { return strings.HasPrefix(name, node.GetId()) }})
	apply(t, s, setCluster("a-1", 1), setCluster("b-1", 1))
	c := dial(t, address)
	all, some := connect(t, c, "a"), connect(t, c, "b")
	all.subscribe(cds, "*")
	all.expect(cds, "a-1")
	some.subscribe(cds, "a-1", "b-1")
	some.expect(cds, "-a-1", "b-1")
	apply(t, s, setCluster("a-1", 2), Change{cds, "b-1", nil})
	all.expect(cds, "a-1")
	some.expect(cds, "-b-1")
	apply(t, s, Change{cds, "a-1", nil}) // which some never saw
	all.expect(cds, "-a-1")
	apply(t, s, setCluster("b-1", 2))
	some.expect(cds, "b-1")
	apply(t, s, setCluster("a-2", 2))
	all.expect(cds, "a-2") // and nothing of b
}

// TestListed asks for everything and is told of what is its own, and by name for more.
func TestListed(t *testing.T) {
	s, address := start(t, Options{Listed: func(node *core.Node, _, name string) bool { return strings.HasPrefix(name, node.GetId()) }})
	apply(t, s, setCluster("a1", 1), setCluster("b1", 1))
	d := connect(t, dial(t, address), "a")
	d.subscribe(cds, "*")
	d.ack(d.expect(cds, "a1"))
	apply(t, s, setCluster("b2", 1), setCluster("a2", 1))
	d.ack(d.expect(cds, "a2"))
	d.subscribe(cds, "b1")
	d.ack(d.expect(cds, "b1"))
	apply(t, s, setCluster("b1", 2))
	d.ack(d.expect(cds, "b1"))
	d.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{"b1"}})
	eventually(t, "the name is given up", func() bool { return s.Statuses()[0].Types[0].Resources == 2 })
	apply(t, s, setCluster("b1", 3), setCluster("b3", 1))
	apply(t, s, setCluster("a3", 1))
	d.expect(cds, "a3")
	if n := s.Statuses(); len(n) != 1 || n[0].Types[0].Resources != 3 {
		t.Errorf("%+v", n)
	}
}

func TestStreamRefused(t *testing.T) {
	_, address := start(t, Options{Authorize: func(_ context.Context, n *core.Node) error {
		if n.GetId() == "evil" {
			return errors.New("not you")
		}
		return nil
	}})
	c := dial(t, address)
	ended := func(d *client) {
		t.Helper()
		if r, ok := <-d.in; ok {
			t.Errorf("told %v", names(r))
		}
	}
	for _, node := range []string{"", "evil"} {
		d := connect(t, c, node)
		d.subscribe(cds, "*")
		ended(d)
	}
	d := connect(t, c, "good")
	d.subscribe(eds, "x")
	d.expect(eds, "-x")
	d.node = "evil"
	d.subscribe(eds, "y")
	ended(d)
	many := connect(t, c, "good")
	for i := range mostTypes {
		many.subscribe(fmt.Sprint("type.googleapis.com/t", i), "x")
		many.next()
	}
	many.subscribe("type.googleapis.com/one.too.many", "x")
	ended(many)
}
