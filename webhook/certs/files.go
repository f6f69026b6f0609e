// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Files is a certificate that someone else keeps fresh in two files, such as a mounted Secret of cert-manager. Whoever does that also
// tells the API server what proves it.
type Files struct {
	cert, key string
	logger    *slog.Logger
	now       atomic.Pointer[content]
}

type content struct {
	certText, keyText []byte
	leaf              *tls.Certificate
}

// Open reads the files for the first time. Logger is slog.Default if nil.
func Open(cert, key string, logger *slog.Logger) (*Files, error) {
	if logger == nil {
		logger = slog.Default()
	}
	f := &Files{cert: cert, key: key, logger: logger}
	return f, f.reload()
}

// reload reads the files again, and keeps what there was where they do not fit together.
func (f *Files) reload() error {
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		return fmt.Errorf("webhook certificate: %w", err)
	}
	key, err := os.ReadFile(f.key)
	if err != nil {
		return fmt.Errorf("webhook certificate: %w", err)
	}
	if old := f.now.Load(); old != nil && bytes.Equal(old.certText, cert) && bytes.Equal(old.keyText, key) {
		return nil
	}
	leaf, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("webhook certificate in %s and %s: %w", f.cert, f.key, err)
	}
	f.now.Store(&content{cert, key, &leaf})
	return nil
}

// Run reads the files again at every interval, ten seconds if zero, until the context ends. Watching would not do: mounted Secrets
// change by a link far above the file.
func (f *Files) Run(ctx context.Context, every time.Duration) {
	if every <= 0 {
		every = 10 * time.Second
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := f.reload(); err != nil { // a half of a change; the next look sees the other
			f.logger.Warn("the certificate that there is stays in use", "error", err)
		}
	}
}

// Ready says why the certificate cannot be used.
func (f *Files) Ready() error {
	if end := f.now.Load().leaf.Leaf.NotAfter; time.Now().After(end) {
		return fmt.Errorf("the certificate in %s ended at %s", f.cert, end.Format(time.RFC3339))
	}
	return nil
}

// Certificate is what a TLS server asks for.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.now.Load().leaf, nil
}
