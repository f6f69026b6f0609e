// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/x509"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

var names = []string{"anymesh-webhook.anymesh-system.svc"}

// proves says why an API server that knows a bundle would not take a replica's certificate.
func proves(bundle []byte, s *state, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err := s.leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: names[0]})
	return err
}

// TestNoMomentWithoutProof lets three replicas look at the Secret in any order for years. The API server sees what was announced late; it
// must be able to prove every replica at every moment.
func TestNoMomentWithoutProof(t *testing.T) {
	terms := terms{authority: 60 * day, leaf: 20 * day, overlap: 6 * day, names: names}
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 1))
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var kept *state
		var announced, seen []byte
		replicas, rotations := make([]*state, 3), 0
		for round := range 400 {
			for _, i := range random.Perm(len(replicas)) {
				next, why, err := kept.step(terms, now, kept != nil && kept.knows(announced))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(why, "the next authority signs") {
					rotations++
				}
				kept = again(t, next)
				replicas[i] = kept
				announced = kept.bundle()
				now = now.Add(time.Duration(random.Int64N(int64(12 * time.Hour))))
				if round == 0 {
					seen = announced
					continue
				}
				for k, r := range replicas {
					if err := proves(seen, r, now); err != nil {
						t.Fatalf("seed %d, round %d: replica %d cannot be proved: %v", seed, round, k, err)
					}
				}
			}
			seen = announced // a round late
		}
		if rotations < 3 {
			t.Errorf("seed %d: the authority changed %d times", seed, rotations)
		}
	}
}

// again is a state as another replica reads it.
func again(t *testing.T, s *state) *state {
	t.Helper()
	data, err := s.data()
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range data {
		if len(value) == 0 {
			t.Fatalf("%s is empty", key)
		}
	}
	out, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	if string(out.bundle()) != string(data[bundleKey]) || string(out.bundle()) != string(s.bundle()) {
		t.Fatal("the bundle came back as another")
	}
	return out
}

// TestAuthorityWaitsToBeKnown never announces: the next authority must not sign before the present one ends.
func TestAuthorityWaitsToBeKnown(t *testing.T) {
	terms := terms{authority: 60 * day, leaf: 20 * day, overlap: day, names: names}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, _, err := (*state)(nil).step(terms, start, false)
	if err != nil {
		t.Fatal(err)
	}
	first := s.active.cert
	for at := start; at.Before(first.NotAfter); at = at.Add(day) {
		if s, _, err = s.step(terms, at, false); err != nil {
			t.Fatal(err)
		}
		if s.active.cert != first {
			t.Fatalf("another authority signs after %s", at.Sub(start))
		}
		if err := proves(s.bundle(), s, at); err != nil {
			t.Fatalf("after %s: %v", at.Sub(start), err)
		}
	}
	next := s.next.cert
	s, why, err := s.step(terms, first.NotAfter.Add(time.Second), false)
	if err != nil || s.active.cert != next {
		t.Errorf("the authority that waited does not sign after all: %s, %v", why, err)
	}
	if s, why, err = s.step(terms, first.NotAfter.Add(3650*day), false); err != nil || s.next != nil || s.old != nil || !strings.Contains(why, "a new authority") {
		t.Errorf("after a long sleep: %s, %v", why, err)
	}
	other := terms
	other.names = []string{"other.svc"}
	if s, _, err = s.step(other, first.NotAfter.Add(3650*day), false); err != nil || s.leaf.Leaf.DNSNames[0] != "other.svc" {
		t.Errorf("a service of another name is served as %v, %v", s.leaf.Leaf.DNSNames, err)
	}
}

// TestDamagedSecretsAreNotRead cuts each key of the Secret, and mixes those of two.
func TestDamagedSecretsAreNotRead(t *testing.T) {
	terms := terms{authority: 60 * day, leaf: 20 * day, overlap: day, names: names}
	now := time.Now()
	s, _, err := (*state)(nil).step(terms, now, false)
	if err != nil {
		t.Fatal(err)
	}
	for at := now; s.next == nil; at = at.Add(day) {
		if s, _, err = s.step(terms, at, true); err != nil {
			t.Fatal(err)
		}
	}
	s.old, s.until = s.next, now
	for _, key := range []string{activeCertKey, activeKey, nextKey, oldUntilKey, certKey, keyKey} {
		data, err := s.data()
		if err != nil {
			t.Fatal(err)
		}
		data[key] = data[key][:len(data[key])/2]
		if _, err := read(data); err == nil {
			t.Errorf("half of %s is enough", key)
		}
	}
	data, _ := s.data()
	data[activeKey] = data[nextKey]
	if _, err := read(data); err == nil {
		t.Error("an authority has another's key")
	}
	if s, err := read(nil); s != nil || err != nil {
		t.Errorf("an empty Secret is %v, %v", s, err)
	}
}

// TestAuthoritySpeaksForItsServiceAlone signs another's name with a stolen key.
func TestAuthoritySpeaksForItsServiceAlone(t *testing.T) {
	terms := terms{authority: 60 * day, leaf: 20 * day, overlap: day, names: names}
	s, _, err := (*state)(nil).step(terms, time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	stolen := terms
	stolen.names = []string{"kubernetes.default.svc"}
	leaf, err := s.active.issue(stolen, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.bundle())
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: stolen.names[0]}); err == nil {
		t.Error("the authority can be the API server")
	}
}
