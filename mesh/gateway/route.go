// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// Dialect is what a mesh takes beside HTTPRoutes.
type Dialect struct {
	TCP string // API version of TCPRoute; empty: there is none
	UDP string // API version of UDPRoute; empty: there is none
	// Both says that raw TCP on a port that also carries HTTP goes by a TCPRoute beside the HTTPRoute. Elsewhere the HTTPRoute has the
	// port alone (GEP-1294, route types).
	Both bool
	// Shut says that a port with an HTTPRoute carries requests alone, also where its Service does not say what it carries; the driver reports it.
	Shut bool
}

// Route says what happens to the traffic of one root as routes of its own namespace, which hold for all of its callers. Each port has
// routes of its own, since a backend is named with its port.
func Route(r *model.Route, o *mesh.Output, d Dialect) {
	w := writer{r: r, o: o, d: d, said: map[*model.Split]bool{}}
	for i := range r.Ports {
		p := &r.Ports[i]
		if r.Service == nil || r.Service.Headless || p.Number == 0 {
			break
		}
		if p.Protocol.CarriesHTTP() {
			w.http(p)
		}
		switch {
		case p.Protocol == model.UDP:
			w.bytes(p, KindUDP, d.UDP)
		case p.Protocol == model.Auto:
			w.auto(p)
		case p.Protocol.CarriesBytes():
			w.bytes(p, KindTCP, d.TCP)
		}
	}
	w.leave()
}

type writer struct {
	r    *model.Route
	o    *mesh.Output
	d    Dialect
	said map[*model.Split]bool // on some port
}

// http says the arms of a port, and a last rule for what none of them takes: a request that no rule of a route takes is refused.
func (w *writer) http(p *model.RoutePort) {
	var arms []arm
	rest := arm{refs: []BackendRef{{Name: w.r.Name.Name, Port: p.Number}}}
	for i := range p.Arms {
		a := &p.Arms[i]
		refs := w.refs(a)
		if refs == nil {
			continue
		}
		if a.Any {
			rest.refs, rest.split = refs, a.Split
			break
		}
		if list := w.matches(a); len(list) > 0 {
			arms = append(arms, arm{list, refs, a.Split})
		}
	}
	if len(arms) == 0 && rest.split == nil {
		return
	}
	rest.matches = []match{{path: anyPath}}
	routes, left := arrange(append(arms, rest))
	for _, m := range left {
		w.o.SayAll(m.Intents, model.Unsupported, "the matches of this root are more than one HTTPRoute holds, and no more than their order tells this one from another: the match is left out, and its requests go where unmatched ones go", "")
	}
	for i, rules := range routes {
		w.o.Add(w.object(V1, KindHTTP, p, i, &HTTPRoute{ParentRefs: w.parent(p), Rules: rules}))
	}
	for _, a := range append(arms, rest) {
		if a.split != nil {
			w.said[a.split] = true
		}
	}
}

// matches says the alternatives of an arm; one that cannot be said is left out, and its requests go where unmatched ones go.
func (w *writer) matches(a *model.Arm) (out []match) {
	for i := range a.Matches {
		m := &a.Matches[i]
		list, why := lower(m)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
			continue
		}
		out = append(out, list...)
	}
	return out
}

// auto says what happens to raw TCP on a port whose Service does not say what it carries.
func (w *writer) auto(p *model.RoutePort) {
	if w.d.Both {
		w.bytes(p, KindTCP, w.d.TCP)
		return
	}
	if a := p.Stream(); a != nil && !w.d.Shut {
		w.o.Say(model.Intent{Feature: model.SplitStream, Object: a.Split.Ref(), Path: "spec.backends"}, model.Approximate,
			fmt.Sprintf("port %d does not say what it carries, and is routed as HTTP: raw TCP on it goes to the root's own endpoints", p.Number),
			"Name the port tcp-… or set its appProtocol, if it carries no HTTP.")
	}
}

// bytes says where connections or datagrams go. Where no split takes them there is nothing to say: they go where they asked to.
func (w *writer) bytes(p *model.RoutePort, kind, version string) {
	a := p.Stream()
	if a == nil || version == "" {
		return
	}
	if refs := w.refs(a); refs != nil {
		w.said[a.Split] = true
		w.o.Add(w.object(version, kind, p, 0, &PortRoute{ParentRefs: w.parent(p), Rules: []PortRule{{BackendRefs: refs}}}))
	}
}

// object is a route of a port. No Service has a dot in its name, so that no two roots share that of a route.
func (w *writer) object(version, kind string, p *model.RoutePort, i int, spec any) mesh.Object {
	name := w.r.Name
	name.Name += "." + strconv.Itoa(int(p.Number))
	if i > 0 {
		name.Name += "." + strconv.Itoa(i+1)
	}
	return mesh.Object{APIVersion: version, Kind: kind, Name: name, Spec: spec}
}

var core = ""

func (w *writer) parent(p *model.RoutePort) []ParentRef {
	return []ParentRef{{Group: &core, Kind: string(model.KindService), Name: w.r.Name.Name, Port: p.Number}}
}

// refs are an arm's backends with weights as small as their ratio allows; nil where they are more than a rule takes.
func (w *writer) refs(a *model.Arm) []BackendRef {
	if n := len(a.Shares); n > mostBackends {
		w.o.Say(model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: "spec.backends"}, model.Unsupported,
			fmt.Sprintf("a rule takes up to %d backends, and the split has %d: nothing was written for it", mostBackends, n), "")
		for i := range a.Matches {
			w.o.SayAll(a.Matches[i].Intents, model.Unsupported, "the split that this is for has too many backends", "")
		}
		return nil
	}
	out := make([]BackendRef, 0, len(a.Shares))
	list, exact := Weights(a.Shares)
	for i, s := range a.Shares {
		b := BackendRef{Name: s.Service.Name, Port: s.Port.Number}
		if len(a.Shares) > 1 {
			b.Weight = &list[i]
		}
		if in := (model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}); !exact {
			w.o.Say(in, model.Approximate, fmt.Sprintf("weights go up to a million: this share is rounded to %d", list[i]), "")
		}
		out = append(out, b)
	}
	return out
}

// Weights reduces weights to what a backend takes, all of them together, and says whether their ratio stayed what it was. A weight above
// zero stays above zero, and one that takes all stays as it was written where it can.
func Weights(shares []model.Share) (out []int32, exact bool) {
	var divisor, total, most int64
	for _, s := range shares {
		total, most = total+s.Weight, max(most, s.Weight)
		for a, b := divisor, s.Weight; ; a, b = b, a%b {
			if b == 0 {
				divisor = a
				break
			}
		}
	}
	if total == divisor && total <= greatestWeight {
		divisor = 1
	}
	scale := 1.0
	if most /= divisor; most > greatestWeight {
		scale = greatestWeight / float64(most)
	}
	for _, s := range shares {
		n := float64(s.Weight/divisor) * scale
		if s.Weight > 0 {
			n = max(1, math.Round(n))
		}
		out = append(out, int32(n))
	}
	return out, scale == 1
}

// leave says of splits that no port could say that nothing was written for them. What is wrong with their matches is said already.
func (w *writer) leave() {
	message, hint, none := "nothing was written for this split: no port of the root carries what can be split, or none of the matches can be said", "", false
	switch s := w.r.Service; {
	case s == nil:
		message, none = "nothing was written for this split: the parent of a route is a Service, and "+w.r.Host()+" is none", true
	case s.Headless:
		message, none = "nothing was written for this split: a mesh that reads routes goes by the cluster IP of their parent, and "+w.r.Name.String()+" is headless", true
	case s.Assumed:
		message, none = "nothing was written for this split: a backend is named with its port, and the ports of "+w.r.Name.String()+" are not known", true
		hint = "Give the Services beside the splits."
	}
	for in := range w.r.Intents {
		mine := func(s *model.Split) bool { return in.Object == s.Ref() && !w.said[s] }
		if (none || in.Feature != model.SplitMatch && slices.ContainsFunc(w.r.Splits, mine)) && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, message, hint)
		}
	}
}
