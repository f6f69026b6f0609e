// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/anymesh/anymesh/webhook"
)

// answerer is the webhook that the API server asks what SMI objects are worth, and how they read in another version.
type answerer struct {
	url string // before the path
	ca  []byte
}

// answer serves the webhook until the context ends. The API server is on this machine, so that it needs no Service to find us.
func answer(ctx context.Context, log *slog.Logger) (*answerer, error) {
	cert, ca, err := selfSigned(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return nil, fmt.Errorf("certificate of the webhook: %w", err)
	}
	h, err := webhook.New(webhook.Options{})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("port of the webhook: %w", err)
	}
	s := &webhook.Server{Handler: h, Logger: log, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }}
	go func() {
		if err := s.Serve(ctx, l); err != nil {
			log.Error("kubectl is not told any more what is wrong with an object", "error", err)
		}
	}()
	return &answerer{"https://" + l.Addr().String(), ca}, nil
}

// at is where the API server finds a path.
func (a *answerer) at(path string) *string {
	url := a.url + path
	return &url
}

// selfSigned makes a certificate that vouches for itself, for as long as nobody runs a demo.
func selfSigned(ip net.IP) (cert *tls.Certificate, ca []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{Subject: pkix.Name{CommonName: "webhook"}, IPAddresses: []net.IP{ip}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
