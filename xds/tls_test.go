// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"fmt"
	"net"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/anymesh/anymesh/identity"
)

func cancelable(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx, cancel
}

// source proves a service account of the namespace shop.
func source(t *testing.T, ca *identity.CA, account string) *identity.Source {
	t.Helper()
	id, err := identity.ID("cluster.local", "shop", account)
	if err != nil {
		t.Fatal(err)
	}
	s, err := identity.NewSource(t.Context(), ca, id, identity.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestNodeIsWhatItsCertificateSays: over mutual TLS a proxy may be a node of its own service account alone.
func TestNodeIsWhatItsCertificateSays(t *testing.T) {
	domain := spiffeid.RequireTrustDomainFromString("cluster.local")
	ca, err := identity.NewCA(identity.Options{TrustDomain: domain})
	if err != nil {
		t.Fatal(err)
	}
	plane, cart := source(t, ca, "control-plane"), source(t, ca, "cart")
	s := New(Options{Authorize: func(ctx context.Context, node *core.Node) error {
		id, err := PeerID(ctx)
		if err != nil {
			return err
		}
		namespace, account, err := identity.Parse(id)
		if err == nil && node.GetId() != namespace+"/"+account {
			err = fmt.Errorf("the certificate is that of %s", id)
		}
		return err
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := cancelable(t)
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l, identity.ServerTLS(plane, identity.Member(domain))) }()
	config := identity.ClientTLS(cart, identity.Only(plane.ID()))
	c := dial(t, l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))

	d := connect(t, c, "shop/cart")
	d.subscribe(eds, "x")
	d.expect(eds, "-x")
	if got := s.Statuses(); len(got) != 1 || got[0].Peer != "spiffe://cluster.local/ns/shop/sa/cart" {
		t.Errorf("statuses: %+v", got)
	}
	liar := connect(t, c, "shop/bank")
	liar.subscribe(eds, "x")
	if r, ok := <-liar.in; ok {
		t.Fatalf("told %v", names(r))
	}
	if status.Code(liar.err) != codes.PermissionDenied {
		t.Errorf("the stream ended with %v", liar.err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if id, err := PeerID(t.Context()); err == nil {
		t.Errorf("a context of no call has peer %v", id)
	}
}
