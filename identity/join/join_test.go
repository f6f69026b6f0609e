// SPDX-License-Identifier: Apache-2.0

package join_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/identity/join"
)

var catalog = spiffeid.RequireFromString("spiffe://cluster.local/ns/shop/sa/catalog")

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is turned by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(c.at.Load(), 0) }

// site is a folder with its attestors.
type site struct {
	*join.Folder
	dir   string
	clock clock
}

func open(t testing.TB) *site {
	s := &site{dir: filepath.Join(t.TempDir(), "join")}
	s.clock.at.Store(1_800_000_000)
	var err error
	s.Folder, err = join.Open(s.dir, s.clock.now)
	check(t, err)
	return s
}

// ask lets a holder ask once, as the client of the service does; lost: the answer does not arrive.
func (s *site) ask(h *join.Holder, lost bool) (spiffeid.ID, error) {
	k, err := h.Key()
	if err != nil {
		return spiffeid.ID{}, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	if err != nil {
		return spiffeid.ID{}, err
	}
	name, proof, err := h.Prove(csr)
	if err != nil {
		return spiffeid.ID{}, err
	}
	id, err := s.Attestors()[name].Attest(context.Background(), issue.Evidence{Proof: proof, CSR: csr})
	if err != nil {
		err = status.Error(codes.PermissionDenied, err.Error())
	}
	if lost {
		err = status.Error(codes.Unavailable, "lost")
	}
	h.Done(err)
	return id, err
}

func (s *site) token(t testing.TB) string {
	t.Helper()
	token, err := s.Create(catalog, time.Minute)
	check(t, err)
	return token
}

func hold(t testing.TB, dir, token string) *join.Holder {
	t.Helper()
	h, err := join.Hold(dir, func() (string, error) { return token, nil })
	check(t, err)
	return h
}

func TestOneUse(t *testing.T) {
	s := open(t)
	token := s.token(t)
	var wins atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		h := hold(t, t.TempDir(), token)
		all.Go(func() {
			if id, err := s.ask(h, false); err == nil && id == catalog {
				wins.Add(1)
			}
		})
	}
	all.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d of 8 joined by one token", wins.Load())
	}
}

func TestExpiredAndForged(t *testing.T) {
	s := open(t)
	token := s.token(t)
	for name, bad := range map[string]string{
		"another secret": token[:len(token)-4] + "AAAA", "no token": "hello", "a path": "anymesh-join.../../x.y", "unknown": "anymesh-join.0011223344556677.abc",
	} {
		if id, err := s.ask(hold(t, t.TempDir(), bad), false); err == nil {
			t.Errorf("%s: joined as %s", name, id)
		}
	}
	s.clock.at.Add(61)
	if _, err := s.ask(hold(t, t.TempDir(), token), false); err == nil {
		t.Error("an expired token is good")
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "tokens", strings.Split(token, ".")[1]+".json"))
	check(t, err)
	if strings.Contains(string(text), strings.Split(token, ".")[2]) {
		t.Error("the folder holds the token itself")
	}
}

// TestRenew goes on by the last key, over restarts, lost answers and a long absence, until it is revoked.
func TestRenew(t *testing.T) {
	s, dir := open(t), t.TempDir()
	token := s.token(t)
	if _, err := s.ask(hold(t, dir, token), true); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	h := hold(t, dir, token) // restarted: it does not know that it has joined
	if _, err := s.ask(h, false); status.Code(err) != codes.PermissionDenied {
		t.Fatalf("the token was used: %v", err)
	}
	for i, lost := range []bool{false, false, true, true, false, true, false, false} {
		if id, err := s.ask(h, lost); err != nil && !lost || id != catalog {
			t.Fatalf("renewal %d: %s %v", i, id, err)
		}
		if i%2 == 1 {
			h = hold(t, dir, "")
		}
		s.clock.at.Add(3600 * 24 * 60)
	}
	ok, err := s.Revoke(strings.Split(token, ".")[1])
	check(t, err)
	if !ok {
		t.Error("there was nothing to revoke")
	}
	if _, err := s.ask(h, false); err == nil {
		t.Error("a revoked host renews")
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

// TestStolenKey renews by a copy of the keys: then one of the two is refused, and told why.
func TestStolenKey(t *testing.T) {
	s, dir := open(t), t.TempDir()
	h := hold(t, dir, s.token(t))
	for range 2 {
		_, err := s.ask(h, false)
		check(t, err)
	}
	copied := t.TempDir()
	check(t, os.CopyFS(filepath.Join(copied, "state"), os.DirFS(dir)))
	check(t, os.Chmod(filepath.Join(copied, "state", "join.json"), 0o600))
	thief := hold(t, filepath.Join(copied, "state"), "")
	for range 2 {
		_, err := s.ask(thief, false)
		check(t, err)
	}
	if _, err := s.ask(h, false); err == nil || !strings.Contains(err.Error(), "somebody else goes by its name") {
		t.Errorf("the host did not notice: %v", err)
	}
}

// TestForeignKey renews by another's name.
func TestForeignKey(t *testing.T) {
	s := open(t)
	token := s.token(t)
	_, err := s.ask(hold(t, t.TempDir(), token), false)
	check(t, err)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	public, err := x509.MarshalPKIXPublicKey(k.Public())
	check(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	check(t, err)
	for _, signature := range [][]byte{nil, []byte("x")} {
		proof, err := json.Marshal(map[string]any{"id": strings.Split(token, ".")[1], "key": public, "signature": signature})
		check(t, err)
		if id, err := s.Attestors()[issue.Renew].Attest(t.Context(), issue.Evidence{Proof: proof, CSR: csr}); err == nil {
			t.Errorf("renewed as %s", id)
		}
	}
}
