// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// fileName is the one file in a CA's folder: keys, roots and the step of a rotation change together or not at all.
const fileName = "ca.json"

// state is what a CA has to remember.
type state struct{ active, next, old *root }

// record is a state as it lies on disk.
type record struct {
	TrustDomain string      `json:"trustDomain"`
	Active      *rootRecord `json:"active"`
	Next        *rootRecord `json:"next,omitempty"`
	Old         *rootRecord `json:"old,omitempty"`
}

// rootRecord is a root as it lies on disk; certificate and key (PKCS #8) are DER, base64 encoded by JSON.
type rootRecord struct {
	Certificate []byte        `json:"certificate"`
	Key         []byte        `json:"key,omitempty"`
	TTL         time.Duration `json:"ttlNanoseconds"`
	Until       time.Time     `json:"until,omitzero"`
}

// same says whether two states have the same roots in the same places.
func (s state) same(t state) bool {
	equal := func(a, b *root) bool { return a == nil && b == nil || a != nil && b != nil && a.cert.Equal(b.cert) }
	return equal(s.active, t.active) && equal(s.next, t.next) && equal(s.old, t.old)
}

// save keeps the state: a reader, or a process started after a crash, sees the old one or the new one.
func (c *CA) save(s state) error {
	r := record{TrustDomain: c.options.TrustDomain.Name()}
	for _, p := range []struct {
		from *root
		to   **rootRecord
	}{{s.active, &r.Active}, {s.next, &r.Next}, {s.old, &r.Old}} {
		var err error
		if *p.to, err = encode(p.from); err != nil {
			return fmt.Errorf("certificate authority: %w", err)
		}
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = c.options.Keep.Save(data)
	}
	if err != nil {
		return fmt.Errorf("certificate authority: save: %w", err)
	}
	return nil
}

// load reads what is kept.
func (c *CA) load() (s state, found bool, err error) {
	data, err := c.options.Keep.Load()
	if err == nil && data != nil {
		s, err = decode(data, c.options.TrustDomain)
		found = err == nil
	}
	if err != nil {
		return state{}, false, fmt.Errorf("certificate authority: %w", err)
	}
	return s, found, nil
}

// folder keeps a CA on disk, for one process at a time; the empty one keeps nothing.
type folder string

// Save implements Keeper: the file is replaced whole.
func (f folder) Save(data []byte) error {
	if f == "" {
		return nil
	}
	if err := replace(string(f), data); err != nil {
		return fmt.Errorf("in %s: %w", string(f), err)
	}
	return nil
}

// Load implements Keeper; the folder is made if it is missing.
func (f folder) Load() ([]byte, error) {
	if f == "" {
		return nil, nil
	}
	data, err := read(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", string(f), err)
	}
	return data, nil
}

// replace puts data in the place of the CA's file, durably.
func replace(dir string, data []byte) error {
	f, err := os.CreateTemp(dir, fileName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, fileName)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read gives the bytes of the CA's file once it is sure that nobody else could have read or written them.
func read(dir string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := private(dir, 0o022); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	if err := private(path, 0o077); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// private refuses a file that has any of the permissions in mask.
func private(path string, mask fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if open := info.Mode().Perm() & mask; open != 0 {
		return fmt.Errorf("%s is open to others (mode %04o): run chmod go-rwx on it, and rotate the root if others may have read it", path, info.Mode().Perm())
	}
	return nil
}

func decode(data []byte, domain spiffeid.TrustDomain) (s state, err error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return state{}, fmt.Errorf("%s: %w", fileName, err)
	}
	if r.TrustDomain != domain.Name() {
		return state{}, fmt.Errorf("%s belongs to trust domain %q, not %q: give each its own folder", fileName, r.TrustDomain, domain)
	}
	for _, p := range []struct {
		name  string
		from  *rootRecord
		to    **root
		signs bool
	}{{"active", r.Active, &s.active, true}, {"next", r.Next, &s.next, true}, {"old", r.Old, &s.old, false}} {
		if *p.to, err = p.from.root(p.signs); err != nil {
			return state{}, fmt.Errorf("%s: %s root: %w", fileName, p.name, err)
		}
	}
	if s.active == nil {
		return state{}, fmt.Errorf("%s holds no active root", fileName)
	}
	return s, nil
}

func encode(r *root) (*rootRecord, error) {
	if r == nil {
		return nil, nil
	}
	out := &rootRecord{Certificate: r.cert.Raw, TTL: r.ttl, Until: r.until}
	if r.key != nil {
		var err error
		if out.Key, err = x509.MarshalPKCS8PrivateKey(r.key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// root reads a record back; one that signs must have the key of its certificate.
func (r *rootRecord) root(signs bool) (*root, error) {
	if r == nil {
		return nil, nil
	}
	cert, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, err
	}
	out := &root{cert: cert, ttl: r.TTL, until: r.Until}
	if !signs {
		return out, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(r.Key)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("the key is not that of the certificate")
	}
	out.key = signer
	return out, nil
}
