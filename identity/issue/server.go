// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/anymesh/anymesh/identity/issue/api"
)

// Signer signs for whom the server has found a workload to be; an identity.CA is one.
type Signer interface {
	// Sign makes an SVID of a request, and refuses one that asks for another name or for more than a name.
	Sign(csr *x509.CertificateRequest, id spiffeid.ID) ([]*x509.Certificate, error)
	TrustDomain() spiffeid.TrustDomain
	// Bundles are the roots that workloads are to trust, of the own trust domain and of others.
	Bundles() []*x509bundle.Bundle
	// Changed is closed when a bundle next changes.
	Changed() <-chan struct{}
}

// Options say what a Server is made of.
type Options struct {
	Signer    Signer
	Attestors map[string]Attestor // by name; a name that is not here is not understood
	// Reserved are given to nobody, whatever is proven: the control plane's own.
	Reserved []spiffeid.ID
	// Peer says who the client of a call is, by the certificate that it showed.
	Peer func(context.Context) (spiffeid.ID, error)
	// Describe says what is known of a pod; an error is a refusal. Nil: nothing is.
	Describe func(ctx context.Context, peer spiffeid.ID, namespace, pod string) (*api.Workload, error)
	Logger   *slog.Logger // is told of each certificate and each refusal; slog.Default if nil
}

// Server is the certificate service.
type Server struct {
	api.UnimplementedCertificatesServer
	o         Options
	addresses *limiter
	ids       *limiter
}

// NewServer is a server that Register puts on a port.
func NewServer(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Server{o: o, addresses: newLimiter(addressRate, addressBurst), ids: newLimiter(identityRate, identityBurst)}
}

// Register puts the service beside others. Streams end with ctx, so that nobody who stops waits for them.
func (s *Server) Register(ctx context.Context, g grpc.ServiceRegistrar) {
	api.RegisterCertificatesServer(g, &registered{Server: s, ctx: ctx})
}

// registered is a server on one port.
type registered struct {
	*Server
	ctx context.Context
}

// mostCSR bounds a request; one with an RSA key of 4096 bits has 1.6 kB. mostProof bounds a proof: a token has about 1 kB.
const mostCSR, mostProof = 8 << 10, 64 << 10

// Sign implements the service.
func (s *Server) Sign(ctx context.Context, r *api.SignRequest) (*api.SignResponse, error) {
	from := caller(ctx)
	log := s.o.Logger.With("from", from, "attestor", r.GetAttestor())
	if !s.addresses.allow(from) {
		log.Warn("certificate refused", "reason", "asked too often from one address")
		return nil, status.Error(codes.ResourceExhausted, "too many requests from this address: wait some seconds")
	}
	csr, id, err := s.attest(ctx, r)
	if err == nil && !s.ids.allow(id.String()) {
		err = status.Errorf(codes.ResourceExhausted, "too many requests for %s: wait some seconds", id)
	}
	var chain []*x509.Certificate
	if err == nil {
		if chain, err = s.o.Signer.Sign(csr, id); err != nil {
			err = status.Error(codes.PermissionDenied, err.Error())
		}
	}
	if err != nil {
		log.Warn("certificate refused", "identity", id.String(), "reason", err)
		return nil, err
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	log.Info("certificate signed", "identity", id.String(), "serial", chain[0].SerialNumber.Text(16),
		"until", chain[0].NotAfter.Format(time.RFC3339), "key", hex.EncodeToString(sum[:8]))
	out := &api.SignResponse{Bundles: s.bundles()}
	for _, c := range chain {
		out.Chain = append(out.Chain, c.Raw)
	}
	return out, nil
}

// attest says who asks, once the request is one.
func (s *Server) attest(ctx context.Context, r *api.SignRequest) (*x509.CertificateRequest, spiffeid.ID, error) {
	if len(r.GetCsr()) > mostCSR || len(r.GetProof()) > mostProof {
		return nil, spiffeid.ID{}, status.Error(codes.InvalidArgument, "the request is too large")
	}
	csr, err := x509.ParseCertificateRequest(r.GetCsr())
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, spiffeid.ID{}, status.Errorf(codes.InvalidArgument, "the certificate request: %v", err)
	}
	a := s.o.Attestors[r.GetAttestor()]
	if a == nil {
		return nil, spiffeid.ID{}, status.Errorf(codes.InvalidArgument, "this control plane does not attest by %q: it does by %s",
			r.GetAttestor(), strings.Join(slices.Sorted(maps.Keys(s.o.Attestors)), ", "))
	}
	id, err := a.Attest(ctx, Evidence{Proof: r.GetProof(), CSR: r.GetCsr(), User: userOf(ctx)})
	switch {
	case errors.Is(err, ErrAway):
		return nil, id, status.Error(codes.Unavailable, err.Error())
	case err != nil:
		return nil, id, status.Error(codes.PermissionDenied, err.Error())
	case slices.Contains(s.o.Reserved, id):
		return nil, id, status.Errorf(codes.PermissionDenied, "%s is the control plane's own", id)
	case !id.MemberOf(s.o.Signer.TrustDomain()):
		return nil, id, status.Errorf(codes.PermissionDenied, "%s is not of trust domain %q", id, s.o.Signer.TrustDomain())
	}
	return csr, id, nil
}

// caller is where a call comes from, as far as it counts for a rate: an address without its port, or a user.
func caller(ctx context.Context) string {
	if u := userOf(ctx); u != nil {
		return u.String()
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}

func (s *Server) bundles() *api.Bundles {
	out := &api.Bundles{}
	for _, b := range s.o.Signer.Bundles() {
		x := &api.Bundle{TrustDomain: b.TrustDomain().Name()}
		for _, c := range b.X509Authorities() {
			x.Authorities = append(x.Authorities, c.Raw)
		}
		out.Bundles = append(out.Bundles, x)
	}
	return out
}

// Follow implements the service.
func (s *registered) Follow(_ *api.FollowRequest, g grpc.ServerStreamingServer[api.Bundles]) error {
	if _, err := s.o.Peer(g.Context()); err != nil {
		return status.Errorf(codes.Unauthenticated, "bundles are told to workloads of the mesh: %v", err)
	}
	for {
		changed := s.o.Signer.Changed()
		if err := g.Send(s.bundles()); err != nil {
			return err
		}
		select {
		case <-g.Context().Done():
			return status.FromContextError(g.Context().Err()).Err()
		case <-s.ctx.Done():
			return status.Error(codes.Unavailable, "this control plane ends")
		case <-changed:
		}
	}
}

// Describe implements the service.
func (s *Server) Describe(ctx context.Context, r *api.DescribeRequest) (*api.Workload, error) {
	id, err := s.o.Peer(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "a pod is described to itself: %v", err)
	}
	if s.o.Describe == nil {
		return nil, status.Error(codes.NotFound, "nothing is known of pods here")
	}
	w, err := s.o.Describe(ctx, id, r.GetNamespace(), r.GetPod())
	if err != nil {
		return nil, status.Error(codes.NotFound, fmt.Sprintf("pod %s/%s: %v", r.GetNamespace(), r.GetPod(), err))
	}
	return w, nil
}
