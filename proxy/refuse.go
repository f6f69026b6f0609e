// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/proxy/lane"
	"github.com/anymesh/anymesh/proxy/stats"
)

// Headers by which a proxy speaks for itself. Those that a workload sends are taken out.
const (
	headerDenied = "X-Anymesh-Denied" // value: access
	headerError  = "X-Anymesh-Error"  // a short reason
	fieldDenied  = "x-anymesh-denied" // the same as the fast codecs spell them
	fieldError   = "x-anymesh-error"
)

// statusClientGone is counted when the client left before the end. It is never sent.
const statusClientGone = lane.ClientGone

// deny answers a request that policy refuses. The answer is the same whatever the reason: who is refused learns nothing
// about what would have been admitted.
func (x *exchange) deny() stats.Outcome {
	x.w.Header()[headerDenied] = []string{"access"}
	if x.grpc {
		x.trailersOnly(7, "access denied")
		return stats.Outcome{Code: http.StatusOK, GRPC: 7, Denied: true}
	}
	x.text(http.StatusForbidden, "access denied\n")
	return stats.Outcome{Code: http.StatusForbidden, GRPC: -1, Denied: true}
}

// fail answers a request that could not be served.
func (x *exchange) fail(code int, reason string) stats.Outcome {
	x.w.Header()[headerError] = []string{clean(reason)}
	if x.grpc {
		x.trailersOnly(14, reason)
		return stats.Outcome{Code: http.StatusOK, GRPC: 14}
	}
	x.text(code, reason+"\n")
	return stats.Outcome{Code: code, GRPC: -1}
}

// broke answers a request whose round trip ended in err. what names the other end.
func (x *exchange) broke(ctx context.Context, what string, err error) stats.Outcome {
	switch {
	case x.r.Context().Err() != nil:
		x.cut = true
		return stats.Outcome{Code: statusClientGone, GRPC: -1}
	case errors.Is(context.Cause(ctx), errRevoked):
		return x.deny()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return x.fail(http.StatusGatewayTimeout, what+": no answer in time")
	}
	return x.fail(http.StatusServiceUnavailable, what+": "+err.Error())
}

func (x *exchange) text(code int, body string) {
	h := x.w.Header()
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(code)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write([]byte(body)) // a client that left is no concern of ours
	}
}

func (x *exchange) trailersOnly(status int, message string) {
	h := x.w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h["Grpc-Status"] = []string{strconv.Itoa(status)}
	h["Grpc-Message"] = []string{clean(message)}
	x.w.WriteHeader(http.StatusOK)
}

// clean keeps what a header may carry.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '%' {
			return ' '
		}
		return r
	}, s)
}

func isGRPC(h http.Header) bool {
	v := h["Content-Type"]
	return len(v) == 1 && strings.HasPrefix(v[0], "application/grpc")
}

// grpcStatus reads the status of a finished gRPC response; one without is unknown (2).
func grpcStatus(res *http.Response) int {
	v := res.Trailer.Get("Grpc-Status")
	if v == "" {
		v = res.Header.Get("Grpc-Status")
	}
	n, err := strconv.ParseUint(v, 10, 5)
	if err != nil || n > 16 {
		return 2
	}
	return int(n)
}
