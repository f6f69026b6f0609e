// SPDX-License-Identifier: Apache-2.0

package join

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/anymesh/anymesh/identity/issue"
)

// Holder is the prover of a host that joins by a token, and keeps its keys in a folder, so that it is still the same after a restart.
//
// Each key is on disk before it is sent, and is sent again until an answer has come: whatever is lost on the way, one of the two keys that the
// host has is one that the server knows.
type Holder struct {
	dir   string
	token func() (string, error)

	kept  holding
	renew bool // how the next try proves: by the last key, or by the token
}

// holding is what lies on disk.
type holding struct {
	ID   string `json:"id,omitempty"`   // of the token joined by
	Last []byte `json:"last,omitempty"` // the key of the last certificate, PKCS #8
	Next []byte `json:"next,omitempty"` // the key of the one being asked for
}

var _ issue.Prover = (*Holder)(nil)

const holdingFile = "join.json"

// Hold opens the folder of a host's keys, which is made if it is missing. The token is asked for where it is needed: at the first time, and when
// the host was revoked.
func Hold(dir string, token func() (string, error)) (*Holder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	h := &Holder{dir: dir, token: token}
	path := filepath.Join(dir, holdingFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to others (mode %04o): remove it, and join again with a new token", path, st.Mode().Perm())
	}
	if err := json.Unmarshal(text, &h.kept); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	h.renew = h.kept.Last != nil
	return h, nil
}

func (h *Holder) save() error {
	text, err := json.Marshal(h.kept)
	if err != nil {
		return err
	}
	return replace(filepath.Join(h.dir, holdingFile), text)
}

// Key implements issue.Prover: the key that was not answered for yet, or a new one.
func (h *Holder) Key() (crypto.Signer, error) {
	if h.kept.Next != nil {
		return key(h.kept.Next)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if h.kept.Next, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		return nil, err
	}
	return k, h.save()
}

func key(raw []byte) (*ecdsa.PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, err
	}
	e, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T is none of ours", k)
	}
	return e, nil
}

// Prove implements issue.Prover.
func (h *Holder) Prove(csr []byte) (string, []byte, error) {
	if h.renew && h.kept.ID != "" {
		return h.byKey(csr)
	}
	token, err := h.token()
	id, _, ok := split(token)
	if err == nil && !ok {
		err = fmt.Errorf("what was given is no join token: one begins with %s", prefix)
	}
	if err != nil && h.kept.ID != "" {
		return h.byKey(csr) // all that is left
	}
	if err != nil {
		return "", nil, err
	}
	if h.kept.ID != id {
		h.kept.ID, h.kept.Last = id, nil // another token: whoever this host was, it is to be who the token says
		if err := h.save(); err != nil {
			return "", nil, err
		}
	}
	return issue.Join, []byte(strings.TrimSpace(token)), nil
}

// byKey proves by the key of the last certificate, or by that of a first request whose answer was lost.
func (h *Holder) byKey(csr []byte) (string, []byte, error) {
	with := h.kept.Last
	if with == nil {
		with = h.kept.Next
	}
	k, err := key(with)
	if err != nil {
		return "", nil, err
	}
	proof, err := sign(h.kept.ID, k, csr)
	return issue.Renew, proof, err
}

// Done implements issue.Prover.
func (h *Holder) Done(err error) {
	if err == nil {
		// The next renewal is by this key. Where this cannot be written, it is by the one before, which the server still knows.
		h.kept.Last, h.kept.Next, h.renew = h.kept.Next, nil, true
		_ = h.save()
		return
	}
	if status.Code(err) == codes.PermissionDenied {
		h.renew = !h.renew // the token was used, by ourselves it may be; or we were revoked, and have a new one
	}
}
