// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// route says what happens to the requests of one root in a MeshHTTPRoute, and to its connections in a MeshTCPRoute.
func route(r *model.Route, o *mesh.Output, n named) {
	w := routeWriter{r: r, o: o, named: n, said: map[*model.Split]bool{}, carried: map[*model.Match]bool{}}
	for i := range r.Ports {
		p := &r.Ports[i]
		switch {
		case r.Service == nil || r.Service.Headless || p.Number == 0: // Kuma names the ports of both sides, and knows pods where there is no cluster IP
		case p.Protocol == model.Auto:
			w.blind(p)
			w.stream(p)
		case p.Protocol.CarriesHTTP():
			w.requests(p)
		case p.Protocol.CarriesBytes():
			w.stream(p)
		}
	}
	w.leave()
	name := model.Name{Namespace: system, Name: r.Name.Name + "." + r.Name.Namespace}
	everywhere := &targetRef{Kind: "Mesh"}
	if len(w.http) > 0 {
		o.Add(ours(r.Settings, kindHTTPRoute, name, &httpRoute{everywhere, w.http}))
	}
	if len(w.tcp) > 0 {
		o.Add(ours(r.Settings, kindTCPRoute, name, &tcpRoute{everywhere, w.tcp}))
	}
}

type routeWriter struct {
	r     *model.Route
	o     *mesh.Output
	named named
	http  []httpTo
	tcp   []tcpTo
	said  map[*model.Split]bool // on some port

	carried map[*model.Match]bool // by some rule
}

// named is how Services are named: by labels, or by the tag kuma.io/service that every port of a Service has.
type named struct{ labels bool }

func (n named) target(s *model.Settings, service model.Name, p *model.ServicePort) targetRef {
	if !n.labels {
		return targetRef{Kind: "MeshService", Name: tag(service, p.Number)}
	}
	return targetRef{Kind: "MeshService", Labels: serviceLabels(s, service), SectionName: section(p.Name, p.Number)}
}

func (n named) backend(s *model.Settings, service model.Name, p *model.ServicePort) backendRef {
	if !n.labels {
		return backendRef{Kind: "MeshService", Name: tag(service, p.Number)}
	}
	return backendRef{Kind: "MeshService", Labels: serviceLabels(s, service), Port: p.Number}
}

// serviceLabels select the MeshService that the control plane makes of a Service; of the one zone where it is known, since a Service of the
// same name in another zone is another one.
func serviceLabels(s *model.Settings, n model.Name) map[string]string {
	out := map[string]string{labelName: n.Name, labelNamespace: n.Namespace}
	if _, zone := place(s.TrustDomain); zone != "" {
		out[labelZone] = zone
	}
	return out
}

// tag is the value of kuma.io/service.
func tag(n model.Name, port uint16) string {
	return n.Name + "_" + n.Namespace + "_svc_" + strconv.Itoa(int(port))
}

// section is what Kuma calls a port: by its name, or by its number where it has none.
func section(name string, number uint16) string {
	return cmp.Or(name, strconv.Itoa(int(number)))
}

// requests says the arms of a port, and what none of them takes: Kuma 2 sends it to the Service that was asked, 3.0 refuses it.
func (w *routeWriter) requests(p *model.RoutePort) {
	var rules []httpRule
	var matches [][]match
	last := []backendRef{w.named.backend(w.r.Settings, w.r.Name, &p.ServicePort)}
	for i := range p.Arms {
		a := &p.Arms[i]
		if a.Any {
			w.said[a.Split] = true
			last = w.shares(a)
			rules = append(rules, httpRule{})
			break
		}
		if list := w.matches(a); len(list) > 0 {
			w.said[a.Split] = true
			matches = append(matches, list)
			rules = append(rules, httpRule{Default: backends{w.shares(a)}})
		}
	}
	if len(rules) == 0 {
		return
	}
	arrange(matches)
	rules = rules[:len(matches)]
	rest := match{}
	if len(matches) == 0 {
		rest.Path = &pathMatch{pathPrefix, "/"}
	}
	for i := range rules {
		rules[i].Matches = matches[i]
	}
	rules = append(rules, httpRule{[]match{rest}, backends{last}})
	w.http = append(w.http, httpTo{w.named.target(w.r.Settings, w.r.Name, &p.ServicePort), rules})
}

// stream says where connections go. Where no split takes them there is nothing to say: they go where they asked to.
func (w *routeWriter) stream(p *model.RoutePort) {
	a := p.Stream()
	if a == nil {
		return
	}
	w.said[a.Split] = true
	w.tcp = append(w.tcp, tcpTo{w.named.target(w.r.Settings, w.r.Name, &p.ServicePort), []tcpRule{{backends{w.shares(a)}}}})
}

// blind says what is lost on a port that names no protocol. A MeshHTTPRoute would make it speak HTTP alone, and break the rest.
func (w *routeWriter) blind(p *model.RoutePort) {
	for i := range p.Arms {
		a := &p.Arms[i]
		feature, level, what := model.SplitMatch, model.Approximate, "its requests are not matched, and go where connections go"
		if a.Any {
			feature, level, what = model.SplitWeight, model.Notice, "connections are shared out, and not requests"
		}
		for in := range w.r.Intents {
			if in.Object == a.Split.Ref() && in.Feature == feature {
				w.o.Say(in, level, fmt.Sprintf("port %d does not say that it carries HTTP: %s", p.Number, what), "Set the port's appProtocol, if it is HTTP.")
				break
			}
		}
	}
}

func (w *routeWriter) shares(a *model.Arm) []backendRef {
	out := make([]backendRef, 0, len(a.Shares))
	list, exact := weights(a.Shares)
	for i, s := range a.Shares {
		b := w.named.backend(w.r.Settings, s.Service, s.Port)
		if len(a.Shares) > 1 {
			b.Weight = &list[i]
		}
		if !exact {
			in := model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}
			w.o.Say(in, model.Approximate, fmt.Sprintf("Envoy's weights add up to 32 bits: this share is rounded to %d", list[i]), "")
		}
		out = append(out, b)
	}
	return out
}

// weights reduces weights to what Envoy adds up, and says whether their ratio stayed what it was. A weight above zero stays above zero, and
// one that takes all stays as it was written.
func weights(shares []model.Share) (out []int64, exact bool) {
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
		out = append(out, int64(n))
	}
	return out, scale == 1
}

// matches says the alternatives of an arm; one that Kuma cannot say is left out, and its requests go where unmatched ones go.
func (w *routeWriter) matches(a *model.Arm) []match {
	var out []match
	for i := range a.Matches {
		m := &a.Matches[i]
		list, why := lower(m)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
		}
		if out = append(out, list...); len(list) > 0 {
			w.carried[m.Match] = true
		}
	}
	return out
}

// methods are those that Kuma knows.
var methods = []string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

// lower says one match, as one for each method, or why it cannot.
func lower(m *model.ArmMatch) (out []match, why string) {
	base := match{Path: path(m)}
	for i := range m.Headers {
		h := &m.Headers[i]
		c := headerMatch{expression, h.Name, cmp.Or(h.Value, "(?:)")} // Envoy refuses the empty expression
		if h.Authority() {
			c.Name = "host" // Envoy's other name for the authority; Kuma takes no name with a colon
		}
		if len(c.Name) > 256 {
			return nil, "Kuma takes names of headers of up to 256 letters"
		}
		base.Headers = append(base.Headers, c)
	}
	for _, name := range m.Methods {
		if !slices.Contains(methods, name) {
			return nil, "Kuma knows the methods " + strings.Join(methods, ", ") + ", and not " + name
		}
		one := base
		one.Method = name
		out = append(out, one)
	}
	if len(m.Methods) == 0 {
		out = []match{base}
	}
	if base.Path == nil && len(m.Methods) == 0 && len(m.Headers) == 0 {
		out[0].Path = &pathMatch{expression, ".*"} // to be asked before what takes the rest
	}
	return out, ""
}

// path says a path in the simplest way that says the same. Kuma's prefix ends where a segment ends, so that a prefix of text is an
// expression.
func path(m *model.ArmMatch) *pathMatch {
	p := pattern.Path(m.Path, m.Group.FullPath)
	under, ok := p.Under()
	switch {
	case p.Class == pattern.Any:
		return nil
	case ok && strings.HasPrefix(under, "/") && !strings.HasSuffix(under, "/"):
		return &pathMatch{pathPrefix, under}
	case p.Class == pattern.Exact && strings.HasPrefix(p.Text, "/"):
		return &pathMatch{pathExact, p.Text}
	}
	return &pathMatch{expression, p.Expression}
}

// leave says of splits that no port could say that nothing was written for them. What is wrong with their matches is said already, where it
// is not the port's fault.
func (w *routeWriter) leave() {
	for _, s := range w.r.Splits {
		if w.said[s] {
			continue
		}
		why := "the root carries only UDP, or none of the matches can be said"
		switch {
		case w.r.Service != nil && w.r.Service.Headless:
			why = "Kuma splits what goes to a cluster IP, and the root is headless"
		case w.r.Service != nil && w.r.Service.Assumed:
			why = "Kuma names the ports of Services, and the input holds none"
		case slices.ContainsFunc(w.r.Ports, func(p model.RoutePort) bool { return p.Protocol == model.Auto }):
			why = blind
		}
		why = "nothing was written for this split: " + why
		for in := range w.r.Intents {
			if in.Object == s.Ref() && in.Feature != model.SplitMatch && w.o.Claim(in.Feature).Level != model.Unsupported {
				w.o.Say(in, model.Unsupported, why, "")
			}
		}
		w.unmatched(s, why)
	}
}

// unmatched says of the matches of a split, where no other split carries them, that they are left out.
func (w *routeWriter) unmatched(s *model.Split, why string) {
	for i := range w.r.Ports {
		for k := range w.r.Ports[i].Arms {
			a := &w.r.Ports[i].Arms[k]
			for n := range a.Matches {
				if m := &a.Matches[n]; a.Split == s && !w.carried[m.Match] {
					w.o.SayAll(m.Intents, model.Unsupported, why, "")
				}
			}
		}
	}
}
