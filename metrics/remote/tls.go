// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

// transport carries requests as the configuration says.
func (c *Config) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16 // an answer's questions go at once
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.Insecure}
	if c.CA != "" {
		if c.Insecure {
			return nil, fmt.Errorf("a CA and a certificate that is not looked at: one of them is meant")
		}
		pool, err := c.pool()
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if c.Certificate != "" {
		if _, err := c.pair(); err != nil {
			return nil, err
		}
		t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.pair() }
	}
	return t, nil
}

func (c *Config) pool() (*x509.CertPool, error) {
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("the CA of Prometheus: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the CA of Prometheus: %s holds no certificate", c.CA)
	}
	return pool, nil
}

// pair reads the client certificate, for each connection anew.
func (c *Config) pair() (*tls.Certificate, error) {
	p, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("the client certificate for Prometheus: %w", err)
	}
	return &p, nil
}
