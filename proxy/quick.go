// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/anymesh/anymesh/proxy/lane"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// quick is what the handlers of both sides keep for a connection of plain HTTP/1.1, so that a request does not look it up.
type quick struct {
	p      *Proxy
	x      *lane.Exchange
	req    policy.Request // the one under way
	edge   *stats.Edge
	rule   string
	denied bool // the peer's proxy said so
}

func (q *quick) begin(x *lane.Exchange) {
	q.x, q.edge, q.rule, q.denied = x, nil, "", false
	q.req = policy.Request{Method: x.Request.Method, Path: x.Request.Path, Authority: x.Request.Authority, Headers: &x.Request}
}

// finish counts a request; see [Proxy.finish].
func (q *quick) finish(o stats.Outcome) {
	d := time.Since(q.x.Start)
	if q.edge != nil {
		q.edge.HTTP(o, d)
	}
	if f := q.p.cfg.Access; f != nil {
		a := Access{Rule: q.rule, Method: q.req.Method, Path: strings.Clone(q.req.Path), Code: o.Code, GRPC: o.GRPC, Denied: o.Denied, Duration: d}
		if q.edge != nil {
			a.Key = q.edge.Key
		}
		f(a)
	}
}

// deny, fail and broke answer as their namesakes do for net/http.
func (q *quick) deny() stats.Outcome {
	_ = q.x.Answer(http.StatusForbidden, message.Field{Name: fieldDenied, Value: "access"}, "access denied\n") // a client that left is no concern of ours
	return stats.Outcome{Code: http.StatusForbidden, GRPC: -1, Denied: true}
}

func (q *quick) fail(code int, reason string) stats.Outcome {
	_ = q.x.Answer(code, message.Field{Name: fieldError, Value: clean(reason)}, reason+"\n") // likewise
	return stats.Outcome{Code: code, GRPC: -1}
}

func (q *quick) broke(what string, err error) stats.Outcome {
	switch {
	case errors.Is(err, lane.ErrGone):
		q.x.Close = true
		return stats.Outcome{Code: statusClientGone, GRPC: -1}
	case errors.Is(err, errRevoked):
		return q.deny()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return q.fail(http.StatusGatewayTimeout, what+": no answer in time")
	case errors.Is(err, lane.ErrSwitched):
		return q.fail(http.StatusBadGateway, err.Error())
	case errors.Is(err, upstream.ErrNoEndpoint):
		return q.fail(http.StatusServiceUnavailable, err.Error())
	}
	return q.fail(http.StatusServiceUnavailable, what+": "+err.Error())
}

// quickOut answers the requests of one connection of the workload.
type quickOut struct {
	quick
	authority, name string // the last one asked for, and what it means
	edges           []*stats.Edge
	heed            func(*message.Head)
}

func (p *Proxy) quickOut(net.Conn) lane.Handler {
	o := &quickOut{quick: quick{p: p}}
	o.heed = func(h *message.Head) {
		for i := range h.Fields {
			o.denied = o.denied || h.Fields[i].Name == fieldDenied
		}
	}
	return o.serve
}

func (o *quickOut) serve(x *lane.Exchange) {
	o.begin(x)
	if x.Request.Authority != o.authority {
		name, err := o.p.cfg.Node.service(x.Request.Authority)
		if err != nil {
			o.finish(o.fail(http.StatusBadGateway, err.Error()))
			return
		}
		o.authority, o.name = strings.Clone(x.Request.Authority), name
	}
	h, err := o.p.book.Host(context.Background(), o.name)
	switch {
	case err != nil:
		o.finish(o.fail(unresolved(err), err.Error()))
	case !h.HTTP:
		o.finish(o.fail(http.StatusBadGateway, o.name+" carries bytes, not HTTP: use CONNECT"))
	case h.HTTP2, h.Careful:
		x.Odd = true // the process there understands nothing else, or net/http alone does what is asked for
	default:
		o.finish(o.send(h))
	}
}

func (o *quickOut) send(h *state.Host) stats.Outcome {
	d, ok := h.Routes.Route(&o.req)
	o.edge = o.find(h.Name, d.Cluster)
	if !ok {
		return o.fail(http.StatusNotFound, h.Name+": no route matches")
	}
	o.rule = d.Route
	out, err := o.x.Forward(lane.Way{To: h.Backends[d.Cluster], Timeout: cmp.Or(d.Timeout, o.p.cfg.Deadline), Heed: o.heed})
	if err != nil {
		return o.broke(h.Name, err)
	}
	out.Denied = out.Denied || o.denied
	return out
}

// find keeps the edges of a connection at hand.
func (o *quickOut) find(service, backend string) *stats.Edge {
	for _, e := range o.edges {
		if e.Key.Service == service && e.Key.Backend == backend {
			return e
		}
	}
	e := o.p.clientEdge(service, backend)
	if len(o.edges) < 8 {
		o.edges = append(o.edges, e)
	}
	return e
}

// quickIn answers the requests of one connection of a peer.
type quickIn struct {
	quick
	c    *inConn
	call call
	way  lane.Way
}

func (p *Proxy) quickIn(c *inConn) lane.Handler {
	i := &quickIn{quick: quick{p: p}, c: c}
	i.call = call{req: &i.req, cancel: func() { i.x.Stop(errRevoked) }}
	i.way = lane.Way{To: p.neighbour(c.port), Heed: func(h *message.Head) {
		n := 0
		for _, f := range h.Fields {
			if f.Name != fieldDenied && f.Name != fieldError {
				h.Fields[n] = f
				n++
			}
		}
		h.Fields = h.Fields[:n]
	}}
	return i.serve
}

func (i *quickIn) serve(x *lane.Exchange) {
	x.Request.Fields = append(x.Request.Fields, message.Field{Name: "x-forwarded-client-cert", Value: i.c.xfcc[0]})
	i.begin(x)
	i.req.Peer, i.req.Port, i.edge = i.c.peer, i.c.port, i.c.edge
	i.c.begin(&i.call)
	defer i.c.end(&i.call)
	v := i.p.inbound.Load().Admit(&i.req)
	if !v.Allowed {
		i.finish(i.deny())
		return
	}
	i.rule = v.Policy
	o, err := x.Forward(i.way)
	if err != nil {
		o = i.broke("the workload behind this proxy", err)
	}
	i.finish(o)
}

// neighbour is the local process at a port.
func (p *Proxy) neighbour(port uint16) *upstream.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.neighbours[port]
	if n == nil {
		n = &upstream.Process{Addr: p.process(port), Dial: p.local1.DialContext}
		p.neighbours[port] = n
	}
	return n
}

// sweep closes connections to the local process that were not used for long, until ctx ends.
func (p *Proxy) sweep(ctx context.Context) {
	t := time.NewTicker(sweepPeriod)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			p.mu.Lock()
			for _, n := range p.neighbours {
				n.Sweep(now)
			}
			p.mu.Unlock()
		}
	}
}
