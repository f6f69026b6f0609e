// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a fresh certificate and its key as a mounted Secret has them.
func pair(t *testing.T, cert, key string, life time.Duration) {
	t.Helper()
	s, _, err := (*state)(nil).step(terms{authority: day, leaf: life, overlap: day, names: names}, time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.data()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{cert: data[certKey], key: data[keyKey]} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, err := Open(cert, key, nil); err == nil {
		t.Error("there are no files, and they are read")
	}
	pair(t, cert, key, time.Hour)
	f, err := Open(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := f.Certificate(nil)
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(key, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.reload(); err == nil {
		t.Error("a key that is none is taken")
	}
	if same, _ := f.Certificate(nil); same != first {
		t.Error("the good certificate is lost")
	}
	done := make(chan struct{})
	go func() { f.Run(t.Context(), time.Millisecond); close(done) }()
	pair(t, cert, key, time.Hour)
	for now, _ := f.Certificate(nil); now == first; now, _ = f.Certificate(nil) {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-done:
		t.Error("it looked once")
	default:
	}
}

func TestFilesThatEndedAreNotReady(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pair(t, cert, key, -time.Minute)
	f, err := Open(cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Ready(); err == nil || !strings.Contains(err.Error(), "ended at") {
		t.Errorf("got %v", err)
	}
}
