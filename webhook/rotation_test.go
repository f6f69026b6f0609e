// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/test/kubetest"
	"github.com/anymesh/anymesh/webhook/certs"
)

// TestRotationWhileRequestsRun lets two replicas with an authority that is always near its end rotate it again and again, while clients read
// through conversion and write through admission on connections that do not live long. None of them may notice.
func TestRotationWhileRequestsRun(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	o := i.written(t, parsed(t, wrote(split4, "TrafficSplit", canary), ns))
	i.stop()
	i.forget(t) // the authority that lives for years
	defer func() {
		i.forget(t)
		i.start(t)
	}()

	ctx, stop := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	defer func() { stop(); parts.Wait() }()
	replicas := []*certs.Managed{fast(i), fast(i)}
	for _, r := range replicas {
		parts.Go(func() { r.Run(ctx) })
	}
	i.serveBy(t, ctx, &parts, replicas)
	for _, r := range replicas {
		kubetest.Eventually(t, r.Ready)
	}
	check := func() error {
		if _, err := i.of(split1, model.KindSplit, ns).Get(ctx, o.GetName(), metav1.GetOptions{}); err != nil {
			return fmt.Errorf("conversion: %w", err)
		}
		bad := parsed(t, wrote(specs4, "TCPRoute", "spec: {nonsense: 1}"), ns)
		if _, err := i.of(specs4, model.KindTCPRoute, ns).Create(ctx, bad, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err == nil || !strings.Contains(err.Error(), "AM0201") {
			return fmt.Errorf("admission: %v", err)
		}
		return nil
	}
	kubetest.Eventually(t, check)

	seen := map[string]bool{}
	var asked atomic.Int64
	failed := make(chan error, 8)
	var clients sync.WaitGroup
	working, rest := context.WithCancel(ctx)
	for range 2 {
		clients.Go(func() {
			for working.Err() == nil {
				if err := check(); err != nil && ctx.Err() == nil {
					failed <- err
					return
				}
				asked.Add(1)
			}
		})
	}
	kubetest.Eventually(t, func() error {
		if len(failed) > 0 {
			return nil
		}
		if seen[i.authority(t)] = true; len(seen) < 4 || asked.Load() < 20 {
			return errors.New("not enough rotations yet")
		}
		return nil
	})
	rest()
	clients.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("after %d requests and %d authorities: %v", asked.Load(), len(seen), err)
	}
	if len(seen) < 4 {
		t.Errorf("%d authorities were seen", len(seen))
	}
	t.Logf("%d rounds of requests, %d authorities", asked.Load(), len(seen))
}

// fast is a replica whose authority is near its end as soon as it is made, known for a short while before and after.
func fast(i *installation) *certs.Managed {
	var names []string
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil {
			names = append(names, d.Name)
		}
	}
	return certs.Manage(i.Dynamic, certs.Options{Namespace: system, Service: name, Secret: name + "-cert", Definitions: names, Validation: "anymesh",
		AuthorityLife: 2 * time.Minute, Overlap: 4 * time.Second, Interval: 500 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
}

// serveBy serves by the replicas in turn, and closes each connection after some answers.
func (i *installation) serveBy(t *testing.T, ctx context.Context, parts *sync.WaitGroup, replicas []*certs.Managed) {
	t.Helper()
	l, err := net.Listen("tcp", i.address)
	if err != nil {
		t.Fatal(err)
	}
	var answers, greetings atomic.Int64
	s := Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answers.Add(1)%8 == 0 {
				w.Header().Set("Connection", "close")
			}
			i.handler.ServeHTTP(w, r)
		}),
		Certificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return replicas[greetings.Add(1)%2].Certificate(h)
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	parts.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
}

// forget deletes the Secret.
func (i *installation) forget(t *testing.T) {
	t.Helper()
	secrets := i.Dynamic.Resource(secretResource).Namespace(system)
	if err := secrets.Delete(context.Background(), name+"-cert", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// authority is the one that signs now.
func (i *installation) authority(t *testing.T) string {
	t.Helper()
	s, err := i.Dynamic.Resource(secretResource).Namespace(system).Get(t.Context(), name+"-cert", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	encoded, _, _ := unstructured.NestedString(s.Object, "data", "active.crt")
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(text) == 0 {
		t.Fatalf("%q %v", encoded, err)
	}
	return string(text)
}
