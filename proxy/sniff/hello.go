// SPDX-License-Identifier: Apache-2.0

package sniff

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// maxHello bounds what is read of a ClientHello. Those with post-quantum keys have about two thousand bytes.
const maxHello = 16 << 10

// ServerName reads the name that a TLS client asks for (SNI), out of a ClientHello that r has to offer, without taking it. r must be able to
// hold the whole of it. The name is the client's word: good for finding a way, never for permitting anything.
func ServerName(c Deadliner, r *bufio.Reader) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(Patience))
	defer c.SetReadDeadline(time.Time{})
	var name string
	seen := errors.New("seen")
	look := &peeked{r: r, max: min(maxHello, r.Size())}
	err := tls.Server(look, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, seen
	}}).HandshakeContext(context.Background())
	switch {
	case !errors.Is(err, seen):
		return "", errors.New("the connection does not begin with a whole ClientHello")
	case name == "":
		return "", errors.New("the ClientHello names no server")
	}
	return name, nil
}

// peeked reads ahead without taking, and says nothing.
type peeked struct {
	net.Conn // nil: nothing else is asked of it
	r        *bufio.Reader
	at, max  int
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.at >= p.max {
		return 0, io.ErrUnexpectedEOF
	}
	if _, err := p.r.Peek(p.at + 1); err != nil {
		return 0, err
	}
	all, _ := p.r.Peek(min(p.r.Buffered(), p.max))
	n := copy(b, all[p.at:])
	p.at += n
	return n, nil
}

func (p *peeked) Write(b []byte) (int, error)      { return len(b), nil } // an alert
func (p *peeked) SetDeadline(time.Time) error      { return nil }
func (p *peeked) SetReadDeadline(time.Time) error  { return nil }
func (p *peeked) SetWriteDeadline(time.Time) error { return nil }
func (p *peeked) Close() error                     { return nil }
