// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/anymesh/anymesh/proxy/balance"
	"github.com/anymesh/anymesh/proxy/policy"
)

// Len, Busy and Usable implement balance.Endpoints.
func (k *known) Len() int          { return len(k.ends) }
func (k *known) Busy(i int) int64  { return k.ends[i].active.Load() }
func (k *known) Usable(i int) bool { return k.ends[i].health.Usable() }

func (k *known) names() []string {
	out := make([]string, len(k.ends))
	for i, e := range k.ends {
		out[i] = e.host
	}
	return out
}

// pick takes an endpoint as the cluster's policy says, for what has no key. not is avoided where there is another.
func (k *known) pick(not *endpoint) *endpoint { return k.pickFor(not, uint64(time.Now().UnixNano())) }

func (k *known) pickFor(not *endpoint, key uint64) *endpoint {
	avoid := -1
	if not != nil {
		for i, e := range k.ends {
			if e == not {
				avoid = i
			}
		}
	}
	i := k.picks.Pick(k, avoid, key)
	if i < 0 {
		return nil
	}
	return k.ends[i]
}

// report notes how a try at an endpoint ended.
func (b *Backend) report(k *known, e *endpoint, failed bool) {
	if !failed {
		b.ward.Report(&k.spec.Outliers, &e.health, false, nil)
		return
	}
	all := make([]*balance.Health, len(k.ends))
	for i, e := range k.ends {
		all[i] = &e.health
	}
	b.ward.Report(&k.spec.Outliers, &e.health, true, all)
}

// Do sends a request to one endpoint; out.URL.Host and Scheme are set here. Where no connection could be made, one other
// endpoint is tried. done must be called when the response is finished.
func (b *Backend) Do(out *http.Request, h2 bool) (res *http.Response, done func(), err error) {
	return b.DoFor(out, h2, &policy.Decision{})
}

// DoFor is Do with what a route decided: the key that chooses the endpoint, and whether the request may be tried again. It is, where
// it has no body and a method that may be repeated, and the endpoint did not answer, or answered for want of one behind it.
func (b *Backend) DoFor(out *http.Request, h2 bool, d *policy.Decision) (*http.Response, func(), error) {
	k := b.now.Load()
	if k == nil || len(k.ends) == 0 {
		return nil, nil, fmt.Errorf("%s: %w", b.Name, ErrNoEndpoint)
	}
	leave := func() {}
	if k.spec.Limits.Active > 0 {
		if err := b.gate.Enter(out.Context()); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", b.Name, err)
		}
		leave = b.gate.Leave
	}
	t := try{b: b, k: k, h2: h2, d: d, body: out.Body != nil}
	res, done, err := t.all(out)
	if err != nil {
		leave()
		return nil, nil, fmt.Errorf("%s: %w", b.Name, err)
	}
	return res, func() { done(); leave() }, nil
}

// try is a request with its tries.
type try struct {
	b    *Backend
	k    *known
	h2   bool
	d    *policy.Decision
	body bool
}

// all tries until there is an answer to give.
func (t *try) all(out *http.Request) (*http.Response, func(), error) {
	body := out.Body
	again := uint32(0)
	if !t.body && repeatable(out.Method) {
		again = t.d.Again.Tries
	}
	var last *endpoint
	for unreached := 0; ; {
		e := t.k.pickFor(last, t.key())
		var held *kept
		if body != nil {
			held = &kept{ReadCloser: body}
			out.Body = held
		}
		res, done, err := t.one(out, e)
		failed := err != nil || res.StatusCode >= 500
		t.b.report(t.k, e, failed && out.Context().Err() == nil)
		if err == nil && held != nil {
			held.release()
		}
		last = e
		var d *dialError
		switch {
		case out.Context().Err() != nil:
		case errors.As(err, &d) && unreached == 0 && len(t.k.ends) > 1:
			unreached++ // nothing was sent
			continue
		case again > 0 && (err != nil || worthless(res)):
			again--
			if err == nil {
				res.Body.Close()
				done()
			}
			continue
		}
		return res, done, err
	}
}

func (t *try) key() uint64 {
	if t.d.Key != 0 {
		return t.d.Key
	}
	return uint64(time.Now().UnixNano())
}

// one makes one try.
func (t *try) one(out *http.Request, e *endpoint) (*http.Response, func(), error) {
	tr := t.k.pools.h1
	if t.h2 {
		tr = t.k.pools.h2
	}
	out.URL.Scheme, out.URL.Host = "https", e.host
	cancel := context.CancelFunc(func() {})
	if limit := t.d.Again.Timeout; limit > 0 {
		ctx, stop := context.WithCancelCause(out.Context())
		timer := time.AfterFunc(limit, func() { stop(errSlow) }) // for the header of the answer, not for its body
		defer timer.Stop()
		cancel = func() { stop(nil) }
		out = out.WithContext(ctx)
	}
	e.active.Add(1)
	res, err := tr.RoundTrip(out)
	if err != nil {
		if context.Cause(out.Context()) == errSlow {
			err = errSlow
		}
		cancel()
		e.active.Add(-1)
		return nil, nil, err
	}
	return res, func() { cancel(); e.active.Add(-1) }, nil
}

var errSlow = errors.New("the endpoint did not answer within the time for one try")

// repeatable says whether doing it twice is the same as doing it once (RFC 9110, section 9.2.2).
func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// worthless says whether an answer is one of those that tell of a failure on the way, and not of the service's own.
func worthless(r *http.Response) bool {
	return r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusServiceUnavailable || r.StatusCode == http.StatusGatewayTimeout
}
