// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// What a router takes.
const (
	mostTargets  = 10
	mostHeaders  = 10
	longestName  = 50
	longestText  = 255
	mostPriority = 1000
)

// routes says what happens to the requests of one root: a VirtualService for its host, and a VirtualRouter with a listener for each port.
// A router refuses what no route takes, so that each port has a last one, to the root's own endpoints.
func routes(r *model.Route, o *mesh.Output) {
	w := routeWriter{r: r, o: o, said: map[*model.Split]bool{}, carried: map[model.Intent]bool{}, nodes: map[model.Name][]portMapping{}}
	for i := range r.Ports {
		if p := &r.Ports[i]; p.Number != 0 && p.Protocol != model.UDP {
			w.port(p)
		}
	}
	w.leave()
	if len(w.said) == 0 {
		return
	}
	for _, n := range w.order {
		o.Add(mesh.Object{APIVersion: api, Kind: kindNode, Name: w.name(n), Spec: &virtualNode{
			AWSName:          r.Name.Name + "_" + n.Name + "_" + n.Namespace,
			Listeners:        listeners(w.nodes[n]),
			ServiceDiscovery: &discovery{DNS: &dns{Hostname: r.Settings.Host(n)}},
		}})
	}
	o.Add(mesh.Object{APIVersion: api, Kind: kindRouter, Name: r.Name, Spec: &w.spec})
	o.Add(mesh.Object{APIVersion: api, Kind: kindService, Name: r.Name, Spec: &virtualService{
		AWSName: r.Host(), Provider: &provider{VirtualRouter: &routerProvider{&reference{Name: r.Name.Name}}},
	}})
}

func listeners(ports []portMapping) (out []nodeListener) {
	for _, p := range ports {
		out = append(out, nodeListener{PortMapping: p})
	}
	return out
}

type routeWriter struct {
	r    *model.Route
	o    *mesh.Output
	spec virtualRouter
	said map[*model.Split]bool // on some port

	carried map[model.Intent]bool // wishes of route groups that some split carries

	nodes map[model.Name][]portMapping
	order []model.Name // of nodes
}

// name is that of the node which stands for a Service in this root's router. Names of Services have no dot.
func (w *routeWriter) name(n model.Name) model.Name {
	return model.Name{Namespace: n.Namespace, Name: w.r.Name.Name + "." + n.Name + ".service"}
}

// speech is what a router is told that a port carries. A port that says nothing is taken for HTTP only where something asks for it: there
// the mesh would refuse raw TCP.
func speech(p *model.RoutePort) string {
	switch p.Protocol {
	case model.HTTP:
		return "http"
	case model.HTTP2, model.GRPC:
		return "http2"
	case model.Auto:
		if slices.ContainsFunc(p.Arms, func(a model.Arm) bool { return !a.Any }) {
			return "http"
		}
	}
	return "tcp"
}

// port says the arms of a port in their order.
func (w *routeWriter) port(p *model.RoutePort) {
	on := portMapping{p.Number, speech(p)}
	w.spec.Listeners = append(w.spec.Listeners, routerListener{on})
	for i := range p.Arms {
		if a := &p.Arms[i]; w.arm(a, p, on) && a.Any {
			w.headless(p)
			return
		}
	}
	w.add(on, httpMatch{}, []target{w.target(w.r.Name, p.Number, 1, on)}, "rest")
	w.headless(p)
}

// headless says what becomes of requests to the root's own endpoints where its name leads straight to its pods: App Mesh calls these on the
// Service's port.
func (w *routeWriter) headless(p *model.RoutePort) {
	if _, root := w.nodes[w.r.Name]; !root || !w.r.Service.Headless || p.Target == p.Number {
		return
	}
	for in := range w.r.Intents {
		if in.Feature == model.SplitMatch || in.Feature == model.SplitSelf {
			w.o.Say(in, model.Approximate, fmt.Sprintf("%s has no cluster IP, and App Mesh calls its pods on port %d, where they do not listen: requests that go to the root itself fail", w.r.Name, p.Number),
				"Give the Service a cluster IP, or its pods the port of the Service.")
		}
	}
}

// arm says one arm, where that can be.
func (w *routeWriter) arm(a *model.Arm, p *model.RoutePort, on portMapping) bool {
	shares := a.Shares
	if len(shares) > mostTargets {
		shares = slices.DeleteFunc(slices.Clone(shares), func(s model.Share) bool { return s.Weight == 0 })
	}
	if len(shares) > mostTargets {
		return false // said at the end
	}
	var all []httpMatch
	for i := range a.Matches {
		m := &a.Matches[i]
		list, why := lower(m)
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out, and its requests go where unmatched ones go", "")
			continue
		}
		for in := range m.Intents {
			w.carried[in] = true
		}
		all = append(all, list...)
	}
	if a.Any {
		all = []httpMatch{{}}
	}
	if len(all) == 0 || len(w.spec.Routes)+len(all) >= mostPriority {
		return false
	}
	w.said[a.Split] = true
	targets := w.targets(a, shares, on)
	for k, m := range all {
		w.add(on, m, targets, fmt.Sprintf("%s-%d", a.Split.Name.Name, k))
	}
	if p.Protocol == model.Auto {
		w.unsure(a, p, on)
	}
	return true
}

// unsure says what became of a port that may carry anything.
func (w *routeWriter) unsure(a *model.Arm, p *model.RoutePort, on portMapping) {
	in := model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", a.Shares[0].Index)}
	text := fmt.Sprintf("port %d says nothing of what it carries, and App Mesh is told TCP: connections are shared out, and not requests", p.Number)
	if on.Protocol == "http" {
		in.Feature, in.Path = model.SplitMatch, "spec.matches"
		text = fmt.Sprintf("port %d says nothing of what it carries, and App Mesh is told HTTP: raw TCP is refused", p.Number)
	}
	for of := range w.r.Intents { // the share of all is wished in another field
		if of.Object == in.Object && of.Feature == in.Feature {
			w.o.Say(of, model.Approximate, text, "Name the port http-… or tcp-…, or set its appProtocol.")
			return
		}
	}
}

// add says a route. Its priority is its place: the lowest is asked first.
func (w *routeWriter) add(on portMapping, m httpMatch, targets []target, name string) {
	priority := int64(len(w.spec.Routes))
	r := route{Name: fmt.Sprintf("%d-%s", on.Port, name), Priority: &priority}
	switch m.Port = on.Port; {
	case on.Protocol == "tcp":
		r.TCPRoute = &tcpRoute{&tcpMatch{on.Port}, action{targets}}
		w.spec.Routes = append(w.spec.Routes, r)
		return
	case m.Path == nil && m.Prefix == nil:
		root := "/"
		m.Prefix = &root
	}
	if on.Protocol == "http2" {
		r.HTTP2Route = &httpRoute{m, action{targets}}
	} else {
		r.HTTPRoute = &httpRoute{m, action{targets}}
	}
	w.spec.Routes = append(w.spec.Routes, r)
}

// target is a share of the node that stands for a Service.
func (w *routeWriter) target(n model.Name, port uint16, weight int64, on portMapping) target {
	if _, known := w.nodes[n]; !known {
		w.order = append(w.order, n)
	}
	on.Port = port
	if !slices.Contains(w.nodes[n], on) {
		w.nodes[n] = append(w.nodes[n], on)
	}
	return target{&reference{Name: w.name(n).Name}, weight, port}
}

func (w *routeWriter) targets(a *model.Arm, shares []model.Share, on portMapping) (out []target) {
	list, exact := weights(shares)
	for i, s := range shares {
		if in := (model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}); !exact {
			w.o.Say(in, model.Approximate, fmt.Sprintf("App Mesh's weights are at most 100: this share is rounded to %d", list[i]), "")
		}
		out = append(out, w.target(s.Service, s.Port.Number, list[i], on))
	}
	return out
}

// methods are those that a route can ask for.
var methods = []string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

// lower says one match as routes, one for each method, or why it cannot.
func lower(m *model.ArmMatch) (out []httpMatch, why string) {
	one := httpMatch{}
	switch p := pattern.Path(m.Path, m.Group.FullPath); {
	case p.Class == pattern.Any:
	case p.Class == pattern.Exact && p.Text != "":
		one.Path = &pathMatch{Exact: &p.Text}
		why = long(p.Text)
	case p.Class == pattern.Prefix && p.Text[0] == '/':
		one.Prefix = &p.Text
	default:
		one.Path = &pathMatch{Regex: &p.Expression}
		why = long(p.Expression)
	}
	if why == "" {
		one.Headers, why = headers(m.Headers)
	}
	if why != "" {
		return nil, why
	}
	for _, name := range m.Methods {
		if !slices.Contains(methods, name) {
			return nil, "App Mesh does not know the method " + name
		}
		of := one
		of.Method = name
		out = append(out, of)
	}
	if len(m.Methods) == 0 {
		out = []httpMatch{one}
	}
	return out, ""
}

func headers(list []model.Header) (out []headerMatch, why string) {
	if len(list) > mostHeaders {
		return nil, fmt.Sprintf("App Mesh takes %d conditions on headers, and the match has %d", mostHeaders, len(list))
	}
	for i := range list {
		h := headerMatch{Name: list[i].Name}
		switch p := pattern.Value(list[i].Value); {
		case list[i].Authority():
			return nil, noHost
		case len(h.Name) > longestName:
			return nil, fmt.Sprintf("App Mesh takes names of headers of up to %d letters, and %s is longer", longestName, h.Name)
		case p.Class == pattern.Any:
		case p.Class == pattern.Exact && p.Text != "":
			h.Match, why = &valueMatch{Exact: &p.Text}, long(p.Text)
		case p.Class == pattern.Prefix:
			h.Match, why = &valueMatch{Prefix: &p.Text}, long(p.Text)
		case p.Class == pattern.Suffix:
			h.Match, why = &valueMatch{Suffix: &p.Text}, long(p.Text)
		case p.Expression == "":
			empty := "(?:)" // App Mesh refuses the empty expression
			h.Match = &valueMatch{Regex: &empty}
		default:
			h.Match, why = &valueMatch{Regex: &p.Expression}, long(p.Expression)
		}
		if why != "" {
			return nil, why
		}
		out = append(out, h)
	}
	return out, ""
}

func long(text string) string {
	if len(text) > longestText {
		return fmt.Sprintf("App Mesh takes texts of up to %d letters, and one has %d", longestText, len(text))
	}
	return ""
}

// leave says of splits that no port could say that nothing was written for them. What is wrong with their matches is said already.
func (w *routeWriter) leave() {
	for _, s := range w.r.Splits {
		if w.said[s] {
			continue
		}
		why := "nothing was written for this split: none of its matches can be said, or the root has no port that App Mesh carries"
		if len(s.Backends) > mostTargets {
			why = fmt.Sprintf("nothing was written for this split: App Mesh shares among %d backends, and not among %d", mostTargets, len(s.Backends))
		}
		groups := map[model.Ref]bool{s.Ref(): true}
		for _, g := range s.Groups {
			groups[model.Ref{Kind: model.KindGroup, Name: model.Name{Namespace: s.Name.Namespace, Name: g}}] = true
		}
		for in := range w.r.Intents {
			if groups[in.Object] && !w.carried[in] && w.o.Claim(in.Feature).Level != model.Unsupported {
				w.o.Say(in, model.Unsupported, why, "")
			}
		}
	}
}
