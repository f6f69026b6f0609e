// SPDX-License-Identifier: Apache-2.0

package ads_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/anymesh/anymesh/proxy/ads"
)

type stream = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer

// script is a control plane that plays one func for each stream.
type script struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	streams chan func(stream) error
}

func (s *script) DeltaAggregatedResources(st stream) error { return (<-s.streams)(st) }

// book notes what a handler is told; it refuses names that begin with "bad".
type book struct {
	mu   sync.Mutex
	said []string
}

func (b *book) note(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, s)
}

func (b *book) Update(t ads.Type, name string, _ *anypb.Any) error {
	if strings.HasPrefix(name, "bad") {
		return errors.New("is bad")
	}
	b.note("+" + name)
	return nil
}

func (b *book) Remove(t ads.Type, name string) { b.note("-" + name) }

func resource(name, version string) *discoveryv3.Resource {
	a, err := anypb.New(&clusterv3.Cluster{Name: name})
	if err != nil {
		panic(err)
	}
	return &discoveryv3.Resource{Name: name, Version: version, Resource: a}
}

func start(t *testing.T) (*ads.Client, *script, *book) {
	s, b := &script{streams: make(chan func(stream) error)}, &book{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	go g.Serve(l)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	c := ads.New(conn, &corev3.Node{Id: "n"}, b, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		conn.Close()
		g.Stop()
	})
	return c, s, b
}

// play runs one stream of the script and waits for its end.
func play(t *testing.T, s *script, f func(stream) error) {
	t.Helper()
	end := make(chan error, 1)
	select {
	case s.streams <- func(st stream) error {
		err := f(st)
		end <- err
		return err
	}:
	case <-time.After(10 * time.Second):
		t.Fatal("no stream came")
	}
	select {
	case err := <-end:
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream does not end")
	}
}

func TestAnswersAndReconnect(t *testing.T) {
	c, s, b := start(t)
	c.Subscribe(ads.Cluster, "a", "bad", "lost")
	var asked, ack, nack, again *discoveryv3.DeltaDiscoveryRequest
	play(t, s, func(st stream) (err error) {
		if asked, err = st.Recv(); err != nil {
			return err
		}
		st.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: string(ads.Cluster), Nonce: "1",
			Resources: []*discoveryv3.Resource{resource("a", "v1")}, RemovedResources: []string{"lost"}})
		if ack, err = st.Recv(); err != nil {
			return err
		}
		st.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: string(ads.Cluster), Nonce: "2",
			Resources: []*discoveryv3.Resource{resource("bad", "v1"), resource("a", "v2"), resource("unasked", "v1")}})
		nack, err = st.Recv()
		return err
	})
	play(t, s, func(st stream) (err error) {
		again, err = st.Recv()
		return err
	})
	if asked.Node.GetId() != "n" || len(asked.ResourceNamesSubscribe) != 3 || len(asked.InitialResourceVersions) != 0 {
		t.Errorf("first request: %v", asked)
	}
	if ack.ResponseNonce != "1" || ack.ErrorDetail != nil {
		t.Errorf("ACK: %v", ack)
	}
	if nack.ResponseNonce != "2" || nack.ErrorDetail.GetMessage() != "bad: is bad" {
		t.Errorf("NACK: %v", nack)
	}
	if v := again.InitialResourceVersions; len(v) != 1 || v["a"] != "v2" || len(again.ResourceNamesSubscribe) != 3 || again.Node == nil {
		t.Errorf("first request after a break: %v", again)
	}
	if want := []string{"+a", "-lost", "+a"}; !slices.Equal(b.said, want) {
		t.Errorf("told %v, want %v", b.said, want)
	}
}

func TestDropAndWantAgain(t *testing.T) {
	c, s, _ := start(t)
	c.Subscribe(ads.Cluster, "a")
	var second, third *discoveryv3.DeltaDiscoveryRequest
	play(t, s, func(st stream) (err error) {
		if _, err = st.Recv(); err != nil {
			return err
		}
		c.Unsubscribe(ads.Cluster, "a")
		if second, err = st.Recv(); err != nil {
			return err
		}
		c.Subscribe(ads.Cluster, "a")
		if third, err = st.Recv(); err != nil {
			return err
		}
		c.Unsubscribe(ads.Cluster, "a")
		c.Subscribe(ads.Cluster, "a")
		for {
			r, err := st.Recv() // sent anew, whatever of the two the client saw first
			if err != nil || slices.Contains(r.ResourceNamesSubscribe, "a") {
				return err
			}
		}
	})
	if !slices.Equal(second.ResourceNamesUnsubscribe, []string{"a"}) || !slices.Equal(third.ResourceNamesSubscribe, []string{"a"}) {
		t.Errorf("%v\n%v", second, third)
	}
}
