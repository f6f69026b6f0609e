// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/proxy/stats"
)

// Access tells of one finished request, or one connection of bytes.
type Access struct {
	stats.Key
	Rule     string // the route that decided on the client side, the grant that admitted on the server side
	Method   string // empty for bytes
	Path     string
	Code     int // HTTP status; 0: no response, 499: the client left
	GRPC     int // gRPC status; -1: not gRPC
	Denied   bool
	Duration time.Duration
}

// finish counts an exchange and, where its response was cut off, lets the client see that.
func (p *Proxy) finish(x *exchange, o stats.Outcome) {
	d := time.Since(x.start)
	if x.edge != nil {
		x.edge.HTTP(o, d)
		x.access.Key = x.edge.Key
	}
	if f := p.cfg.Access; f != nil {
		a := x.access
		a.Code, a.GRPC, a.Denied, a.Duration = o.Code, o.GRPC, o.Denied, d
		f(a)
	}
	if x.cut {
		panic(http.ErrAbortHandler)
	}
}

func (p *Proxy) finishTCP(e *stats.Edge, rule string, start time.Time, o stats.Outcome) {
	e.TCP(o.Denied, !o.Denied && o.Code == 0)
	if f := p.cfg.Access; f != nil {
		f(Access{Key: e.Key, Rule: rule, Code: o.Code, GRPC: -1, Denied: o.Denied, Duration: time.Since(start)})
	}
}

func (p *Proxy) workload() string { return p.cfg.Node.Namespace + "/" + p.cfg.Node.Workload }

func (p *Proxy) clientEdge(service, backend string) *stats.Edge {
	return p.cfg.Stats.Edge(stats.Key{Side: stats.Client, Source: p.identity(), Service: service, Backend: backend,
		Workload: p.workload(), Kind: p.cfg.Node.Kind, Pod: p.cfg.Node.Pod})
}

func (p *Proxy) serverEdge(source string) *stats.Edge {
	return p.cfg.Stats.Edge(stats.Key{Side: stats.Server, Source: source, Workload: p.workload(), Kind: p.cfg.Node.Kind, Pod: p.cfg.Node.Pod})
}

// identity is the workload's own name in the statistics. It does not change when the certificate is renewed.
func (p *Proxy) identity() string {
	if s := p.self.Load(); s != nil {
		return *s
	}
	v, err := p.cfg.SVID.GetX509SVID()
	if err != nil {
		return ""
	}
	s := account(v.ID, v.ID.TrustDomain())
	p.self.Store(&s)
	return s
}

// account shortens a SPIFFE ID of the trust domain home to namespace/service account. Others stay whole, so that nobody
// can look like one of ours.
func account(id spiffeid.ID, home spiffeid.TrustDomain) string {
	part := strings.Split(id.Path(), "/")
	if id.TrustDomain() != home || len(part) != 5 || part[1] != "ns" || part[3] != "sa" {
		return id.String()
	}
	return part[2] + "/" + part[4]
}
