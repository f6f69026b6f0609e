// SPDX-License-Identifier: Apache-2.0

// Package pki makes the keys of a cluster on one machine: an authority for everybody, one for the aggregation layer, and who speaks for them.
// They live for as long as the folder they are in, so that a cluster which is started again is the same cluster to its clients.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// life of every certificate: longer than anybody keeps such a cluster.
const life = 5 * 365 * 24 * time.Hour

// Folder holds the files of one cluster; each is a PEM file.
type Folder string

// CA signs the API server and its clients; FrontCA signs who may speak for others to an aggregated API server.
func (f Folder) CA() string      { return f.file("ca.crt") }
func (f Folder) FrontCA() string { return f.file("front-ca.crt") }

// Cert and Key are those of one of the parties: Server, Admin, Front, Kubelet.
func (f Folder) Cert(party string) string { return f.file(party + ".crt") }
func (f Folder) Key(party string) string  { return f.file(party + ".key") }

// Tokens is the key that signs the tokens of service accounts.
func (f Folder) Tokens() string { return f.file("tokens.key") }

func (f Folder) file(name string) string { return filepath.Join(string(f), name) }

// The parties of a cluster. Admin is in the group system:masters; Front is the API server when it asks an aggregated one; Kubelet is the
// API server when it asks a node, and the node when it answers.
const (
	Server  = "apiserver"
	Admin   = "admin"
	Front   = "front-proxy"
	Kubelet = "kubelet"
)

// Open makes the keys in a folder, or finds those that it made before. The API server's certificate holds the addresses besides its names.
func Open(dir string, addresses ...net.IP) (Folder, error) {
	if _, err := os.Stat(dir); err == nil {
		return Folder(dir), nil
	}
	fresh := dir + ".new" // becomes dir when whole
	if err := os.RemoveAll(fresh); err != nil {
		return "", fmt.Errorf("keys that were left half made: %w", err)
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return "", fmt.Errorf("folder of the keys: %w", err)
	}
	if err := write(Folder(fresh), addresses); err != nil {
		return "", fmt.Errorf("keys in %s: %w", dir, err)
	}
	return Folder(dir), os.Rename(fresh, dir)
}

func write(f Folder, addresses []net.IP) error {
	ca, err := newAuthority(f.CA(), "cluster")
	if err != nil {
		return err
	}
	front, err := newAuthority(f.FrontCA(), "front-proxy")
	if err != nil {
		return err
	}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	for _, p := range []struct {
		by    *authority
		party string
		leaf  x509.Certificate
	}{
		{ca, Server, x509.Certificate{Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: names, IPAddresses: addresses, ExtKeyUsage: serves}},
		{ca, Admin, x509.Certificate{Subject: pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, ExtKeyUsage: asks}},
		{ca, Kubelet, x509.Certificate{Subject: pkix.Name{CommonName: "kubelet"}, IPAddresses: addresses, ExtKeyUsage: append(serves, asks...)}},
		{front, Front, x509.Certificate{Subject: pkix.Name{CommonName: "front-proxy"}, ExtKeyUsage: asks}},
	} {
		if err := p.by.issue(f, p.party, &p.leaf); err != nil {
			return err
		}
	}
	_, err = newKey(f.Tokens())
	return err
}

var (
	serves = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	asks   = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

// authority signs. Its own key is not kept: nobody is signed later.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(path, name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := sign(t, t, key, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, writePEM(path, "CERTIFICATE", der)
}

func (a *authority) issue(f Folder, party string, leaf *x509.Certificate) error {
	key, err := newKey(f.Key(party))
	if err != nil {
		return err
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := sign(leaf, a.cert, key, a.key)
	if err != nil {
		return err
	}
	return writePEM(f.Cert(party), "CERTIFICATE", der)
}

// sign makes a certificate for a key, signed by another.
func sign(t, parent *x509.Certificate, key, by *ecdsa.PrivateKey) ([]byte, error) {
	t.NotBefore = time.Now().Add(-time.Hour)
	t.NotAfter = t.NotBefore.Add(life)
	return x509.CreateCertificate(rand.Reader, t, parent, key.Public(), by) // which also chooses the serial number
}

func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(path, "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
