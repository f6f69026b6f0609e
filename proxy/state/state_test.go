// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/anymesh/anymesh/proxy/ads"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// wants notes what a Book asks for.
type wants map[string]bool

func (w wants) Subscribe(t ads.Type, names ...string) {
	for _, n := range names {
		w[string(t[len(t)-7:])+" "+n] = true
	}
}

func (w wants) Unsubscribe(t ads.Type, names ...string) {
	for _, n := range names {
		delete(w, string(t[len(t)-7:])+" "+n)
	}
}

func (wants) Connected() bool { return true }

func newBook() (*Book, wants) {
	b := New(Options{Inbound: "inbound/a/b", Wait: time.Millisecond, Admit: func(*policy.Inbound) {},
		Backend: func(n string) *upstream.Backend { return upstream.New(n, &upstream.Dialer{}) }})
	w := wants{}
	b.Start(w)
	return b, w
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func bytesTo(t *testing.T, name, cluster string) *anypb.Any {
	p := &tcpv3.TcpProxy{StatPrefix: "x", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster}}
	return packed(t, &listenerv3.Listener{Name: name, DefaultFilterChain: &listenerv3.FilterChain{Filters: []*listenerv3.Filter{
		{Name: "tcp", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, p)}}}}})
}

func TestAskWarmAndSweep(t *testing.T) {
	b, w := newBook()
	ctx := context.Background()
	if _, err := b.Host(ctx, "a:1"); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("no answer yet: %v", err)
	}
	if err := b.Update(ads.Listener, "a:1", bytesTo(t, "a:1", "c:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Host(ctx, "a:1"); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("its cluster is still to come: %v", err)
	}
	b.Remove(ads.Cluster, "c:1") // an answer too: at the start a share that fails is better than nothing
	if h, err := b.Host(ctx, "a:1"); err != nil || h.Backends["c:1"] == nil {
		t.Errorf("%v %v", h, err)
	}
	if err := b.Update(ads.Listener, "a:1", bytesTo(t, "b:1", "c:1")); err == nil {
		t.Error("a resource under a wrong name was taken")
	}
	b.Remove(ads.Listener, "a:1")
	if _, err := b.Host(ctx, "a:1"); !errors.Is(err, ErrNoService) {
		t.Errorf("removed: %v", err)
	}
	b.sweep() // used since
	if len(b.entries) != 1 {
		t.Error("swept what was just used")
	}
	b.sweep()
	if len(b.entries) != 0 || len(b.clusters) != 0 || len(w) != 2 {
		t.Errorf("left over: %v %v %v", b.entries, b.clusters, slices.Collect(func(yield func(string) bool) {
			for n := range w {
				yield(n)
			}
		}))
	}
}
