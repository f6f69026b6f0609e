// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/up"
)

// knock makes an mTLS connection to the inbound port of catalog-v1 from an address, and asks for the products.
func (m *mesh) knock(from int, cert *tls.Certificate) (int, error) {
	d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(m.ip(from)), 0)), Timeout: patience}
	cfg := &tls.Config{ServerName: "8080.catalog-v1.shop.svc.cluster.local", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{DialContext: d.DialContext, TLSClientConfig: cfg}
	defer tr.CloseIdleConnections()
	code, _, err := get(&http.Client{Transport: tr, Timeout: patience}, fmt.Sprintf("https://%s:%d/products", m.ip(11), up.InboundPort))
	return code, err
}

// certificate is one of an account, signed by a CA.
func certificate(t testing.TB, ca *identity.CA, domain, account string) *tls.Certificate {
	t.Helper()
	id, err := identity.ID(domain, "shop", account)
	check(t, err)
	svid, err := ca.Issue(t.Context(), id)
	check(t, err)
	c := &tls.Certificate{PrivateKey: svid.PrivateKey}
	for _, x := range svid.Certificates {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c
}

// TestIntruder tells callers apart by their certificates: from one address, to one port.
func TestIntruder(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	foreign, err := identity.NewCA(identity.Options{TrustDomain: spiffeid.RequireTrustDomainFromString("evil.test")})
	check(t, err)
	false1, err := identity.NewCA(identity.Options{TrustDomain: spiffeid.RequireTrustDomainFromString("cluster.local")})
	check(t, err)
	for _, from := range []int{1, 66, 99} { // the address of web, of the intruder, and of nobody
		for account, want := range map[string]int{"web": http.StatusOK, "intruder": http.StatusForbidden, "catalog": http.StatusForbidden} {
			if code, err := m.knock(from, certificate(t, m.CA(), "cluster.local", account)); code != want || err != nil {
				t.Errorf("%s from %s: %d %v", account, m.ip(from), code, err)
			}
		}
		for name, cert := range map[string]*tls.Certificate{
			"no certificate": nil, "another trust domain": certificate(t, foreign, "evil.test", "web"), "another root": certificate(t, false1, "cluster.local", "web"),
		} {
			if code, err := m.knock(from, cert); !refused(err) {
				t.Errorf("%s from %s: %d %v", name, m.ip(from), code, err)
			}
		}
	}
	if code, body, err := get(m.client(66), products); code != http.StatusForbidden || err != nil {
		t.Errorf("the intruder through its own proxy: %d %q %v", code, body, err)
	}
}

// refused says whether a handshake was refused by the other side.
func refused(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error"
}

// TestAccount gives a pod another account, which decides alone.
func TestAccount(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	m.edit("pods.yaml", "serviceAccountName: intruder", "serviceAccountName: web")
	m.edit("pods.yaml", "serviceAccountName: web\n  containers: [{name: app, image: shop/web}]", "serviceAccountName: intruder\n  containers: [{name: app, image: shop/web}]")
	accounts := map[string]string{}
	for range 2 {
		j := <-m.joined
		check(t, j.err)
		accounts[j.Name.Name] = j.Identity.ServiceAccount
	}
	if accounts["web"] != "intruder" || accounts["intruder"] != "web" {
		t.Errorf("%v", accounts)
	}
	if !m.answers(m.client(1), products, http.StatusForbidden)() || !m.answers(m.client(66), products, http.StatusOK)() {
		t.Error("the accounts were changed, the verdicts were not")
	}
	// The account of the called: its permissions are those of the new one at once, and callers know whom to expect.
	m.edit("pods.yaml", "serviceAccountName: catalog\n  containers: [{name: app, image: shop/catalog:2", "serviceAccountName: open\n  containers: [{name: app, image: shop/catalog:2")
	check(t, (<-m.joined).err)
	c := m.client(1)
	until(t, "nobody names the account: it is open", func() bool {
		code, body, err := get(c, products, "x-user", "beta-1")
		check(t, err)
		return code == http.StatusOK && body == "v2"
	})
}

// TestRotation changes the mesh's root while requests pass.
func TestRotation(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	l := m.load(1, 2, products)
	l.more(t, 50)
	check(t, m.CA().Prepare())
	l.more(t, 50)
	check(t, m.CA().Activate())
	m.edit("pods.yaml", "serviceAccountName: intruder", "serviceAccountName: fresh") // signed by the new root
	check(t, (<-m.joined).err)
	if !m.answers(m.client(66), products, http.StatusForbidden)() {
		t.Error("who shows a certificate of the new root is known, and refused as who it is")
	}
	if err := m.CA().Retire(false); !errors.Is(err, identity.ErrInUse) {
		t.Errorf("certificates of the old root are alive: %v", err)
	}
	old := certificate(t, m.CA(), "cluster.local", "web")
	l.more(t, 50)
	l.none(t)
	check(t, m.CA().Retire(true))
	if code, err := m.knock(1, old); code != http.StatusOK || err != nil {
		t.Errorf("of the new root: %d %v", code, err)
	}
	deadline := time.Now().Add(near)
	c := m.client(1)
	for { // the proxies renew what the old root had signed
		if code, _, err := get(c, products); code == http.StatusOK && err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the mesh did not come back after its root was withdrawn")
		}
	}
}
