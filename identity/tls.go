// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Proof is what one side of a connection shows (its SVID) and believes (bundles). A Source is one.
type Proof interface {
	x509svid.Source
	x509bundle.Source
}

// ServerTLS is the configuration of a server that shows p's SVID and admits clients whose SVID is proven and whose ID
// authorize accepts with nil. TLS 1.3 only; a renewed SVID and bundle serve from the next handshake on.
func ServerTLS(p Proof, authorize func(spiffeid.ID) error) *tls.Config {
	c := tlsconfig.MTLSServerConfig(p, p, authorizer(authorize))
	c.MinVersion = tls.VersionTLS13
	// A resumed session skips the check of the client's certificate: an ID no longer welcome could come back with a
	// ticket for days.
	c.SessionTicketsDisabled = true
	return c
}

// OpenTLS is ServerTLS for a server that some may ask before they have an SVID: a client that shows none is let in, and what it may ask is
// for the server to decide. One that shows an SVID has to prove it as ever.
func OpenTLS(p Proof, authorize func(spiffeid.ID) error) *tls.Config {
	c := ServerTLS(p, authorize)
	c.ClientAuth = tls.RequestClientCert
	verify := c.VerifyPeerCertificate
	c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		if len(raw) == 0 {
			return nil
		}
		return verify(raw, chains)
	}
	return c
}

// AuthTLS is the configuration of a client that has no SVID yet: it shows none, and speaks to servers whose SVID is proven by the bundles and
// whose ID authorize accepts with nil.
func AuthTLS(bundles x509bundle.Source, authorize func(spiffeid.ID) error) *tls.Config {
	c := tlsconfig.TLSClientConfig(bundles, authorizer(authorize))
	c.MinVersion = tls.VersionTLS13
	return c
}

// ClientTLS is the configuration of a client that shows p's SVID and speaks to servers whose SVID is proven and whose ID
// authorize accepts with nil. TLS 1.3 only; the server's name is never looked at.
func ClientTLS(p Proof, authorize func(spiffeid.ID) error) *tls.Config {
	c := tlsconfig.MTLSClientConfig(p, p, authorizer(authorize))
	c.MinVersion = tls.VersionTLS13
	return c
}

func authorizer(authorize func(spiffeid.ID) error) tlsconfig.Authorizer {
	if authorize == nil {
		panic("identity: a TLS configuration needs to say whom it authorizes")
	}
	return func(id spiffeid.ID, _ [][]*x509.Certificate) error { return authorize(id) }
}

// Member accepts every ID of a trust domain.
func Member(domain spiffeid.TrustDomain) func(spiffeid.ID) error {
	return func(id spiffeid.ID) error {
		if !id.MemberOf(domain) {
			return fmt.Errorf("peer %s is not of trust domain %q", id, domain)
		}
		return nil
	}
}

// Only accepts the IDs given and no other.
func Only(ids ...spiffeid.ID) func(spiffeid.ID) error {
	ids = slices.Clone(ids)
	return func(id spiffeid.ID) error {
		if !slices.Contains(ids, id) {
			return fmt.Errorf("peer %s is not among the expected %v", id, ids)
		}
		return nil
	}
}
