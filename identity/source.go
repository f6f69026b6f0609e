// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Authority issues SVIDs and publishes the roots that prove them. The CA is one; a client of another issuer can be
// another. All methods may be called concurrently.
type Authority interface {
	// Issue makes a key and an SVID for id.
	Issue(ctx context.Context, id spiffeid.ID) (*x509svid.SVID, error)
	// Changed is closed when any bundle next changes.
	Changed() <-chan struct{}
	x509bundle.Source
}

// SourceOptions tune a Source; the zero value is meant for use.
type SourceOptions struct {
	Logger   *slog.Logger  // told of renewals that failed; slog.Default if nil
	RetryMin time.Duration // wait after a first failed renewal, doubled by each further one; one second if zero
	RetryMax time.Duration // longest wait between tries; one minute if zero
}

// Source keeps one workload's SVID fresh. It renews at about half of an SVID's life, at once if a root was withdrawn
// under it, and keeps the present SVID when a renewal fails. It is an x509svid.Source and an x509bundle.Source.
type Source struct {
	id        spiffeid.ID
	authority Authority
	options   SourceOptions
	stop      context.CancelFunc
	done      chan struct{}

	mu      sync.RWMutex
	svid    *x509svid.SVID
	failure error // of the last renewal; nil once one succeeds
	changed chan struct{}
}

// NewSource obtains a first SVID for id and renews it until ctx is done or Close is called.
func NewSource(ctx context.Context, a Authority, id spiffeid.ID, o SourceOptions) (*Source, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.RetryMin <= 0 {
		o.RetryMin = time.Second
	}
	if o.RetryMax <= 0 {
		o.RetryMax = max(time.Minute, o.RetryMin)
	}
	ctx, stop := context.WithCancel(ctx)
	s := &Source{id: id, authority: a, options: o, stop: stop, done: make(chan struct{}), changed: make(chan struct{})}
	if err := s.renew(ctx); err != nil {
		stop()
		return nil, err
	}
	go s.run(ctx)
	return s, nil
}

// ID is the identity that this source proves.
func (s *Source) ID() spiffeid.ID { return s.id }

// Close stops the renewal. The last SVID stays in use until it expires.
func (s *Source) Close() {
	s.stop()
	<-s.done
}

// Changed is closed when the SVID is next renewed. Take the channel first and read the SVID then: no renewal is missed.
func (s *Source) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// GetX509SVID implements x509svid.Source. It fails once the SVID has expired because renewals failed all along, and
// says why they did.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if end := s.svid.Certificates[0].NotAfter; time.Now().After(end) {
		return nil, fmt.Errorf("the SVID of %s expired at %s and was not renewed: %w", s.id, end.Format(time.RFC3339), s.failure)
	}
	return s.svid, nil
}

// GetX509BundleForTrustDomain implements x509bundle.Source with the authority's present bundles.
func (s *Source) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return s.authority.GetX509BundleForTrustDomain(domain)
}

// renew asks for a new SVID and puts it into use.
func (s *Source) renew(ctx context.Context) error {
	svid, err := s.authority.Issue(ctx, s.id)
	if err == nil && svid.ID != s.id {
		err = fmt.Errorf("the authority answered with an SVID of %s", svid.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failure = fmt.Errorf("renew the SVID of %s: %w", s.id, err)
		return s.failure
	}
	s.svid, s.failure = svid, nil
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *Source) run(ctx context.Context) {
	defer close(s.done)
	for {
		if !s.rest(ctx) {
			return
		}
		for wait := s.options.RetryMin; ; wait = min(2*wait, s.options.RetryMax) {
			err := s.renew(ctx)
			if err == nil && !s.trusted() {
				err = fmt.Errorf("renew the SVID of %s: the authority's own bundle does not prove the new one", s.id)
			}
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.options.Logger.Warn("identity: the present SVID stays in use", "error", err, "retry", wait)
			select {
			case <-ctx.Done():
				return
			case <-time.After(around(wait)):
			}
		}
	}
}

// rest waits until the SVID is to be renewed, and reports whether it is (or ctx is done).
func (s *Source) rest(ctx context.Context) bool {
	s.mu.RLock()
	leaf := s.svid.Certificates[0]
	s.mu.RUnlock()
	// Never sooner than a retry: an authority whose clock runs late would have us ask without end.
	timer := time.NewTimer(max(around(time.Until(leaf.NotAfter)/2), s.options.RetryMin))
	defer timer.Stop()
	for {
		changed := s.authority.Changed()
		if !s.trusted() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-changed:
		}
	}
}

// trusted tells whether peers who know the present bundle accept the SVID.
func (s *Source) trusted() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	leaf := s.svid.Certificates[0]
	// As of its beginning: an SVID near its end is the timer's affair, and this machine's clock may be off.
	_, _, err := x509svid.Verify(s.svid.Certificates, s.authority, x509svid.WithTime(leaf.NotBefore))
	return err == nil
}

// around spreads a duration by a tenth to both sides, so that workloads started together do not renew together.
func around(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d - d/10 + rand.N(d/5+1)
}
