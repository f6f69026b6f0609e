// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// serving is a server on loopback, and a client that trusts it.
func serving(t testing.TB, h http.Handler, logger *slog.Logger) (url string, client *http.Client, end func() error) {
	t.Helper()
	borrowed := httptest.NewUnstartedServer(nil)
	borrowed.StartTLS()
	defer borrowed.Close()
	cert := borrowed.TLS.Certificates[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := Server{Handler: h, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }, Logger: logger}
	go func() { done <- s.Serve(ctx, l) }()
	roots := x509.NewCertPool()
	roots.AddCert(borrowed.Certificate())
	client = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}}
	t.Cleanup(client.CloseIdleConnections)
	end = sync.OnceValue(func() error { stop(); return <-done })
	t.Cleanup(func() { _ = end() })
	return "https://" + l.Addr().String(), client, end
}

// TestEndAnswersWhatWasBegun asks for the end while a review is under way.
func TestEndAnswersWhatWasBegun(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	h := handler(t, Options{Patience: 1 << 40, Judge: func(context.Context, *object.Object) []model.Finding {
		close(begun)
		<-goOn
		return nil
	}})
	url, client, end := serving(t, h, nil)
	type result struct {
		body string
		err  error
	}
	answer := make(chan result, 1)
	body := asked(asJSON(t, wrote(specs4, "TCPRoute", "spec: {}")), "")
	go func() {
		r, err := client.Post(url+ValidatePath, "application/json", strings.NewReader(body))
		if err != nil {
			answer <- result{err: err}
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		answer <- result{r.Proto + " " + string(text), err}
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	select {
	case err := <-ended:
		t.Fatalf("it ended (%v) before it answered", err)
	default:
	}
	close(goOn)
	if r := <-answer; r.err != nil || !strings.HasPrefix(r.body, "HTTP/2.0 ") || !strings.Contains(r.body, `"allowed":true`) {
		t.Errorf("got %+v", r)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := client.Get(url + "/healthz"); err == nil {
		t.Error("it answers after its end")
	}
}

// TestComplaintsAreLogged meets a client that does not trust the certificate, and an end that nobody asked for.
func TestComplaintsAreLogged(t *testing.T) {
	var logged safeBuffer
	h := handler(t, Options{Ready: func() error { return errors.New("not yet") }})
	url, client, end := serving(t, h, slog.New(slog.NewTextHandler(&logged, nil)))
	r, err := client.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "not yet") {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("a stranger's certificate is trusted")
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if got := logged.String(); !strings.Contains(got, "webhook: http: TLS handshake error") {
		t.Errorf("logged is %q", got)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := (&Server{Handler: h}).Serve(t.Context(), l); err == nil || !strings.HasPrefix(err.Error(), "webhook: ") {
		t.Errorf("a listener that is closed: %v", err)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
