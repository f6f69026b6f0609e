// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The keys of the Secret. Those that signers need are beside those that everybody knows.
const (
	bundleKey     = "ca.crt" // all authorities that are to be known
	certKey       = "tls.crt"
	keyKey        = "tls.key"
	activeKey     = "ca.key"
	activeCertKey = "active.crt"
	nextKey       = "next.key"
	nextCertKey   = "next.crt"
	oldCertKey    = "old.crt"
	oldUntilKey   = "old.until"
)

// authority signs serving certificates. One that is old has no key any more.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// state is what the Secret says.
type state struct {
	active *authority // signs
	next   *authority // known, and does not sign yet; nil outside of a rotation
	old    *authority // known, and signs no more; nil outside of a rotation
	until  time.Time  // how long old is known
	leaf   *tls.Certificate
}

// terms are how long things last.
type terms struct {
	authority time.Duration // life of an authority
	leaf      time.Duration // life of a serving certificate
	overlap   time.Duration // for which an authority is known before it signs, and after
	names     []string      // DNS names of the service, the first its own
}

// step is the state that should follow, and why; the same state where nothing is due. Known says whether the API server has been given
// every authority of the state.
func (s *state) step(t terms, now time.Time, known bool) (next *state, why string, err error) {
	n := &state{}
	if s != nil {
		*n = *s
	}
	var reasons []string
	if n.active != nil && n.next != nil && now.After(n.active.cert.NotAfter) {
		n.active, n.next, n.old, n.leaf = n.next, nil, nil, nil
		reasons = append(reasons, "the next authority signs, since the active one ended before it was known everywhere")
	}
	if n.active == nil || now.After(n.active.cert.NotAfter) {
		// There is nothing to overlap with: what nobody can prove any more may as well go at once.
		if n.active, err = newAuthority(t, now); err != nil {
			return nil, "", err
		}
		n.next, n.old, n.leaf = nil, nil, nil
		reasons = append(reasons, "a new authority")
	}
	switch {
	case n.next != nil && known && now.Sub(n.next.cert.NotBefore) > skew+t.overlap:
		n.old, n.active, n.next, n.leaf = &authority{cert: n.active.cert}, n.next, nil, nil
		n.until = now.Add(t.overlap)
		reasons = append(reasons, "the next authority signs")
	case n.next == nil && n.old == nil && due(n.active.cert, now):
		if n.next, err = newAuthority(t, now); err != nil {
			return nil, "", err
		}
		reasons = append(reasons, "the next authority is made known")
	}
	if n.old != nil && now.After(n.until) {
		n.old = nil
		reasons = append(reasons, "the old authority goes")
	}
	if !n.good(t, now) {
		if n.leaf, err = n.active.issue(t, now); err != nil {
			return nil, "", err
		}
		reasons = append(reasons, "a new serving certificate")
	}
	if len(reasons) == 0 {
		return s, "", nil
	}
	return n, strings.Join(reasons, ", "), nil
}

// good says whether the serving certificate will do for a while: it is the active authority's, for our names, and not near its end.
func (s *state) good(t terms, now time.Time) bool {
	if s.leaf == nil || due(s.leaf.Leaf, now) || s.leaf.Leaf.CheckSignatureFrom(s.active.cert) != nil {
		return false
	}
	return slices.Equal(s.leaf.Leaf.DNSNames, t.names)
}

// due says whether two thirds of a certificate's life are over.
func due(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3))
}

// bundle is what the API server is to know.
func (s *state) bundle() []byte {
	var out []byte
	for _, a := range []*authority{s.active, s.next, s.old} {
		if a != nil {
			out = append(out, encodeCert(a.cert.Raw)...)
		}
	}
	return out
}

// data is the Secret's.
func (s *state) data() (map[string][]byte, error) {
	out := map[string][]byte{bundleKey: s.bundle(), activeCertKey: encodeCert(s.active.cert.Raw)}
	var err error
	if out[activeKey], err = encodeKey(s.active.key); err != nil {
		return nil, err
	}
	if s.next != nil {
		out[nextCertKey] = encodeCert(s.next.cert.Raw)
		if out[nextKey], err = encodeKey(s.next.key); err != nil {
			return nil, err
		}
	}
	if s.old != nil {
		out[oldCertKey] = encodeCert(s.old.cert.Raw)
		out[oldUntilKey] = []byte(s.until.Format(time.RFC3339Nano))
	}
	for _, c := range s.leaf.Certificate {
		out[certKey] = append(out[certKey], encodeCert(c)...)
	}
	signer, ok := s.leaf.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot be kept", s.leaf.PrivateKey)
	}
	out[keyKey], err = encodeKey(signer)
	return out, err
}

// read reads the Secret's data; nil where there is none.
func read(data map[string][]byte) (*state, error) {
	if len(data) == 0 {
		return nil, nil
	}
	s := &state{}
	var err error
	if s.active, err = readAuthority(data[activeCertKey], data[activeKey]); err != nil {
		return nil, fmt.Errorf("the active authority: %w", err)
	}
	if len(data[nextCertKey]) > 0 {
		if s.next, err = readAuthority(data[nextCertKey], data[nextKey]); err != nil {
			return nil, fmt.Errorf("the next authority: %w", err)
		}
	}
	if len(data[oldCertKey]) > 0 {
		cert, err := decodeCert(data[oldCertKey])
		if err != nil {
			return nil, fmt.Errorf("the old authority: %w", err)
		}
		s.old = &authority{cert: cert}
		if s.until, err = time.Parse(time.RFC3339Nano, string(data[oldUntilKey])); err != nil {
			return nil, fmt.Errorf("the old authority: %w", err)
		}
	}
	leaf, err := tls.X509KeyPair(data[certKey], data[keyKey])
	if err != nil {
		return nil, fmt.Errorf("the serving certificate: %w", err)
	}
	s.leaf = &leaf
	return s, nil
}

func readAuthority(cert, key []byte) (*authority, error) {
	c, err := decodeCert(cert)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", k)
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.PublicKey) {
		return nil, errors.New("the key is not that of the certificate")
	}
	return &authority{c, signer}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func decodeCert(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// knows says whether a bundle has every authority of the state.
func (s *state) knows(bundle []byte) bool {
	for _, a := range []*authority{s.active, s.next, s.old} {
		if a != nil && !bytes.Contains(bundle, encodeCert(a.cert.Raw)) {
			return false
		}
	}
	return true
}
