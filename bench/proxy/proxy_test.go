// SPDX-License-Identifier: Apache-2.0

// Package proxybench measures what a request costs in the proxies, beside HAProxy and nginx on the same machine in the same run, in turns.
// It runs only with -bench:
//
//	go test -run '^$' -bench . -benchtime 5x ./bench/proxy
//
// Each proxy runs in a process of its own, so that neither the client nor the server is counted; what counts is its processor time, for
// the machine may do other things. A peer that is not installed is left out.
package proxybench

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/identity"
)

const (
	requests = 20_000 // in a round
	size     = 1024
	patience = 30 * time.Second
)

// site is the addresses of one run.
type site struct {
	b   *testing.B
	net string // the first three bytes of its addresses
	dir string
}

// bare is a site without a server.
func bare(b *testing.B) *site {
	return &site{b: b, net: fmt.Sprintf("127.%d.%d", 3+rand.IntN(250), rand.IntN(256)), dir: b.TempDir()}
}

func newSite(b *testing.B) *site {
	s := bare(b)
	l, err := net.Listen("tcp", s.net+".11:8080")
	check(b, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	b.Cleanup(func() { l.Close() })
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

// start runs a process to the end of the benchmark, and waits until it listens. It is asked to end, and has the time to.
func (s *site) start(addr string, env []string, name string, args ...string) int {
	s.b.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	check(s.b, c.Start())
	s.b.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			s.b.Logf("%s: %v\n%s", name, err, out.String())
		}
	})
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return c.Process.Pid
		}
		if time.Since(begin) > patience {
			s.b.Fatalf("%s does not listen: %v\n%s", name, err, out.String())
		}
	}
}

// BenchmarkPair is two proxies of the mesh: out of web, in to catalog, mutual TLS between them, a split and permissions on the way. The peers
// do the same with one process for both ends, without identities and policy; HAProxy once with HTTP/1.1 between the two, and once with HTTP/2.
func BenchmarkPair(b *testing.B) {
	s := newSite(b)
	s.certificate()
	var all []contestant
	if h, ok := s.haproxy(s.net+".2:15001", s.haproxyPair(2, "http/1.1")); ok {
		h2, _ := s.haproxy(s.net+".3:15001", s.haproxyPair(3, "h2"))
		h2.name = "haproxy-h2"
		all = append(all, h, h2)
	}
	if n, ok := s.nginx(s.net+".4:15001", strings.NewReplacer("NET", s.net, "DIR", s.dir).Replace(`
upstream peer { server NET.4:15006; keepalive 256; keepalive_requests 1000000; }
server { listen NET.4:15001; location / { proxy_pass https://peer; proxy_ssl_certificate DIR/svid.pem; proxy_ssl_certificate_key DIR/key.pem; proxy_ssl_protocols TLSv1.3; } }
server { listen NET.4:15006 ssl; ssl_certificate DIR/svid.pem; ssl_certificate_key DIR/key.pem; ssl_client_certificate DIR/roots.pem; ssl_verify_client on; ssl_protocols TLSv1.3;
  location / { proxy_pass http://app; } }`)); ok {
		all = append(all, n)
	}
	s.loads(b, append(all, s.mesh()))
}

// mesh starts both proxies of a small shop, with a hundred rules.
func (s *site) mesh() contestant {
	bin := filepath.Join(s.dir, "anymesh")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/anymesh/anymesh/cmd/anymesh").CombinedOutput(); err != nil {
		s.b.Fatalf("%v\n%s", err, out)
	}
	world := filepath.Join(s.dir, "world")
	check(s.b, os.Mkdir(world, 0o700))
	var matches strings.Builder
	for i := range rules {
		fmt.Fprintf(&matches, "  - {name: m%d, pathRegex: \"/r%[1]d/v[0-9]+/items/[0-9]+\", methods: [GET]}\n", i)
	}
	s.write("world/shop.yaml", strings.ReplaceAll(shop, "NET", s.net)+matches.String())
	addr := s.net + ".1:15001"
	c := contestant{"ours", s.start(addr, nil, bin, "up", world, "--admin", ""), addr, direct}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := (&client{to: c, buf: make([]byte, 8<<10)}).ask()
		if err == nil {
			return c
		}
		if time.Since(begin) > patience {
			s.b.Fatal(err)
		}
	}
}

func (s *site) haproxyPair(n int, alpn string) string {
	proto := ""
	if alpn == "h2" {
		proto = " proto h2"
	}
	return strings.NewReplacer("NET", s.net, "DIR", s.dir, "SELF", fmt.Sprintf("%s.%d", s.net, n), "ALPN", alpn, "PROTO", proto).Replace(`
frontend out
  bind SELF:15001
  default_backend peer
backend peer
  server p SELF:15006 ssl verify required ca-file DIR/roots.pem crt DIR/both.pem ssl-min-ver TLSv1.3 alpn ALPNPROTO
frontend in
  bind SELF:15006 ssl crt DIR/both.pem ca-file DIR/roots.pem verify required ssl-min-ver TLSv1.3 alpn ALPN
  default_backend app
backend app
  server a NET.11:8080
`)
}

// haproxy runs one with the given sections; false: there is none here.
func (s *site) haproxy(addr, sections string) (contestant, bool) {
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		s.b.Log("haproxy is not installed: with it, its figures stand beside ours")
		return contestant{}, false
	}
	conf := s.write("haproxy-"+addr+".cfg", `global
  nbthread 2
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
`+sections)
	return contestant{"haproxy", s.start(addr, nil, bin, "-db", "-f", conf), addr, direct}, true
}

// nginx runs one with servers in front of the app; false: there is none here.
func (s *site) nginx(addr, servers string) (contestant, bool) {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		s.b.Log("nginx is not installed: with it, its figures stand beside ours")
		return contestant{}, false
	}
	conf := s.write("nginx.conf", fmt.Sprintf(`daemon off; worker_processes 2; pid %[1]s/nginx.pid; error_log stderr error;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 1000000; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  proxy_http_version 1.1; proxy_set_header Connection "";
  upstream app { server %[2]s.11:8080; keepalive 256; keepalive_requests 1000000; }
  %[3]s
}`, s.dir, s.net, servers))
	return contestant{"nginx", s.start(addr, nil, bin, "-c", conf, "-p", s.dir), addr, direct}, true
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
	s.write("both.pem", certs(svid.Certificates)+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
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
spec:
  matches:
`
