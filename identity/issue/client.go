// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue/api"
)

// Prover proves who a workload is. A Client calls one method at a time: Key, Prove, and Done with how it went.
type Prover interface {
	// Key is the key of the next certificate.
	Key() (crypto.Signer, error)
	// Prove gives the proof that goes with a request, and the name of the attestor that is to judge it.
	Prove(csr []byte) (attestor string, proof []byte, err error)
	// Done is told how it went; nil: the certificate has come.
	Done(error)
}

// ClientOptions say whom a Client asks, and how.
type ClientOptions struct {
	Address string      // of the control plane, host:port
	Socket  string      // a Unix socket that is asked for certificates instead; empty: none
	Server  spiffeid.ID // who the control plane is
	// Roots are what proves the control plane before anything else is known, read anew where what was learned proves it no more.
	Roots  func() (*x509bundle.Bundle, error)
	Prover Prover
	// Control is called for each connection, as net.Dialer does; may be nil.
	Control func(network, address string, c syscall.RawConn) error
	Logger  *slog.Logger // slog.Default if nil
}

// Client gets SVIDs from a Server. It is an identity.Authority that knows the bundles which the server told last.
type Client struct {
	o ClientOptions

	sign sync.Mutex // one request at a time: the prover's steps belong together

	mu      sync.Mutex
	bundles map[spiffeid.TrustDomain]*x509bundle.Bundle
	changed chan struct{}
}

var _ identity.Authority = (*Client)(nil)

// NewClient is a client that has asked nobody yet.
func NewClient(o ClientOptions) *Client {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Client{o: o, bundles: map[spiffeid.TrustDomain]*x509bundle.Bundle{}, changed: make(chan struct{})}
}

// Issue makes a key, and gets an SVID for it. With a zero id it is for whom the proof proves; another one than the id asked for is an error.
func (c *Client) Issue(ctx context.Context, id spiffeid.ID) (*x509svid.SVID, error) {
	c.sign.Lock()
	defer c.sign.Unlock()
	svid, err := c.issue(ctx, id, c)
	if c.learned() && status.Code(err) == codes.Unavailable && c.o.Socket == "" {
		svid, err = c.issue(ctx, id, first{c})
	}
	if err != nil {
		return nil, fmt.Errorf("certificate service at %s: %w", c.where(), err)
	}
	return svid, nil
}

func (c *Client) where() string {
	if c.o.Socket != "" {
		return c.o.Socket
	}
	return c.o.Address
}

// issue asks once, of a server that the bundles prove.
func (c *Client) issue(ctx context.Context, id spiffeid.ID, bundles x509bundle.Source) (svid *x509svid.SVID, err error) {
	key, err := c.o.Prover.Key()
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{}
	if !id.IsZero() {
		template.URIs = []*url.URL{id.URL()}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	attestor, proof, err := c.o.Prover.Prove(csr)
	if err != nil {
		return nil, err
	}
	defer func() { c.o.Prover.Done(err) }()
	conn, err := c.connect(bundles)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, err := api.NewCertificatesClient(conn).Sign(ctx, &api.SignRequest{Attestor: attestor, Proof: proof, Csr: csr})
	if err != nil {
		return nil, err
	}
	if err := c.learn(r.GetBundles()); err != nil {
		return nil, err
	}
	return c.take(r.GetChain(), key, id)
}

func (c *Client) connect(bundles x509bundle.Source) (*grpc.ClientConn, error) {
	if c.o.Socket != "" {
		return grpc.NewClient("unix:"+c.o.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	return Dial(c.o.Address, credentials.NewTLS(identity.AuthTLS(bundles, identity.Only(c.o.Server))), c.o.Control)
}

// take makes an SVID of what the server answered, if it is what was asked for.
func (c *Client) take(raw [][]byte, key crypto.Signer, id spiffeid.ID) (*x509svid.SVID, error) {
	chain, err := x509.ParseCertificates(slices.Concat(raw...))
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if len(chain) == 0 {
		return nil, errors.New("the answer holds no certificate")
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return nil, errors.New("the answer holds a certificate of another key")
	}
	is, _, err := x509svid.Verify(chain, c, x509svid.WithTime(chain[0].NotBefore)) // this machine's clock may be off
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if !id.IsZero() && is != id {
		return nil, fmt.Errorf("the answer is for %s, not for %s", is, id)
	}
	return &x509svid.SVID{ID: is, Certificates: chain, PrivateKey: key}, nil
}

// learn takes the bundles that there are now.
func (c *Client) learn(all *api.Bundles) error {
	now := map[spiffeid.TrustDomain]*x509bundle.Bundle{}
	for _, b := range all.GetBundles() {
		domain, err := spiffeid.TrustDomainFromString(b.GetTrustDomain())
		if err != nil {
			return fmt.Errorf("the bundles: %w", err)
		}
		roots, err := x509.ParseCertificates(slices.Concat(b.GetAuthorities()...))
		if err != nil {
			return fmt.Errorf("the bundle of %q: %w", domain, err)
		}
		now[domain] = x509bundle.FromX509Authorities(domain, roots)
	}
	if own := now[c.o.Server.TrustDomain()]; own == nil || own.Empty() {
		return fmt.Errorf("the bundles hold none of %q, which is the control plane's own", c.o.Server.TrustDomain())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	same := len(now) == len(c.bundles)
	for d, b := range now {
		same = same && c.bundles[d] != nil && c.bundles[d].Equal(b)
	}
	if same {
		return nil
	}
	c.bundles = now
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func (c *Client) learned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bundles) > 0
}

// Changed implements identity.Authority.
func (c *Client) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// GetX509BundleForTrustDomain implements x509bundle.Source: what the server told last, and the first roots before.
func (c *Client) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	if !c.learned() {
		return first{c}.GetX509BundleForTrustDomain(domain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bundles[domain]
	if b == nil {
		return nil, fmt.Errorf("no bundle for trust domain %q: the mesh does not know it", domain)
	}
	return b, nil
}

// first proves the control plane by the roots that were given and not learned.
type first struct{ c *Client }

func (f first) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	b, err := f.c.o.Roots()
	if err != nil {
		return nil, err
	}
	return b.GetX509BundleForTrustDomain(domain)
}

// The pauses between two tries to follow the bundles, doubled from the first to the last.
const firstPause, lastPause = time.Second, time.Minute

// Follow keeps the bundles as the server has them, over a connection that shows the workload's SVID, until ctx ends.
func (c *Client) Follow(ctx context.Context, conn grpc.ClientConnInterface) {
	pause := firstPause
	for ctx.Err() == nil {
		g, err := api.NewCertificatesClient(conn).Follow(ctx, &api.FollowRequest{}, grpc.WaitForReady(true))
		for err == nil {
			var b *api.Bundles
			if b, err = g.Recv(); err == nil {
				err = c.learn(b)
				pause = firstPause
			}
		}
		if ctx.Err() != nil {
			return
		}
		c.o.Logger.Debug("the bundles are not followed; those known stay", "error", err, "retry", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// Describe asks what the mesh knows of a pod, over a connection that shows the SVID of the pod's account.
func Describe(ctx context.Context, conn grpc.ClientConnInterface, namespace, pod string) (*api.Workload, error) {
	return api.NewCertificatesClient(conn).Describe(ctx, &api.DescribeRequest{Namespace: namespace, Pod: pod})
}

// Show is a Prover that shows the same thing each time and has a new key each time. What is read anew for each request, since a token is
// replaced while a workload runs; it may be nil, where the connection itself proves.
type Show struct {
	Attestor string
	What     func() ([]byte, error)
}

// Key implements Prover.
func (Show) Key() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// Prove implements Prover.
func (s Show) Prove([]byte) (string, []byte, error) {
	if s.What == nil {
		return s.Attestor, nil, nil
	}
	what, err := s.What()
	return s.Attestor, what, err
}

// Done implements Prover.
func (Show) Done(error) {}
