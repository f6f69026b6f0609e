// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func rpcError(message string) *rpc.Status     { return &rpc.Status{Code: 3, Message: message} }
func weight(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }

// whole speaks state of the world by hand.
type whole struct {
	t      testing.TB
	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	in     chan *discovery.DiscoveryResponse
	last   map[string]*discovery.DiscoveryResponse // by type
}

func connectWhole(t testing.TB, c discovery.AggregatedDiscoveryServiceClient) *whole {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := c.StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d := &whole{t: t, stream: stream, in: make(chan *discovery.DiscoveryResponse), last: map[string]*discovery.DiscoveryResponse{}}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(d.in)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case d.in <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); reader.Wait() })
	return d
}

// ask sends the full list of names; it is also the acknowledgement of the last message, or its rejection.
func (d *whole) ask(url string, nack *rpc.Status, names ...string) {
	d.t.Helper()
	last := d.last[url]
	err := d.stream.Send(&discovery.DiscoveryRequest{
		Node: &core.Node{Id: "n"}, TypeUrl: url, ResourceNames: names,
		VersionInfo: last.GetVersionInfo(), ResponseNonce: last.GetNonce(), ErrorDetail: nack,
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *whole) expect(url string, want ...string) {
	d.t.Helper()
	select {
	case r, ok := <-d.in:
		if !ok {
			d.t.Fatal("the stream ended")
		}
		d.last[r.GetTypeUrl()] = r
		var got []string
		for _, a := range r.GetResources() {
			m, err := a.UnmarshalNew()
			if err != nil {
				d.t.Fatal(err)
			}
			got = append(got, nameOf(m))
		}
		slices.Sort(got)
		slices.Sort(want)
		if r.GetTypeUrl() != url || !slices.Equal(got, want) {
			d.t.Fatalf("told %s %v, want %s %v", short(r.GetTypeUrl()), got, short(url), want)
		}
	case <-time.After(patient):
		d.t.Fatal("no response came")
	}
}

func nameOf(m proto.Message) string {
	switch m := m.(type) {
	case interface{ GetClusterName() string }:
		return m.GetClusterName()
	case interface{ GetName() string }:
		return m.GetName()
	}
	return "?"
}

func TestWholeAnswersSubsets(t *testing.T) {
	s, address := start(t, Options{})
	apply(t, s, setListener("a", "a"), setListener("b", "b"), setRoutes("a", map[string]uint32{"v1": 1}), setRoutes("b", map[string]uint32{"v1": 1}))
	d := connectWhole(t, dial(t, address))
	d.ask(lds, nil, "a")
	d.expect(lds, "a")
	d.ask(lds, nil, "a")
	d.ask(rds, nil, "a", "later")
	d.expect(rds, "a")
	d.ask(rds, nil, "a", "later")
	apply(t, s, setRoutes("b", map[string]uint32{"v2": 1})) // nobody asked
	apply(t, s, setRoutes("later", map[string]uint32{"v2": 1}))
	d.expect(rds, "later") // routes are told alone
	d.ask(rds, nil, "a", "later")
	d.ask(lds, nil, "a", "b")
	d.expect(lds, "a", "b") // listeners are told whole
	d.ask(lds, nil, "a", "b")
	apply(t, s, Change{rds, "a", nil}, Change{lds, "a", nil})
	d.expect(lds, "b") // a route cannot be taken back, a listener is by its absence
	d.ask(lds, nil, "a", "b")
	apply(t, s, Change{lds, "b", nil})
	d.expect(lds)
	d.ask(lds, nil, "a", "b")
	apply(t, s, setListener("a", "a"))
	d.expect(lds, "a")
}

func TestWholeClustersWaitForEndpointsByName(t *testing.T) {
	s, address := start(t, Options{})
	d := connectWhole(t, dial(t, address))
	d.ask(cds, nil, "v1")
	d.expect(cds) // so that a client that comes back learns that it is gone
	d.ask(cds, nil, "v1")
	d.ask(eds, nil, "v1")
	apply(t, s, setEndpoints("v1", "127.0.0.1:1"))
	d.expect(eds, "v1")
	d.ask(eds, rpcError("no"), "v1")
	apply(t, s, setCluster("v1", 1))
	d.expect(cds, "v1")
	eventually(t, "the rejection shows", func() bool {
		n := s.Statuses()[0].Types
		return n[0].TypeURL == cds && n[1].NACK != nil && n[1].Acked == ""
	})
}

func TestWholeMakeBeforeBreak(t *testing.T) {
	s, address := start(t, Options{})
	apply(t, s, setCluster("v1", 1), setListener("l1", "r1"), setRoutes("r1", map[string]uint32{"v1": 1}))
	for _, wild := range []bool{true, false} {
		d := connectWhole(t, dial(t, address))
		clusters, listeners := []string{"v1", "v2"}, []string{"l1", "l2"}
		if wild {
			clusters, listeners = nil, nil
		}
		d.ask(cds, nil, clusters...)
		d.expect(cds, "v1")
		d.ask(cds, nil, clusters...)
		d.ask(lds, nil, listeners...)
		d.expect(lds, "l1")
		d.ask(lds, nil, listeners...)
		d.ask(rds, nil, "r1")
		d.expect(rds, "r1")
		d.ask(rds, nil, "r1")
		apply(t, s, setRoutes("r1", map[string]uint32{"v2": 1}), Change{cds, "v1", nil}, setCluster("v2", 1), Change{lds, "l1", nil}, setListener("l2", "r1"))
		d.expect(cds, "v1", "v2") // both, until nothing leads to v1
		d.expect(lds, "l1", "l2")
		d.expect(rds, "r1")
		d.expect(lds, "l2")
		d.expect(cds, "v2")
		apply(t, s, setCluster("v1", 1), setListener("l1", "r1"), setRoutes("r1", map[string]uint32{"v1": 1}), Change{cds, "v2", nil}, Change{lds, "l2", nil})
	}
}
