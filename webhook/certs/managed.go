// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"k8s.io/client-go/dynamic"
)

// Options say whose certificates they are, and where they are kept and made known.
type Options struct {
	Namespace   string   // of the Service and the Secret
	Service     string   // whose name the certificate says: Service.Namespace.svc
	Secret      string   // that the replicas share; it is made where it is missing
	Definitions []string // CustomResourceDefinitions that convert by the Service; those that do otherwise are left alone
	Extensions  []string // APIServices that are answered behind the Service
	Validation  string   // ValidatingWebhookConfiguration that calls the Service; empty: none
	Injection   string   // MutatingWebhookConfiguration that calls the Service; empty: none

	Life          time.Duration // of a serving certificate; 90 days if zero
	AuthorityLife time.Duration // of an authority; two years if zero
	Overlap       time.Duration // for which an authority is known before it signs, and after; an hour if zero
	Interval      time.Duration // between looks at the cluster; 30 seconds if zero
	Clock         func() time.Time
	Logger        *slog.Logger
}

func (o *Options) defaults() {
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{{&o.Life, 90 * 24 * time.Hour}, {&o.AuthorityLife, 2 * 365 * 24 * time.Hour}, {&o.Overlap, time.Hour}, {&o.Interval, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.zero
		}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Managed keeps certificate and bundle fresh. It is one replica's; the Secret is everybody's.
type Managed struct {
	options Options
	cluster cluster
	leaf    atomic.Pointer[tls.Certificate]
	ready   atomic.Pointer[error] // why not; nil once it was
	known   []byte                // the bundle that was found in all places at the last look
}

// Manage makes a replica's keeper of certificates. It does nothing before Run.
func Manage(client dynamic.Interface, o Options) *Managed {
	o.defaults()
	m := &Managed{options: o}
	m.cluster = cluster{client, &m.options}
	m.unready(errors.New("there is no certificate yet"))
	return m
}

func (m *Managed) unready(err error) { m.ready.Store(&err) }

// Ready says why the webhook cannot be called yet: it has no certificate, or the API server has not been told what proves it. Once it could be
// called it stays ready; a cluster that cannot be asked for a while changes nothing of it.
func (m *Managed) Ready() error {
	if err := m.ready.Load(); err != nil {
		return *err
	}
	if leaf := m.leaf.Load(); m.options.Clock().After(leaf.Leaf.NotAfter) {
		return fmt.Errorf("the serving certificate ended at %s and was not renewed", leaf.Leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Certificate is what a TLS server asks for.
func (m *Managed) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if leaf := m.leaf.Load(); leaf != nil {
		return leaf, nil
	}
	return nil, errors.New("there is no certificate yet")
}

// Run keeps certificate and bundle fresh until the context ends. What fails is logged and tried again.
func (m *Managed) Run(ctx context.Context) {
	retry := time.Second
	for {
		wait := m.options.Interval
		if err := m.sync(ctx); err == nil {
			retry = time.Second
		} else if ctx.Err() == nil {
			wait = min(retry, wait)
			retry = min(2*retry, m.options.Interval)
			m.options.Logger.Warn("webhook certificates: what there is stays in use", "error", err, "retry", wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait - wait/10 + rand.N(wait/5+1)): // replicas that started together need not look together
		}
	}
}

// attempts is how often a replica yields to others in one look.
const attempts = 5

// sync looks at the cluster once and does what is due.
func (m *Managed) sync(ctx context.Context) error {
	s, err := m.agree(ctx)
	if err != nil {
		return err
	}
	m.leaf.Store(s.leaf)
	if err := m.announce(ctx, s); err != nil {
		if m.ready.Load() != nil {
			m.unready(fmt.Errorf("the API server has not been told what proves the certificate: %w", err))
		}
		return err
	}
	if s.knows(m.known) {
		m.ready.Store(nil)
	}
	return nil
}

// agree reads the Secret and writes the step that is due, or takes what another replica wrote.
func (m *Managed) agree(ctx context.Context) (*state, error) {
	o := &m.options
	t := terms{o.AuthorityLife, o.Life, o.Overlap, []string{o.Service + "." + o.Namespace + ".svc"}}
	for range attempts {
		kept, s, err := m.cluster.secret(ctx)
		if err != nil {
			return nil, err
		}
		next, why, err := s.step(t, o.Clock(), s != nil && s.knows(m.known))
		if err != nil {
			return nil, err
		}
		if why == "" {
			return s, nil
		}
		err = m.cluster.keep(ctx, kept, next)
		if err == nil {
			o.Logger.Info("webhook certificates: "+why, "serving until", next.leaf.Leaf.NotAfter, "authority until", next.active.cert.NotAfter)
			return next, nil
		}
		if !contested(err) {
			return nil, fmt.Errorf("keep the Secret %s/%s: %w", o.Namespace, o.Secret, err)
		}
	}
	return nil, errors.New("other replicas write the Secret all the time")
}

// announce writes the bundle wherever the API server looks for it.
func (m *Managed) announce(ctx context.Context, s *state) error {
	known := s.bundle()
	for _, p := range m.cluster.places() {
		bundle, err := m.cluster.announce(ctx, p)
		if err == nil && !bytes.Equal(bundle, known) {
			err = errors.New("another replica changed the Secret meanwhile")
		}
		if err != nil {
			m.known = nil
			return fmt.Errorf("%s %s: %w", p.resource.Resource, p.name, err)
		}
	}
	m.known = known
	return nil
}
