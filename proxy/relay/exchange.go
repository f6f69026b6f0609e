// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/link"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
)

// Exchange is one request on its way through, and its response on the way back.
type Exchange struct {
	// What the judge looks at; none of it changes after the request was read.
	Start   time.Time
	Asked   message.Head
	Request policy.Request
	// What the judge leaves for itself.
	Edge *stats.Edge
	Rule string
	Mark any

	judge  Judge
	down   *h2.Stream
	fields [16]message.Field // room for Asked.Fields

	mu     sync.Mutex
	next   Next
	place  *link.Links // where up leads
	up     *h2.Stream  // nil: not there yet
	timer  *time.Timer
	cancel context.CancelFunc // of who waits for a connection

	pending     []byte          // of the request's body, before up is there
	trailers    []message.Field // the same
	clientEnd   bool            // the request is complete
	bodySent    bool            // some of it went to a server
	queued      int             // of the response, waiting for the client's window
	status      int             // of the response, once its head went to the client
	grpcAnswer  bool
	grpcStatus  string
	deniedThere bool // the other proxy said so
	tries       int
	over        bool // nothing is passed on any more
	outcome     stats.Outcome
	told        bool
}

// unlock gives the lock up and tells the judge of the end, once.
func (x *Exchange) unlock() {
	tell := x.over && !x.told
	x.told = x.over
	x.mu.Unlock()
	if tell {
		x.judge.Done(x, x.outcome)
	}
}

// end notes how the exchange ended. The streams are the caller's to end.
func (x *Exchange) end(o stats.Outcome) {
	x.over, x.outcome = true, o
	x.pending = nil
	if x.timer != nil {
		x.timer.Stop()
	}
	if x.cancel != nil {
		x.cancel()
	}
	if x.place != nil {
		x.place.Busy.Add(-1)
	}
}

// pass judges the request and sends it on. It blocks only with wait; without, it says false where it would have to.
func (x *Exchange) pass(ctx context.Context, t *h2.Turn, wait bool) bool {
	next, ok := x.judge.Judge(ctx, x, wait)
	if !ok {
		return false
	}
	x.mu.Lock()
	defer x.unlock()
	x.next = next
	switch {
	case x.over:
	case next.Denied:
		x.deny(t)
	case next.Code != 0:
		x.fail(t, next.Code, next.Reason)
	default:
		if next.Timeout > 0 {
			x.timer = time.AfterFunc(next.Timeout, x.expire)
		}
		links, err := next.To.Pick(nil)
		if err != nil {
			x.fail(t, 503, err.Error())
		} else if x.open(t, links) != nil {
			x.connect()
		}
	}
	return true
}

// wait judges with patience.
func (x *Exchange) wait() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.mu.Lock()
	over := x.over
	x.cancel = cancel
	x.mu.Unlock()
	if !over {
		x.pass(ctx, nil, true)
	}
}

// open begins the stream to the server. It is called with the lock.
func (x *Exchange) open(t *h2.Turn, l *link.Links) error {
	whole := x.clientEnd && len(x.pending) == 0 && x.trailers == nil
	s, err := l.Open(t, (*fromServer)(x), &x.Asked, whole)
	if err != nil {
		return err
	}
	l.Busy.Add(1)
	x.place, x.up = l, s
	if n := len(x.pending); n > 0 {
		x.bodySent = true
		queued, _ := s.Send(t, x.pending, x.clientEnd && x.trailers == nil) // an error comes as Closed
		x.down.Grant(t, n-queued)
		x.pending = nil
	}
	if x.trailers != nil {
		x.bodySent = true
		_ = s.SendTrailers(t, x.trailers) // the same
	}
	return nil
}

// connect waits for a connection, in a goroutine of its own. It is called with the lock.
func (x *Exchange) connect() {
	ctx, cancel := context.WithCancel(context.Background())
	if x.cancel != nil {
		x.cancel()
	}
	x.cancel = cancel
	go func() {
		defer cancel()
		err := x.reach(ctx)
		x.mu.Lock()
		defer x.unlock()
		if err != nil && !x.over {
			x.fail(nil, 503, x.next.Name+": "+err.Error())
		}
	}()
}

// reach opens the stream where a connection has to be made first. Where one endpoint cannot be reached, one other is tried.
func (x *Exchange) reach(ctx context.Context) error {
	var failed *link.Links
	for range 5 { // others may take the room that was made
		l, err := x.next.To.Pick(failed)
		if err != nil {
			return err
		}
		if err = l.Ready(ctx); err != nil && (ctx.Err() != nil || failed != nil) {
			return err
		}
		if err != nil {
			if !errors.Is(err, link.ErrRetired) {
				failed = l
			}
			continue
		}
		x.mu.Lock()
		if !x.over {
			err = x.open(nil, l)
		}
		x.unlock()
		if err == nil {
			return nil
		}
	}
	return h2.ErrFull
}

// expire ends an exchange that took too long.
func (x *Exchange) expire() {
	x.mu.Lock()
	defer x.unlock()
	if x.over {
		return
	}
	x.giveUp(nil)
	if x.status == 0 {
		x.fail(nil, 504, x.next.Name+": no answer in time")
	} else {
		x.cut(nil)
	}
}

// Revoke ends an exchange whose permission was taken away.
func (x *Exchange) Revoke() {
	x.mu.Lock()
	defer x.unlock()
	switch {
	case x.over:
	case x.status == 0:
		x.giveUp(nil)
		x.deny(nil)
	case x.grpcAnswer:
		x.giveUp(nil)
		_ = x.down.SendTrailers(nil, []message.Field{{Name: "grpc-status", Value: "7"}, {Name: "grpc-message", Value: "access was taken away"}})
		x.end(stats.Outcome{Code: x.status, GRPC: 7, Denied: true})
		x.stopClient(nil)
	default:
		x.giveUp(nil)
		x.cut(nil)
	}
}

// giveUp ends the stream to the server.
func (x *Exchange) giveUp(t *h2.Turn) {
	if x.up != nil {
		x.up.Reset(t, http2.ErrCodeCancel)
	}
}

// cut ends a response so that nobody takes it for complete.
func (x *Exchange) cut(t *h2.Turn) {
	x.down.Reset(t, http2.ErrCodeInternal)
	x.end(stats.Outcome{Code: 0, GRPC: -1})
}

// stopClient tells a client that goes on sending after the whole response that it may stop. What still waits for its window goes first.
func (x *Exchange) stopClient(t *h2.Turn) {
	if x.over && !x.clientEnd && x.queued == 0 {
		x.down.Reset(t, http2.ErrCodeNo)
	}
}

// finish ends an exchange with the whole response.
func (x *Exchange) finish(t *h2.Turn) {
	o := stats.Outcome{Code: x.status, GRPC: -1, Denied: x.deniedThere}
	if x.grpcAnswer {
		o.GRPC = grpcStatus(x.grpcStatus)
	}
	if !x.clientEnd {
		x.giveUp(t)
	}
	x.end(o)
	x.stopClient(t)
}
