// SPDX-License-Identifier: Apache-2.0

// Package sniff tells by its first bytes what a connection speaks, without taking them.
//
// What begins as a request could is a request, whatever its method: rules about requests must not be passed by with a rare verb or with slow
// typing. A client that stays silent waits for the server to speak first, as those of MySQL and SMTP do, and carries bytes.
package sniff

import (
	"bufio"
	"strings"
	"time"
)

// Protocol is what the first bytes show.
type Protocol uint8

// The protocols. Unclear is a connection that began as a request could and then stopped.
const (
	Bytes Protocol = iota
	HTTP
	TLS
	Unclear
)

// Silence is how long a client may say nothing before it is taken for one where the server speaks first, and Patience how long one that has
// begun to speak may take until it can be told what.
const (
	Silence  = 300 * time.Millisecond
	Patience = time.Second
)

// Deadliner is a connection on which a read can be bounded.
type Deadliner interface{ SetReadDeadline(time.Time) error }

// Sniff looks at what r, which reads from c, has to offer. The answer comes after Silence or Patience at the latest.
func Sniff(c Deadliner, r *bufio.Reader) Protocol {
	defer c.SetReadDeadline(time.Time{})
	end := time.Now().Add(Patience)
	_ = c.SetReadDeadline(time.Now().Add(Silence))
	for n := 1; ; n++ {
		if n > r.Size() {
			return Unclear // a request line longer than any buffer
		}
		if _, err := r.Peek(n); err != nil {
			if r.Buffered() > 0 {
				return stopped(r)
			}
			return Bytes
		}
		if n == 1 {
			_ = c.SetReadDeadline(end)
		}
		b, _ := r.Peek(r.Buffered())
		n = len(b)
		if p := tell(b); p != Unclear {
			return p
		}
	}
}

// stopped judges what ended, or paused for too long, before it could be told.
func stopped(r *bufio.Reader) Protocol {
	b, _ := r.Peek(r.Buffered())
	return tell(b)
}

// tell judges the bytes that are there; Unclear: more are needed.
func tell(b []byte) Protocol {
	if len(b) > 0 && b[0] == 0x16 {
		return TLS // a handshake record; no token begins so
	}
	s := strings.TrimLeft(string(b), "\r\n") // servers overlook an empty line before a request
	method, rest, ok := strings.Cut(s, " ")
	if strings.IndexFunc(method, func(c rune) bool { return !isToken(c) }) >= 0 || ok && method == "" {
		return Bytes
	}
	if !ok {
		return Unclear
	}
	target, version, ok := strings.Cut(rest, " ")
	if strings.ContainsAny(target, "\r\n\x00") || ok && target == "" {
		return Bytes // "EHLO mail.example\r\n"
	}
	switch want := "HTTP/"; { // of any version, and the preface of HTTP/2: who reads it refuses what is none
	case ok && strings.HasPrefix(version, want):
		return HTTP
	case !ok, strings.HasPrefix(want, version):
		return Unclear
	}
	return Bytes
}

// isToken says whether a method may hold the character (RFC 9110, section 5.6.2).
func isToken(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c < 0x7f && strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}
