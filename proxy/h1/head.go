// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"bytes"
	"time"

	"github.com/anymesh/anymesh/proxy/message"
)

// What a byte may be part of.
const (
	inToken  = 1 << iota // a header's name, a method
	inValue              // a header's value
	inTarget             // a request target: printable ASCII without "#"
	inHost               // a host name or IPv4 address
	inHex
	upper
)

var kinds = func() (k [256]byte) {
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			k[c] |= inValue
		}
		if c > 0x20 && c < 0x7f && c != '#' {
			k[c] |= inTarget
		}
	}
	mark := func(chars string, kind byte) {
		for _, c := range []byte(chars) {
			k[c] |= kind
		}
	}
	const lowers, uppers, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mark(lowers+uppers+digits+"!#$%&'*+-.^_`|~", inToken) // RFC 9110, 5.6.2
	mark(lowers+uppers+digits+"-._", inHost)
	mark(digits+"abcdefABCDEF", inHex)
	mark(uppers, upper)
	return k
}()

func every(b []byte, kind byte) bool {
	for _, c := range b {
		if kinds[c]&kind == 0 {
			return false
		}
	}
	return true
}

// framing is what a head says of its body and its connection.
type framing struct {
	length   int64
	lengths  int // Content-Length headers
	chunked  bool
	close    bool
	hosts    int
	agents   int
	host     []byte
	pragma   bool // Pragma: no-cache without Cache-Control, which net/http completes
	cached   bool
	response bool
}

// block reads header lines up to the empty one into h. rest is what follows; more: the head is not whole yet.
func (f *framing) block(b []byte, h *message.Head) (rest []byte, more bool, err error) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil, true, nil
		}
		if i == 0 || b[i-1] != '\r' {
			return nil, false, ErrOdd
		}
		if i == 1 {
			if f.pragma && !f.cached {
				h.Fields = append(h.Fields, message.Field{Name: "cache-control", Value: "no-cache"})
			}
			return b[2:], false, nil
		}
		if err := f.field(b[:i-1], h); err != nil {
			return nil, false, err
		}
		b = b[i+1:]
	}
}

func (f *framing) field(line []byte, h *message.Head) error {
	n := bytes.IndexByte(line, ':')
	if n <= 0 {
		return ErrOdd
	}
	name, value := line[:n], line[n+1:]
	for i, c := range name {
		if kinds[c]&(inToken|upper) != inToken {
			if kinds[c]&upper == 0 {
				return ErrOdd
			}
			name[i] = c | 0x20
		}
	}
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for n := len(value); n > 0 && (value[n-1] == ' ' || value[n-1] == '\t'); n = len(value) {
		value = value[:n-1]
	}
	if !every(value, inValue) {
		return ErrOdd
	}
	forward, err := f.special(text(name), value)
	if err == nil && forward {
		h.Fields = append(h.Fields, message.Field{Name: text(name), Value: text(value)})
	}
	return err
}

// special heeds the headers that concern the message's frame or this connection, and tells which are handed on.
func (f *framing) special(name string, value []byte) (forward bool, err error) {
	switch name {
	case "host":
		f.hosts++
		f.host = value
		return f.response, nil
	case "content-length":
		f.lengths++
		var ok bool
		if f.length, ok = decimal(value); !ok || f.lengths > 1 {
			return false, ErrOdd
		}
		return true, nil
	case "transfer-encoding":
		if f.chunked || !fold(value, "chunked") {
			return false, ErrOdd
		}
		f.chunked = true
		return false, nil
	case "connection":
		switch {
		case fold(value, "close"):
			f.close = true
		case !fold(value, "keep-alive"):
			return false, ErrOdd
		}
		return false, nil
	case "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "http2-settings":
		return false, nil
	case "te", "trailer", "upgrade", "expect":
		return false, ErrOdd
	case "user-agent":
		if f.agents++; f.agents > 1 && !f.response {
			return false, ErrOdd // net/http hands on the first alone
		}
	case "pragma":
		f.pragma = f.pragma || string(value) == "no-cache"
	case "cache-control":
		f.cached = true
	case "x-forwarded-client-cert":
		return f.response, nil // of a request: who asks does not say who he is
	}
	return true, nil
}

func decimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// fold compares without regard to case; s is in lower case letters and "-".
func fold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c|0x20 != s[i] {
			return false
		}
	}
	return true
}

// read fills the buffer until parse has a whole head. parse is asked again when a line has come.
func (c *Conn) read(parse func([]byte) (n int, more bool, err error)) (err error) {
	hurried := false
	defer func() {
		if hurried && (err == nil || err == ErrOdd) {
			_ = c.SetReadDeadline(time.Time{}) // fails only on a connection that is closed, which shows
		}
	}()
	for seen := c.r; ; {
		if bytes.IndexByte(c.buf[seen:c.w], '\n') >= 0 {
			n, more, err := parse(c.buf[c.r:c.w])
			if err != nil {
				return err
			}
			if n > MaxHead {
				return ErrOdd
			}
			if !more {
				c.head, c.r = c.r, c.r+n
				c.keep = c.r
				return nil
			}
		} else if c.w > c.r && kinds[c.buf[c.r]]&upper == 0 {
			return ErrOdd // TLS, or noise: no line may ever come
		}
		if c.w-c.r >= MaxHead {
			return ErrOdd
		}
		had := c.w - c.r
		if had > 0 && c.Patience > 0 && !hurried {
			hurried = true
			if err := c.SetReadDeadline(time.Now().Add(c.Patience)); err != nil {
				return err
			}
		}
		if err := c.fill(); err != nil {
			if had > 0 {
				err = unexpected(err)
			}
			return err
		}
		seen = c.r + had
	}
}
