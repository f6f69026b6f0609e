// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

func TestRotationSteps(t *testing.T) {
	now := &clock{now: time.Now()}
	c := newCA(t, Options{Clock: now.Now})
	id := workload(t, "cart")
	before := issue(t, c, id)
	if err := c.Activate(); err == nil {
		t.Error("Activate without Prepare succeeded")
	}
	if err := c.Retire(true); err == nil {
		t.Error("Retire without Activate succeeded")
	}

	changed := c.Changed()
	step(t, c.Prepare, nil)
	select {
	case <-changed:
	default:
		t.Error("Prepare did not announce the new bundle")
	}
	step(t, c.Prepare, errAny)
	if got := len(c.Bundle().X509Authorities()); got != 2 {
		t.Fatalf("%d roots after Prepare, want 2", got)
	}
	if got := issue(t, c, id).Certificates[0]; string(got.AuthorityKeyId) != string(before.Certificates[0].AuthorityKeyId) {
		t.Error("the prepared root signed before Activate")
	}

	step(t, c.Activate, nil)
	after := issue(t, c, id)
	if string(after.Certificates[0].AuthorityKeyId) == string(before.Certificates[0].AuthorityKeyId) {
		t.Error("the old root signed after Activate")
	}
	verify(t, c, before, true)
	verify(t, c, after, true)
	step(t, func() error { return c.Retire(false) }, ErrInUse)
	now.advance(time.Hour)
	step(t, func() error { return c.Retire(false) }, nil)
	verify(t, c, before, false)
	verify(t, c, after, true)

	step(t, c.Prepare, nil)
	step(t, c.Activate, nil)
	step(t, func() error { return c.Retire(true) }, nil)
	verify(t, c, after, false)
}

var errAny = errors.New("any error")

func step(t *testing.T, f func() error, want error) {
	t.Helper()
	err := f()
	if want == errAny && err != nil {
		return
	}
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func verify(t *testing.T, c *CA, svid *x509svid.SVID, want bool) {
	t.Helper()
	// As of its beginning: the question here is the root, not the hour.
	_, _, err := x509svid.Verify(svid.Certificates, c, x509svid.WithTime(svid.Certificates[0].NotBefore))
	if (err == nil) != want {
		t.Errorf("trusted = %v (%v), want %v", err == nil, err, want)
	}
}

func TestDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	now := &clock{now: time.Now()}
	o := Options{Dir: dir, Clock: now.Now, TTL: 2 * time.Hour}
	first := newCA(t, o)
	svid := issue(t, first, workload(t, "cart"))
	step(t, first.Prepare, nil)
	second := newCA(t, o)
	verify(t, second, svid, true)
	if !second.Bundle().Equal(first.Bundle()) {
		t.Fatal("the bundle changed by a restart")
	}
	step(t, second.Activate, nil)
	// A shorter life does not let a restarted CA forget the SVIDs that live longer.
	third := newCA(t, Options{Dir: dir, Clock: now.Now, TTL: time.Hour})
	now.advance(time.Hour)
	step(t, func() error { return third.Retire(false) }, ErrInUse)
	verify(t, third, svid, true)
	if data := must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileName))); strings.Count(string(data), `"key"`) != 1 {
		t.Error("the old root's key is still on disk")
	}
	now.advance(time.Hour)
	step(t, func() error { return third.Retire(false) }, nil)
	verify(t, newCA(t, o), svid, false)
	if left := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) != 1 {
		t.Errorf("the folder holds %v, want %s alone", left, fileName)
	}
}

func TestDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	newCA(t, Options{Dir: dir})
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %04o, want 0600", info.Mode().Perm())
	}
	refused := func(why string, td string) {
		t.Helper()
		if _, err := NewCA(Options{TrustDomain: spiffeid.RequireTrustDomainFromString(td), Dir: dir}); err == nil {
			t.Errorf("%s: opened", why)
		}
	}
	chmod := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	refused("another trust domain", "other")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		chmod(path, mode)
		refused(fmt.Sprintf("mode %04o", mode), domain.Name())
	}
	chmod(path, 0o600)
	chmod(dir, 0o777)
	refused("a folder all may write to", domain.Name())
	chmod(dir, 0o700)
	data := must[[]byte](t)(os.ReadFile(path))
	for _, bad := range []string{"", "{}", `{"trustDomain":"cluster.local"}`, string(data[:len(data)/2]), strings.Replace(string(data), `"key": "`, `"key": "AAAA`, 1)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		refused("damaged file", domain.Name())
	}
}

// serve answers every TLS connection with one byte until the test ends.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	l := must[net.Listener](t)(tls.Listen("tcp", "127.0.0.1:0", config))
	var open sync.WaitGroup
	t.Cleanup(func() { l.Close(); open.Wait() })
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				// A refused handshake is the client's to report.
				_, _ = conn.Write([]byte{1})
			})
		}
	})
	return l.Addr().String()
}

// call makes a connection and waits for the answer: in TLS 1.3 a server's refusal comes only then.
func call(ctx context.Context, address string, config *tls.Config) (tls.ConnectionState, error) {
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	_, err = io.ReadFull(conn, make([]byte, 1))
	return conn.(*tls.Conn).ConnectionState(), err
}

// TestNoHandshakeFailsWhileRotating makes connection after connection while SVIDs live two seconds and the root is
// replaced under them.
func TestNoHandshakeFailsWhileRotating(t *testing.T) {
	c := newCA(t, Options{TTL: 2 * time.Second})
	quick := SourceOptions{RetryMin: 50 * time.Millisecond}
	server := must[*Source](t)(NewSource(t.Context(), c, workload(t, "cart"), quick))
	client := must[*Source](t)(NewSource(t.Context(), c, workload(t, "web"), quick))
	defer server.Close()
	defer client.Close()
	address := serve(t, ServerTLS(server, Only(client.ID())))
	config := ClientTLS(client, Only(server.ID()))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serials := map[string]bool{}
	made := 0
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			state, err := call(ctx, address, config)
			if err != nil {
				t.Fatalf("until %s: handshake %d failed: %v", what, made, err)
			}
			serials[state.PeerCertificates[0].SerialNumber.String()] = true
			made++
		}
	}
	until("three SVIDs were seen", func() bool { return len(serials) >= 3 })
	step(t, c.Prepare, nil)
	seen := len(serials)
	until("an SVID was renewed with the next root published", func() bool { return len(serials) > seen })
	step(t, c.Activate, nil)
	until("the old root could retire", func() bool { return !errors.Is(c.Retire(false), ErrInUse) })
	seen = len(serials)
	until("an SVID was renewed with the old root gone", func() bool { return len(serials) > seen })
	if got := len(c.Bundle().X509Authorities()); got != 1 {
		t.Errorf("%d roots at the end, want 1", got)
	}
	t.Logf("%d handshakes, %d server SVIDs, no failure", made, len(serials))
}

func TestHandshakeRefused(t *testing.T) {
	now := &clock{now: time.Now()}
	c := newCA(t, Options{Clock: now.Now})
	cart, web := workload(t, "cart"), workload(t, "web")
	source := func(a Authority, id spiffeid.ID) *Source {
		s := must[*Source](t)(NewSource(t.Context(), a, id, SourceOptions{}))
		t.Cleanup(s.Close)
		return s
	}
	server, client := source(c, cart), source(c, web)
	address := serve(t, ServerTLS(server, Only(web)))
	good := ClientTLS(client, Only(cart))
	if _, err := call(t.Context(), address, good); err != nil {
		t.Fatal(err)
	}
	now.advance(-2 * time.Hour)
	expired := proof{issue(t, c, web), c}
	forged := proof{issue(t, newCA(t, Options{}), web), c}
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, config := range map[string]*tls.Config{
		"another client":         ClientTLS(source(c, workload(t, "evil")), Only(cart)),
		"another server":         ClientTLS(client, Only(web)),
		"expired":                ClientTLS(expired, Only(cart)),
		"forged by another root": ClientTLS(forged, Only(cart)),
		"TLS 1.2":                old,
		"no certificate":         {InsecureSkipVerify: true},
	} {
		if _, err := call(t.Context(), address, config); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
}

// proof is an SVID as it is, with nobody to renew it.
type proof struct {
	*x509svid.SVID
	*CA
}

// strike is an authority that can refuse to work.
type strike struct {
	*CA
	on    atomic.Bool
	asked atomic.Int32
}

func (s *strike) Issue(ctx context.Context, id spiffeid.ID) (*x509svid.SVID, error) {
	s.asked.Add(1)
	if s.on.Load() {
		return nil, errors.New("the authority is on strike")
	}
	return s.CA.Issue(ctx, id)
}

func TestSourceKeepsItsSVIDWhenRenewalFails(t *testing.T) {
	a := &strike{CA: newCA(t, Options{TTL: 3 * time.Second})}
	s := must[*Source](t)(NewSource(t.Context(), a, workload(t, "cart"), SourceOptions{RetryMin: 20 * time.Millisecond, RetryMax: 50 * time.Millisecond}))
	defer s.Close()
	a.on.Store(true)
	first := must[*x509svid.SVID](t)(s.GetX509SVID())
	deadline := time.Now().Add(20 * time.Second)
	for a.asked.Load() < 4 { // the first, and three in vain
		if time.Now().After(deadline) {
			t.Fatal("no renewal was tried")
		}
		if kept, err := s.GetX509SVID(); err == nil && kept != first {
			t.Fatal("the SVID was lost")
		}
		time.Sleep(time.Millisecond)
	}
	var err error
	for err == nil {
		if time.Now().After(deadline) {
			t.Fatal("an expired SVID is still handed out")
		}
		_, err = s.GetX509SVID()
	}
	if !strings.Contains(err.Error(), "on strike") {
		t.Errorf("the error does not say why: %v", err)
	}
	changed := s.Changed()
	a.on.Store(false)
	wait(t, changed)
	if again := must[*x509svid.SVID](t)(s.GetX509SVID()); again == first {
		t.Error("the SVID was not renewed")
	}
}

func TestSourceRenewsAtOnceWhenItsRootIsWithdrawn(t *testing.T) {
	c := newCA(t, Options{})
	s := must[*Source](t)(NewSource(t.Context(), c, workload(t, "cart"), SourceOptions{}))
	defer s.Close()
	changed := s.Changed()
	step(t, c.Prepare, nil)
	step(t, c.Activate, nil)
	step(t, func() error { return c.Retire(true) }, nil)
	wait(t, changed)
	verify(t, c, must[*x509svid.SVID](t)(s.GetX509SVID()), true)
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("waited in vain")
	}
}

func TestSources(t *testing.T) {
	a := &strike{CA: newCA(t, Options{})}
	all := NewSources(t.Context(), a, SourceOptions{})
	defer all.Close()
	id := workload(t, "cart")
	a.on.Store(true)
	if _, err := all.For(id); err == nil {
		t.Fatal("a source came of nothing")
	}
	a.on.Store(false)
	asked := a.asked.Load()
	var group sync.WaitGroup
	got := make([]*Source, 8)
	for i := range got {
		group.Go(func() {
			if s, err := all.For(id); err == nil {
				got[i] = s
			}
		})
	}
	group.Wait()
	for _, s := range got {
		if s == nil || s != got[0] {
			t.Fatalf("sources differ: %v", got)
		}
	}
	if n := a.asked.Load() - asked; n != 1 {
		t.Errorf("%d SVIDs for one identity", n)
	}
	all.Drop(id)
	if s := must[*Source](t)(all.For(id)); s == got[0] {
		t.Error("a dropped source came back")
	}
}
