// SPDX-License-Identifier: Apache-2.0

package lane

import (
	"errors"
	"io"
	"time"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
	"github.com/anymesh/anymesh/proxy/wire"
)

// stream sends a body that is not all there yet, while the response is waited for: an answer may begin before the question ends.
func (x *Exchange) stream(l *upstream.Line, w Way) (o stats.Outcome, err error) {
	sent := make(chan error, 1)
	go func() { sent <- x.pump(l) }()
	again := false
	x.res, err = l.ReadResponse(&x.response, x.Request.Method)
	if err == nil || err == h1.ErrOdd {
		o, again, err = x.relay(l, w, err == h1.ErrOdd)
	} else {
		_ = l.SetDeadline(past) // so that the rest of the body is not waited for
	}
	x.taken = x.settle(l, sent)
	x.drop(l, again && x.taken)
	if why := x.reason(); err != nil && why != nil {
		err = why
	}
	return o, err
}

// errUpstream says that the server does not read on. What it has to say is read all the same.
var errUpstream = errors.New("the server takes no more")

// pump sends the request. Where the client does not send the rest, the exchange is stopped.
func (x *Exchange) pump(l *upstream.Line) error {
	buf := wire.Buffers.Get().(*wire.Buffer)
	defer wire.Buffers.Put(buf)
	s := sink{c: l.Conn.Conn, chunked: x.Request.Length < 0, out: h1.AppendRequest(buf[:0], &x.Request)}
	for {
		if !x.body.Ready() && s.flush() != nil {
			return errUpstream
		}
		p, err := x.body.Next(nil)
		if err == io.EOF {
			if s.end(&message.Head{}) != nil {
				return errUpstream
			}
			return nil
		}
		if err != nil {
			if !errors.Is(err, h1.ErrMalformed) {
				err = ErrGone
			}
			x.Stop(err)
			return err
		}
		if s.add(p) != nil {
			return errUpstream
		}
	}
}

// moment is how long the end of a request may take after the end of its response: they may cross each other.
const moment = 50 * time.Millisecond

// settle ends pump and tells whether it has sent the whole request.
func (x *Exchange) settle(l *upstream.Line, sent <-chan error) bool {
	t := time.NewTimer(moment)
	defer t.Stop()
	select {
	case err := <-sent:
		return err == nil
	case <-t.C:
	}
	_ = l.SetDeadline(past)
	_ = x.client.SetReadDeadline(past)
	err := <-sent
	_ = x.client.SetReadDeadline(time.Time{})
	return err == nil
}

// How much, and for how long, of a request that is answered already is read, so that the client gets to the answer: closing a connection
// with unread bytes would take it back.
const (
	lingerBytes = 256 << 10
	lingerTime  = 500 * time.Millisecond
)

// discard reads what is left of a request that is answered from here, where that is not too much.
func (x *Exchange) discard() bool {
	if x.Request.Length > lingerBytes {
		return false
	}
	for n := 0; n <= lingerBytes; {
		p, err := x.body.Next(nil)
		if err != nil {
			return err == io.EOF
		}
		n += len(p)
	}
	return false
}

func (x *Exchange) linger() {
	if wire.CloseWrite(x.client.Conn) != nil || x.client.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, x.client.Conn, lingerBytes) // its end, or too much: both are the end here
}
