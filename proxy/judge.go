// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy/link"
	"github.com/anymesh/anymesh/proxy/relay"
	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/stats"
)

// outward judges the HTTP/2 requests of the workload, as serveOutbound does those of HTTP/1.
type outward struct {
	p    *Proxy
	name string // service port that CONNECT named; empty: the authority of each request does
}

// Judge implements relay.Judge.
func (o *outward) Judge(ctx context.Context, x *relay.Exchange, wait bool) (relay.Next, bool) {
	refuse := func(code int, reason string) (relay.Next, bool) { return relay.Next{Code: code, Reason: reason}, true }
	if x.Request.Method == http.MethodConnect {
		return refuse(http.StatusNotImplemented, "CONNECT is understood once, and over HTTP/1.1")
	}
	name := o.name
	if name == "" {
		var err error
		if name, err = o.p.cfg.Node.service(x.Request.Authority); err != nil {
			return refuse(http.StatusBadGateway, err.Error())
		}
	}
	h := o.p.book.Known(name)
	if h == nil && !wait {
		return relay.Next{}, false
	}
	if h == nil {
		var err error
		if h, err = o.p.book.Host(ctx, name); err != nil {
			return refuse(unresolved(err), err.Error())
		}
	}
	if !h.HTTP {
		return refuse(http.StatusBadGateway, name+" carries bytes, not HTTP: use CONNECT")
	}
	return o.route(x, h), true
}

func (o *outward) route(x *relay.Exchange, h *state.Host) relay.Next {
	d, ok := h.Routes.Route(&x.Request)
	x.Edge, x.Rule = o.p.clientEdge(h.Name, d.Cluster), d.Route
	if !ok {
		return relay.Next{Code: http.StatusNotFound, Reason: h.Name + ": no route matches"}
	}
	return relay.Next{To: h.Backends[d.Cluster], Name: h.Name, Timeout: cmp.Or(d.Timeout, o.p.cfg.Deadline)}
}

// Done implements relay.Judge.
func (o *outward) Done(x *relay.Exchange, end stats.Outcome) { o.p.finished(x, end) }

// Final implements relay.Judge.
func (o *outward) Final() bool { return false }

// Judge implements relay.Judge: the HTTP/2 requests of a peer, as serveInbound does those of HTTP/1.
func (c *inConn) Judge(_ context.Context, x *relay.Exchange, _ bool) (relay.Next, bool) {
	x.Edge = c.edge
	if x.Request.Method == http.MethodConnect {
		return relay.Next{Code: http.StatusMethodNotAllowed, Reason: "CONNECT is not for the inbound side"}, true
	}
	x.Request.Peer, x.Request.Port = c.peer, c.port
	k := &call{req: &x.Request, cancel: func() { go x.Revoke() }} // not here: the lock that recheck holds is asked for again at the end
	x.Mark = k
	c.begin(k)
	v := c.p.inbound.Load().Admit(&x.Request)
	if !v.Allowed {
		return relay.Next{Denied: true}, true
	}
	x.Rule = v.Policy
	x.Add("x-forwarded-client-cert", c.xfcc[0])
	return relay.Next{To: c.p.process2(c.port), Name: "the workload behind this proxy"}, true
}

// Done implements relay.Judge.
func (c *inConn) Done(x *relay.Exchange, end stats.Outcome) {
	if k, ok := x.Mark.(*call); ok {
		c.end(k)
	}
	c.p.finished(x, end)
}

// Final implements relay.Judge.
func (c *inConn) Final() bool { return true }

// finished counts an exchange.
func (p *Proxy) finished(x *relay.Exchange, o stats.Outcome) {
	a := Access{Rule: x.Rule, Method: x.Request.Method, Path: x.Request.Path, Code: o.Code, GRPC: o.GRPC, Denied: o.Denied, Duration: time.Since(x.Start)}
	if x.Edge != nil {
		x.Edge.HTTP(o, a.Duration)
		a.Key = x.Edge.Key
	}
	if f := p.cfg.Access; f != nil {
		f(a)
	}
}

// process is the local process behind one port, spoken to in HTTP/2 without TLS.
type process link.Links

// Pick implements relay.Place: there is one.
func (l *process) Pick(*link.Links) (*link.Links, error) { return (*link.Links)(l), nil }

func (p *Proxy) process2(port uint16) relay.Place {
	if v, ok := p.processes.Load(port); ok {
		return v.(*process)
	}
	l := &link.Links{Idle: 90 * time.Second, Busy: new(atomic.Int64), Dial: func(ctx context.Context) (net.Conn, error) {
		return p.local1.DialContext(ctx, "tcp", p.process(port))
	}}
	v, _ := p.processes.LoadOrStore(port, (*process)(l))
	return v.(*process)
}
