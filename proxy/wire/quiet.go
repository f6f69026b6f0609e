// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/tls"
	"net"
	"syscall"
)

// inner returns the connection below all wrapping, and whether TLS is among that.
func inner(c net.Conn) (raw net.Conn, secret bool) {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c, secret
		}
		if _, ok := c.(*tls.Conn); ok {
			secret = true
		}
		c = w.NetConn()
	}
}

// Quiet tells whether a connection that nobody reads from is open, and has brought nothing unasked. Under TLS, what came may be for TLS
// itself, so that there only the end counts.
func Quiet(c net.Conn) bool {
	raw, secret := inner(c)
	came, ended := look(raw)
	return !ended && (secret || !came)
}

// Gone tells whether the other side has closed its end of a connection, without reading from it.
func Gone(c net.Conn) bool {
	raw, _ := inner(c)
	_, ended := look(raw)
	return ended
}

// look asks the system about a connection without waiting. What it cannot find out is false.
func look(c net.Conn) (came, ended bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false, false
	}
	r, err := s.SyscallConn()
	if err != nil {
		return false, true
	}
	err = r.Control(func(fd uintptr) { came, ended = poll(int32(fd)) })
	return came, ended || err != nil
}
