// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/inventory"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) {
	kube.LogTo(slog.New(slog.DiscardHandler)) // the API server logs by klog
	os.Exit(shared.Main(m))
}

// shop is what the cluster has.
const shop = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: other}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}, spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: none}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: quiet, namespace: shop, labels: {app: quiet, tier: back}}, spec: {replicas: 1, selector: {matchLabels: {app: quiet}}, template: {metadata: {labels: {app: quiet}}, spec: {containers: [{name: c, image: none}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: other, labels: {app: web}}, spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: none}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
`

// now is the time of every answer.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// counted is a source that has counted for one deployment: what it is asked comes back with numbers that a test knows.
type counted struct {
	fail  atomic.Pointer[error]
	asked atomic.Pointer[metrics.Question]
}

func (c *counted) Measure(ctx context.Context, q metrics.Question) (metrics.Answer, error) {
	c.asked.Store(&q)
	if err := c.fail.Load(); err != nil {
		return metrics.Answer{}, *err
	}
	a := metrics.Answer{At: q.At, Window: q.Window}
	busy := metrics.Counts{Success: 297, Failure: 3, P50: 5 * time.Millisecond, P90: 12500 * time.Microsecond, P99: 40 * time.Millisecond}
	for _, r := range q.Of {
		m := metrics.Measure{Of: r, Mesh: "builtin"}
		if r.Name == "web" && r.Namespace == "shop" || r.Name == "shop" {
			m.Counts = busy
		}
		switch {
		case q.Edges:
			m.Edge = &metrics.Edge{Direction: metrics.From, Side: metrics.Server, Peer: metrics.Ref{Kind: "Deployment", Namespace: "shop", Name: "quiet"}}
			a.Measures = append(a.Measures, m)
			m.Edge = &metrics.Edge{Direction: metrics.From, Side: metrics.Server}
			a.Measures = append(a.Measures, m)
		case q.Kind.Name == "TrafficSplit":
			for n, name := range []string{"web-1", "web-2"} {
				m.Backend = &metrics.Backend{Apex: "web", Name: name, Weight: int64(90 - 80*n)}
				m.Edge = &metrics.Edge{Direction: metrics.From, Side: metrics.Client}
				m.Counts = busy
				a.Measures = append(a.Measures, m)
			}
		default:
			a.Measures = append(a.Measures, m)
		}
	}
	if q.Kind.Name == "Node" {
		a.Notes = []string{"this mesh counts by pod"}
	}
	return a, nil
}

// installation is a cluster with the extension.
type installation struct {
	*kubetest.Cluster
	source  *counted
	service string // address of the Service
	stop    func()
	serve   func(t testing.TB)
}

var (
	once      sync.Once
	installed *installation
)

func install(t *testing.T) *installation {
	t.Helper()
	c := shared.Cluster(t)
	once.Do(func() {
		i := &installation{Cluster: c, source: &counted{}}
		c.Apply(t, shop, "{apiVersion: v1, kind: Namespace, metadata: {name: anymesh-system}}",
			"{apiVersion: v1, kind: Service, metadata: {name: anymesh-metrics-api, namespace: anymesh-system}, spec: {ports: [{name: https, port: 8443}]}}",
			"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: anymesh-metrics-api, namespace: anymesh-system, labels: {kubernetes.io/service-name: anymesh-metrics-api}},"+
				" addressType: IPv4, ports: [{name: https, port: 8443}], endpoints: [{addresses: [10.244.9.9]}]}")
		k, err := kube.Connect(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.Core.CoreV1().Services("anymesh-system").Get(t.Context(), "anymesh-metrics-api", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		i.service = net.JoinHostPort(s.Spec.ClusterIP, "8443")
		world := inventory.New(k, inventory.Options{})
		served, err := k.Discover()
		if err != nil {
			t.Fatal(err)
		}
		world.Serve(served)
		go func() {
			if err := world.Run(context.Background()); err != nil {
				panic(err)
			}
		}()
		cert, bundle := certificate(t, "anymesh-metrics-api.anymesh-system.svc")
		i.serve = func(t testing.TB) { i.run(t, k, world, cert) }
		i.serve(t)
		for n, v := range []string{"v1alpha2", "v1alpha1"} {
			c.Apply(t, fmt.Sprintf("{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: %s.metrics.smi-spec.io}, spec: {group: metrics.smi-spec.io, version: %s, groupPriorityMinimum: 100,"+
				" versionPriority: %d, caBundle: %s, service: {name: anymesh-metrics-api, namespace: anymesh-system, port: 8443}}}", v, v, 100-n, base64.StdEncoding.EncodeToString(bundle)))
		}
		kubetest.Eventually(t, world.Ready)
		kubetest.Eventually(t, func() error {
			raw, err := i.raw(t, "/deployments")
			if err == nil && !strings.Contains(raw, "quiet") {
				err = errors.New("not all is known yet: " + raw)
			}
			return err
		})
		installed = i
	})
	if installed == nil {
		t.Fatal("the installation failed before")
	}
	return installed
}

// run serves the extension until stop.
func (i *installation) run(t testing.TB, k *kube.Cluster, w metrics.World, cert *tls.Certificate) {
	t.Helper()
	l, err := net.Listen("tcp", i.service)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	s, err := New(ctx, Options{Source: i.source, World: w, Client: k.Core, Clock: func() time.Time { return now },
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	i.stop = func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// raw asks through the cluster's API server, as its admin.
func (i *installation) raw(t testing.TB, path string) (string, error) {
	t.Helper()
	k, err := kube.Connect(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	r := k.Core.CoreV1().RESTClient().Get().RequestURI("/apis/metrics.smi-spec.io/v1alpha2"+path).SetHeader("Accept", "application/json").Do(t.Context())
	if err := r.Error(); err != nil {
		return "", err
	}
	out, err := r.Raw()
	return string(out), err
}

// certificate is one that proves itself.
func certificate(t *testing.T, name string) (*tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
