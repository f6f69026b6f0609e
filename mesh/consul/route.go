// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// route says what happens to the requests of one root: a ServiceRouter for those that match, a ServiceSplitter for the rest.
func route(r *model.Route, o *mesh.Output) {
	w := routeWriter{r: r, o: o, said: map[*model.Split]bool{}, written: map[*model.Split]bool{}, carried: map[*model.Match]bool{}}
	p := w.port()
	if p == nil {
		w.leave("")
		return
	}
	for i := range p.Arms {
		a := &p.Arms[i]
		if why := w.together(p, a); why != "" {
			w.unmatched(a, why)
			w.unsaid(a.Split, why, true)
			continue
		}
		if a.Any {
			w.said[a.Split] = true
			w.splitter(r.Name, a)
			break
		}
		w.matched(a)
	}
	w.carry(p)
	if len(w.routes) > 0 {
		o.Add(ours(kindRouter, r.Name, &serviceRouter{w.routes}))
	}
	needed(o)
	w.leave("none of the matches can be said")
}

// needed puts first what others need: Consul refuses a split of what carries raw TCP, and a route to what is not there.
func needed(o *mesh.Output) {
	order := []string{kindDefaults, kindSplitter, kindRouter, kindIntentions}
	slices.SortStableFunc(o.Objects, func(a, b mesh.Object) int { return slices.Index(order, a.Kind) - slices.Index(order, b.Kind) })
}

// carry says what the root carries, and all that it is split to.
func (w *routeWriter) carry(p *model.RoutePort) {
	list := []model.Name{w.r.Name}
	for i := range p.Arms {
		for _, s := range p.Arms[i].Shares {
			if w.written[p.Arms[i].Split] && !slices.Contains(list, s.Service) {
				list = append(list, s.Service)
			}
		}
	}
	if len(w.written) == 0 {
		return
	}
	for _, n := range list {
		w.o.Add(defaults(n, protocol(w.r.Service)))
	}
}

type routeWriter struct {
	r       *model.Route
	o       *mesh.Output
	routes  []serviceRoute
	said    map[*model.Split]bool // written, or spoken of
	written map[*model.Split]bool
	carried map[*model.Match]bool
}

// port is the one whose arms are said, for the whole service: that with the most backends. It is nil where the root carries no HTTP, or not on all
// of its ports, and where it is called by the addresses of its pods.
func (w *routeWriter) port() (most *model.RoutePort) {
	if w.r.Service == nil || w.r.Service.Headless || protocol(w.r.Service) == "" {
		return nil
	}
	size := func(p *model.RoutePort) (n int) {
		for _, a := range p.Arms {
			n += 1 + len(a.Shares)
		}
		return n
	}
	ports := 0
	for i := range w.r.Ports {
		p := &w.r.Ports[i]
		if p.Protocol == model.UDP {
			continue
		}
		if ports++; most == nil || size(p) > size(most) {
			most = p
		}
	}
	if ports > 1 {
		w.several(most)
	}
	return most
}

// several says what is lost where a root has more ports than the one that Consul knows.
func (w *routeWriter) several(p *model.RoutePort) {
	for in := range w.r.Intents {
		if in.Feature == model.SplitWeight {
			w.o.Say(in, model.Approximate, "Consul knows one port of a service: all ports of the root are led to the one of its backends", "Give each port a Service of its own.")
		}
	}
}

// together says why the backends of an arm cannot stand in one chain with the root.
func (w *routeWriter) together(p *model.RoutePort, a *model.Arm) string {
	rest := p.Stream()
	for i := range a.Shares {
		s := &a.Shares[i]
		switch {
		case protocol(s.Of) != protocol(w.r.Service):
			return "Consul splits among services of one protocol, and " + s.Service.String() + " carries another than the root"
		case s.Chain:
			return "Consul follows the split of " + s.Service.String() + ", and SMI means its plain endpoints"
		case s.Service == w.r.Name && !a.Any && rest != nil:
			return "Consul follows the split of " + s.Service.String() + ", which is the root itself, and SMI means its plain endpoints"
		}
	}
	return ""
}

// matched says an arm with matches: a route for each, to the backend, or where there are several to a service without instances, of which there is
// only its split.
func (w *routeWriter) matched(a *model.Arm) {
	to := destination{}
	var routes []serviceRoute
	for i := range a.Matches {
		m := &a.Matches[i]
		native, why := lower(m.Match, m.Group.FullPath)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
			continue
		}
		w.carried[m.Match] = true
		r := serviceRoute{}
		if !empty(&native) {
			r.Match = &routeMatch{&native}
		}
		routes = append(routes, r)
	}
	if len(routes) == 0 {
		return
	}
	w.said[a.Split], w.written[a.Split] = true, true
	if only := w.lone(a); only != nil {
		to.Service = only.Service.Name
	} else {
		v := virtual(w.r.Name, a.Split.Name.Name)
		to.Service = v.Name
		w.o.Add(defaults(v, protocol(w.r.Service)))
		w.splitter(v, a)
	}
	for i := range routes {
		routes[i].Destination = to
	}
	w.routes = append(w.routes, routes...)
}

func empty(m *httpMatch) bool {
	return m.PathExact == "" && m.PathPrefix == "" && m.PathRegex == "" && len(m.Header) == 0 && len(m.Methods) == 0
}

// lone is the only backend of an arm; nil where there are several, also some without a weight, or where it is the root: a route to the root would
// lead into its own split.
func (w *routeWriter) lone(a *model.Arm) *model.Share {
	if len(a.Shares) == 1 && a.Shares[0].Service != w.r.Name {
		return &a.Shares[0]
	}
	return nil
}

// virtual is the name of a service without instances.
func virtual(root model.Name, split string) model.Name {
	h := fnv.New32a()
	h.Write([]byte(root.String() + "/" + split))
	return model.Name{Namespace: root.Namespace, Name: fmt.Sprintf("%s-%s-%08x", root.Name, strings.ReplaceAll(split, ".", "-"), h.Sum32())}
}

func (w *routeWriter) splitter(n model.Name, a *model.Arm) {
	list, exact := percent(a.Shares)
	if list == nil {
		w.unsaid(a.Split, "Consul's shares are at least 0.01 %, and there are too many backends", false)
		return
	}
	w.written[a.Split] = true
	spec := serviceSplitter{}
	for i, s := range a.Shares {
		spec.Splits = append(spec.Splits, serviceSplit{Weight: list[i], Service: s.Service.Name})
		if !exact[i] {
			w.weight(a, &s, list[i])
		}
	}
	w.o.Add(ours(kindSplitter, n, &spec))
}

// weight says that a share moved.
func (w *routeWriter) weight(a *model.Arm, s *model.Share, to float32) {
	path := fmt.Sprintf("spec.backends[%d].", s.Index)
	for in := range w.r.Intents {
		if in.Feature == model.SplitWeight && in.Object == a.Split.Ref() && strings.HasPrefix(in.Path, path) {
			w.o.Say(in, model.Approximate, fmt.Sprintf("Consul's shares are steps of 0.01 %% that make up exactly 100 in its own arithmetic: this one is %v %%", to), "")
		}
	}
}

// unsaid says that nothing was written for a split; also of its matches, where it is not they that cannot be said.
func (w *routeWriter) unsaid(s *model.Split, why string, matches bool) {
	w.said[s] = true
	for in := range w.r.Intents {
		if in.Object == s.Ref() && (matches || in.Feature != model.SplitMatch) && w.o.Claim(in.Feature).Level != model.Unsupported {
			w.o.Say(in, model.Unsupported, "nothing was written for this split: "+why, "")
		}
	}
}

// unmatched says of the matches of an arm, where no other carries them, that they are left out.
func (w *routeWriter) unmatched(a *model.Arm, why string) {
	for i := range a.Matches {
		if m := &a.Matches[i]; !w.carried[m.Match] {
			w.o.SayAll(m.Intents, model.Unsupported, "nothing was written for this split: "+why, "")
		}
	}
}

const headless = "Consul splits what goes to a cluster IP, and the root is headless"

// leave says of splits that were not said that nothing was written for them.
func (w *routeWriter) leave(why string) {
	reason := stream
	switch {
	case w.r.Service != nil && w.r.Service.Headless:
		reason = headless
	case w.r.Service != nil && w.r.Service.Assumed:
		reason = "Consul has to know what the root carries, and the input holds no Services"
	}
	for _, s := range w.r.Splits {
		if w.said[s] {
			continue
		}
		if why == "" {
			for i := range w.r.Ports {
				for k := range w.r.Ports[i].Arms {
					if a := &w.r.Ports[i].Arms[k]; a.Split == s {
						w.unmatched(a, reason)
					}
				}
			}
			w.unsaid(s, reason, true)
			continue
		}
		w.unsaid(s, why, false)
	}
}
