// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"time"
)

// sniffWait is how long a client may stay silent on a port of unknown protocol before it is taken for one where the
// server speaks first.
const sniffWait = 300 * time.Millisecond

var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "PRI * HTTP/2.0\r\n"}

// SpeaksHTTP looks at the first bytes of a connection, read by r, without taking them: a whole HTTP/1 request line, or HTTP/2's
// preface.
func SpeaksHTTP(c net.Conn, r *bufio.Reader) bool {
	_ = c.SetReadDeadline(time.Now().Add(sniffWait))
	defer c.SetReadDeadline(time.Time{})
	for n := 1; n <= r.Size(); n++ {
		if _, err := r.Peek(n); err != nil {
			return false
		}
		b, _ := r.Peek(r.Buffered())
		n = len(b)
		line, _, whole := bytes.Cut(b, []byte("\n"))
		if !couldBeHTTP(string(b)) {
			return false
		}
		if whole {
			return bytes.HasPrefix(b, []byte("PRI ")) || bytes.Contains(line, []byte(" HTTP/1."))
		}
	}
	return false
}

func couldBeHTTP(s string) bool {
	for _, m := range methods {
		if strings.HasPrefix(s, m) || strings.HasPrefix(m, s) {
			return true
		}
	}
	return false
}

// Host reads the Host of a first HTTP/1 request, without taking anything. It is not found in HTTP/2, in what is no request, and in one whose head
// does not fit into r.
func Host(c net.Conn, r *bufio.Reader, wait time.Duration) (string, bool) {
	_ = c.SetReadDeadline(time.Now().Add(wait))
	defer c.SetReadDeadline(time.Time{})
	for n := 1; n <= r.Size(); n++ {
		if _, err := r.Peek(n); err != nil {
			return "", false
		}
		n = r.Buffered()
		b, _ := r.Peek(n)
		head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		if bytes.HasPrefix(b, []byte("PRI ")) {
			return "", false
		}
		if !whole {
			continue
		}
		for line := range bytes.SplitSeq(head, []byte("\r\n")) {
			if k, v, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(k, []byte("host")) {
				return string(bytes.TrimSpace(v)), true
			}
		}
		return "", false
	}
	return "", false
}
