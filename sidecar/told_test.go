// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
)

// seen is a log that is looked at while it is written.
type seen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *seen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *seen) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

func (s *seen) times(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

func (s *site) addr(last byte) netip.Addr {
	a := netip.MustParseAddr(s.net + ".0").As4()
	a[3] = last
	return netip.AddrFrom4(a)
}

// mtls is a connection that shows a certificate of an account, or none.
func (s *site) mtls(address, account string) *grpc.ClientConn {
	s.t.Helper()
	server := identity.Only(identity.ControlPlane(domain))
	creds := credentials.NewTLS(identity.AuthTLS(s.ca, server))
	if account != "" {
		id, err := identity.ID(domain.Name(), "shop", account)
		check(s.t, err)
		src, err := identity.NewSource(s.t.Context(), s.ca, id, identity.SourceOptions{})
		check(s.t, err)
		creds = credentials.NewTLS(identity.ClientTLS(src, server))
	}
	conn, err := issue.Dial(address, creds, nil)
	check(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// subscribe asks for listeners as a node, and returns what the first answers say: as many names as will come.
func subscribe(ctx context.Context, conn *grpc.ClientConn, node string, names ...string) (all []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	g, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	kind, err := structpb.NewStruct(map[string]any{"kind": "Pod"})
	if err != nil {
		return nil, err
	}
	if err := g.Send(&discovery.DeltaDiscoveryRequest{Node: &corev3.Node{Id: node, Metadata: kind}, TypeUrl: resource.ListenerType, ResourceNamesSubscribe: names}); err != nil {
		return nil, err
	}
	for len(all) < len(names) {
		r, err := g.Recv()
		if err != nil {
			return nil, err
		}
		for _, x := range r.GetResources() {
			all = append(all, x.GetName())
		}
		for _, x := range r.GetRemovedResources() {
			all = append(all, "-"+x)
		}
	}
	slices.Sort(all)
	return all, nil
}
