// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/proxy/h2"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/stats"
)

// Headers by which a proxy speaks for itself.
const (
	headerDenied = "x-anymesh-denied"
	headerError  = "x-anymesh-error"
)

// statusClientGone is counted when the client left before the end. It is never sent.
const statusClientGone = 499

// deny answers a request that policy refuses. The answer is the same whatever the reason: who is refused learns nothing about what would
// have been admitted.
func (x *Exchange) deny(t *h2.Turn) {
	o := stats.Outcome{Code: 403, GRPC: -1, Denied: true}
	said := message.Field{Name: headerDenied, Value: "access"}
	if x.Asked.GRPC {
		o.Code, o.GRPC = 200, 7
		x.trailersOnly(t, said, 7, "access denied")
	} else {
		x.text(t, said, 403, "access denied\n")
	}
	x.end(o)
	x.stopClient(t)
}

// fail answers a request that could not be served.
func (x *Exchange) fail(t *h2.Turn, code int, reason string) {
	o := stats.Outcome{Code: code, GRPC: -1}
	said := message.Field{Name: headerError, Value: clean(reason)}
	if x.Asked.GRPC {
		o.Code, o.GRPC = 200, 14
		x.trailersOnly(t, said, 14, reason)
	} else {
		x.text(t, said, code, reason+"\n")
	}
	x.end(o)
	x.stopClient(t)
}

func (x *Exchange) text(t *h2.Turn, said message.Field, code int, body string) {
	h := message.Head{Status: code, Fields: []message.Field{said, {Name: "content-type", Value: "text/plain; charset=utf-8"},
		{Name: "content-length", Value: strconv.Itoa(len(body))}}}
	head := x.Asked.Method == "HEAD"
	_ = x.down.SendHead(t, &h, head) // a client that left is no concern of ours
	if !head {
		x.queued, _ = x.down.Send(t, []byte(body), true)
	}
}

func (x *Exchange) trailersOnly(t *h2.Turn, said message.Field, status int, text string) {
	h := message.Head{Status: 200, Fields: []message.Field{said, {Name: "content-type", Value: "application/grpc"},
		{Name: "grpc-status", Value: strconv.Itoa(status)}, {Name: "grpc-message", Value: clean(text)}}}
	_ = x.down.SendHead(t, &h, true) // a client that left is no concern of ours
}

// clean keeps what a header may carry.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '%' {
			return ' '
		}
		return r
	}, s))
}

// grpcStatus reads the status of a finished gRPC response; one without is unknown (2).
func grpcStatus(v string) int {
	n, err := strconv.ParseUint(v, 10, 5)
	if err != nil || n > 16 {
		return 2
	}
	return int(n)
}
