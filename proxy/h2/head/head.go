// SPDX-License-Identifier: Apache-2.0

// Package head reads the header blocks of HTTP/2: HPACK in, a checked [message.Head] out (RFC 9113 8.1 to 8.3). What is malformed there is an
// error here, and some of what is merely odd.
package head

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"

	"github.com/anymesh/anymesh/proxy/message"
)

// Block is the header block that is being read. Its table lives as long as its connection.
type Block struct {
	ID     uint32 // of the stream
	End    bool   // the stream ends with it
	Frames int    // that it came in so far
	Bytes  int    // of HPACK so far

	limit, size int // of the list
	fields      []hpack.HeaderField
	dec         *hpack.Decoder
}

// New makes a Block that takes lists of limit bytes, counted as RFC 9113 6.5.2 does, in strings of at most longest bytes.
func New(limit, longest int) *Block {
	b := &Block{limit: limit}
	b.dec = hpack.NewDecoder(4096, b.take)
	b.dec.SetMaxStringLength(longest)
	return b
}

// take is given each field. What is beyond the limit is decoded and dropped: the table must stay the same on both ends.
func (b *Block) take(f hpack.HeaderField) {
	if b.size += int(f.Size()); b.size <= b.limit {
		b.fields = append(b.fields, f)
	}
}

// Begin makes ready for the next block.
func (b *Block) Begin(id uint32, end bool) {
	clear(b.fields)
	b.ID, b.End, b.Frames, b.Bytes, b.size, b.fields = id, end, 0, 0, 0, b.fields[:0]
}

// Write reads a part; last: the block ends with it. After an error the table is lost, and the connection with it.
func (b *Block) Write(p []byte, last bool) error {
	b.Frames++
	b.Bytes += len(p)
	_, err := b.dec.Write(p)
	if err == nil && last {
		err = b.dec.Close()
	}
	return err
}

// TooLarge tells whether the list was beyond the limit.
func (b *Block) TooLarge() bool { return b.size > b.limit }

// ErrMalformed says that a message is none.
var ErrMalformed = errors.New("the head is malformed")

// Request reads the block as a request's head (RFC 9113 8.3.1).
func (b *Block) Request(h *message.Head) error {
	h.Reset()
	rest := b.fields
	var target string
	for ; len(rest) > 0 && rest[0].IsPseudo(); rest = rest[1:] {
		var into *string
		switch rest[0].Name {
		case ":method":
			into = &h.Method
		case ":path":
			into = &target
		case ":scheme":
			into = &h.Scheme
		case ":authority":
			into = &h.Authority
		}
		if into == nil || *into != "" || rest[0].Value == "" {
			return ErrMalformed
		}
		*into = rest[0].Value
	}
	if err := regular(h, rest, b.End); err != nil {
		return err
	}
	if !token(h.Method) || !visible(h.Authority) {
		return ErrMalformed
	}
	if h.Method == "CONNECT" {
		if target != "" || h.Scheme != "" || h.Authority == "" {
			return ErrMalformed
		}
		return nil
	}
	if h.Scheme != "http" && h.Scheme != "https" || !visible(target) || !strings.HasPrefix(target, "/") && target != "*" {
		return ErrMalformed
	}
	h.Path = target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		h.Path, h.Query = target[:i], target[i:]
	}
	return nil
}

// Response reads the block as a response's head (RFC 9113 8.3.2).
func (b *Block) Response(h *message.Head) error {
	h.Reset()
	if len(b.fields) == 0 || b.fields[0].Name != ":status" || len(b.fields[0].Value) != 3 {
		return ErrMalformed
	}
	n, err := strconv.ParseUint(b.fields[0].Value, 10, 16)
	if err != nil || n < 100 || n == 101 { // 8.6: there is no switching of protocols
		return ErrMalformed
	}
	h.Status = int(n)
	return regular(h, b.fields[1:], b.End)
}

// Trailers reads the block as what ends a body.
func (b *Block) Trailers(h *message.Head) error {
	h.Reset()
	for i := range b.fields {
		if err := field(h, &b.fields[i]); err != nil {
			return err
		}
		if b.fields[i].Name == "content-length" || b.fields[i].Name == "host" {
			return ErrMalformed
		}
	}
	return nil
}

// regular reads the fields after the pseudo headers.
func regular(h *message.Head, fs []hpack.HeaderField, end bool) error {
	host, cookie := "", -1
	h.Length = -1
	for i := range fs {
		f := &fs[i]
		if err := field(h, f); err != nil {
			return err
		}
		last := len(h.Fields) - 1
		switch f.Name {
		case "host":
			if f.Value == "" || host != "" || h.Status != 0 {
				return ErrMalformed
			}
			host, h.Fields = f.Value, h.Fields[:last]
		case "content-length":
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || h.Length >= 0 {
				return ErrMalformed
			}
			h.Length = int64(n)
		case "cookie": // may come in crumbs (8.2.3)
			if cookie < 0 {
				cookie = last
				break
			}
			h.Fields[cookie].Value += "; " + f.Value
			h.Fields = h.Fields[:last]
		case "content-type":
			h.GRPC = strings.HasPrefix(f.Value, "application/grpc")
		}
	}
	switch {
	case h.Authority == "":
		h.Authority = host
	case host != "" && !strings.EqualFold(host, h.Authority):
		return ErrMalformed // who judges by the one would hand on to the other
	}
	if end && h.Length < 0 {
		h.Length = 0
	}
	return nil
}

// field checks one field and takes it.
func field(h *message.Head, f *hpack.HeaderField) error {
	if !lower(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) || blank(f.Value) {
		return ErrMalformed
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return ErrMalformed
	case "te":
		if f.Value != "trailers" {
			return ErrMalformed
		}
	}
	h.Fields = append(h.Fields, message.Field{Name: f.Name, Value: f.Value})
	return nil
}

// blank tells whether there is white space at either end.
func blank(v string) bool {
	is := func(c byte) bool { return c == ' ' || c == '\t' }
	return v != "" && (is(v[0]) || is(v[len(v)-1]))
}

// lower tells whether s is a token without upper-case letters.
func lower(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return token(s)
}

func token(s string) bool {
	for i := range len(s) {
		if !httpguts.IsTokenRune(rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// visible tells whether s has no blanks and no control characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
