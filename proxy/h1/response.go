// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"bytes"

	"github.com/anymesh/anymesh/proxy/message"
)

// Response is what a response's head says besides the message.
type Response struct {
	Close bool // the server takes no more requests on this connection
	Body  Body
}

// ReadResponse reads the head of the response to a request of the given method, over informational ones. After ErrOdd nothing of the
// odd head was consumed.
func (c *Conn) ReadResponse(h *message.Head, method string) (r Response, err error) {
	for range 6 { // as many as net/http passes over, and the final one
		err = c.read(func(b []byte) (int, bool, error) {
			h.Reset()
			return parseResponse(b, h, method, &r)
		})
		if err != nil || h.Status >= 200 || h.Status == 101 {
			r.Body.c = c
			return r, err
		}
	}
	return r, ErrOdd
}

func parseResponse(b []byte, h *message.Head, method string, r *Response) (n int, more bool, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return 0, true, nil
	}
	if i == 0 || b[i-1] != '\r' {
		return 0, false, ErrOdd
	}
	line := b[:i-1]
	if len(line) < len("HTTP/1.1 200 ") || string(line[:9]) != "HTTP/1.1 " || line[12] != ' ' || !every(line[13:], inValue) {
		return 0, false, ErrOdd
	}
	status, ok := decimal(line[9:12])
	if !ok || status < 100 {
		return 0, false, ErrOdd
	}
	h.Status = int(status)
	f := framing{response: true}
	rest, more, err := f.block(b[i+1:], h)
	if more || err != nil {
		return 0, more, err
	}
	if f.chunked && f.lengths > 0 || f.chunked && (status < 200 || status == 204) {
		return 0, false, ErrOdd
	}
	h.GRPC = grpc(h)
	r.Close = f.close
	r.Body = Body{}
	switch {
	case method == "HEAD" || status < 200 || status == 204 || status == 304:
	case f.chunked:
		h.Length, r.Body.chunked, r.Body.left = -1, true, -1
	case f.lengths == 1:
		h.Length, r.Body.left = f.length, f.length
	default:
		h.Length, r.Body.left, r.Close = -1, -1, true // to the connection's end
	}
	return len(b) - len(rest), false, nil
}
