// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	xdsgrpc "google.golang.org/grpc/xds"
	"istio.io/istio/pilot/test/xds"
)

// calls is how many are made of each kind where they go to several places.
const calls = 1500

// mutual has every workload of the mesh ask for certificates and show its own, as sidecars do by themselves.
const mutual = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec: {host: "*.shop.svc.cluster.local", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`

// TestTraffic sends real calls: servers and clients of grpc-go, which ask Istio's control plane who they are, where calls go and whom they admit. What
// is enforced there is enforced by code that is neither ours nor Istio's.
func TestTraffic(t *testing.T) {
	made := 0
	for i, w := range story(t, "istio", "TestTraffic") {
		t.Run(w.Name, func(t *testing.T) {
			w.network = fmt.Sprintf("127.%d.%d", 100+os.Getpid()%100, i+1)
			s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{KubernetesObjectString: w.kube(), ConfigString: w.configs(t) + "\n---\n" + mutual,
				ListenerBuilder: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }})
			m := machine{t: t, dir: t.TempDir(), ads: s.Listener.Addr().String()}
			m.authority()
			for k, wl := range w.Workloads {
				m.serve(wl, w.address(k))
			}
			for k := range w.Asks {
				made += m.ask(&w, &w.Asks[k])
			}
		})
	}
	if t.Logf("%d calls", made); made < 10_000 {
		t.Error("too few calls were made")
	}
}

// machine is where the servers and clients of one world run.
type machine struct {
	t        *testing.T
	dir, ads string
	cert     *x509.Certificate
	key      *ecdsa.PrivateKey
	clients  map[string]grpc_health_v1.HealthClient
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, kind string, text []byte) string {
	path := filepath.Join(m.dir, name)
	m.must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text}), 0o600))
	return path
}

// sign makes a certificate that the authority signed, or the authority's own.
func (m *machine) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := m.cert, m.key
	if parent == nil {
		parent, signer = template, key
	}
	text, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	m.must(err)
	return text
}

func (m *machine) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.must(err)
	return key
}

func (m *machine) authority() {
	key := m.newKey()
	text := m.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, key)
	cert, err := x509.ParseCertificate(text)
	m.must(err)
	m.cert, m.key, m.clients = cert, key, map[string]grpc_health_v1.HealthClient{}
	m.write("authority.crt", "CERTIFICATE", text)
}

// bootstrap is what a program is told of the control plane and of itself.
func (m *machine) bootstrap(name, spiffe, address string, labels map[string]string) []byte {
	id, err := url.Parse(spiffe)
	m.must(err)
	key := m.newKey()
	text, err := x509.MarshalECPrivateKey(key)
	m.must(err)
	own := map[string]any{
		"certificate_file": m.write(name+".crt", "CERTIFICATE", m.sign(&x509.Certificate{URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, key)),
		"private_key_file":    m.write(name+".key", "EC PRIVATE KEY", text),
		"ca_certificate_file": filepath.Join(m.dir, "authority.crt"),
	}
	_, account := filepath.Split(id.Path)
	out, err := json.Marshal(map[string]any{
		"xds_servers": []any{map[string]any{"server_uri": m.ads, "channel_creds": []any{map[string]any{"type": "insecure"}}, "server_features": []string{"xds_v3"}}},
		"node": map[string]any{"id": "sidecar~" + address + "~" + name + ".shop~shop.svc.cluster.local",
			"metadata": map[string]any{"NAMESPACE": "shop", "GENERATOR": "grpc", "INSTANCE_IPS": address, "SERVICE_ACCOUNT": account, "LABELS": labels}},
		"certificate_providers":                  map[string]any{"default": map[string]any{"plugin_name": "file_watcher", "config": own}},
		"server_listener_resource_name_template": "xds.istio.io/grpc/lds/inbound/%s",
	})
	m.must(err)
	return out
}

// server answers with its name.
type server struct {
	grpc_health_v1.UnimplementedHealthServer
	name string
}

func (s *server) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{}, grpc.SetHeader(ctx, metadata.Pairs("server", s.name))
}

func (s *server) List(ctx context.Context, _ *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	return &grpc_health_v1.HealthListResponse{}, grpc.SetHeader(ctx, metadata.Pairs("server", s.name))
}

// serve runs one workload, once the control plane has told it whom it admits.
func (m *machine) serve(wl workload, address string) {
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	m.must(err)
	modes := make(chan xdsgrpc.ServingModeChangeArgs, 16)
	boot := m.bootstrap(wl.Name.Name, "spiffe://cluster.local/ns/shop/sa/"+wl.Account, address, wl.Labels)
	s, err := xdsgrpc.NewGRPCServer(grpc.Creds(creds), xdsgrpc.BootstrapContentsForTesting(boot), xdsgrpc.ServingModeCallback(func(_ net.Addr, a xdsgrpc.ServingModeChangeArgs) { modes <- a }))
	m.must(err)
	grpc_health_v1.RegisterHealthServer(s, &server{name: wl.Name.Name})
	l, err := net.Listen("tcp", address+":9000")
	m.must(err)
	go s.Serve(l)
	m.t.Cleanup(s.Stop)
	for {
		select {
		case a := <-modes:
			if a.Mode.String() == "SERVING" || a.Err == nil {
				return
			}
		case <-time.After(30 * time.Second):
			m.t.Fatalf("%s is told nothing", wl.Name.Name)
		}
	}
}

// client is one of a caller.
func (m *machine) client(caller string) grpc_health_v1.HealthClient {
	if c := m.clients[caller]; c != nil {
		return c
	}
	n := len(m.clients) + 1
	resolver, err := xdsgrpc.NewXDSResolverWithConfigForTesting(m.bootstrap(fmt.Sprintf("caller-%d", n), caller, fmt.Sprintf("127.0.9.%d", n), nil))
	m.must(err)
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	m.must(err)
	conn, err := grpc.NewClient("xds:///catalog.shop.svc.cluster.local:9000", grpc.WithTransportCredentials(creds), grpc.WithResolvers(resolver))
	m.must(err)
	m.t.Cleanup(func() { _ = conn.Close() })
	m.clients[caller] = grpc_health_v1.NewHealthClient(conn)
	return m.clients[caller]
}

// ask makes calls of one kind, and holds their answers against what the evaluator says.
func (m *machine) ask(w *world, a *ask) int {
	want := map[string]float64{}
	for to, share := range a.Shares {
		w.enter(want, a, to, share)
	}
	n, got := calls, map[string]float64{}
	if len(want) == 1 {
		n = 20
	}
	for range n {
		got[m.call(m.client(a.Caller), a)] += 1 / float64(n)
	}
	for _, all := range []map[string]float64{want, got} {
		for who := range all {
			p := want[who]
			if deviation := 5*math.Sqrt(p*(1-p)/float64(n)) + 1e-9; math.Abs(got[who]-p) > deviation {
				m.t.Fatalf("%s calls %s %v: answers are %v, and should be %v within %.3f\n%s", a.Caller, a.Request.Path, a.Request.Headers, got, want, deviation, w.Objects)
			}
		}
	}
	return n
}

// enter adds what becomes of the share of calls that goes to a Service: each of its workloads has its part, and admits or refuses it.
func (w *world) enter(want map[string]float64, a *ask, to string, share float64) {
	for _, s := range w.Services {
		if fmt.Sprintf("%s/%s:%d", s.Name.Namespace, s.Name.Name, a.Port.Number) != to {
			continue
		}
		var behind []int
		for k, wl := range w.Workloads {
			if selects(s.Selector, wl.Labels) {
				behind = append(behind, k)
			}
		}
		for _, k := range behind {
			who := "refused"
			if a.Admits[k].Admit {
				who = w.Workloads[k].Name.Name
			}
			want[who] += share / float64(len(behind))
		}
	}
}

// call says who answers, or that the call is refused.
func (m *machine) call(c grpc_health_v1.HealthClient, a *ask) string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for k, v := range a.Request.Headers {
		ctx = metadata.AppendToOutgoingContext(ctx, k, v[0])
	}
	var head metadata.MD
	var err error
	if filepath.Base(a.Request.Path) == "Check" {
		_, err = c.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&head), grpc.WaitForReady(true))
	} else {
		_, err = c.List(ctx, &grpc_health_v1.HealthListRequest{}, grpc.Header(&head), grpc.WaitForReady(true))
	}
	switch {
	case status.Code(err) == codes.PermissionDenied:
		return "refused"
	case err != nil:
		m.t.Fatalf("%s calls %s: %v", a.Caller, a.Request.Path, err)
	}
	return head.Get("server")[0]
}
