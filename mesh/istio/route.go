// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// longest is the length up to which Istio takes a regular expression.
const longest = 1024

// route says all that happens to the requests of one root in one VirtualService: Istio does not merge two that speak of one host.
func route(r *model.Route, o *mesh.Output) {
	w := routeWriter{r: r, o: o, said: map[*model.Split]bool{}}
	w.spec.Hosts = []string{r.Host()}
	for i := range r.Ports {
		p := &r.Ports[i]
		if p.Protocol.CarriesHTTP() {
			w.http(p)
		}
		if p.Protocol.CarriesBytes() {
			w.stream(p)
		}
	}
	w.leave()
	if len(w.said) > 0 {
		o.Add(mesh.Object{APIVersion: networking, Kind: kindVirtualService, Name: r.Name, Spec: &w.spec})
	}
}

type routeWriter struct {
	r    *model.Route
	o    *mesh.Output
	spec virtualService
	said map[*model.Split]bool // on some port
}

// http says the arms of a port in their order. What none of them takes is said too: in Istio a request that no route takes is not sent to
// the Service that it asked for, it is refused.
func (w *routeWriter) http(p *model.RoutePort) {
	for i := range p.Arms {
		a := &p.Arms[i]
		out := httpRoute{Name: a.Split.Name.Name, Match: onPort(p), Route: w.shares(a)}
		if !a.Any {
			if out.Match = w.matches(a, p); len(out.Match) == 0 {
				continue
			}
		}
		w.said[a.Split] = true
		w.spec.HTTP = append(w.spec.HTTP, out)
		if a.Any {
			return
		}
	}
	w.spec.HTTP = append(w.spec.HTTP, httpRoute{Match: onPort(p), Route: []destination{{Destination: w.target(w.r.Host(), &p.ServicePort)}}})
}

// stream says where raw TCP goes. Where no split takes it there is nothing to say: it goes where it asked to.
func (w *routeWriter) stream(p *model.RoutePort) {
	a := p.Stream()
	if a == nil {
		return
	}
	w.said[a.Split] = true
	if p.Protocol == model.TLS {
		w.tls(a, p)
		return
	}
	out := tcpRoute{Route: w.shares(a)}
	if p.Number != 0 {
		out.Match = []portMatch{{p.Number}}
	}
	w.spec.TCP = append(w.spec.TCP, out)
}

// tls names connections by server name, as Istio wants it: there is no route that takes all of a port. Clients call a Service by any of its
// names, and Istio wants each of them to be a host of the object.
func (w *routeWriter) tls(a *model.Arm, p *model.RoutePort) {
	if w.r.Service != nil {
		n := w.r.Name
		w.spec.Hosts = []string{w.r.Host(), n.Name + "." + n.Namespace + ".svc", n.Name + "." + n.Namespace, n.Name}
	}
	w.spec.TLS = append(w.spec.TLS, tlsRoute{Match: []tlsMatch{{p.Number, w.spec.Hosts}}, Route: w.shares(a)})
	in := model.Intent{Feature: model.SplitStream, Object: a.Split.Ref(), Path: "spec.backends"}
	w.o.Say(in, model.Approximate, fmt.Sprintf("on port %d connections are split whose TLS server name is one of the Service's names: others go to the root's own endpoints", p.Number), "")
}

func onPort(p *model.RoutePort) []httpMatch {
	if p.Number == 0 {
		return nil
	}
	return []httpMatch{{Port: p.Number}}
}

func (w *routeWriter) target(host string, p *model.ServicePort) target {
	t := target{Host: host}
	if p != nil && p.Number != 0 {
		t.Port = &portNumber{p.Number}
	}
	return t
}

// shares are an arm's backends with weights as small as their ratio allows.
func (w *routeWriter) shares(a *model.Arm) []destination {
	out := make([]destination, 0, len(a.Shares))
	list, exact := weights(a.Shares)
	for i, s := range a.Shares {
		d := destination{Destination: w.target(w.r.Settings.Host(s.Service), s.Port)}
		if len(a.Shares) > 1 {
			d.Weight = &list[i]
		}
		if in := (model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}); !exact {
			w.o.Say(in, model.Approximate, fmt.Sprintf("Istio's weights are numbers of 31 bits: this share is rounded to %d", list[i]), "")
		}
		out = append(out, d)
	}
	return out
}

// weights reduces weights to what an int32 holds, all of them together, and says whether their ratio stayed what it was. A weight above
// zero stays above zero, and one that takes all stays as it was written.
func weights(shares []model.Share) (out []int32, exact bool) {
	var divisor, total int64
	for _, s := range shares {
		total += s.Weight
		for a, b := divisor, s.Weight; ; a, b = b, a%b {
			if b == 0 {
				divisor = a
				break
			}
		}
	}
	if total == divisor && total <= math.MaxInt32 {
		divisor = 1
	}
	scale := 1.0
	if total /= divisor; total > math.MaxInt32 {
		scale = float64(math.MaxInt32-len(shares)) / float64(total)
	}
	for _, s := range shares {
		n := float64(s.Weight/divisor) * scale
		if s.Weight > 0 {
			n = max(1, math.Floor(n))
		}
		out = append(out, int32(n))
	}
	return out, scale == 1
}

// matches says the alternatives of an arm; one that Istio cannot say is left out, and its requests go where unmatched ones go.
func (w *routeWriter) matches(a *model.Arm, p *model.RoutePort) []httpMatch {
	var out []httpMatch
	for i := range a.Matches {
		m := &a.Matches[i]
		native, why := lower(m)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
			continue
		}
		native.Port = p.Number
		out = append(out, native)
	}
	return out
}

// lower says one match, or why it cannot.
func lower(m *model.ArmMatch) (out httpMatch, why string) {
	out.URI = uri(m)
	if n := len(m.Methods); n == 1 {
		out.Method = &stringMatch{Exact: &m.Methods[0]}
	} else if n > 1 {
		quoted := make([]string, n)
		for i, name := range m.Methods {
			quoted[i] = regexp.QuoteMeta(name)
		}
		out.Method = &stringMatch{Regex: strings.Join(quoted, "|")}
	}
	for name, value := range headers(m.Headers) {
		if value == "" {
			return out, "Istio takes one condition on a header, and the match has two on " + name
		}
		if name == authority {
			out.Authority = &stringMatch{Regex: value}
			continue
		}
		if out.Headers == nil {
			out.Headers = map[string]stringMatch{}
		}
		out.Headers[name] = stringMatch{Regex: value}
	}
	return out, out.tooLong()
}

// tooLong says which of the expressions Istio would refuse.
func (m *httpMatch) tooLong() string {
	list := []*stringMatch{m.URI, m.Method, m.Authority}
	for _, h := range m.Headers {
		list = append(list, &h)
	}
	for _, s := range list {
		if s != nil && len(s.Regex) > longest {
			return fmt.Sprintf("Istio takes expressions of up to %d letters, and one has %d", longest, len(s.Regex))
		}
	}
	return ""
}

// uri says a path in the simplest way that says the same: a prefix is quicker to match than an expression, and easier to read.
func uri(m *model.ArmMatch) *stringMatch {
	switch p := pattern.Path(m.Path, m.Group.FullPath); p.Class {
	case pattern.Any:
		return nil
	case pattern.Exact:
		return &stringMatch{Exact: &p.Text}
	case pattern.Prefix:
		return &stringMatch{Prefix: p.Text}
	default:
		return &stringMatch{Regex: p.Expression}
	}
}

const authority = policy.Authority

// headers lists the conditions on headers by name, in the order of the match, two on one header as one where that can be; the value is
// empty where it cannot.
func headers(list []model.Header) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		seen := map[string]bool{}
		for i := range list {
			name := policy.Key(&list[i])
			if seen[name] {
				continue
			}
			seen[name] = true
			value := cmp.Or(list[i].Value, "(?:)") // Istio refuses the empty expression
			for k := i + 1; k < len(list); k++ {
				if policy.Key(&list[k]) == name {
					value = both(value, list[k].Value)
				}
			}
			if !yield(name, value) {
				return
			}
		}
	}
}

// both is an expression for what two expressions cover together, or empty.
func both(a, b string) string {
	p, q := pattern.Value(a), pattern.Value(b)
	switch {
	case a == b, q.Class == pattern.Any:
		return a
	case p.Class == pattern.Any, q.Class == pattern.Exact && p.Match(q.Text):
		return b
	case p.Class == pattern.Exact && q.Match(p.Text):
		return a
	}
	return ""
}

// leave says of splits that no port could say that nothing was written for them. What is wrong with their matches is said already.
func (w *routeWriter) leave() {
	for _, s := range w.r.Splits {
		if w.said[s] {
			continue
		}
		for in := range w.r.Intents {
			if in.Object == s.Ref() && in.Feature != model.SplitMatch && w.o.Claim(in.Feature).Level != model.Unsupported {
				w.o.Say(in, model.Unsupported, "nothing was written for this split: the root carries only UDP, or none of the matches can be said", "")
			}
		}
	}
}
