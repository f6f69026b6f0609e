// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics/remote"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign makes NAME.crt and NAME.key.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	check(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(a.t, err)
	check(a.t, os.WriteFile(a.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(a.t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	made, err := x509.ParseCertificate(der)
	check(a.t, err)
	return made, key
}

// TestReal asks Prometheus itself, which wants a client certificate and a password over TLS, under a path.
func TestReal(t *testing.T) {
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus on the PATH (Debian's package of that name has it)")
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hits{code=\"200\"} 42\n") }))
	defer app.Close()
	a := newAuthority(t)
	a.sign("server", &x509.Certificate{DNSNames: []string{"prometheus.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	// The hash is of "secret".
	check(t, os.WriteFile(a.file("web.yml"), []byte("tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}\n"+
		"basic_auth_users: {me: $2a$04$zGXuhDKmetNcsWC8dh.MoOGgdV/L0ZbTVoA248DjIBNO0iKUIe4aa}\n"), 0o600))
	check(t, os.WriteFile(a.file("prometheus.yml"), fmt.Appendf(nil, "scrape_configs: [{job_name: app, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%q]}]}]\n",
		app.Listener.Addr()), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	address := l.Addr().String()
	l.Close()
	var log bytes.Buffer
	c := exec.Command(binary, "--config.file=prometheus.yml", "--web.config.file=web.yml", "--web.listen-address="+address, "--web.route-prefix=/deep/er", "--storage.tsdb.path="+a.file("data"))
	c.Dir, c.Stdout, c.Stderr = a.dir, &log, &log
	check(t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	defer func() {
		_ = c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	good := remote.Config{URL: "https://" + address + "/deep/er", CA: a.file("ca.crt"), Certificate: a.file("client.crt"), Key: a.file("client.key"),
		ServerName: "prometheus.example", User: "me", Password: "secret"}
	p := client(t, good)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		v, err := p.Query(t.Context(), "hits", time.Now())
		if len(v) == 1 {
			break
		}
		if len(ended) > 0 || time.Now().After(end) {
			t.Fatalf("it does not come up: %v", err)
		}
	}
	asks(t, p)
	fails(t, p, "sum(", "bad_data", "parse error")
	fails(t, p, "hits[1m]", "matrix")
	other := good
	other.ServerName = ""
	fails(t, client(t, other), "hits", address, "127.0.0.1")
	other = good
	other.CA = ""
	fails(t, client(t, other), "hits", "unknown authority")
	other.Insecure = true
	asks(t, client(t, other))
	other = good
	other.Certificate, other.Key = "", ""
	fails(t, client(t, other), "hits", address) // how it is told is a matter of who is quicker: TLS 1.3 refuses after the handshake
	other = good
	other.Password = "wrong"
	fails(t, client(t, other), "hits", "401 Unauthorized")
	front := httptest.NewServer(p)
	defer front.Close()
	res, err := front.Client().Get(front.URL + "/api/v1/query?query=" + "hits")
	check(t, err)
	defer res.Body.Close()
	var b strings.Builder
	check(t, res.Write(&b))
	if res.StatusCode != 200 || !strings.Contains(b.String(), `"42"`) {
		t.Errorf("%s", b.String())
	}
}
