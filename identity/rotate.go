// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Prepare begins a root's rotation: a new root is made and published in the bundle. Signing with it waits for Activate,
// which is to be called once every peer, in other trust domains too, has had the time to fetch the bundle.
func (c *CA) Prepare() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil || c.old != nil {
		return fmt.Errorf("prepare a root of %q: a rotation is under way: finish it with Activate and Retire", c.options.TrustDomain)
	}
	next, err := c.newRoot()
	if err != nil {
		return err
	}
	return c.turn(state{active: c.active, next: next})
}

// Activate lets the prepared root sign. The old root stays in the bundle until Retire; its key is destroyed.
func (c *CA) Activate() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		return fmt.Errorf("activate a root of %q: none was prepared: call Prepare first", c.options.TrustDomain)
	}
	old := &root{cert: c.active.cert, ttl: c.active.ttl, until: c.options.Clock().Add(c.active.ttl)}
	return c.turn(state{active: c.next, old: old})
}

// ErrInUse says that SVIDs signed by the root that is to retire have not yet expired.
var ErrInUse = errors.New("SVIDs signed by the old root have not yet expired")

// Retire ends a rotation: the old root leaves the bundle. It fails with ErrInUse while an SVID signed by that root may
// still be alive, unless force is set, as for a root whose key was stolen: every such SVID is refused from then on.
func (c *CA) Retire(force bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.old == nil {
		return fmt.Errorf("retire a root of %q: there is no old one: call Prepare and Activate first", c.options.TrustDomain)
	}
	if !force && c.options.Clock().Before(c.old.until) {
		return fmt.Errorf("retire the old root of %q: %w: wait until %s", c.options.TrustDomain, ErrInUse, c.old.until.Format(time.RFC3339))
	}
	return c.turn(state{active: c.active})
}

// turn moves to another state, first where it is kept; c.mu is held.
func (c *CA) turn(s state) error {
	if err := c.save(s); err != nil {
		return err
	}
	c.set(s)
	return nil
}

// set takes over a state and tells those who wait for a change; c.mu is held, or c is not yet shared.
func (c *CA) set(s state) {
	c.active, c.next, c.old = s.active, s.next, s.old
	var roots []*x509.Certificate
	for _, r := range []*root{s.old, s.active, s.next} {
		if r != nil {
			roots = append(roots, r.cert)
		}
	}
	c.bundle = x509bundle.FromX509Authorities(c.options.TrustDomain, roots)
	close(c.changed)
	c.changed = make(chan struct{})
}

// Bundle is the set of roots that peers are to trust. It is never altered by the CA, which publishes a new one instead.
func (c *CA) Bundle() *x509bundle.Bundle {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bundle
}

// Bundles are all bundles that this authority publishes: its own.
func (c *CA) Bundles() []*x509bundle.Bundle { return []*x509bundle.Bundle{c.Bundle()} }

// TrustDomain is the one that the CA signs for.
func (c *CA) TrustDomain() spiffeid.TrustDomain { return c.options.TrustDomain }

// Changed is closed when the bundle next changes. Take the channel first and read the bundle then: no change is missed.
func (c *CA) Changed() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changed
}

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (c *CA) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	if domain != c.options.TrustDomain {
		return nil, fmt.Errorf("no bundle for trust domain %q: this authority speaks for %q alone", domain, c.options.TrustDomain)
	}
	return c.Bundle(), nil
}
