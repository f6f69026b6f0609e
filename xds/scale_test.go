// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func many(n int) []Change {
	all := make([]Change, n)
	for i := range all {
		all[i] = setCluster(fmt.Sprintf("service-%05d.ns.svc.cluster.local:80", i), time.Second)
	}
	return all
}

// TestOneChangeIsOneSmallMessage: what a change costs a stream does not depend on how much there is.
func TestOneChangeIsOneSmallMessage(t *testing.T) {
	sizes := map[int]int{}
	for _, n := range []int{100, 1000} {
		s, address := start(t, Options{})
		all := many(n)
		apply(t, s, all...)
		c := dial(t, address)
		wild, one, other := connect(t, c, "wild"), connect(t, c, "one"), connect(t, c, "other")
		wild.subscribe(cds, "*")
		one.subscribe(cds, all[7].Name)
		other.subscribe(cds, all[8].Name)
		if got := len(wild.next().GetResources()); got != n {
			t.Fatalf("first told %d of %d", got, n)
		}
		one.expect(cds, all[7].Name)
		other.expect(cds, all[8].Name)
		apply(t, s, setCluster(all[7].Name, 2*time.Second))
		one.expect(cds, all[7].Name)
		sizes[n] = proto.Size(wild.expect(cds, all[7].Name))
		apply(t, s, setCluster(all[8].Name, 2*time.Second))
		wild.expect(cds, all[8].Name)
		other.expect(cds, all[8].Name) // and nothing before it
	}
	if sizes[100] != sizes[1000] {
		t.Errorf("message sizes by number of resources: %v", sizes)
	}
}

// TestLargeStateComesInPieces: a gRPC client with default limits can take any state.
func TestLargeStateComesInPieces(t *testing.T) {
	s, address := start(t, Options{})
	const n = 12000
	apply(t, s, many(n)...)
	d := connect(t, dial(t, address), "n")
	d.subscribe(cds, "*")
	seen := map[string]bool{}
	messages := 0
	for len(seen) < n {
		r := d.next()
		messages++
		for _, x := range r.GetResources() {
			if seen[x.GetName()] {
				t.Fatalf("%s was told twice", x.GetName())
			}
			seen[x.GetName()] = true
		}
	}
	if messages < 2 {
		t.Errorf("%d resources came in %d message", n, messages)
	}
}

func TestTombstonesArePruned(t *testing.T) {
	s, address := start(t, Options{})
	d := connect(t, dial(t, address), "n")
	d.subscribe(cds, "*")
	d.ack(d.expect(cds))
	for round := range 8 {
		var born, gone []Change
		for i := range leastPrune {
			c := setCluster(fmt.Sprint(round, "-", i), time.Second)
			born, gone = append(born, c), append(gone, Change{cds, c.Name, nil})
		}
		apply(t, s, born...)
		for n := 0; n < leastPrune; {
			n += len(d.next().GetResources())
		}
		apply(t, s, gone...)
		for n := 0; n < leastPrune; {
			n += len(d.next().GetRemovedResources())
		}
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	f := s.store.shelves[cds]
	if f.dead != len(f.entries) || f.live != 0 || f.dead > 3*leastPrune {
		t.Errorf("%d entries, %d live, %d tombstones", len(f.entries), f.live, f.dead)
	}
}

// TestStop: a server with open streams ends when it is told to, and says so as an orderly end.
func TestStop(t *testing.T) {
	s := New(Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := cancelable(t)
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l, nil, grpc.MaxConcurrentStreams(10)) }()
	d := connect(t, dial(t, l.Addr().String()), "n")
	d.subscribe(eds, "x")
	d.expect(eds, "-x")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, ok := <-d.in; ok || status.Code(d.err) == codes.Internal {
		t.Errorf("the stream ended with %v", d.err)
	}
	if err := s.Serve(t.Context(), l, nil); err == nil {
		t.Error("served on a closed listener")
	}
}

// twenty starts a server with n clusters and twenty wildcard streams, and gives back a change that all are told of.
func twenty(t testing.TB, n int) func() {
	t.Helper()
	s, address := start(t, Options{})
	all := many(n)
	apply(t, s, all...)
	c := dial(t, address)
	clients := make([]*client, 20)
	for i := range clients {
		clients[i] = connect(t, c, fmt.Sprint("n", i))
		clients[i].subscribe(cds, "*")
		for told := 0; told < n; {
			r := clients[i].next()
			told += len(r.GetResources())
			clients[i].ack(r)
		}
	}
	round := 0
	return func() {
		round++
		apply(t, s, setCluster(all[round%n].Name, time.Duration(round+1)*time.Second))
		for _, d := range clients {
			r := d.next()
			if len(r.GetResources()) != 1 {
				t.Fatalf("told %v", names(r))
			}
			d.ack(r)
		}
	}
}

// BenchmarkOneChange: one resource changes; twenty wildcard streams are told.
func BenchmarkOneChange(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			change := twenty(b, n)
			b.ReportAllocs()
			for b.Loop() {
				change()
			}
		})
	}
}

// TestCostOfAChangeDoesNotGrow is that benchmark as a test: ten times the resources, the same number of allocations.
func TestCostOfAChangeDoesNotGrow(t *testing.T) {
	small, large := testing.AllocsPerRun(50, twenty(t, 500)), testing.AllocsPerRun(50, twenty(t, 5000))
	t.Logf("allocations per change and 20 streams: %.0f with 500 resources, %.0f with 5000", small, large)
	if large > 1.2*small {
		t.Errorf("allocations grow with the number of resources: %.0f with 500, %.0f with 5000", small, large)
	}
}

// TestSlowClientHearsTheLast: a client that does not read delays neither Apply nor others, and is told of many changes
// in few messages.
func TestSlowClientHearsTheLast(t *testing.T) {
	s, address := start(t, Options{})
	slow, quick := connect(t, dial(t, address), "slow"), connect(t, dial(t, address), "quick")
	slow.subscribe(cds, "*")
	quick.subscribe(cds, "big")
	slow.expect(cds)
	quick.expect(cds, "-big")
	const changes = 400
	for i := range changes {
		big := setCluster("big", time.Duration(i+1))
		big.Resource.(*cluster.Cluster).AltStatName = strings.Repeat("x", 10000)
		apply(t, s, big)
		quick.expect(cds, "big")
	}
	want, heard := versions(s, cds)["big"], 0
	for got := ""; got != want; heard++ {
		got = slow.next().GetResources()[0].GetVersion()
	}
	if heard >= changes/2 {
		t.Errorf("%d changes came in %d messages", changes, heard)
	}
}

// BenchmarkFirstState: one stream connects and is told everything.
func BenchmarkFirstState(b *testing.B) {
	const n = 10000
	s, address := start(b, Options{})
	apply(b, s, many(n)...)
	c := dial(b, address)
	b.ReportAllocs()
	for b.Loop() {
		d := connect(b, c, "n")
		d.subscribe(cds, "*")
		for told := 0; told < n; {
			told += len(d.next().GetResources())
		}
	}
}
