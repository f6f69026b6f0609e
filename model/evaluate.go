// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"slices"
	"strings"
)

// Request is one request, or one connection, of one caller.
type Request struct {
	From    Identity          // who calls, in our own trust domain
	SPIFFE  string            // who calls, where From is empty: the ID of another domain
	Pod     map[string]string // the caller's pod labels, where they are known
	Service Name
	Port    uint16 // of the Service; 0: its only port, or its first that carries the layer
	Layer   Layer
	Method  string
	Path    string              // as sent; a query is not looked at
	Headers map[string][]string // names in lower case
	Host    string              // the authority; empty: the service's full name
}

// Layer is what the caller speaks.
type Layer uint8

// The layers.
const (
	LayerHTTP Layer = iota
	LayerStream
	LayerDatagram
)

// Verdict is where a request goes and whether it is admitted.
type Verdict struct {
	Allowed   bool       `json:"allowed"` // by every backend that has a share
	Backends  []Outcome  `json:"backends"`
	DecidedBy []Decision `json:"decidedBy"`
	Reason    string     `json:"reason"`
}

// Outcome is what happens to the part of the requests that goes to one backend.
type Outcome struct {
	Service   Name       `json:"-"`
	Port      uint16     `json:"port"`
	Share     float64    `json:"share"` // 0 to 1; all shares make 1
	Allowed   bool       `json:"allowed"`
	DecidedBy []Decision `json:"-"`
	Reason    string     `json:"-"`
}

// Decision points at the field that decided.
type Decision struct {
	Object Ref
	Path   string
}

// Evaluate answers for one request. It reports an error where the service or its port is not known.
func Evaluate(w World, q *Request) (*Verdict, error) {
	route, _ := JoinRoute(w, q.Service)
	if route.Service == nil {
		return nil, fmt.Errorf("there is no Service %s", q.Service)
	}
	port, err := route.PortFor(q)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Allowed: true}
	shares, how := route.Choose(port, q)
	v.DecidedBy = append(v.DecidedBy, how...)
	var total int64
	for _, s := range shares {
		total += s.Weight
	}
	for _, s := range shares {
		if s.Weight == 0 {
			continue
		}
		o := admit(w, q, s)
		o.Share = float64(s.Weight) / float64(total)
		v.Backends = append(v.Backends, o)
		v.Allowed = v.Allowed && o.Allowed
		for _, d := range o.DecidedBy {
			if !slices.Contains(v.DecidedBy, d) {
				v.DecidedBy = append(v.DecidedBy, d)
			}
		}
	}
	v.Reason = v.reason()
	return v, nil
}

func (v *Verdict) reason() string {
	var why []string
	for _, o := range v.Backends {
		if o.Allowed == v.Allowed {
			if r := o.Service.String() + ": " + o.Reason; !slices.Contains(why, r) {
				why = append(why, r)
			}
		}
	}
	return strings.Join(why, "; ")
}

// PortFor is the root's port that a request comes to. It reports an error where there is none of that number that carries the
// request's layer.
func (r *Route) PortFor(q *Request) (*RoutePort, error) {
	fits := func(p *RoutePort) bool {
		switch q.Layer {
		case LayerDatagram:
			return p.Protocol == UDP
		case LayerStream:
			return p.Protocol != UDP
		}
		return p.Protocol.CarriesHTTP()
	}
	var have []string
	for i := range r.Ports {
		p := &r.Ports[i]
		if (q.Port == 0 || p.Number == q.Port || p.Number == 0) && fits(p) {
			return p, nil
		}
		have = append(have, fmt.Sprintf("%d (%s)", p.Number, p.Protocol))
	}
	return nil, fmt.Errorf("service %s has no such port for this kind of traffic; it has %s", r.Name, strings.Join(have, ", "))
}

// Choose says how a request to a port is shared out, and which field decided. A single share of the root itself is the answer where no
// split takes the request.
func (r *Route) Choose(p *RoutePort, q *Request) ([]Share, []Decision) {
	for i := range p.Arms {
		a := &p.Arms[i]
		if a.Any {
			return a.Shares, []Decision{{a.Split.Ref(), "spec.backends"}}
		}
		if q.Layer != LayerHTTP {
			continue
		}
		for k := range a.Matches {
			if m := &a.Matches[k]; m.Covers(m.Group.FullPath, q, r.Host()) {
				return a.Shares, []Decision{{a.Split.Ref(), "spec.matches"}, {m.Group.Ref(), at("spec.matches", m.Index, "")}}
			}
		}
	}
	return []Share{{Service: r.Name, Port: &p.ServicePort, Weight: 1, Index: -1}}, nil
}

// admit asks every workload behind a share; the request is admitted when all of them admit it.
func admit(w World, q *Request, s Share) Outcome {
	o := Outcome{Service: s.Service, Allowed: true}
	if s.Port != nil {
		o.Port = s.Port.Number
	}
	behind := slices.Clone(w.Selected(s.Service))
	slices.SortFunc(behind, func(a, b *Workload) int { return a.Ref().Compare(b.Ref()) })
	if len(behind) == 0 {
		return Outcome{Service: o.Service, Port: o.Port, Reason: "no workload is known behind the Service"}
	}
	host := w.Settings().Host(q.Service)
	for _, wl := range behind {
		a, _ := JoinAccess(w, wl.Identity())
		ok, by, why := a.Admit(wl, wl.TargetPort(s.Port), q, host)
		if o.Reason == "" || !ok {
			o.Reason = why
		}
		o.Allowed = o.Allowed && ok
		o.DecidedBy = append(o.DecidedBy, by...)
	}
	return o
}

// Admit says whether the identity's permissions let a request reach a port of one of its workloads, which fields say so, and why.
// Host is the full name of the service that was called.
func (a *Access) Admit(w *Workload, port uint16, q *Request, host string) (bool, []Decision, string) {
	if !a.Closed(w) {
		return true, nil, "open: no TrafficTarget names " + a.Identity.String()
	}
	if w.probed(port, q) {
		return true, nil, "a health check of the kubelet, as the pod declares it"
	}
	var near []Decision
	for i := range a.Grants {
		g := &a.Grants[i]
		if !g.Covers(w) {
			continue
		}
		by, ok := g.admit(port, q, host)
		if ok {
			return true, by, "admitted by " + g.Permission.Ref().String()
		}
		near = append(near, by...)
	}
	if len(near) == 0 {
		return false, []Decision{{a.Settings.Ref(), "accessDefault"}}, "closed: no TrafficTarget admits anyone to " + a.Identity.String()
	}
	return false, near, "refused: no TrafficTarget admits " + q.caller() + " to " + a.Identity.String() + " with this request"
}

// probed says whether the request is one of the workload's own HTTP health checks: the kubelet has no identity, and asks for the exact path and
// port. Checks by connection alone admit nothing: what they open could carry anything.
func (w *Workload) probed(port uint16, q *Request) bool {
	path, _, _ := strings.Cut(q.Path, "?")
	return q.From.ServiceAccount == "" && q.SPIFFE == "" && q.Layer == LayerHTTP && q.Method == "GET" &&
		slices.ContainsFunc(w.Probes, func(p Probe) bool { return p.Path != "" && p.Path == path && p.Port == port })
}

func (q *Request) caller() string {
	if q.SPIFFE != "" {
		return q.SPIFFE
	}
	if q.From.ServiceAccount == "" {
		return "a caller without identity"
	}
	return q.From.String()
}

// admit says whether one grant admits the request, and which fields decide; where it does not, which of its fields comes nearest.
func (g *Grant) admit(port uint16, q *Request, host string) ([]Decision, bool) {
	ref := g.Permission.Ref()
	rules := []Decision{{ref, "spec.rules"}}
	if !slices.ContainsFunc(g.Sources, func(s Source) bool { return s.covers(q) }) {
		return []Decision{{ref, "spec.sources"}}, false
	}
	if q.Layer == LayerDatagram {
		return rules, g.Datagram.Has(port)
	}
	if g.Stream.Has(port) {
		return rules, true
	}
	if q.Layer == LayerHTTP && g.HTTPPorts.Has(port) {
		for i := range g.HTTP {
			if m := &g.HTTP[i]; m.Covers(m.Group.FullPath, q, host) {
				return []Decision{{ref, at("spec.rules", m.Rule, "")}, {m.Group.Ref(), at("spec.matches", m.Index, "")}}, true
			}
		}
	}
	return rules, false
}

func (s *Source) covers(q *Request) bool {
	switch {
	case s.SPIFFE != "":
		return s.SPIFFE == q.SPIFFE
	case s.Pods != nil:
		return q.From.Namespace == s.Namespace && Selects(s.Pods, q.Pod)
	}
	return s.Identity == q.From && q.From.ServiceAccount != ""
}
