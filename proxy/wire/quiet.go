// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net"
	"syscall"
)

// inner returns the connection below all wrapping.
func inner(c net.Conn) net.Conn {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = w.NetConn()
	}
}

// Quiet tells whether a connection that nobody reads from is open, and has brought nothing unasked. Under TLS that may be for TLS itself:
// then a good connection is given up.
func Quiet(c net.Conn) bool {
	came, ended := look(inner(c))
	return !came && !ended
}

// Gone tells whether the other side has closed its end of a connection, without reading from it.
func Gone(c net.Conn) bool {
	_, ended := look(inner(c))
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
