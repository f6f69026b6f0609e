// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// serveOutbound takes one request of the workload: by Host, by absolute URL, or CONNECT.
func (p *Proxy) serveOutbound(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.connect(w, r)
		return
	}
	x, err := newExchange(w, r)
	if err != nil {
		p.finish(x, x.fail(http.StatusBadRequest, err.Error()))
		return
	}
	name, ok := tunnelled(r.Context())
	if !ok {
		if name, err = p.cfg.Node.service(r.Host); err != nil {
			p.finish(x, x.fail(http.StatusBadGateway, err.Error()))
			return
		}
	}
	h, err := p.book.Host(r.Context(), name)
	switch {
	case err != nil:
		p.finish(x, x.fail(unresolved(err), err.Error()))
	case !h.HTTP:
		p.finish(x, x.fail(http.StatusBadGateway, name+" carries bytes, not HTTP: use CONNECT"))
	default:
		p.finish(x, p.send(x, h))
	}
}

func unresolved(err error) int {
	if errors.Is(err, state.ErrNoService) {
		return http.StatusBadGateway
	}
	return http.StatusServiceUnavailable
}

// send routes a request and brings back the response.
func (p *Proxy) send(x *exchange, h *state.Host) stats.Outcome {
	d, ok := h.Routes.Route(&x.req)
	if !ok {
		x.edge = p.clientEdge(h.Name, "")
		return x.fail(http.StatusNotFound, h.Name+": no route matches")
	}
	x.edge, x.access.Rule = p.clientEdge(h.Name, d.Cluster), d.Route
	ctx := x.r.Context()
	if t := cmp.Or(d.Timeout, p.cfg.Deadline); t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	// An HTTP/2 port gets HTTP/2 from HTTP/1 clients too: its process understands nothing else.
	h2 := h.HTTP2
	if h2 && x.upgrade != "" {
		return x.fail(http.StatusBadGateway, h.Name+" speaks HTTP/2 alone: no upgrade")
	}
	res, done, err := h.Backends[d.Cluster].DoFor(x.request(ctx), h2, &d)
	if err != nil {
		if errors.Is(err, upstream.ErrNoEndpoint) {
			return x.fail(http.StatusServiceUnavailable, err.Error())
		}
		return x.broke(ctx, h.Name, err)
	}
	defer done()
	denied := res.Header[headerDenied] != nil
	o := x.respond(ctx, res)
	o.Denied = o.Denied || denied
	return o
}

// route is the policy hook of a connection of bytes.
func route(h *state.Host) (cluster string, b *upstream.Backend) {
	cluster = h.TCP.Pick()
	return cluster, h.Backends[cluster]
}

// admit brings a new inbound policy into force: for what comes, and for what is under way.
func (p *Proxy) admit(in *policy.Inbound) {
	p.inbound.Store(in)
	for _, c := range p.open() {
		c.recheck(in)
	}
	if in != nil {
		p.once.Do(func() { close(p.admitted) })
	}
}
