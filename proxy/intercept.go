// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/wire"
)

// takeOver takes connections that were led here until l is closed: each is looked at, since its process does not know of us.
func (p *Proxy) takeOver(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			p.log.Warn("outbound: accept", "err", err)
			time.Sleep(10 * time.Millisecond) // out of files: let some be closed
			continue
		}
		go p.lead(c)
	}
}

// lead finds out what a connection is. A request to a service of the mesh, and whatever was meant for the proxy itself, is a codec's; all
// else goes where it wanted to go, as it is: the mesh has nothing to say of it, and who is called there has.
func (p *Proxy) lead(c net.Conn) {
	to, err := p.cfg.OriginalDst(c)
	if err != nil {
		p.log.Warn("outbound: a connection that was led here", "err", err)
		wire.Reset(c)
		return
	}
	t := &tunnel{Conn: c, r: bufio.NewReaderSize(c, 8<<10)}
	if to.Port() == p.OutboundAddr().Port() || wire.SpeaksHTTP(t, t.r) && !p.foreign(t) {
		if !p.tunnels.Push(t) {
			c.Close()
		}
		return
	}
	if !p.track(func() { p.pass(t, to) }) {
		c.Close()
	}
}

// foreign says whether a request is for a host of which the mesh knows nothing. Where the mesh cannot be asked it is not.
func (p *Proxy) foreign(t *tunnel) bool {
	host, ok := wire.Host(t, t.r, handshakeTimeout)
	if !ok {
		return false // the codec says what is wrong with it
	}
	name, err := p.cfg.Node.service(host)
	if err != nil {
		return true // an address, or nothing that could be a service
	}
	_, err = p.book.Host(context.Background(), name)
	return errors.Is(err, state.ErrNoService)
}

// pass carries a connection to where it wanted to go.
func (p *Proxy) pass(t *tunnel, to netip.AddrPort) {
	defer t.Close()
	d := net.Dialer{Timeout: 5 * time.Second, Control: p.cfg.Control}
	up, err := d.Dial("tcp", to.String())
	if err != nil {
		p.log.Debug("outbound: passed by", "to", to, "err", err)
		wire.Reset(t)
		return
	}
	var count atomic.Uint64 // of nobody: it is no traffic of the mesh
	wire.Pipe(t, up, &count, &count)
}
