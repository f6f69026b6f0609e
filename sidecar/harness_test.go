// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/control"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/examples"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/join"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/sidecar"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/up"
)

// patience bounds everything that is waited for. It is no measure of anything.
const patience = 30 * time.Second

var domain = spiffeid.RequireTrustDomainFromString("cluster.local")

var nets atomic.Uint32

// site is the shop on hosts of its own: addresses of loopback that nobody else has.
type site struct {
	t      *testing.T
	dir    string
	net    string
	ca     *identity.CA
	tokens *join.Folder
	log    *slog.Logger
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	n := 127<<24 | (rand.Uint32N(250)+3)<<16 | (rand.Uint32N(200)+nets.Add(1)%50)<<8
	s := &site{t: t, dir: t.TempDir(), net: fmt.Sprintf("127.%d.%d", n>>16&255, n>>8&255),
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, f := range []string{"services", "access", "pods", "split"} {
		text, err := examples.Files.ReadFile("shop/" + f + ".yaml")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(s.dir, f+".yaml"), []byte(strings.ReplaceAll(string(text), "127.0.1.", s.net+".")), 0o644))
	}
	var err error
	s.ca, err = identity.NewCA(identity.Options{TrustDomain: domain})
	check(t, err)
	s.tokens, err = join.Open(filepath.Join(t.TempDir(), "join"), nil)
	check(t, err)
	return s
}

// edit replaces one text in a file.
func (s *site) edit(name, old, now string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	text, err := os.ReadFile(path)
	check(s.t, err)
	if strings.Count(string(text), old) != 1 {
		s.t.Fatalf("%s holds %q %d times", name, old, strings.Count(string(text), old))
	}
	check(s.t, os.WriteFile(path+".tmp~", []byte(strings.Replace(string(text), old, now, 1)), 0o644))
	check(s.t, os.Rename(path+".tmp~", path))
}

// process is something that runs until it is stopped.
type process struct{ stop func() error }

func run(t *testing.T, f func(context.Context) error) *process {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	p := &process{sync.OnceValue(func() error { cancel(); return <-ended })}
	t.Cleanup(func() { check(t, p.stop()) })
	return p
}

// plane is a control plane of the site.
type plane struct {
	*process
	*control.Plane
	address string
}

// plane starts one; at is an address that it takes, or empty.
func (s *site) plane(at string) *plane {
	s.t.Helper()
	if at == "" {
		at = s.net + ".250:0"
	}
	l, err := net.Listen("tcp", at)
	check(s.t, err)
	e := engine.New()
	p := control.New(control.Options{Authority: s.ca, Attestors: s.tokens.Attestors(), ClusterDomain: "cluster.local", Pod: control.Of(e), Logger: s.log})
	e.Retarget(engine.Target{Driver: builtin.Driver, Sink: p})
	settings := model.Defaults()
	e.Set(store.Event{Object: settings.Ref(), Facts: []model.Fact{settings}})
	return &plane{run(s.t, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- p.Serve(ctx, l, nil) }()
		if err := e.Run(ctx, engine.Options{Logger: s.log}, up.NewFolder([]string{s.dir}, file.Options{}, nil)); ctx.Err() == nil {
			return err
		}
		return <-served
	}), p, l.Addr().String()}
}

func (s *site) token(account string) string {
	s.t.Helper()
	id, err := identity.ID(domain.Name(), "shop", account)
	check(s.t, err)
	token, err := s.tokens.Create(id, time.Minute)
	check(s.t, err)
	return token
}

// host is a host with a proxy.
type host struct {
	*process
	sidecar.Status
}

// options are those of a host that joins by a token.
func (s *site) options(pod, planes, token, state string) sidecar.Options {
	s.t.Helper()
	holder, err := join.Hold(state, func() (string, error) { return token, nil })
	check(s.t, err)
	return sidecar.Options{ControlPlane: planes, Domain: domain, Roots: func() (*x509bundle.Bundle, error) { return s.ca.Bundle(), nil }, Prover: holder,
		Node: proxy.Node{Pod: pod}, Proxy: proxy.Config{Direct: true, OutboundPort: up.OutboundPort}, Admin: "127.0.0.1:0", Logger: s.log.With("host", pod)}
}

// host starts a proxy beside a pod, and waits until it works.
func (s *site) host(o sidecar.Options) *host {
	s.t.Helper()
	ready := make(chan sidecar.Status, 1)
	o.Ready = func(st sidecar.Status) { ready <- st }
	ended := make(chan error, 1)
	h := &host{process: run(s.t, func(ctx context.Context) error {
		err := sidecar.Run(ctx, o)
		ended <- err
		return err
	})}
	select {
	case h.Status = <-ready:
	case err := <-ended:
		s.t.Fatalf("%s ended: %v", o.Node.Pod, err)
	case <-time.After(patience):
		s.t.Fatalf("%s is not ready", o.Node.Pod)
	}
	return h
}

// shop are the hosts of the shop, by pod.
func (s *site) shop(planes string) map[string]*host {
	s.t.Helper()
	out := map[string]*host{}
	for pod, account := range map[string]string{"web": "web", "catalog-v1": "catalog", "catalog-v2": "catalog", "intruder": "intruder"} {
		out[pod] = s.host(s.options(pod, planes, s.token(account), s.t.TempDir()))
	}
	for last, name := range map[int]string{11: "v1", 12: "v2"} {
		s.app(last, name)
	}
	return out
}

// app is the process of a host, which says its name.
func (s *site) app(last int, name string) {
	s.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s.%d:8080", s.net, last))
	check(s.t, err)
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })}
	go h.Serve(l)
	s.t.Cleanup(func() { h.Close() })
}

const products = "http://catalog.shop:8080/products"

// get asks through a proxy.
func get(through netip.AddrPort, target string) (int, string, error) {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: through.String()})}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Get(target)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not so in time: %s", what)
		}
	}
}
