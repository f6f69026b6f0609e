// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// heaviest is the weight up to which the Gateway API takes one.
const heaviest = 1_000_000

// opaquePorts are those that Linkerd takes for opaque unless an annotation says otherwise: their servers speak first.
var opaquePorts = []uint16{25, 587, 3306, 4444, 5432, 6379, 9300, 11211}

// opaque says whether Linkerd looks at connections of a port and not at requests.
func opaque(number uint16, p model.Protocol) bool {
	return !p.CarriesHTTP() || p == model.Auto && slices.Contains(opaquePorts, number)
}

// route says what happens to a root port by port. A route in the namespace of its Service holds for every client.
func (d *dialect) route(r *model.Route, o *mesh.Output) {
	w := routeWriter{d: d, r: r, o: o, said: map[*model.Split]bool{}}
	for i := range r.Ports {
		p := &r.Ports[i]
		switch {
		case r.Service == nil || r.Service.Headless || p.Number == 0 || p.Protocol == model.UDP:
		case opaque(p.Number, p.Protocol):
			w.stream(p)
		default:
			w.http(p)
		}
	}
	w.leave()
}

type routeWriter struct {
	d    *dialect
	r    *model.Route
	o    *mesh.Output
	said map[*model.Split]bool // on some port
}

func (w *routeWriter) parent(p *model.RoutePort) []parent {
	return []parent{{Group: "", Kind: "Service", Name: w.r.Name.Name, Port: p.Number}}
}

func (w *routeWriter) object(p *model.RoutePort) model.Name {
	return model.Name{Namespace: w.r.Name.Namespace, Name: bounded(w.r.Name.Name + "-" + strconv.Itoa(int(p.Number)))}
}

// stream splits connections.
func (w *routeWriter) stream(p *model.RoutePort) {
	if p.Protocol == model.Auto {
		for i := range p.Arms {
			if a := &p.Arms[i]; !a.Any {
				w.o.Say(model.Intent{Feature: model.SplitMatch, Object: a.Split.Ref(), Path: "spec.matches"}, model.Approximate,
					fmt.Sprintf("port %d is opaque to Linkerd, which sees no requests there: they go where unmatched ones go", p.Number),
					"Name the port http-…, and leave it out of config.linkerd.io/opaque-ports.")
			}
		}
	}
	a := p.Stream()
	if a == nil {
		return
	}
	if !w.d.streams {
		w.connections(a, p, "connections to port %d go to the root's own endpoints: this needs Gateway API's TCPRoute")
		return
	}
	to, ok := w.backends(a)
	if !ok {
		return
	}
	w.said[a.Split] = true
	w.o.Add(mesh.Object{APIVersion: gateway + "/v1alpha2", Kind: kindTCPRoute, Name: w.object(p), Spec: &tcpRoute{ParentRefs: w.parent(p), Rules: []tcpRule{{to}}}})
}

// connections says that raw TCP is not split on a port.
func (w *routeWriter) connections(a *model.Arm, p *model.RoutePort, text string) {
	w.o.Say(model.Intent{Feature: model.SplitStream, Object: a.Split.Ref(), Path: "spec.backends"}, model.Approximate, fmt.Sprintf(text, p.Number), "")
}

// arm is an arm in Linkerd's words; without matches it takes every request.
type arm struct {
	of      *model.Arm
	matches []native
	to      []backend
}

// http says the arms of a port in their order, and what none of them takes too: a request that no route takes is refused.
func (w *routeWriter) http(p *model.RoutePort) {
	var arms []arm
	rest := []backend{{Name: w.r.Name.Name, Port: p.Number}}
	for i := range p.Arms {
		a := &p.Arms[i]
		to, ok := w.backends(a)
		if !ok {
			continue
		}
		if a.Any {
			w.said[a.Split] = true
			rest = to
			break
		}
		if list := w.matches(a); len(list) > 0 {
			w.said[a.Split] = true
			arms = append(arms, arm{a, list, to})
		}
	}
	if len(arms) == 0 && len(rest) == 1 && rest[0].Name == w.r.Name.Name && p.Stream() == nil {
		return
	}
	if a := p.Stream(); a != nil && p.Protocol == model.Auto {
		w.connections(a, p, "raw TCP to port %d goes to the root's own endpoints: Linkerd splits the requests of a port or its connections, and not both")
	}
	w.doubtful(p)
	w.order(arms)
	w.routes(p, arms, rest)
}

// doubtful says of a port that may well be named by an appProtocol which Linkerd does not know.
func (w *routeWriter) doubtful(p *model.RoutePort) {
	if p.Protocol != model.GRPC || len(p.Name) >= 4 && p.Name[:4] == "grpc" {
		return
	}
	for i := range p.Arms {
		w.o.Say(model.Intent{Feature: model.SplitWeight, Object: p.Arms[i].Split.Ref(), Path: "spec.backends"}, model.Approximate,
			fmt.Sprintf("Linkerd does not know appProtocol grpc, and takes port %d for opaque: its requests go to the root's own endpoints", p.Number),
			"Set appProtocol to kubernetes.io/h2c, or name the port grpc-… and leave appProtocol out.")
	}
}

// order writes before each arm what an arm behind it would take away, because Linkerd prefers matches with a method and with more headers.
func (w *routeWriter) order(arms []arm) {
	if len(arms) < 2 {
		return
	}
	for i := range arms {
		for k := range arms[i].matches {
			if m := &arms[i].matches[k]; m.Path == nil {
				m.Path = &stringMatch{regularExpression, "^.*$"} // as long as every other's
			}
		}
	}
	for i := range arms {
		own := arms[i].matches
		for k := range own {
			for _, later := range arms[i+1:] {
				for n := range later.matches {
					w.raise(&arms[i], &own[k], &later.matches[n])
				}
			}
		}
	}
}

func (w *routeWriter) raise(a *arm, m, over *native) {
	if !m.outranked(over) {
		return
	}
	up, ok := m.raised(over)
	if !ok {
		w.o.Say(model.Intent{Feature: model.SplitMatch, Object: a.of.Split.Ref(), Path: "spec.matches"}, model.Approximate,
			"Linkerd prefers the match with more conditions, and requests that a later split's match takes too may go there", "")
		return
	}
	if !slices.ContainsFunc(a.matches, func(o native) bool { return o.equal(up.httpMatch) }) {
		a.matches = append(a.matches, up)
	}
}

// routes says the arms of a port in as few HTTPRoutes as hold them.
func (w *routeWriter) routes(p *model.RoutePort, arms []arm, rest []backend) {
	var all []httpRule
	for i := range arms {
		slices.SortStableFunc(arms[i].matches, func(a, b native) int { return bare(&a) - bare(&b) })
		var list []httpMatch
		for _, m := range arms[i].matches {
			list = append(list, m.httpMatch)
		}
		all = append(all, rules(list, arms[i].to)...)
	}
	if len(all) >= mostRules && len(arms) > 1 {
		for i := range arms {
			w.o.Say(model.Intent{Feature: model.SplitMatch, Object: arms[i].of.Split.Ref(), Path: "spec.matches"}, model.Approximate,
				"one HTTPRoute does not hold all matches of this root, and of several Linkerd asks the oldest first", "")
		}
	}
	name := w.object(p)
	for n := 1; ; n++ {
		part := all
		if len(all) >= mostRules {
			part = all[:mostRules-1]
		}
		all = all[len(part):]
		spec := &httpRoute{ParentRefs: w.parent(p), Rules: slices.Clip(part)}
		if len(all) == 0 {
			spec.Rules = append(spec.Rules, httpRule{BackendRefs: rest})
		}
		w.o.Add(mesh.Object{APIVersion: w.d.routes, Kind: kindHTTPRoute, Name: partName(name, n), Spec: spec})
		if len(all) == 0 {
			return
		}
	}
}

// bare puts matches last that are no more than a path: of / they take one letter, as the rule for the rest does, and have to stand before it.
func bare(m *native) int {
	if m.Method == "" && len(m.Headers) == 0 && m.paths.Match("/") {
		return 1
	}
	return 0
}

func partName(n model.Name, part int) model.Name {
	if part > 1 {
		n.Name += "-part" + strconv.Itoa(part)
	}
	return n
}

// matches says the alternatives of an arm; one that Linkerd cannot say is left out, and its requests go where unmatched ones go.
func (w *routeWriter) matches(a *model.Arm) (out []native) {
	for i := range a.Matches {
		m := &a.Matches[i]
		list, why := lower(m.Match, m.Group.FullPath)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
			continue
		}
		out = append(out, list...)
	}
	return out
}

// backends are the shares of an arm; false where it has too many.
func (w *routeWriter) backends(a *model.Arm) ([]backend, bool) {
	if len(a.Shares) > mostBackends {
		return nil, false
	}
	out := make([]backend, 0, len(a.Shares))
	list, ok := weights(a.Shares)
	for i, s := range a.Shares {
		b := backend{Name: s.Service.Name, Port: s.Port.Number}
		if len(a.Shares) > 1 {
			b.Weight = &list[i]
		}
		out = append(out, b)
		if !ok {
			w.o.Say(model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}, model.Approximate,
				fmt.Sprintf("the Gateway API's weights end at %d: this share is rounded to %d", heaviest, list[i]), "")
		}
	}
	return out, true
}

// weights are the weights of shares as they were written, or reduced to what the Gateway API takes; false where their ratio did not stay what
// it was. One above zero stays above zero.
func weights(shares []model.Share) (out []int64, same bool) {
	var divisor, most int64
	for _, s := range shares {
		most = max(most, s.Weight)
		for a, b := divisor, s.Weight; ; a, b = b, a%b {
			if b == 0 {
				divisor = a
				break
			}
		}
	}
	if most <= heaviest {
		divisor = 1
	}
	most /= divisor
	for _, s := range shares {
		n := s.Weight / divisor
		if most > heaviest && n > 0 {
			n = max(1, int64(float64(n)/float64(most)*heaviest))
		}
		out = append(out, n)
	}
	return out, most <= heaviest
}

// leave says of splits that no port could say that nothing was written for them. What is wrong with their matches is said already, unless
// nothing could be said of the root.
func (w *routeWriter) leave() {
	why, all := "none of the root's ports, or of the matches, can be said", true
	switch {
	case w.r.Service == nil:
		why = "Linkerd routes what goes to a Service"
	case w.r.Service.Headless:
		why = "Linkerd splits what goes to a cluster IP, and " + w.r.Name.String() + " is headless"
	case slices.ContainsFunc(w.r.Ports, func(p model.RoutePort) bool { return p.Number == 0 }):
		why = "Linkerd names each port of a backend, and the Services are not known"
	default:
		all = false
	}
	for _, s := range w.r.Splits {
		if w.said[s] {
			continue
		}
		for in := range w.r.Intents {
			if in.Object == s.Ref() && (all || in.Feature != model.SplitMatch) && w.o.Claim(in.Feature).Level != model.Unsupported {
				w.o.Say(in, model.Unsupported, "nothing was written for this split: "+why, "")
			}
		}
	}
	if all {
		w.matchless()
	}
}

// matchless says of the conditions of requests that nothing was written for them.
func (w *routeWriter) matchless() {
	for i := range w.r.Ports {
		for k := range w.r.Ports[i].Arms {
			a := &w.r.Ports[i].Arms[k]
			for n := range a.Matches {
				if !w.said[a.Split] {
					w.o.SayAll(a.Matches[n].Intents, model.Unsupported, "nothing was written for its split", "")
				}
			}
		}
	}
}
