// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"bytes"

	"github.com/anymesh/anymesh/proxy/message"
)

// Request is what a request's head says besides the message.
type Request struct {
	Close bool // the client wants no more requests on this connection
}

// ReadRequest reads the head of the next request into h, which was reset. io.EOF: the client is done.
func (c *Conn) ReadRequest(h *message.Head) (r Request, err error) {
	err = c.read(func(b []byte) (int, bool, error) {
		h.Reset()
		n, more, err := parseRequest(b, h, &r)
		return n, more, err
	})
	return r, err
}

// parseRequest parses a head at the front of b. It lowers the case of names in place, and changes nothing else.
func parseRequest(b []byte, h *message.Head, r *Request) (n int, more bool, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return 0, true, nil
	}
	if i == 0 || b[i-1] != '\r' {
		return 0, false, ErrOdd
	}
	authority, err := requestLine(b[:i-1], h)
	if err != nil {
		return 0, false, err
	}
	f := framing{}
	rest, more, err := f.block(b[i+1:], h)
	if more || err != nil {
		return 0, more, err
	}
	if f.hosts != 1 || !hostport(f.host) || authority != nil && string(authority) != string(f.host) {
		return 0, false, ErrOdd
	}
	h.Authority, h.Scheme = text(f.host), "http"
	switch {
	case f.chunked && f.lengths > 0:
		return 0, false, ErrOdd
	case f.chunked:
		h.Length = -1
	default:
		h.Length = f.length
	}
	if grpc(h) {
		return 0, false, ErrOdd // refusals have another form there
	}
	r.Close = f.close
	return len(b) - len(rest), false, nil
}

// requestLine reads method and target. authority is that of an absolute target; nil: the target has the origin form.
func requestLine(line []byte, h *message.Head) (authority []byte, err error) {
	i := bytes.IndexByte(line, ' ')
	if i < 0 || len(line)-i < len(" / HTTP/1.1") || string(line[len(line)-9:]) != " HTTP/1.1" {
		return nil, ErrOdd
	}
	if h.Method = method(line[:i]); h.Method == "" {
		return nil, ErrOdd
	}
	target := line[i+1 : len(line)-9]
	if bytes.HasPrefix(target, []byte("http://")) {
		target = target[len("http://"):]
		n := bytes.IndexByte(target, '/')
		if n <= 0 {
			return nil, ErrOdd
		}
		authority, target = target[:n], target[n:]
	}
	if target[0] != '/' || len(target) > 1 && target[1] == '/' || !every(target, inTarget) {
		return nil, ErrOdd
	}
	path := target
	if n := bytes.IndexByte(target, '?'); n >= 0 {
		path = target[:n]
		h.Query = text(target[n:])
	}
	h.Path = text(path)
	for n := bytes.IndexByte(path, '%'); n >= 0; n = bytes.IndexByte(path, '%') {
		if path = path[n+1:]; len(path) < 2 || !every(path[:2], inHex) {
			return nil, ErrOdd
		}
	}
	return authority, nil
}

// method returns the name of a method that needs nothing special; empty: another.
func method(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "PATCH":
		return "PATCH"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	}
	return ""
}

// hostport tells whether b is a plain host with or without a port. IPv6 and all else are odd.
func hostport(b []byte) bool {
	host, port, has := bytes.Cut(b, []byte(":"))
	if has {
		if n, ok := decimal(port); !ok || n == 0 || n > 65535 {
			return false
		}
	}
	return len(host) > 0 && every(host, inHost)
}

// grpc tells whether the one content type is that of gRPC.
func grpc(h *message.Head) bool {
	const prefix = "application/grpc"
	types, is := 0, false
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name == "content-type" {
			types++
			is = len(f.Value) >= len(prefix) && f.Value[:len(prefix)] == prefix
		}
	}
	return types == 1 && is
}
