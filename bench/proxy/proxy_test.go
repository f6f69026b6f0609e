// SPDX-License-Identifier: Apache-2.0

// Package proxybench measures what a request costs in the proxies, beside nginx on the same machine in the same run. It runs only with
// -bench:
//
//	go test -run '^$' -bench . ./bench/proxy
//
// The proxies run in a process of their own, so that neither the client nor the server is counted.
package proxybench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/identity"
)

const (
	requests    = 20_000
	connections = 16
	size        = 1024
	patience    = 30 * time.Second
)

// site is the addresses of one run.
type site struct {
	b    *testing.B
	net  string
	dir  string
	body []byte
}

func newSite(b *testing.B) *site {
	s := &site{b: b, net: fmt.Sprintf("127.%d.%d", 3+rand.IntN(250), rand.IntN(256)), dir: b.TempDir(), body: bytes.Repeat([]byte("x"), size)}
	l, err := net.Listen("tcp", s.net+".11:8080")
	check(b, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.body) }), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	b.Cleanup(func() {
		srv.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return s
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (s *site) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	check(s.b, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// start runs a process to the end of the benchmark. It is asked to end, and has the time to.
func (s *site) start(name string, args ...string) int {
	s.b.Helper()
	c := exec.Command(name, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	check(s.b, c.Start())
	s.b.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			s.b.Logf("%s: %v\n%s", name, err, out.String())
		}
	})
	return c.Process.Pid
}

// cpu is what a process and its children have used so far, in user and kernel.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	check(b, err)
	field := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:])) // from the third on
	user, err := strconv.Atoi(field[11])
	check(b, err)
	kernel, err := strconv.Atoi(field[12])
	check(b, err)
	sum := time.Duration(user+kernel) * 10 * time.Millisecond
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	check(b, err)
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		check(b, err)
		sum += cpu(b, n)
	}
	return sum
}

// drive makes the requests through a proxy and reports what they cost the process.
func (s *site) drive(pid int, target string, proxy *url.URL) {
	b := s.b
	tr := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	if proxy != nil {
		tr.Proxy = http.ProxyURL(proxy)
	}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: patience}
	for begin := time.Now(); s.get(c, target) != nil; {
		if time.Since(begin) > patience {
			b.Fatalf("%s does not answer: %v", target, s.get(c, target))
		}
	}
	check(b, s.round(c, target, requests/10, nil)) // warm
	took := make([]time.Duration, 0, requests)
	for b.Loop() {
		took = took[:0]
		before, begin := cpu(b, pid), time.Now()
		check(b, s.round(c, target, requests, &took))
		wall := time.Since(begin)
		b.ReportMetric(float64((cpu(b, pid)-before).Microseconds())/requests, "cpu-µs/request")
		b.ReportMetric(requests/wall.Seconds(), "requests/s")
		slices.Sort(took)
		b.ReportMetric(float64(took[requests/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[requests*99/100].Microseconds()), "p99-µs")
	}
	b.ReportMetric(0, "ns/op")
}

func (s *site) get(c *http.Client, target string) error {
	res, err := c.Get(target)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || n != size) {
		err = fmt.Errorf("%s, %d bytes", res.Status, n)
	}
	return err
}

func (s *site) round(c *http.Client, target string, n int, took *[]time.Duration) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range connections {
		wg.Go(func() {
			mine := make([]time.Duration, 0, n/connections)
			for range n / connections {
				begin := time.Now()
				err := s.get(c, target)
				mine = append(mine, time.Since(begin))
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if took != nil {
				*took = append(*took, mine...)
			}
		})
	}
	wg.Wait()
	return failed
}

// BenchmarkPair is two proxies of the mesh: out of web, in to catalog, mutual TLS between them, a split and a permission on the way.
func BenchmarkPair(b *testing.B) {
	s := newSite(b)
	s.drive(s.mesh(), "http://catalog.shop:8080/products", &url.URL{Scheme: "http", Host: s.net + ".1:15001"})
}

// mesh runs the built-in mesh with the shop, and returns its process.
func (s *site) mesh() int {
	b := s.b
	bin := filepath.Join(s.dir, "anymesh")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/anymesh/anymesh/cmd/anymesh").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	world := filepath.Join(s.dir, "world")
	check(b, os.Mkdir(world, 0o700))
	s.write("world/shop.yaml", strings.ReplaceAll(shop, "NET", s.net))
	return s.start(bin, "up", world, "--admin", "")
}

// BenchmarkNginxHop is one nginx that hands on in the clear.
func BenchmarkNginxHop(b *testing.B) {
	s := newSite(b)
	pid := s.nginx(fmt.Sprintf("server { listen %s.1:15001; location / { proxy_pass http://app; } }", s.net))
	s.drive(pid, "http://"+s.net+".1:15001/products", nil)
}

// BenchmarkNginxPair is two hops of nginx with mutual TLS between them, which is what BenchmarkPair does, without identities and policy.
func BenchmarkNginxPair(b *testing.B) {
	s := newSite(b)
	s.certificate()
	pid := s.nginx(strings.NewReplacer("NET", s.net, "DIR", s.dir).Replace(`
upstream peer { server NET.11:15006; keepalive 32; }
server { listen NET.1:15001; location / { proxy_pass https://peer; proxy_ssl_certificate DIR/svid.pem; proxy_ssl_certificate_key DIR/key.pem; proxy_ssl_protocols TLSv1.3; } }
server { listen NET.11:15006 ssl; ssl_certificate DIR/svid.pem; ssl_certificate_key DIR/key.pem; ssl_client_certificate DIR/roots.pem; ssl_verify_client on; ssl_protocols TLSv1.3;
  location / { proxy_pass http://app; } }`))
	s.drive(pid, "http://"+s.net+".1:15001/products", nil)
}

// nginx runs one with servers in front of the app.
func (s *site) nginx(servers string) int {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		s.b.Skip("nginx is not installed: with it, its figures stand beside ours")
	}
	conf := s.write("nginx.conf", fmt.Sprintf(`daemon off; worker_processes 2; pid %[1]s/nginx.pid; error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  proxy_http_version 1.1; proxy_set_header Connection "";
  upstream app { server %[2]s.11:8080; keepalive 32; keepalive_requests 1000000; }
  %[3]s
}`, s.dir, s.net, servers))
	pid := s.start(bin, "-c", conf, "-p", s.dir)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.net+".1:15001")
		if err == nil {
			c.Close()
			return pid
		}
		if ctx.Err() != nil {
			s.b.Fatal(err)
		}
	}
}

// certificate writes an SVID as the mesh issues them, with its key and the roots.
func (s *site) certificate() {
	ca, err := identity.NewCA(identity.Options{TrustDomain: spiffeid.RequireTrustDomainFromString("cluster.local")})
	check(s.b, err)
	id, err := identity.ID("cluster.local", "shop", "web")
	check(s.b, err)
	svid, err := ca.Issue(s.b.Context(), id)
	check(s.b, err)
	key, err := x509.MarshalPKCS8PrivateKey(svid.PrivateKey)
	check(s.b, err)
	s.write("svid.pem", certs(svid.Certificates))
	s.write("roots.pem", certs(ca.Bundle().X509Authorities()))
	s.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}

func certs(list []*x509.Certificate) string {
	var b strings.Builder
	w := bufio.NewWriter(&b)
	for _, c := range list {
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	w.Flush()
	return b.String()
}

const shop = `apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: app, image: x}]}
status: {podIP: NET.1}
---
apiVersion: v1
kind: Pod
metadata: {name: catalog, namespace: shop, labels: {app: catalog}}
spec: {serviceAccountName: catalog, containers: [{name: app, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: NET.11}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: catalog, namespace: shop}
spec: {service: catalog, backends: [{service: catalog, weight: 1}]}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: catalog, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: catalog}
  rules: [{kind: HTTPRouteGroup, name: catalog}]
  sources: [{kind: ServiceAccount, name: web}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: catalog, namespace: shop}
spec: {matches: [{name: products, pathRegex: /products, methods: [GET]}]}
`
