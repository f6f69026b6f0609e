// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

const (
	defaultTTL     = time.Hour
	defaultRootTTL = 10 * 365 * 24 * time.Hour
	// skew is how far a certificate is dated back, so that a peer whose clock runs late accepts it at once.
	skew = time.Minute
)

// Options say what a CA is made of.
type Options struct {
	TrustDomain spiffeid.TrustDomain // required
	TTL         time.Duration        // life of an SVID; one hour if zero
	RootTTL     time.Duration        // life of a root; ten years if zero
	Clock       func() time.Time     // time.Now if nil
	// Dir is the folder that keeps the private keys and roots, for one process at a time. The CA lives in memory alone
	// if it is empty.
	Dir string
	// Keep keeps them elsewhere, for any number of processes; instead of Dir.
	Keep Keeper
}

// Keeper keeps the one text that is all that a CA has to remember: with it goes the mesh's trust.
type Keeper interface {
	// Load gives the text; nil where there is none yet.
	Load() ([]byte, error)
	// Save replaces the text that was loaded or saved last. Where another process was first it is ErrTaken, and nothing has changed.
	Save([]byte) error
}

// ErrTaken says that another process has written what this one did not know.
var ErrTaken = errors.New("another process has written it meanwhile")

// CA is the certificate authority of one trust domain. It has no intermediates and no revocation lists: SVIDs are short
// lived. All methods may be called concurrently.
type CA struct {
	options Options

	mu      sync.RWMutex
	active  *root // signs
	next    *root // published, does not sign yet; nil outside of a rotation
	old     *root // published, signs no more; nil outside of a rotation
	bundle  *x509bundle.Bundle
	changed chan struct{}
}

var _ Authority = (*CA)(nil)

// root is one self-signed certificate with its key. An old root has no key any more.
type root struct {
	cert *x509.Certificate
	key  crypto.Signer
	// ttl is the longest life of an SVID that this root has ever been configured to sign.
	ttl time.Duration
	// until is when the last SVID signed by an old root has expired.
	until time.Time
}

// NewCA makes a CA, or opens the one kept in Options.Dir. It refuses a folder or file that others may read or write,
// and a folder that belongs to another trust domain.
func NewCA(o Options) (*CA, error) {
	if o.TrustDomain.IsZero() {
		return nil, errors.New("certificate authority: no trust domain given")
	}
	if o.TTL < 0 || o.RootTTL < 0 {
		return nil, errors.New("certificate authority: a negative life time was given")
	}
	if o.Dir != "" && o.Keep != nil {
		return nil, errors.New("certificate authority: it is kept in a folder or elsewhere, not in both")
	}
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.RootTTL == 0 {
		o.RootTTL = defaultRootTTL
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Keep == nil {
		o.Keep = folder(o.Dir)
	}
	c := &CA{options: o, changed: make(chan struct{})}
	for {
		if err := c.open(); !errors.Is(err, ErrTaken) {
			return c, err
		}
	}
}

// open takes over what is kept, or begins it.
func (c *CA) open() error {
	s, found, err := c.load()
	if err != nil {
		return err
	}
	if !found {
		if s.active, err = c.newRoot(); err != nil {
			return err
		}
	}
	if !found || s.active.ttl < c.options.TTL {
		// Before the first signature: a Retire after a restart has to know of the longest-lived SVID.
		s.active.ttl = c.options.TTL
		if err := c.save(s); err != nil {
			return err
		}
	}
	c.set(s)
	return nil
}

// Reload takes over what another process has made of the CA that both keep in one place.
func (c *CA) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, found, err := c.load()
	if err != nil || !found || s.same(state{c.active, c.next, c.old}) {
		return err
	}
	c.set(s)
	return nil
}

// newRoot makes a key and its self-signed certificate, which may sign leaves and no further authorities.
func (c *CA) newRoot() (*root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: make the key of a root: %w", err)
	}
	now := c.options.Clock()
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"anymesh"}, CommonName: c.options.TrustDomain.Name()},
		URIs:                  []*url.URL{c.options.TrustDomain.ID().URL()},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(c.options.RootTTL),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	cert, err := create(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: make a root: %w", err)
	}
	return &root{cert: cert, key: key, ttl: c.options.TTL}, nil
}

// Sign turns a certificate signing request into an SVID for id, leaf first. The caller has decided that the requester
// is id; Sign checks that the request was signed by the key it names and asks for nothing but id. A request that asks
// for more (another name, an extension, to be an authority) is refused, and nothing of it but the public key is used.
func (c *CA) Sign(csr *x509.CertificateRequest, id spiffeid.ID) ([]*x509.Certificate, error) {
	if csr == nil {
		return nil, fmt.Errorf("sign for %s: no certificate request given", id)
	}
	if err := checkRequest(csr, id); err != nil {
		return nil, fmt.Errorf("sign for %s: %w", id, err)
	}
	return c.leaf(id, csr.PublicKey)
}

// Issue makes a key and an SVID for id.
func (c *CA) Issue(ctx context.Context, id spiffeid.ID) (*x509svid.SVID, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("issue for %s: %w", id, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue for %s: make the key: %w", id, err)
	}
	chain, err := c.leaf(id, key.Public())
	if err != nil {
		return nil, err
	}
	return &x509svid.SVID{ID: id, Certificates: chain, PrivateKey: key}, nil
}

// leaf signs an SVID for the owner of a public key.
func (c *CA) leaf(id spiffeid.ID, public crypto.PublicKey) ([]*x509.Certificate, error) {
	if !id.MemberOf(c.options.TrustDomain) || id.Path() == "" {
		return nil, fmt.Errorf("sign for %q: not the ID of a workload in trust domain %q", id, c.options.TrustDomain)
	}
	// The lock is held through the signature: once Activate returns, nothing is signed by the old root.
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := c.options.Clock()
	end := now.Add(c.options.TTL)
	if c.active.cert.NotAfter.Before(end) {
		end = c.active.cert.NotAfter
	}
	if !end.After(now) {
		return nil, fmt.Errorf("sign for %s: the root of %q expired at %s: rotate the root", id, c.options.TrustDomain, end.Format(time.RFC3339))
	}
	template := &x509.Certificate{
		URIs:                  []*url.URL{id.URL()},
		NotBefore:             now.Add(-skew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	cert, err := create(template, c.active.cert, public, c.active.key)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", id, err)
	}
	return []*x509.Certificate{cert}, nil
}

// create signs a certificate and reads it back, so that callers hold what is on the wire.
func create(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
