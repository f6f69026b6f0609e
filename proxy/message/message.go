// SPDX-License-Identifier: Apache-2.0

// Package message is one HTTP message's head as the fast codecs read and write it: no maps, no allocation for each header.
package message

import "github.com/anymesh/anymesh/proxy/policy"

// Field is one header. Name is in lower case; the strings may point into the codec's buffer: they hold until the message ends.
type Field struct{ Name, Value string }

// Head is all of a message that comes before its body.
type Head struct {
	Method, Path, Query, Authority, Scheme string // Path as sent, without the query; Query with its "?" or empty

	Status int     // of a response; 0: a request
	Fields []Field // without pseudo headers, host, hop-by-hop headers
	Length int64   // of the body; -1: unknown (chunked, or an HTTP/2 stream); 0: none
	GRPC   bool
}

// Value implements policy.Headers: repeated headers come joined with ",".
func (h *Head) Value(n policy.Name) (string, bool) {
	var value string
	found := false
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name == n.Lower {
			if found {
				value += "," + f.Value
			} else {
				value, found = f.Value, true
			}
		}
	}
	return value, found
}

// Reset makes h ready for the next message and keeps the room for its fields.
func (h *Head) Reset() {
	clear(h.Fields)
	*h = Head{Fields: h.Fields[:0]}
}
