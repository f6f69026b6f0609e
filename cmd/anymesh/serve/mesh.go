// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/control"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/attest"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/kube/keys"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// BuiltinOptions say where the built-in mesh is served.
type BuiltinOptions struct {
	Cluster   *kube.Cluster
	Namespace string // of the Secret
	At        string // address that proxies ask
	Engine    func() *engine.Engine
	Logger    *slog.Logger
}

// Builtin runs the built-in mesh's control plane on a cluster: for the first Mesh of its kind, once there is something to tell. Every replica
// serves; the CA is in a Secret that they share.
type Builtin struct {
	BuiltinOptions
	ctx    context.Context // of the server
	failed chan error

	mu   sync.Mutex
	sink *builtinSink
	ca   *identity.CA
}

// NewBuiltin is one whose server lives as long as ctx.
func NewBuiltin(ctx context.Context, o BuiltinOptions) *Builtin {
	return &Builtin{BuiltinOptions: o, ctx: ctx, failed: make(chan error, 1)}
}

// Direct is controller.Options.Direct.
func (b *Builtin) Direct(m *api.Mesh, d *mesh.Driver) engine.Sink {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.Name != "builtin" || b.sink != nil && b.sink.name != m.Name {
		return nil // one port, one mesh
	}
	if b.sink == nil {
		s := controller.Settings(&m.Spec)
		if s == nil {
			s = model.Defaults()
		}
		b.sink = &builtinSink{b: b, name: m.Name, domain: s.TrustDomain, cluster: s.ClusterDomain}
	}
	return b.sink
}

// builtinSink begins the control plane when it is first told something.
type builtinSink struct {
	b               *Builtin
	name            string
	domain, cluster string
	mu              sync.Mutex
	plane           *control.Plane
}

// Apply implements engine.Sink.
func (s *builtinSink) Apply(ctx context.Context, changes []mesh.Change) error {
	p, err := s.begin()
	if err != nil {
		return err // asked again
	}
	return p.Apply(ctx, changes)
}

// begin opens the CA and the port, once.
func (s *builtinSink) begin() (*control.Plane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plane != nil {
		return s.plane, nil
	}
	domain, err := spiffeid.TrustDomainFromString(s.domain)
	if err != nil {
		return nil, fmt.Errorf("Mesh %s: spec.trustDomain: %w", s.name, err)
	}
	b := s.b
	ca, err := identity.NewCA(identity.Options{TrustDomain: domain, Keep: &keys.Secret{Client: b.Cluster.Core, Namespace: b.Namespace}})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", b.At)
	if err != nil {
		return nil, err
	}
	s.plane = control.New(control.Options{Authority: ca, ClusterDomain: s.cluster, Pod: control.Of(b.Engine()), Logger: b.Logger,
		Attestors: map[string]issue.Attestor{issue.Kubernetes: attest.Tokens{Client: b.Cluster.Core, Domain: domain}}})
	b.Logger.Info("the built-in mesh is served", "mesh", s.name, "trust domain", s.domain, "at", l.Addr().String())
	go func() {
		if err := s.plane.Serve(b.ctx, l, nil); err != nil {
			b.failed <- err
		}
	}()
	go reload(b.ctx, ca, b.Logger)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ca = ca
	return s.plane, nil
}

// reloads is how often a replica looks whether another has replaced the root.
const reloads = time.Minute

func reload(ctx context.Context, ca *identity.CA, log *slog.Logger) {
	for tick := time.NewTicker(reloads); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		if err := ca.Reload(); err != nil {
			log.Warn("the CA is as it was read last", "error", err)
		}
	}
}

// Mesh is inject.Options.Mesh.
func (b *Builtin) Mesh() (domain string, roots []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ca == nil {
		return "", nil
	}
	for _, c := range b.ca.Bundle().X509Authorities() {
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return b.ca.TrustDomain().Name(), roots
}

// Run ends with an error when the server fails, and with ctx.
func (b *Builtin) Run() error {
	select {
	case <-b.ctx.Done():
		return nil
	case err := <-b.failed:
		return err
	}
}
