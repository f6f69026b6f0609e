// SPDX-License-Identifier: Apache-2.0

package lane

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/upstream"
	"github.com/anymesh/anymesh/proxy/wire"
)

// ErrGone says that the client left.
var ErrGone = errors.New("the client left")

// Exchange is a client's connection and one request on it after the other. Strings of its heads hold until the handler returns.
type Exchange struct {
	Request message.Head
	Start   time.Time // when the request's head was there
	Close   bool      // no more requests on this connection
	Odd     bool      // set instead of an answer: net/http has to answer, and all that follows

	server   *Server
	client   *h1.Conn
	state    atomic.Uint64 // the beat of its last change, and what it is
	asked    atomic.Bool   // a request has come
	response message.Head
	trailers message.Head
	res      h1.Response
	out      *wire.Buffer // where messages are put together
	body     h1.Body      // the request's
	whole    bool         // all of it was there with the head
	taken    bool         // all of it was read, where it was not whole

	mu     sync.Mutex
	under  bool // a request is under way
	why    error
	line   *upstream.Line
	cancel context.CancelFunc // of dialling
}

// What a connection is, in the low bits of its state.
const (
	idle = iota
	busy
	shut
	stateBits = 2
)

// serve answers requests until the connection ends; odd: net/http has to go on.
func (x *Exchange) serve(h Handler) (odd bool) {
	for {
		r, err := x.client.ReadRequest(&x.Request)
		if !x.to(idle, busy) {
			return false
		}
		if err != nil {
			return err == h1.ErrOdd
		}
		x.Start = time.Now()
		x.Close = r.Close || x.server.closing.Load()
		x.body = x.client.Body(x.Request.Length)
		x.whole, x.taken = x.body.Whole(), false
		x.asked.Store(true)
		x.mu.Lock()
		x.under, x.why = true, nil
		x.mu.Unlock()
		x.out = wire.Buffers.Get().(*wire.Buffer)
		x.Odd = false
		h(x)
		wire.Buffers.Put(x.out)
		x.out = nil
		x.mu.Lock()
		x.under = false
		x.mu.Unlock()
		if x.Odd {
			x.client.Back()
			return true
		}
		if x.whole {
			x.client.Skip(x.Request.Length)
		} else if !x.taken {
			x.linger()
			return false
		}
		x.client.Release()
		if x.Close || x.server.closing.Load() || !x.to(busy, idle) {
			return false
		}
	}
}

// to changes the state; false: it was not from.
func (x *Exchange) to(from, to uint64) bool {
	for {
		s := x.state.Load()
		if s&(1<<stateBits-1) != from {
			return false
		}
		if x.state.CompareAndSwap(s, x.server.beats.Load()<<stateBits|to) {
			return true
		}
	}
}

// look ends what has waited too long, or for nobody.
func (x *Exchange) look(now uint64) {
	s := x.state.Load()
	since := time.Duration(now-s>>stateBits) * beat
	switch s & (1<<stateBits - 1) {
	case busy:
		if since > 0 && wire.Gone(x.client.Conn) {
			x.Stop(ErrGone)
		}
	case idle:
		limit := x.server.Idle
		if !x.asked.Load() {
			limit = x.server.Header
		}
		if since > limit {
			x.closeIdle()
		}
	}
}

func (x *Exchange) closeIdle() {
	if x.to(idle, shut) {
		x.client.Close()
	}
}

// Stop ends the request under way, for a reason that [Exchange.Forward] returns where nothing was answered yet. It may come at any time,
// from any goroutine.
func (x *Exchange) Stop(why error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.under || x.why != nil {
		return
	}
	x.why = why
	if x.line != nil {
		_ = x.line.SetDeadline(past) // fails only where it is closed
	}
	if x.cancel != nil {
		x.cancel()
	}
}

var past = time.Unix(1, 0)

// Cut ends the connection after this request, without an answer or in the middle of one.
func (x *Exchange) Cut() { x.Close = true }

// Answer answers the request from here. The error is the connection's.
func (x *Exchange) Answer(status int, own message.Field, text string) error {
	h := &x.response
	h.Reset()
	h.Status = status
	h.Fields = append(h.Fields, own,
		message.Field{Name: "content-type", Value: "text/plain; charset=utf-8"},
		message.Field{Name: "date", Value: x.Start.UTC().Format(http.TimeFormat)},
		message.Field{Name: "content-length", Value: strconv.Itoa(len(text))})
	if !x.whole && !x.taken {
		x.taken = x.discard()
		x.Close = x.Close || !x.taken // what the client still sends is not a request
	}
	out := h1.AppendResponse(x.out[:0], h, false, x.Close)
	if x.Request.Method != http.MethodHead {
		out = append(out, text...)
	}
	_, err := x.client.Write(out)
	return err
}
