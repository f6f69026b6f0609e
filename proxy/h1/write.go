// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"net/http"
	"strconv"

	"github.com/anymesh/anymesh/proxy/message"
)

// AppendRequest appends the head of a request. Its body is to follow in the coding that h.Length says.
func AppendRequest(b []byte, h *message.Head) []byte {
	b = append(b, h.Method...)
	b = append(b, ' ')
	b = append(b, h.Path...)
	b = append(b, h.Query...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, h.Authority...)
	b = append(b, "\r\n"...)
	switch {
	case h.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case h.Length > 0 || h.Method == "POST" || h.Method == "PUT" || h.Method == "PATCH":
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, h.Length, 10)
		b = append(b, "\r\n"...)
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name != "content-length" {
			b = AppendField(b, f)
		}
	}
	return append(b, "\r\n"...)
}

// AppendResponse appends the head of a response, which bears its own Content-Length. chunked: its body follows so. last: the connection
// takes no more requests.
func AppendResponse(b []byte, h *message.Head, chunked, last bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(h.Status), 10)
	b = append(b, ' ')
	if t := http.StatusText(h.Status); t != "" {
		b = append(b, t...)
	} else {
		b = append(b, "status code "...)
		b = strconv.AppendInt(b, int64(h.Status), 10)
	}
	b = append(b, "\r\n"...)
	if chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	for i := range h.Fields {
		b = AppendField(b, &h.Fields[i])
	}
	return append(b, "\r\n"...)
}

// AppendField appends one header line, its name in the usual spelling: there are programs that know no other.
func AppendField(b []byte, f *message.Field) []byte {
	raise := true
	for i := range len(f.Name) {
		c := f.Name[i]
		if raise && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		raise = c == '-'
		b = append(b, c)
	}
	b = append(b, ": "...)
	b = append(b, f.Value...)
	return append(b, "\r\n"...)
}

// AppendChunk appends a piece of a chunked body, which is not empty.
func AppendChunk(b, piece []byte) []byte {
	b = strconv.AppendInt(b, int64(len(piece)), 16)
	b = append(b, "\r\n"...)
	b = append(b, piece...)
	return append(b, "\r\n"...)
}

// AppendLastChunk ends a chunked body.
func AppendLastChunk(b []byte, trailers *message.Head) []byte {
	b = append(b, "0\r\n"...)
	for i := range trailers.Fields {
		b = AppendField(b, &trailers.Fields[i])
	}
	return append(b, "\r\n"...)
}
