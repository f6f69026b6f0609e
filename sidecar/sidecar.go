// SPDX-License-Identifier: Apache-2.0

// Package sidecar runs one proxy beside a process, on a host or in a pod: it proves who the workload is, gets and renews its certificate, follows
// the control plane and drains at the end. Where no control plane can be reached, what is known goes on.
package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
)

// Options say what a sidecar stands beside, and whom it asks.
type Options struct {
	ControlPlane string                             // HOST:PORT, or a list of them separated by commas
	Domain       spiffeid.TrustDomain               // of the mesh
	Roots        func() (*x509bundle.Bundle, error) // that prove the control plane at first
	Prover       issue.Prover
	Socket       string // Unix socket of a control plane on this host, for certificates; empty: the address
	// Node is the pod. Without a namespace it is that of the identity; without a workload or an IP the control plane is asked for them.
	Node  proxy.Node
	Proxy proxy.Config // its ports and limits; what is said above and comes from the control plane is filled in
	// Control is called for each connection to the control plane, as net.Dialer does; may be nil.
	Control func(network, address string, c syscall.RawConn) error
	Admin   string // address of readiness and metrics; empty: none
	// Ready is called once, when the proxy works.
	Ready  func(Status)
	Logger *slog.Logger
}

// Status is what came up.
type Status struct {
	ID       spiffeid.ID
	Node     proxy.Node
	Outbound netip.AddrPort
	Admin    string // address; empty: none
}

// Run runs the sidecar until ctx ends, and then until what is under way is done.
func Run(ctx context.Context, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &sidecar{o: o, log: o.Logger, stats: stats.New()}
	stop, err := s.serveAdmin()
	if err != nil {
		return err
	}
	defer stop()
	// Certificates and bundles are kept fresh while the proxy drains.
	back, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if err := s.join(ctx, back); err != nil {
		return undone(ctx, err)
	}
	defer s.conn.Close()
	if err := s.describe(ctx); err != nil {
		return undone(ctx, err)
	}
	return s.serve(ctx)
}

// undone is nil where the end was asked for.
func undone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// sidecar is one that runs.
type sidecar struct {
	o     Options
	log   *slog.Logger
	stats *stats.Stats
	admin admin

	source *identity.Source
	conn   *grpc.ClientConn // shows the SVID
}

// The pauses between two tries to come into the mesh, doubled from the first to the last.
const firstPause, lastPause = 100 * time.Millisecond, 5 * time.Second

// again tries until it goes well, and says what is waited for.
func (s *sidecar) again(ctx context.Context, what string, try func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := try(one)
		cancel()
		if err == nil {
			return nil
		}
		s.admin.wait(fmt.Errorf("%s: %w", what, err))
		s.log.Warn(what+": not yet", "error", err, "retry", pause)
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// join gets the first certificate, and has it and the bundles kept fresh until back ends.
func (s *sidecar) join(ctx, back context.Context) error {
	server := identity.ControlPlane(s.o.Domain)
	client := issue.NewClient(issue.ClientOptions{Address: s.o.ControlPlane, Socket: s.o.Socket, Server: server, Roots: s.o.Roots, Prover: s.o.Prover, Control: s.o.Control, Logger: s.log})
	var svid *x509svid.SVID
	if err := s.again(ctx, "the workload's certificate", func(ctx context.Context) (err error) {
		svid, err = client.Issue(ctx, spiffeid.ID{})
		return err
	}); err != nil {
		return err
	}
	var err error
	if s.source, err = identity.NewSource(back, &begun{client, svid}, svid.ID, identity.SourceOptions{Logger: s.log}); err != nil {
		return err
	}
	s.log.Info("the workload is known", "identity", svid.ID.String(), "until", svid.Certificates[0].NotAfter)
	if s.conn, err = issue.Dial(s.o.ControlPlane, credentials.NewTLS(identity.ClientTLS(s.source, identity.Only(server))), s.o.Control); err != nil {
		return err
	}
	go client.Follow(back, s.conn)
	return nil
}

// begun is a client whose first answer is there already. A source asks one question at a time.
type begun struct {
	*issue.Client
	first *x509svid.SVID
}

func (b *begun) Issue(ctx context.Context, id spiffeid.ID) (*x509svid.SVID, error) {
	if v := b.first; v != nil && v.ID == id {
		b.first = nil
		return v, nil
	}
	return b.Client.Issue(ctx, id)
}

// describe fills in what was not said of the node.
func (s *sidecar) describe(ctx context.Context) error {
	n := &s.o.Node
	if n.Namespace == "" {
		namespace, _, err := identity.Parse(s.source.ID())
		if err != nil {
			return err
		}
		n.Namespace = namespace
	}
	if n.Workload != "" && n.IP.IsValid() && n.ClusterDomain != "" {
		return nil
	}
	return s.again(ctx, "what the mesh knows of this pod", func(ctx context.Context) error {
		w, err := issue.Describe(ctx, s.conn, n.Namespace, n.Pod)
		if err != nil {
			return err
		}
		if n.Workload == "" {
			n.Workload, n.Kind = w.GetName(), w.GetKind()
		}
		n.ClusterDomain = cmp.Or(n.ClusterDomain, w.GetClusterDomain())
		if !n.IP.IsValid() {
			if n.IP, err = netip.ParseAddr(w.GetAddress()); err != nil {
				return fmt.Errorf("its address: %w", err)
			}
		}
		return nil
	})
}

// serve runs the proxy.
func (s *sidecar) serve(ctx context.Context) error {
	c := s.o.Proxy
	c.Node, c.ADS, c.SVID, c.Bundles, c.Logger, c.Stats = s.o.Node, s.conn, s.source, s.source, s.log, s.stats
	p, err := proxy.New(c)
	if err != nil {
		return err
	}
	s.admin.wait(errors.New("the control plane has not said yet what the workload admits"))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-p.Ready():
	}
	s.admin.wait(nil)
	if s.o.Ready != nil {
		s.o.Ready(Status{ID: s.source.ID(), Node: s.o.Node, Outbound: p.OutboundAddr(), Admin: s.admin.address})
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		s.admin.wait(errors.New("the proxy drains"))
		return <-ended
	}
}

// serveAdmin opens the admin port, where one is wanted.
func (s *sidecar) serveAdmin() (stop func(), err error) {
	s.admin.wait(errors.New("the proxy starts"))
	if s.o.Admin == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", s.o.Admin)
	if err != nil {
		return nil, fmt.Errorf("the admin port (choose another with --admin): %w", err)
	}
	s.admin.address = l.Addr().String()
	h := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the admin port ended", "error", err)
		}
	}()
	return func() { h.Close() }, nil
}
