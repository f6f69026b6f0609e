// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
)

// ca is the authority of one trust domain.
type ca struct {
	td   spiffeid.TrustDomain
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB, domain string) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	td := spiffeid.RequireTrustDomainFromString(domain)
	m := &x509.Certificate{SerialNumber: big.NewInt(mrand.Int64()), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{td.ID().URL()}}
	der, err := x509.CreateCertificate(rand.Reader, m, m, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &ca{td, cert, key}
}

// issue makes the certificate of an identity, as ns/sa.
func (c *ca) issue(t testing.TB, account string) *x509svid.SVID {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	id := spiffeid.RequireFromString(c.id(account))
	m := &x509.Certificate{SerialNumber: big.NewInt(mrand.Int64()), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{id.URL()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, m, c.cert, key.Public(), c.key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &x509svid.SVID{ID: id, Certificates: []*x509.Certificate{cert}, PrivateKey: key}
}

func (c *ca) id(account string) string {
	ns, sa, _ := strings.Cut(account, "/")
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", c.td.Name(), ns, sa)
}

func (c *ca) bundle() *x509bundle.Bundle {
	return x509bundle.FromX509Authorities(c.td, []*x509.Certificate{c.cert})
}

var (
	firstIP = 127<<24 | mrand.Uint32N(1<<24-1<<16) + 1<<15 // away from other test processes
	usedIPs atomic.Uint32
)

// freeIP is a loopback address of one workload.
func freeIP() netip.Addr {
	n := firstIP + usedIPs.Add(1)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// world is one mesh under test.
type world struct {
	t  testing.TB
	ca *ca
	*control
	stats *stats.Stats
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, ca: newCA(t, "mesh.test"), stats: stats.New()}
	w.control = newControl(t)
	return w
}

// pod is a workload with its proxy.
type pod struct {
	*proxy.Proxy
	ip   netip.Addr
	stop func() error // ends the proxy and waits for it
}

func (w *world) conn() *grpc.ClientConn {
	w.t.Helper()
	c, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2,
			MaxDelay: 100 * time.Millisecond}, MinConnectTimeout: time.Second}))
	check(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	return c
}

// pod starts the proxy of a workload, ns/name with the account of the same name. Its inbound side may still be missing.
func (w *world) pod(workload string, change ...func(*proxy.Config)) *pod {
	w.t.Helper()
	ns, name, _ := strings.Cut(workload, "/")
	d := &pod{ip: freeIP()}
	cfg := proxy.Config{
		Node: proxy.Node{Namespace: ns, Workload: name, Pod: name + "-1", IP: d.ip}, ADS: w.conn(), Direct: true,
		SVID: w.ca.issue(w.t, workload), Bundles: w.ca.bundle(), Stats: w.stats, Wait: 500 * time.Millisecond,
		Drain: time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	p, err := proxy.New(cfg)
	check(w.t, err)
	d.Proxy = p
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	d.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	w.t.Cleanup(func() {
		if err := d.stop(); err != nil {
			w.t.Errorf("Run of %s: %v", workload, err)
		}
	})
	return d
}

func (d *pod) ready(t testing.TB) *pod {
	t.Helper()
	select {
	case <-d.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the proxy did not become ready")
	}
	return d
}

// client makes a workload: an open inbound side is not needed to ask.
func (w *world) client(workload string, change ...func(*proxy.Config)) *pod {
	w.setInbound(workload, nil)
	return w.pod(workload, change...).ready(w.t)
}

// serve makes a workload whose process answers on port; the inbound policy must be set already.
func (w *world) serve(workload string, port uint16, h http.Handler, change ...func(*proxy.Config)) *pod {
	w.t.Helper()
	d := w.pod(workload, change...).ready(w.t)
	w.app(d, port, h)
	return d
}

// app starts the local process of a pod; it speaks HTTP/1 and HTTP/2 without TLS.
func (w *world) app(d *pod, port uint16, h http.Handler) {
	w.t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(d.ip, port).String())
	check(w.t, err)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	w.t.Cleanup(func() { s.Close() })
}

// says answers every request with a word.
func says(word string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, word) })
}

// http1 is a client that uses the pod's proxy as forward proxy.
func (d *pod) http1(t testing.TB) *http.Client {
	u := &url.URL{Scheme: "http", Host: d.OutboundAddr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(u), MaxIdleConnsPerHost: 100, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// http2 is a client that speaks HTTP/2 without TLS to the pod's proxy, whatever host the URL names.
func (d *pod) http2(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", d.OutboundAddr().String())
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// answer is what came back.
type answer struct {
	code   int
	body   string
	header http.Header
}

func ask(t testing.TB, c *http.Client, req *http.Request) answer {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(t, err)
	return answer{res.StatusCode, string(b), res.Header}
}

func get(t testing.TB, c *http.Client, url string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	check(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return ask(t, c, req)
}

// wantBody asks until the answer is as wanted: a change needs a moment to arrive.
func wantBody(t testing.TB, c *http.Client, url, body string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %q", url, body), func() bool { return get(t, c, url).body == body })
}

func wantCode(t testing.TB, c *http.Client, url string, code int) answer {
	t.Helper()
	var a answer
	eventually(t, fmt.Sprintf("%s answers %d", url, code), func() bool { a = get(t, c, url); return a.code == code })
	return a
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come true: %s", what)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dialPeer does mTLS with a pod's inbound side, as any client with a certificate could, and forces the whole handshake.
func (w *world) dialPeer(d *pod, svid *x509svid.SVID, sni string, alpn ...string) (*tls.Conn, error) {
	c := tls.Certificate{PrivateKey: svid.PrivateKey, Certificate: [][]byte{svid.Certificates[0].Raw}}
	conn, err := tls.Dial("tcp", netip.AddrPortFrom(d.ip, proxy.DefaultInboundPort).String(), &tls.Config{
		InsecureSkipVerify: true, ServerName: sni, NextProtos: alpn, Certificates: []tls.Certificate{c}})
	return conn, err
}
