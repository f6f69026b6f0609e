// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

var domain = spiffeid.RequireTrustDomainFromString("cluster.local")

// clock is a clock that a test turns by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newCA(t testing.TB, o Options) *CA {
	t.Helper()
	o.TrustDomain = domain
	c, err := NewCA(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func workload(t testing.TB, account string) spiffeid.ID {
	t.Helper()
	id, err := ID(domain.Name(), "shop", account)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func issue(t testing.TB, c *CA, id spiffeid.ID) *x509svid.SVID {
	t.Helper()
	svid, err := c.Issue(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return svid
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, template x509.CertificateRequest) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestIDAndParse(t *testing.T) {
	id, err := ID("cluster.local", "shop", "cart")
	if err != nil || id.String() != "spiffe://cluster.local/ns/shop/sa/cart" {
		t.Fatalf("ID = %v, %v", id, err)
	}
	namespace, account, err := Parse(id)
	if err != nil || namespace != "shop" || account != "cart" {
		t.Fatalf("Parse = %q, %q, %v", namespace, account, err)
	}
	for _, bad := range [][3]string{{"Upper", "a", "b"}, {"", "a", "b"}, {"td", "", "b"}, {"td", "a", ""}, {"td", "a/b", "c"}, {"td", "..", "c"}} {
		if id, err := ID(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("ID(%q) = %v, want an error", bad, id)
		}
	}
	for _, bad := range []string{"spiffe://td", "spiffe://td/ns/a/sa", "spiffe://td/ns/a/sb/b", "spiffe://td/ns/a/sa/b/c", "spiffe://td/n/ns/a/sa"} {
		if n, s, err := Parse(spiffeid.RequireFromString(bad)); err == nil {
			t.Errorf("Parse(%s) = %q, %q, want an error", bad, n, s)
		}
	}
}

func TestLeafAndRoot(t *testing.T) {
	now := time.Now()
	c := newCA(t, Options{Clock: func() time.Time { return now }})
	id := workload(t, "cart")
	svid := issue(t, c, id)
	if got, _, err := x509svid.Verify(svid.Certificates, c); err != nil || got != id {
		t.Fatalf("Verify = %v, %v", got, err)
	}
	leaf := svid.Certificates[0]
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 2 || len(leaf.DNSNames) != 0 {
		t.Errorf("leaf: CA %v, usage %v %v, DNS names %v", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage, leaf.DNSNames)
	}
	if !leaf.NotBefore.Equal(now.Add(-time.Minute).Truncate(time.Second)) || !leaf.NotAfter.Equal(now.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("leaf lives from %v to %v, now is %v", leaf.NotBefore, leaf.NotAfter, now)
	}
	root := c.Bundle().X509Authorities()[0]
	if !root.IsCA || root.MaxPathLen != 0 || !root.MaxPathLenZero || root.URIs[0].String() != "spiffe://cluster.local" {
		t.Errorf("root: CA %v, path length %d, URIs %v", root.IsCA, root.MaxPathLen, root.URIs)
	}
	for _, bad := range []string{"spiffe://cluster.local", "spiffe://other/ns/shop/sa/cart"} {
		if _, err := c.Issue(t.Context(), spiffeid.RequireFromString(bad)); err == nil {
			t.Errorf("an SVID was issued for %s", bad)
		}
	}
	if _, err := c.Issue(t.Context(), spiffeid.ID{}); err == nil {
		t.Error("an SVID was issued for nobody")
	}
	if _, err := c.GetX509BundleForTrustDomain(spiffeid.RequireTrustDomainFromString("other")); err == nil {
		t.Error("the CA has a bundle for another trust domain")
	}
}

func TestLeafNeverOutlivesRoot(t *testing.T) {
	now := &clock{now: time.Now()}
	c := newCA(t, Options{Clock: now.Now, RootTTL: 90 * time.Minute})
	now.advance(time.Hour)
	if leaf, root := issue(t, c, workload(t, "cart")).Certificates[0], c.Bundle().X509Authorities()[0]; !leaf.NotAfter.Equal(root.NotAfter) {
		t.Errorf("leaf ends at %v, root at %v", leaf.NotAfter, root.NotAfter)
	}
	now.advance(time.Hour)
	if _, err := c.Issue(t.Context(), workload(t, "cart")); err == nil {
		t.Error("an expired root signed")
	}
}

func TestSignTakesNothingButTheKey(t *testing.T) {
	c := newCA(t, Options{})
	id := workload(t, "cart")
	for _, uris := range [][]*url.URL{nil, {id.URL()}} {
		csr := request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "admin"}, URIs: uris})
		chain, err := c.Sign(csr, id)
		if err != nil {
			t.Fatal(err)
		}
		leaf := chain[0]
		if leaf.Subject.String() != "" || len(leaf.URIs) != 1 || leaf.URIs[0].String() != id.String() {
			t.Errorf("leaf: subject %q, URIs %v", leaf.Subject, leaf.URIs)
		}
		if !csr.PublicKey.(*ecdsa.PublicKey).Equal(leaf.PublicKey) {
			t.Error("the leaf has another key than the request")
		}
	}
}

func TestSignRefuses(t *testing.T) {
	c := newCA(t, Options{})
	id, other := workload(t, "cart"), workload(t, "admin")
	names := func(values ...asn1.RawValue) []pkix.Extension {
		der := must[[]byte](t)(asn1.Marshal(values))
		return []pkix.Extension{{Id: subjectAltName, Value: der}}
	}
	uri := asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(id.String())}
	authority := must[[]byte](t)(asn1.Marshal(struct{ CA bool }{true}))
	cases := map[string]x509.CertificateRequest{
		"other URI":       {URIs: []*url.URL{other.URL()}},
		"second URI":      {URIs: []*url.URL{id.URL(), other.URL()}},
		"same URI twice":  {URIs: []*url.URL{id.URL(), id.URL()}},
		"DNS name":        {URIs: []*url.URL{id.URL()}, DNSNames: []string{"api.example.com"}},
		"IP address":      {IPAddresses: []net.IP{{10, 0, 0, 1}}},
		"e-mail address":  {EmailAddresses: []string{"root@example.com"}},
		"registered name": {ExtraExtensions: names(uri, asn1.RawValue{Class: 2, Tag: 8, Bytes: []byte{42}})},
		"CA flag":         {ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: authority}}},
		"key usage":       {ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 1, 6}}}},
		"own extension":   {ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}},
	}
	for name, template := range cases {
		t.Run(name, func(t *testing.T) {
			if chain, err := c.Sign(request(t, template), id); err == nil {
				t.Fatalf("signed: URIs %v, DNS names %v", chain[0].URIs, chain[0].DNSNames)
			}
		})
	}
	t.Run("wrong signature", func(t *testing.T) {
		csr := request(t, x509.CertificateRequest{URIs: []*url.URL{id.URL()}})
		csr.PublicKey = newKey(t).Public()
		if _, err := c.Sign(csr, id); err == nil {
			t.Fatal("signed a key whose owner did not ask")
		}
	})
	t.Run("weak key", func(t *testing.T) {
		key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
		der := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
		csr := must[*x509.CertificateRequest](t)(x509.ParseCertificateRequest(der))
		if _, err := c.Sign(csr, id); err == nil {
			t.Fatal("signed a P-224 key")
		}
	})
	if _, err := c.Sign(nil, id); err == nil {
		t.Error("signed nothing at all")
	}
}

// FuzzSign: whatever is asked for, a signed leaf says the one name and can sign nothing.
func FuzzSign(f *testing.F) {
	c := newCA(f, Options{})
	id := workload(f, "cart")
	f.Add(request(f, x509.CertificateRequest{URIs: []*url.URL{id.URL()}}).Raw)
	f.Add(request(f, x509.CertificateRequest{DNSNames: []string{"a.example.com"}}).Raw)
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			return
		}
		chain, err := c.Sign(csr, id)
		if err != nil {
			return
		}
		got, _, err := x509svid.Verify(chain, c)
		if err != nil || got != id || chain[0].IsCA || len(chain[0].DNSNames)+len(chain[0].IPAddresses)+len(chain[0].EmailAddresses) > 0 {
			t.Fatalf("signed %v (%v) for %x", chain[0], err, der)
		}
	})
}

func TestTLSVersionAndNobody(t *testing.T) {
	c := newCA(t, Options{})
	source := must[*Source](t)(NewSource(t.Context(), c, workload(t, "cart"), SourceOptions{}))
	defer source.Close()
	for _, config := range []*tls.Config{ServerTLS(source, Member(domain)), ClientTLS(source, Member(domain))} {
		if config.MinVersion != tls.VersionTLS13 {
			t.Errorf("least version is %x", config.MinVersion)
		}
	}
	if !ServerTLS(source, Member(domain)).SessionTicketsDisabled {
		t.Error("the server hands out tickets, which skip the check of the client")
	}
	defer func() {
		if recover() == nil {
			t.Error("no authorization was taken for everybody")
		}
	}()
	ServerTLS(source, nil)
}

func BenchmarkIssue(b *testing.B) {
	c := newCA(b, Options{})
	id := workload(b, "cart")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Issue(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	c := newCA(b, Options{})
	id := workload(b, "cart")
	csr := request(b, x509.CertificateRequest{URIs: []*url.URL{id.URL()}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Sign(csr, id); err != nil {
			b.Fatal(err)
		}
	}
}
