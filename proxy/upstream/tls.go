// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/anymesh/anymesh/proxy/policy"
)

// Dialer dials endpoints over mTLS. Certificates and roots are read from their sources for each connection, so both
// rotate without a restart.
type Dialer struct {
	SVID    x509svid.Source
	Bundles x509bundle.Source
	// Direct dials the peer's proxy at its inbound port and names the target port in the TLS server name. Otherwise the
	// target is dialled itself and something on the way intercepts.
	Direct      bool
	InboundPort uint16                                                 // of the peers' proxies, in direct mode
	Timeout     time.Duration                                          // for connect and handshake together
	Control     func(network, address string, c syscall.RawConn) error // of each connection's socket; may be nil
	LocalIP     netip.Addr                                             // source address; the zero value leaves it to the system
}

// dialError marks that no byte of a request was sent: another endpoint may be tried.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Dial connects to one endpoint of a cluster. An empty alpn offers none.
func (d *Dialer) Dial(ctx context.Context, c *policy.Cluster, to netip.AddrPort, alpn string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	addr := to
	if d.Direct {
		addr = netip.AddrPortFrom(to.Addr(), d.InboundPort)
	}
	nd := net.Dialer{Control: d.Control}
	if d.LocalIP.IsValid() {
		nd.LocalAddr = &net.TCPAddr{IP: d.LocalIP.AsSlice()}
	}
	raw, err := nd.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &dialError{err}
	}
	conn := tls.Client(raw, d.config(c, to.Port(), alpn))
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, &dialError{fmt.Errorf("mTLS with %s: %w", addr, err)}
	}
	return conn, nil
}

func (d *Dialer) config(c *policy.Cluster, port uint16, alpn string) *tls.Config {
	host, _, _ := strings.Cut(c.Name, ":")
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: strconv.Itoa(int(port)) + "." + host,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return Certificate(d.SVID)
		},
		// The standard check is by DNS name, ours is by SPIFFE ID, below.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := Peer(s, d.Bundles)
			if err != nil {
				return err
			}
			if !slices.Contains(c.IDs, id.String()) {
				return fmt.Errorf("the endpoint is %s, which is none of the identities of %s", id, c.Name)
			}
			return nil
		},
	}
	if alpn != "" {
		cfg.NextProtos = []string{alpn}
	}
	return cfg
}

// Certificate is the workload's own certificate as crypto/tls wants it.
func Certificate(s x509svid.Source) (*tls.Certificate, error) {
	v, err := s.GetX509SVID()
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	out := &tls.Certificate{PrivateKey: v.PrivateKey, Leaf: v.Certificates[0]}
	for _, c := range v.Certificates {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, nil
}

// Peer verifies the other side's certificate against the roots of its own trust domain and says who it is.
func Peer(s tls.ConnectionState, bundles x509bundle.Source) (spiffeid.ID, error) {
	if len(s.PeerCertificates) == 0 {
		return spiffeid.ID{}, errors.New("the peer shows no certificate")
	}
	id, _, err := x509svid.Verify(s.PeerCertificates, bundles)
	return id, err
}
