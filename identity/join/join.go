// SPDX-License-Identifier: Apache-2.0

// Package join lets hosts into the mesh that nobody else vouches for: by a token that is good for one use, soon, and for one identity.
//
// Whoever shows the token first has joined. From then on the host proves itself by the key of its last certificate, however long it was away,
// until its joining is revoked. Of each host the key is known that it had last, so that of two who hold the same key only one goes on, and the
// other is noticed.
package join

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// prefix begins every token, so that who finds one knows what it is.
const prefix = "anymesh-join"

// Folder keeps what is known of tokens and of those who have joined, without the tokens themselves. Processes on one file system may share it.
type Folder struct {
	dir string
	now func() time.Time

	mu sync.Mutex
}

// Entry is one token, or who has joined by it.
type Entry struct {
	ID       string      `json:"id"`
	Identity spiffeid.ID `json:"identity"`
	Created  time.Time   `json:"created"`
	Expires  time.Time   `json:"expires"`          // of the token
	Joined   time.Time   `json:"joined,omitzero"`  // zero: not used yet
	Renewed  time.Time   `json:"renewed,omitzero"` // last
	Secret   string      `json:"secret"`           // SHA-256 of the token's secret part, in hex
	Keys     []string    `json:"keys,omitempty"`   // SHA-256 of the public keys that may renew: the last, and the one before while it is not sure that the last has arrived
}

// The two folders: an entry moves from the first to the second once, by whoever is first.
const tokens, joined = "tokens", "joined"

// Open makes the folder if it is missing, and refuses one that others may write.
func Open(dir string, now func() time.Time) (*Folder, error) {
	if now == nil {
		now = time.Now
	}
	for _, d := range []string{dir, filepath.Join(dir, tokens), filepath.Join(dir, joined)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("join tokens: %w", err)
		}
		st, err := os.Stat(d)
		if err != nil {
			return nil, fmt.Errorf("join tokens: %w", err)
		}
		if st.Mode().Perm()&0o022 != 0 {
			return nil, fmt.Errorf("join tokens: %s may be written by others (mode %04o): run chmod go-w on it", d, st.Mode().Perm())
		}
	}
	return &Folder{dir: dir, now: now}, nil
}

// Create makes a token that is good for one use within a time.
func (f *Folder) Create(id spiffeid.ID, within time.Duration) (token string, err error) {
	if within <= 0 {
		return "", errors.New("join token: it needs some time to be used in")
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	name, secret := hex.EncodeToString(raw[:8]), base64.RawURLEncoding.EncodeToString(raw[8:])
	now := f.now()
	e := &Entry{ID: name, Identity: id, Created: now, Expires: now.Add(within), Secret: digest([]byte(secret))}
	if err := f.save(tokens, e); err != nil {
		return "", err
	}
	return strings.Join([]string{prefix, name, secret}, "."), nil
}

// split takes a token apart.
func split(token string) (id, secret string, ok bool) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 || parts[0] != prefix || !isID(parts[1]) {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// isID keeps what comes from strangers from being a path.
func isID(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 8
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// errToken is all that a stranger is told.
var errToken = errors.New("the join token is not known, was used or has expired: make another with `anymesh token create`")

// use takes a token out of those that may be used. Of several who show it at once, one gets it.
func (f *Folder) use(token, key string) (*Entry, error) {
	id, secret, ok := split(token)
	if !ok {
		return nil, errors.New("this is no join token")
	}
	e, err := f.load(tokens, id)
	if err != nil {
		return nil, errToken
	}
	if subtle.ConstantTimeCompare([]byte(e.Secret), []byte(digest([]byte(secret)))) != 1 || !f.now().Before(e.Expires) {
		return nil, errToken
	}
	if err := os.Rename(f.path(tokens, id), f.path(joined, id)); err != nil {
		return nil, errToken // another was first
	}
	e.Joined, e.Keys = f.now(), []string{key}
	return e, f.save(joined, e)
}

// renew lets a key that is known follow by another.
func (f *Folder) renew(id, key, next string) (*Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.load(joined, id)
	if err != nil {
		return nil, errors.New("nobody has joined by this name, or it was revoked: join again with a new token")
	}
	if !slices.Contains(e.Keys, key) {
		return nil, fmt.Errorf("%s is known by a later key: who shows this one has an old copy of it, or somebody else goes by its name. Revoke %s and join again", e.Identity, id)
	}
	e.Keys, e.Renewed = []string{key}, f.now()
	if next != key {
		e.Keys = append(e.Keys, next)
	}
	return e, f.save(joined, e)
}

// Revoke forgets a token, or who has joined by it: the certificate in use is the last. It reports whether there was one.
func (f *Folder) Revoke(id string) (bool, error) {
	if !isID(id) {
		return false, fmt.Errorf("%q is no name of a token: `anymesh token list` shows them", id)
	}
	found := false
	for _, d := range []string{tokens, joined} {
		switch err := os.Remove(f.path(d, id)); {
		case err == nil:
			found = true
		case !errors.Is(err, fs.ErrNotExist):
			return found, err
		}
	}
	return found, nil
}

// List is all that there is, the oldest first.
func (f *Folder) List() ([]Entry, error) {
	var out []Entry
	for _, d := range []string{tokens, joined} {
		files, err := os.ReadDir(filepath.Join(f.dir, d))
		if err != nil {
			return nil, err
		}
		for _, x := range files {
			id, ok := strings.CutSuffix(x.Name(), ".json")
			if !ok || !isID(id) {
				continue
			}
			e, err := f.load(d, id)
			if errors.Is(err, fs.ErrNotExist) {
				continue // used or revoked just now
			}
			if err != nil {
				return nil, err
			}
			out = append(out, *e)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return a.Created.Compare(b.Created) })
	return out, nil
}

func (f *Folder) path(d, id string) string { return filepath.Join(f.dir, d, id+".json") }

func (f *Folder) load(d, id string) (*Entry, error) {
	text, err := os.ReadFile(f.path(d, id))
	if err != nil {
		return nil, err
	}
	e := &Entry{}
	if err := json.Unmarshal(text, e); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(d, id), err)
	}
	return e, nil
}

func (f *Folder) save(d string, e *Entry) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return replace(f.path(d, e.ID), text)
}

// replace puts a file in its place whole, readable by its owner alone.
func replace(path string, text []byte) error {
	t, err := os.CreateTemp(filepath.Dir(path), ".new*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(t.Name()) // gone already if all went well
	_, err = t.Write(text)
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return err
	}
	return os.Rename(t.Name(), path)
}
