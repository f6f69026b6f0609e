// SPDX-License-Identifier: Apache-2.0

// Package up runs the built-in mesh on one machine: a control plane and, beside every pod that a folder describes, a proxy, in one
// process and without root.
//
// Each pod has an address of its own in 127.0.0.0/8. Its process listens there as it would in a cluster; its proxy takes what the pod
// asks of others on one port of that address (as an HTTP proxy), and what others ask of the pod, over mutual TLS, on another. Nothing
// intercepts: a process that is to be reached through the mesh alone must not be dialled directly.
package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/up/tap"
	"github.com/anymesh/anymesh/xds"
)

// Options say what a mesh is made of.
type Options struct {
	Source       engine.Source
	Settings     model.Settings
	OutboundPort uint16 // where a pod's process finds its proxy
	InboundPort  uint16 // where proxies find each other
	Admin        string // address of metrics, findings and health; empty: none
	Identity     string // folder of the CA's keys; empty: new ones at each start
	Logger       *slog.Logger
	Access       func(proxy.Access)     // told of every finished request
	Flushed      func(*engine.Engine)   // called after each change that came through, in the engine's loop, before proxies are told
	Findings     func([]model.Finding)  // called in the engine's loop with all that is to be said, at first and when that changes
	Ready        func(Status)           // called once, when all proxies of the first batch are ready, or have failed
	Pod          func(Pod, error)       // called later than Ready, when a pod's proxy has come up, or cannot
	NACK         func(node, why string) // called when a proxy refuses what it was told
}

// Status is what came up.
type Status struct {
	Admin   string // address
	Proxies []Pod
	Failed  map[model.Name]error
}

// Remedy is what to do where this machine lacks addresses of pods, and empty where it has them all.
func (s *Status) Remedy() string {
	var lack []string
	for _, err := range s.Failed {
		var op *net.OpError
		if errors.Is(err, syscall.EADDRNOTAVAIL) && errors.As(err, &op) {
			host, _, _ := net.SplitHostPort(op.Addr.String())
			lack = append(lack, host)
		}
	}
	if len(lack) == 0 {
		return ""
	}
	slices.Sort(lack)
	return "On macOS, give this machine the addresses that it lacks, and start again:\n    for a in " + strings.Join(lack, " ") + "; do sudo ifconfig lo0 alias $a up; done"
}

// Pod is a pod whose proxy runs.
type Pod struct {
	Name     model.Name
	Identity model.Identity
	Outbound string // address of its proxy
	Address  string
}

// Mesh is the built-in mesh on this machine.
type Mesh struct {
	o       Options
	log     *slog.Logger
	stats   *stats.Stats
	ca      *identity.CA
	sources *identity.Sources
	server  *xds.Server
	engine  *engine.Engine
	ads     net.Listener
	admin   net.Listener
	fleet   *fleet
	numbers *numbers // nil: nobody can ask
	tap     tap.Tap

	// Of the engine's loop.
	serve    func()          // starts the control plane's server, once
	findings []model.Finding // told last
	told     bool
	closing  map[string]bool // inbound listeners that go when their proxies have ended
}

// Default ports: the same numbers as beside pods of a cluster.
const (
	OutboundPort = 15001
	InboundPort  = proxy.DefaultInboundPort
)

// New prepares a mesh. Nothing runs before Run.
func New(o Options) (*Mesh, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	domain, err := spiffeid.TrustDomainFromString(o.Settings.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("trust domain %q: %w", o.Settings.TrustDomain, err)
	}
	m := &Mesh{o: o, log: o.Logger, stats: stats.New(), closing: map[string]bool{}}
	if m.ca, err = identity.NewCA(identity.Options{TrustDomain: domain, Dir: o.Identity}); err != nil {
		return nil, fmt.Errorf("the mesh's CA: %w", err)
	}
	m.server = xds.New(xds.Options{Logger: o.Logger, Authorize: m.authorize, OnNACK: m.refused})
	// Without a sink: plans go to the server in the loop itself, which takes them at once and as a whole.
	m.engine = engine.New(engine.Target{Driver: builtin.Driver})
	m.engine.Set(store.Event{Object: o.Settings.Ref(), Facts: []model.Fact{&o.Settings}})
	return m, nil
}

// Stats counts what passes.
func (m *Mesh) Stats() *stats.Stats { return m.stats }

// CA signs the certificates of the mesh.
func (m *Mesh) CA() *identity.CA { return m.ca }

// Engine is the mesh's engine; outside its loop it is entered through Ask alone.
func (m *Mesh) Engine() *engine.Engine { return m.engine }

func (m *Mesh) refused(n xds.NACK) {
	m.log.Error("a proxy refused what it was told and keeps what it had", "node", n.Node, "type", n.TypeURL, "error", n.Message)
	if m.o.NACK != nil {
		m.o.NACK(n.Node, n.Message)
	}
}

// Run runs the mesh until the context ends, which is no error. Proxies drain before it returns.
func (m *Mesh) Run(ctx context.Context) error {
	if err := m.listen(); err != nil {
		return err
	}
	defer m.ads.Close()
	m.sources = identity.NewSources(context.WithoutCancel(ctx), m.ca, identity.SourceOptions{Logger: m.log})
	defer m.sources.Close()
	own, err := m.sources.For(m.controlPlane())
	if err != nil {
		return err
	}
	if m.admin != nil {
		if m.numbers, err = m.count(); err != nil {
			return err
		}
		defer m.numbers.store.Close() // when nobody asks any more
	}
	// The control plane outlives the proxies, which are told nothing new while they drain and lose nothing.
	back, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	m.serve = sync.OnceFunc(func() {
		wg.Go(func() {
			if err := m.server.Serve(back, m.ads, identity.ServerTLS(own, identity.Member(m.domain()))); err != nil {
				m.log.Error("the control plane's server ended", "error", err)
			}
		})
	})
	if m.admin != nil {
		wg.Go(func() { m.numbers.run(back, m) })
		wg.Go(func() { m.serveAdmin(back) })
	}
	m.fleet = newFleet(m)
	defer m.fleet.drain()
	flushed := func(p []engine.Plan) { m.flushed(ctx, p) }
	if err = m.engine.Run(ctx, engine.Options{Logger: m.log, Flushed: flushed}, m.o.Source); ctx.Err() != nil {
		return nil
	}
	return err
}

// flushed runs in the engine's loop after each change, and lets nobody be asked who is not there. New pods' proxies come first, then all
// is told that changed, and the proxies of pods that are gone go last.
func (m *Mesh) flushed(ctx context.Context, plans []engine.Plan) {
	if m.o.Flushed != nil {
		m.o.Flushed(m.engine)
	}
	if m.numbers != nil {
		m.numbers.tell(m.engine.Store)
	}
	first, then, last := xds.Steps(plans[0].Changes)
	for _, c := range first {
		delete(m.closing, c.Name)
	}
	m.apply(first)
	m.serve()
	left := m.fleet.add(ctx, m.engine.Store)
	m.apply(then)
	m.fleet.told()
	if len(left)+len(last) > 0 {
		m.fleet.settle(ctx)
		m.close(ctx, left, last)
	}
	m.tellFindings()
}

// close ends the proxies of pods that are gone, a moment after nobody is led to them any more, and takes away what they admit once they
// have ended: what is under way at them is still judged. In between it may be wanted again.
func (m *Mesh) close(ctx context.Context, left []*keeper, last []xds.Change) {
	for _, c := range last {
		m.closing[c.Name] = true
	}
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lingerWait):
		}
		m.fleet.remove(left)
		// An error is the mesh's end, which takes away everything.
		_ = m.engine.Ask(ctx, func(*engine.Engine) {
			m.apply(slices.DeleteFunc(last, func(c xds.Change) bool { return !m.closing[c.Name] }))
			for _, c := range last {
				delete(m.closing, c.Name)
			}
		})
	}()
}

// apply hands changes to the control plane's server.
func (m *Mesh) apply(changes []xds.Change) {
	if err := m.server.Apply(changes); err != nil {
		panic("up: the built-in driver wrote what cannot be said: " + err.Error())
	}
}

// tellFindings says what there is to say when it is not what was said last.
func (m *Mesh) tellFindings() {
	if m.o.Findings == nil {
		return
	}
	now := m.engine.Findings()
	if m.told && slices.Equal(now, m.findings) {
		return
	}
	m.told, m.findings = true, now
	m.o.Findings(slices.Clone(now))
}

func (m *Mesh) domain() spiffeid.TrustDomain {
	return spiffeid.RequireTrustDomainFromString(m.o.Settings.TrustDomain)
}

func (m *Mesh) source(id model.Identity) (*identity.Source, error) {
	sid, err := identity.ID(m.o.Settings.TrustDomain, id.Namespace, id.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return m.sources.For(sid)
}

func (m *Mesh) listen() (err error) {
	if m.ads, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("the control plane's port: %w", err)
	}
	if m.o.Admin == "" {
		return nil
	}
	if m.admin, err = net.Listen("tcp", m.o.Admin); err != nil {
		m.ads.Close()
		return fmt.Errorf("the admin port (choose another with --admin): %w", err)
	}
	return nil
}

// controlPlane is who the control plane is.
func (m *Mesh) controlPlane() spiffeid.ID { return identity.ControlPlane(m.domain()) }

// serveAdmin answers on the admin port until the context ends, and what was asked before has been answered.
func (m *Mesh) serveAdmin(ctx context.Context) {
	s := &http.Server{Handler: m.adminHandler(), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		// Requests under way end with their context; who does not take his answer is not waited for.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.Shutdown(limit) != nil {
			s.Close()
		}
	}()
	if err := s.Serve(m.admin); !errors.Is(err, http.ErrServerClosed) {
		m.log.Error("the admin port ended", "error", err)
	}
	<-ended
}
