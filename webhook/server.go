// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves a handler to API servers.
type Server struct {
	Handler     http.Handler // most often a *Handler
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Drain is how long requests are still taken after the end was asked for: API servers go on calling a pod until its
	// endpoint is gone everywhere.
	Drain  time.Duration
	Logger *slog.Logger // slog.Default if nil
}

// grace is how long requests that were begun may take after Drain; an API server gives up a conversion after 30 seconds.
const grace = 30 * time.Second

// Serve answers on a listener until the context ends, and then what was begun. It returns nil after an end that was asked for.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	logger := s.Logger
	if logger == nil {
		logger = slog.Default()
	}
	server := &http.Server{
		Handler:           s.Handler,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Certificate, NextProtos: []string{"h2", "http/1.1"}},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(complaints{logger}, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("webhook: %w", err)
	case <-ctx.Done():
	}
	time.Sleep(s.Drain)
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	err := errors.Join(server.Shutdown(last), server.Close())
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// complaints are what the server says of its clients: a handshake that failed is the first sign of a wrong CA bundle.
type complaints struct{ logger *slog.Logger }

func (c complaints) Write(line []byte) (int, error) {
	c.logger.Warn("webhook: " + string(line[:max(0, len(line)-1)]))
	return len(line), nil
}
