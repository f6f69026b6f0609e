// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/http"
	"strings"
)

// Request is all that policy sees of one request.
type Request struct {
	Peer      string // verified SPIFFE ID of the caller; empty on the outbound side
	Port      uint16 // destination port as the receiving workload knows it; zero on the outbound side
	Method    string
	Path      string // as sent: neither decoded nor merged, without the query
	Authority string
	Headers   Headers
}

// Headers looks up a header. Repeated headers come joined with ",".
type Headers interface {
	Value(Name) (value string, present bool)
}

// Name is a header name in both spellings, made once when a rule is compiled.
type Name struct {
	Lower, Canonical string
}

// HTTP lets a net/http header answer as Headers.
type HTTP http.Header

// Value implements Headers.
func (h HTTP) Value(n Name) (string, bool) {
	v := h[n.Canonical]
	switch len(v) {
	case 0:
		return "", false
	case 1:
		return v[0], true
	}
	return strings.Join(v, ","), true
}

func (r *Request) header(n Name) (string, bool) {
	switch n.Lower {
	case ":method":
		return r.Method, true
	case ":authority", "host":
		return r.Authority, r.Authority != ""
	}
	if r.Headers == nil {
		return "", false
	}
	return r.Headers.Value(n)
}

// cond is one compiled condition.
type cond func(*Request) bool

func all(cs []cond) cond {
	if len(cs) == 1 {
		return cs[0]
	}
	return func(r *Request) bool {
		for _, c := range cs {
			if !c(r) {
				return false
			}
		}
		return true
	}
}

func some(cs []cond) cond {
	if len(cs) == 1 {
		return cs[0]
	}
	return func(r *Request) bool {
		for _, c := range cs {
			if c(r) {
				return true
			}
		}
		return false
	}
}
