// SPDX-License-Identifier: Apache-2.0

package lane

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// Way is where a request goes on.
type Way struct {
	To      Source
	Timeout time.Duration       // from the request to the end of its response; 0: none
	Heed    func(*message.Head) // sees the response's head and may change it; nil: nobody
}

// Source has lines to the other end: a Backend, or a Process.
type Source interface {
	// Idle returns an unused one; sure: one that is in order right now, for a request that cannot be repeated.
	Idle(now time.Time, sure bool) *upstream.Line
	DialLine(ctx context.Context) (*upstream.Line, error)
}

// Forward sends the request on and brings the response back. An error means that the client has no answer yet: the reason of Stop, one
// that is os.ErrDeadlineExceeded when time was up, or what befell the connection.
func (x *Exchange) Forward(w Way) (stats.Outcome, error) {
	var until time.Time
	if w.Timeout > 0 {
		until = x.Start.Add(w.Timeout)
	}
	l := w.To.Idle(x.Start, !x.repeatable())
	for {
		if l == nil {
			var err error
			if l, err = x.dial(w.To, until); err != nil {
				return stats.Outcome{}, err
			}
		} else if !x.hold(l, until) {
			l.Done(false, x.Start)
			return stats.Outcome{}, x.reason()
		}
		if !x.whole {
			return x.stream(l, w)
		}
		_, err := l.Write(x.question())
		if err == nil {
			x.res, err = l.ReadResponse(&x.response, x.Request.Method)
		}
		if err == nil || err == h1.ErrOdd {
			o, again, err := x.relay(l, w, err == h1.ErrOdd)
			x.drop(l, again)
			return o, err
		}
		// A connection that was closed while it lay unused is no failure of the server.
		stale := l.Used && l.Buffered() == 0 && x.repeatable() && !errors.Is(err, os.ErrDeadlineExceeded)
		x.drop(l, false)
		if why := x.reason(); why != nil {
			return stats.Outcome{}, why
		}
		if !stale {
			return stats.Outcome{}, err
		}
		l = nil
	}
}

// question puts together the head and the whole body.
func (x *Exchange) question() []byte {
	out := h1.AppendRequest(x.out[:0], &x.Request)
	return append(out, x.client.Peek(x.Request.Length)...)
}

// repeatable tells whether a request may be sent a second time when nothing tells what became of the first: RFC 9110, 9.2.2, and what
// net/http repeats.
func (x *Exchange) repeatable() bool {
	if x.Request.Length != 0 {
		return false
	}
	switch x.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	_, a := x.Request.Value(policy.Name{Lower: "idempotency-key"})
	_, b := x.Request.Value(policy.Name{Lower: "x-idempotency-key"})
	return a || b
}

// dial makes a line and holds it.
func (x *Exchange) dial(to Source, until time.Time) (*upstream.Line, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !until.IsZero() {
		var end context.CancelFunc
		ctx, end = context.WithDeadline(ctx, until)
		defer end()
	}
	x.mu.Lock()
	x.cancel = cancel
	why := x.why
	x.mu.Unlock()
	if why != nil {
		return nil, why
	}
	l, err := to.DialLine(ctx)
	if err == nil && x.hold(l, until) {
		return l, nil
	}
	if err == nil {
		l.Done(false, x.Start)
	}
	x.mu.Lock()
	x.cancel = nil
	why = x.why
	x.mu.Unlock()
	switch {
	case why != nil:
		return nil, why
	case ctx.Err() != nil:
		return nil, os.ErrDeadlineExceeded
	}
	return nil, err
}

// hold makes l what Stop ends, and bounds it; false: Stop has come already.
func (x *Exchange) hold(l *upstream.Line, until time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.line, x.cancel = l, nil
	if x.why == nil {
		l.Until(until)
	}
	return x.why == nil
}

// drop ends the use of l; again: it may be used for another request.
func (x *Exchange) drop(l *upstream.Line, again bool) {
	x.mu.Lock()
	again = again && x.why == nil
	x.line = nil
	x.mu.Unlock()
	l.Done(again, time.Now())
}

// reason is that of Stop; nil: nobody has stopped the request.
func (x *Exchange) reason() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.why
}
