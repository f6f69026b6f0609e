// SPDX-License-Identifier: Apache-2.0

package issue_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/identity/issue/api"
)

const patience = 30 * time.Second

var (
	domain = spiffeid.RequireTrustDomainFromString("cluster.local")
	plane  = spiffeid.RequireFromString("spiffe://cluster.local/ns/anymesh-system/sa/control-plane")
	web    = spiffeid.RequireFromString("spiffe://cluster.local/ns/shop/sa/web")
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names is an attestor that believes whatever name is shown.
type names struct{}

func (names) Attest(_ context.Context, e issue.Evidence) (spiffeid.ID, error) {
	switch string(e.Proof) {
	case "away":
		return spiffeid.ID{}, fmt.Errorf("%w: it sleeps", issue.ErrAway)
	case "":
		return spiffeid.ID{}, errors.New("nobody")
	}
	return spiffeid.FromString(string(e.Proof))
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// site is a certificate service on a port and on a socket.
type site struct {
	ca              *identity.CA
	address, socket string
	users           string
	log             buffer
}

func serve(t testing.TB) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "issue") // short: a socket's path is
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{socket: filepath.Join(dir, "s"), users: filepath.Join(dir, "users")}
	s.ca, err = identity.NewCA(identity.Options{TrustDomain: domain})
	check(t, err)
	own, err := identity.NewSource(t.Context(), s.ca, plane, identity.SourceOptions{})
	check(t, err)
	server := issue.NewServer(issue.Options{Signer: s.ca, Reserved: []spiffeid.ID{plane}, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
		Attestors: map[string]issue.Attestor{"names": names{}, issue.Unix: issue.Users{File: s.users, Domain: domain}},
		Peer: func(ctx context.Context) (spiffeid.ID, error) {
			p, _ := peer.FromContext(ctx)
			info, ok := p.AuthInfo.(credentials.TLSInfo)
			if !ok || len(info.State.PeerCertificates) == 0 {
				return spiffeid.ID{}, errors.New("no certificate was shown")
			}
			return x509svid.IDFromCert(info.State.PeerCertificates[0])
		},
		Describe: func(_ context.Context, who spiffeid.ID, namespace, pod string) (*api.Workload, error) {
			return &api.Workload{Namespace: namespace, Name: pod + " of " + who.Path()}, nil
		}})
	for _, x := range []struct {
		network, at string
		creds       credentials.TransportCredentials
	}{{"tcp", "127.0.0.1:0", credentials.NewTLS(identity.OpenTLS(own, identity.Member(domain)))}, {"unix", s.socket, issue.UnixCredentials()}} {
		l, err := net.Listen(x.network, x.at)
		check(t, err)
		if x.network == "tcp" {
			s.address = l.Addr().String()
		}
		g := grpc.NewServer(grpc.Creds(x.creds))
		server.Register(t.Context(), g)
		go g.Serve(l)
		t.Cleanup(g.Stop)
	}
	return s
}

// client asks by a name.
func (s *site) client(name string, change ...func(*issue.ClientOptions)) *issue.Client {
	o := issue.ClientOptions{Address: s.address, Server: plane, Prover: issue.Show{Attestor: "names", What: func() ([]byte, error) { return []byte(name), nil }},
		Roots: func() (*x509bundle.Bundle, error) { return s.ca.Bundle(), nil }}
	for _, f := range change {
		f(&o)
	}
	return issue.NewClient(o)
}

func code(err error) codes.Code {
	for ; err != nil; err = errors.Unwrap(err) {
		if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
			return s.GRPCStatus().Code()
		}
	}
	return codes.OK
}

func TestIssue(t *testing.T) {
	s := serve(t)
	c := s.client(web.String())
	for _, id := range []spiffeid.ID{{}, web} { // learned, and known before
		svid, err := c.Issue(t.Context(), id)
		check(t, err)
		if svid.ID != web || time.Until(svid.Certificates[0].NotAfter) > time.Hour {
			t.Errorf("%s until %s", svid.ID, svid.Certificates[0].NotAfter)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "certificate signed") || !strings.Contains(log, "identity="+web.String()) || !strings.Contains(log, "from=127.0.0.1") {
		t.Errorf("the log says %s", log)
	}
}

// TestRefused asks for what is not to be had.
func TestRefused(t *testing.T) {
	s := serve(t)
	other := spiffeid.RequireFromString("spiffe://cluster.local/ns/shop/sa/catalog")
	for what, x := range map[string]struct {
		proof string
		ask   spiffeid.ID
		want  codes.Code
	}{
		"another's name in the request":  {web.String(), other, codes.PermissionDenied},
		"nobody":                         {"", spiffeid.ID{}, codes.PermissionDenied},
		"the control plane's own":        {plane.String(), spiffeid.ID{}, codes.PermissionDenied},
		"another trust domain":           {"spiffe://evil.test/ns/shop/sa/web", spiffeid.ID{}, codes.PermissionDenied},
		"a trust domain and no workload": {"spiffe://cluster.local", spiffeid.ID{}, codes.PermissionDenied},
		"a judge who is away":            {"away", spiffeid.ID{}, codes.Unavailable},
	} {
		if svid, err := s.client(x.proof).Issue(t.Context(), x.ask); code(err) != x.want {
			t.Errorf("%s: %v %v", what, svid, err)
		}
	}
	_, err := s.client("x", func(o *issue.ClientOptions) { o.Prover = issue.Show{Attestor: "guess"} }).Issue(t.Context(), web)
	if code(err) != codes.InvalidArgument {
		t.Errorf("an attestor that is not there: %v", err)
	}
	if strings.Contains(s.log.String(), "certificate signed") || !strings.Contains(s.log.String(), "certificate refused") {
		t.Errorf("the log says %s", s.log.String())
	}
}

// TestImpostor answers in the control plane's place.
func TestImpostor(t *testing.T) {
	s, foreign := serve(t), serve(t)
	if _, err := s.client(web.String(), func(o *issue.ClientOptions) { o.Address = foreign.address }).Issue(t.Context(), web); err == nil {
		t.Error("the SVID of a control plane with other roots was taken")
	}
	if _, err := s.client(web.String(), func(o *issue.ClientOptions) { o.Server = web }).Issue(t.Context(), web); err == nil {
		t.Error("a control plane of another name was asked")
	}
	if strings.Contains(foreign.log.String(), "certificate") {
		t.Errorf("the impostor was shown a proof: %s", foreign.log.String())
	}
}

// TestRequest sends what no client of ours would.
func TestRequest(t *testing.T) {
	s := serve(t)
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(identity.AuthTLS(s.ca, identity.Only(plane)))))
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	c := api.NewCertificatesClient(conn)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	make := func(template *x509.CertificateRequest) []byte {
		csr, err := x509.CreateCertificateRequest(rand.Reader, template, k)
		check(t, err)
		return csr
	}
	forged := make(&x509.CertificateRequest{})
	forged[len(forged)-1] ^= 1
	for what, csr := range map[string][]byte{
		"nothing": nil, "noise": []byte("noise"), "forged": forged, "huge": bytes.Repeat([]byte{0x30}, 1<<20),
		"a host's name too": make(&x509.CertificateRequest{URIs: []*url.URL{web.URL()}, DNSNames: []string{"web.shop"}}),
		"two names":         make(&x509.CertificateRequest{URIs: []*url.URL{web.URL(), plane.URL()}}),
	} {
		if r, err := c.Sign(t.Context(), &api.SignRequest{Attestor: "names", Proof: []byte(web.String()), Csr: csr}); err == nil {
			t.Errorf("%s: signed %v", what, r)
		}
	}
	if g, err := c.Follow(t.Context(), &api.FollowRequest{}); err == nil {
		if _, err = g.Recv(); code(err) != codes.Unauthenticated {
			t.Errorf("bundles for who shows no SVID: %v", err)
		}
	}
	if w, err := c.Describe(t.Context(), &api.DescribeRequest{Namespace: "shop", Pod: "web-1"}); code(err) != codes.Unauthenticated {
		t.Errorf("%v %v", w, err)
	}
}

func TestTooOften(t *testing.T) {
	s := serve(t)
	c := s.client("") // refused each time
	for n := 1; ; n++ {
		_, err := c.Issue(t.Context(), web)
		if code(err) == codes.ResourceExhausted {
			t.Logf("held up at question %d", n)
			return
		}
		if n > 10000 {
			t.Fatal("nobody is held up")
		}
	}
}

// TestFollow renews over a rotation of the root, without a moment in which a peer's proof is not believed.
func TestFollow(t *testing.T) {
	s := serve(t)
	c := s.client(web.String())
	src, err := identity.NewSource(t.Context(), c, web, identity.SourceOptions{})
	check(t, err)
	defer src.Close()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(identity.ClientTLS(src, identity.Only(plane)))))
	check(t, err)
	defer conn.Close()
	ctx, stop := context.WithCancel(t.Context())
	var followed sync.WaitGroup
	followed.Go(func() { c.Follow(ctx, conn) })
	defer followed.Wait()
	defer stop()
	roots := func(n int) {
		t.Helper()
		deadline := time.After(patience)
		for {
			changed := c.Changed()
			b, err := c.GetX509BundleForTrustDomain(domain)
			check(t, err)
			if len(b.X509Authorities()) == n {
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("%d roots, not %d", len(b.X509Authorities()), n)
			}
		}
	}
	first, err := src.GetX509SVID()
	check(t, err)
	check(t, s.ca.Prepare())
	roots(2)
	check(t, s.ca.Activate())
	renewed := src.Changed()
	check(t, s.ca.Retire(true)) // what the old root signed is worth nothing any more
	roots(1)
	select {
	case <-renewed:
	case <-time.After(patience):
		t.Fatal("the SVID was not renewed when its root was withdrawn")
	}
	now, err := src.GetX509SVID()
	check(t, err)
	if now.Certificates[0].Equal(first.Certificates[0]) {
		t.Error("the SVID is the old one")
	}
	if _, _, err := x509svid.Verify(now.Certificates, s.ca); err != nil {
		t.Error(err)
	}
	w, err := issue.Describe(t.Context(), conn, "shop", "web-1")
	check(t, err)
	if w.GetName() != "web-1 of /ns/shop/sa/web" {
		t.Errorf("%v", w)
	}
}

// TestRootsAnew was away through a whole rotation: what was learned proves the control plane no more, the roots of the file do.
func TestRootsAnew(t *testing.T) {
	s := serve(t)
	c := s.client(web.String())
	_, err := c.Issue(t.Context(), web)
	check(t, err)
	check(t, s.ca.Prepare())
	check(t, s.ca.Activate())
	check(t, s.ca.Retire(true))
	for end := time.Now().Add(patience); ; { // the server's own SVID is renewed meanwhile
		if _, err = c.Issue(t.Context(), web); err == nil {
			return
		}
		if time.Now().After(end) || code(err) != codes.Unavailable && code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestUnix(t *testing.T) {
	s := serve(t)
	bySocket := s.client("", func(o *issue.ClientOptions) {
		o.Socket, o.Prover, o.Roots = s.socket, issue.Show{Attestor: issue.Unix}, nil
	})
	write := func(text string) { t.Helper(); check(t, os.WriteFile(s.users, []byte(text), 0o600)) }
	if _, err := bySocket.Issue(t.Context(), spiffeid.ID{}); code(err) != codes.Unavailable {
		t.Errorf("without a file: %v", err)
	}
	write("# users\n4294967 shop/nobody\n")
	if _, err := bySocket.Issue(t.Context(), spiffeid.ID{}); code(err) != codes.PermissionDenied {
		t.Errorf("a user without a line: %v", err)
	}
	write(fmt.Sprintf("4294967 shop/nobody\n%d shop/web # me\n", os.Getuid()))
	svid, err := bySocket.Issue(t.Context(), spiffeid.ID{})
	check(t, err)
	if svid.ID != web {
		t.Error(svid.ID)
	}
	check(t, os.Chmod(s.users, 0o666))
	if _, err := bySocket.Issue(t.Context(), spiffeid.ID{}); code(err) != codes.Unavailable {
		t.Errorf("a file that everybody may write: %v", err)
	}
	over := s.client("", func(o *issue.ClientOptions) { o.Prover = issue.Show{Attestor: issue.Unix} })
	if _, err := over.Issue(t.Context(), spiffeid.ID{}); code(err) != codes.PermissionDenied {
		t.Errorf("the attestor unix over TCP: %v", err)
	}
}
