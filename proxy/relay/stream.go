// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"

	"golang.org/x/net/http/httpguts"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
)

// fromClient hears the client's stream.
type fromClient Exchange

// Head implements h2.Handler: the request.
func (f *fromClient) Head(t *h2.Turn, h *message.Head, end bool) {
	x := (*Exchange)(f)
	x.clientEnd = end
	expects := x.read(h)
	if err := wellFormed(h); err != "" {
		x.mu.Lock()
		defer x.unlock()
		x.fail(t, 400, err)
		return
	}
	if expects && !end {
		_ = x.down.SendHead(t, &message.Head{Status: 100}, false)
	}
	if !x.pass(context.Background(), t, false) {
		go x.wait()
	}
}

// read copies a request's head and takes out what concerns this hop alone. expects: the client waits to be told to go on.
func (x *Exchange) read(h *message.Head) (expects bool) {
	x.Asked = *h
	x.Asked.Fields = x.fields[:0]
	for _, f := range h.Fields {
		switch f.Name {
		case "proxy-authenticate", "proxy-authorization", "http2-settings", "x-forwarded-client-cert":
		case "expect": // this hop answers it
			expects = true
		default:
			x.Asked.Fields = append(x.Asked.Fields, f)
		}
	}
	x.Request = policy.Request{Method: h.Method, Path: h.Path, Authority: h.Authority, Headers: &x.Asked}
	return expects
}

// Add adds a header to the request. It is for the judge, before it has said where the request goes.
func (x *Exchange) Add(name, value string) {
	x.Asked.Fields = append(x.Asked.Fields, message.Field{Name: name, Value: value})
}

// wellFormed tells what is wrong with a request's target; nothing: "".
func wellFormed(h *message.Head) string {
	for _, s := range [...]string{h.Path, h.Query} {
		for i := range len(s) {
			if s[i] == '#' {
				return "the request target has a character that no target may have"
			}
		}
	}
	for i := range len(h.Path) {
		if h.Path[i] == '%' && (i+2 >= len(h.Path) || !hex(h.Path[i+1]) || !hex(h.Path[i+2])) {
			return "the path is not well escaped"
		}
	}
	return ""
}

func hex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// Data implements h2.Handler: a part of the request's body.
func (f *fromClient) Data(t *h2.Turn, p []byte, end bool) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	x.clientEnd = x.clientEnd || end
	switch {
	case x.over:
		x.down.Grant(t, len(p))
	case x.up == nil:
		x.pending = append(x.pending, p...)
	default:
		x.bodySent = true
		queued, _ := x.up.Send(t, p, end) // an error comes as Closed
		x.down.Grant(t, len(p)-queued)
	}
}

// Trailers implements h2.Handler: the end of the request.
func (f *fromClient) Trailers(t *h2.Turn, fields []message.Field) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	x.clientEnd = true
	fields = cleanTrailers(fields, false)
	switch {
	case x.over:
	case x.up == nil:
		x.trailers = append([]message.Field{}, fields...)
	default:
		x.bodySent = true
		_ = x.up.SendTrailers(t, fields) // an error comes as Closed
	}
}

// Sent implements h2.Handler: a part of the response that waited has gone.
func (f *fromClient) Sent(t *h2.Turn, n int) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	if x.queued -= n; x.up != nil && !x.over {
		x.up.Grant(t, n)
	}
	x.stopClient(t)
}

// Closed implements h2.Handler: the client left.
func (f *fromClient) Closed(t *h2.Turn, _ error) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	if !x.over {
		x.giveUp(t)
		x.end(stats.Outcome{Code: statusClientGone, GRPC: -1})
	}
}

// fromServer hears the stream to the server.
type fromServer Exchange

// Head implements h2.Handler: the response.
func (f *fromServer) Head(t *h2.Turn, h *message.Head, end bool) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	if x.over || h.Status == 100 { // that the request may go on was said by this hop
		return
	}
	final := x.judge.Final()
	kept := h.Fields[:0]
	for _, f := range h.Fields {
		switch f.Name {
		case "proxy-authenticate", "proxy-authorization", "http2-settings", "te":
			continue
		case headerDenied:
			x.deniedThere = !final
		case "grpc-status":
			x.grpcStatus = f.Value
		}
		if !final || f.Name != headerDenied && f.Name != headerError {
			kept = append(kept, f)
		}
	}
	h.Fields = kept
	if h.Status >= 200 {
		x.status, x.grpcAnswer = h.Status, h.GRPC
	}
	_ = x.down.SendHead(t, h, end) // an error comes as Closed
	if end {
		x.finish(t)
	}
}

// Data implements h2.Handler: a part of the response's body.
func (f *fromServer) Data(t *h2.Turn, p []byte, end bool) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	if x.over {
		return
	}
	queued, _ := x.down.Send(t, p, end) // an error comes as Closed
	x.queued += queued
	x.up.Grant(t, len(p)-queued)
	if end {
		x.finish(t)
	}
}

// Trailers implements h2.Handler: the end of the response.
func (f *fromServer) Trailers(t *h2.Turn, fields []message.Field) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	if x.over {
		return
	}
	fields = cleanTrailers(fields, x.judge.Final())
	for _, f := range fields {
		if f.Name == "grpc-status" {
			x.grpcStatus = f.Value
		}
	}
	_ = x.down.SendTrailers(t, fields) // an error comes as Closed
	x.finish(t)
}

// Sent implements h2.Handler: a part of the request that waited has gone.
func (f *fromServer) Sent(t *h2.Turn, n int) { f.down.Grant(t, n) }

// Closed implements h2.Handler: the server ended the exchange before its time.
func (f *fromServer) Closed(t *h2.Turn, err error) {
	x := (*Exchange)(f)
	x.mu.Lock()
	defer x.unlock()
	switch {
	case x.over:
	case x.status != 0:
		x.cut(t)
	case errors.Is(err, h2.ErrRefused) && !x.bodySent && x.tries < 3:
		x.tries++
		x.place.Busy.Add(-1)
		x.place, x.up = nil, nil
		x.connect()
	default:
		x.fail(t, 503, x.next.Name+": "+err.Error())
	}
}

// cleanTrailers keeps, in place, what may be said in trailers.
func cleanTrailers(fields []message.Field, final bool) []message.Field {
	kept := fields[:0]
	for _, f := range fields {
		switch {
		case !httpguts.ValidTrailerHeader(f.Name), f.Name == "x-forwarded-client-cert":
		case final && (f.Name == headerDenied || f.Name == headerError):
		default:
			kept = append(kept, f)
		}
	}
	return kept
}
