// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"
)

// sort gives each connection of l to its codec, until l is closed.
func (p *Proxy) sort(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return http.ErrServerClosed
		}
		if err != nil {
			return err
		}
		go p.sortOne(c)
	}
}

// sortOne decides by the first bytes: HTTP/2's preface, or anything else.
func (p *Proxy) sortOne(c net.Conn) {
	t, ok := c.(*tunnel)
	if !ok {
		t = &tunnel{Conn: c, r: bufio.NewReader(c)}
	}
	_ = c.SetReadDeadline(time.Now().Add(p.cfg.HeadTimeout)) // fails on a closed connection only
	two := true
	for i := 1; two && i <= len(http2.ClientPreface); i++ {
		b, err := t.r.Peek(i)
		if err != nil {
			break // its codec meets it again
		}
		two = b[i-1] == http2.ClientPreface[i-1]
	}
	_ = c.SetReadDeadline(time.Time{})
	if two {
		p.out2.Serve(t, &outward{p, t.name}, idleTimeout)
	} else if !p.plain.Push(t) {
		t.Close()
	}
}
