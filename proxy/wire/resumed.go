// SPDX-License-Identifier: Apache-2.0

package wire

import "net"

// Resumed is a connection of which some bytes were read already: they come first.
type Resumed struct {
	net.Conn
	Rest []byte
}

// Read implements net.Conn.
func (r *Resumed) Read(b []byte) (int, error) {
	if len(r.Rest) > 0 {
		n := copy(b, r.Rest)
		if r.Rest = r.Rest[n:]; len(r.Rest) == 0 {
			r.Rest = nil
		}
		return n, nil
	}
	return r.Conn.Read(b)
}

// NetConn returns the connection below.
func (r *Resumed) NetConn() net.Conn { return r.Conn }

// CloseWrite ends the direction out.
func (r *Resumed) CloseWrite() error { return CloseWrite(r.Conn) }

// CloseWrite ends the direction out of a connection, which may know no way to end one alone.
func CloseWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Close()
}
