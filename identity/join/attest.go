// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/identity/issue"
)

// Attestors are the folder's two: by a token, and by the key of the last certificate.
func (f *Folder) Attestors() map[string]issue.Attestor {
	return map[string]issue.Attestor{issue.Join: byToken{f}, issue.Renew: byKey{f}}
}

type byToken struct{ f *Folder }

// Attest implements issue.Attestor: the proof is the token.
func (a byToken) Attest(_ context.Context, e issue.Evidence) (spiffeid.ID, error) {
	csr, err := x509.ParseCertificateRequest(e.CSR)
	if err != nil {
		return spiffeid.ID{}, err
	}
	x, err := a.f.use(string(e.Proof), digest(csr.RawSubjectPublicKeyInfo))
	if err != nil {
		return spiffeid.ID{}, err
	}
	return x.Identity, nil
}

// renewal is the proof of the attestor renew.
type renewal struct {
	ID        string `json:"id"`        // of the token that the host joined by
	Key       []byte `json:"key"`       // the public key of the last certificate, PKIX
	Signature []byte `json:"signature"` // by that key, over what signed says
}

// signed is what a renewal's signature is over. The request names the new key, so that who repeats the proof gets a certificate of which it
// has no key.
func signed(id string, csr []byte) []byte {
	h := sha256.New()
	h.Write([]byte("anymesh renew v1\x00" + id + "\x00"))
	h.Write(csr)
	return h.Sum(nil)
}

type byKey struct{ f *Folder }

// Attest implements issue.Attestor.
func (a byKey) Attest(_ context.Context, e issue.Evidence) (spiffeid.ID, error) {
	var r renewal
	if err := json.Unmarshal(e.Proof, &r); err != nil || !isID(r.ID) {
		return spiffeid.ID{}, errors.New("this is no proof of a renewal")
	}
	public, err := x509.ParsePKIXPublicKey(r.Key)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("the key of the last certificate: %w", err)
	}
	k, ok := public.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(k, signed(r.ID, e.CSR), r.Signature) {
		return spiffeid.ID{}, errors.New("the proof is not signed by the key that it names")
	}
	csr, err := x509.ParseCertificateRequest(e.CSR)
	if err != nil {
		return spiffeid.ID{}, err
	}
	x, err := a.f.renew(r.ID, digest(r.Key), digest(csr.RawSubjectPublicKeyInfo))
	if err != nil {
		return spiffeid.ID{}, err
	}
	return x.Identity, nil
}

// sign makes the proof of a renewal.
func sign(id string, key *ecdsa.PrivateKey, csr []byte) ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	signature, err := key.Sign(rand.Reader, signed(id, csr), crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return json.Marshal(renewal{id, public, signature})
}
