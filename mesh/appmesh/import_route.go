// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// arm is a split as a router has it on one port.
type arm struct {
	name    string // of the first route
	matches []path // none: every request
	shares  []model.Backend
}

// route reads a VirtualService as splits of its host.
func (r *reader) route(s *service) {
	host := cmp.Or(s.spec.AWSName, s.o.Name+"."+s.o.Namespace)
	root, ours := model.ParseServiceName(host, s.o.Namespace, r.in.World.Settings().ClusterDomain)
	if !ours {
		root = model.Name{Namespace: s.o.Namespace, Name: host}
	}
	i := routeReader{reader: r, vs: s.o, root: root, ours: ours}
	switch p := s.spec.Provider; {
	case p == nil:
		r.leave(s.o, "spec.provider", "nothing serves this VirtualService: App Mesh refuses its requests, and SMI sends them to the Service itself")
	case p.VirtualNode != nil && p.VirtualNode.VirtualNodeRef != nil:
		i.node(p.VirtualNode.VirtualNodeRef)
	case p.VirtualRouter != nil && p.VirtualRouter.VirtualRouterRef != nil:
		n := p.VirtualRouter.VirtualRouterRef.of(s.o)
		if i.router = r.routers[n]; i.router == nil {
			r.leave(s.o, "spec.provider.virtualRouter.virtualRouterRef", "the VirtualRouter "+n.String()+" is not in the input: nothing is read of its routes")
			return
		}
		i.read()
	}
}

// routeReader reads what happens to one root.
type routeReader struct {
	*reader
	*router
	vs   *object.Object
	root model.Name // a foreign host by its own name
	ours bool
}

// node reads a VirtualService that one node serves: where that is the root's own Service, SMI says nothing of it.
func (i *routeReader) node(f *reference) {
	i.router = &router{o: i.vs}
	port := model.ServicePort{}
	if b, ok := i.share("spec.provider.virtualNode", f, 0, &port); ok && b.Service != i.root.Name {
		b.Weight = 1
		i.say([]arm{{name: i.vs.Name, shares: []model.Backend{b}}})
	}
}

// read reads the routes port by port, and says them where all ports agree, as they do in SMI.
func (i *routeReader) read() {
	var all []arm
	ports := i.ports()
	for k := range ports {
		all = merge(all, i.arms(&ports[k]))
	}
	for k := range ports {
		if !i.agrees(all, &ports[k]) {
			i.leave(i.o, "spec.routes", "the ports of "+i.root.String()+" are not all routed alike, as SMI's are: no split is read for it")
			return
		}
	}
	if s := i.in.World.Service(i.root); i.ours && s != nil && len(all) > 0 {
		for _, p := range s.Ports {
			if p.Protocol != model.UDP && !slices.ContainsFunc(ports, func(o model.ServicePort) bool { return o.Number == p.Number }) {
				i.reader.say(model.Approximate, i.o, "spec.listeners", fmt.Sprintf("the router does not listen on port %d of %s: SMI splits it too", p.Number, i.root))
			}
		}
	}
	i.say(all)
}

// ports are those that the router listens on, with what the root's Service says that they carry.
func (i *routeReader) ports() (out []model.ServicePort) {
	s := i.in.World.Service(i.root)
	for k, l := range i.spec.Listeners {
		p := model.ServicePort{Number: l.PortMapping.Port, Protocol: map[string]model.Protocol{"http": model.HTTP, "http2": model.HTTP2, "grpc": model.GRPC, "tcp": model.TCP}[l.PortMapping.Protocol]}
		if s == nil || !i.ours {
			out = append(out, p)
			continue
		}
		if known := s.Port(p.Number); known == nil {
			i.leave(i.o, fmt.Sprintf("spec.listeners[%d].portMapping.port", k), fmt.Sprintf("%s has no port %d: nothing is read for it", i.root, p.Number))
		} else if p.Protocol != model.TCP || known.Protocol == model.Auto || known.Protocol.CarriesBytes() {
			out = append(out, p)
		} else {
			out = append(out, p)
			i.reader.say(model.Approximate, i.o, fmt.Sprintf("spec.listeners[%d].portMapping.protocol", k), "App Mesh shares out connections on this port, and SMI requests: its Service says that it carries "+known.Protocol.String())
		}
	}
	return out
}

// ordered lists routes in the order in which they are asked: by priority, and without one by the length of what they match.
func (i *routeReader) ordered() (at []int) {
	for k := range i.spec.Routes {
		at = append(at, k)
	}
	rank := func(r *route) int64 {
		if r.Priority != nil {
			return *r.Priority
		}
		return math.MaxInt64
	}
	slices.SortStableFunc(at, func(a, b int) int {
		x, y := &i.spec.Routes[a], &i.spec.Routes[b]
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(y.length(), x.length()))
	})
	for k := 1; k < len(at); k++ {
		x, y := &i.spec.Routes[at[k-1]], &i.spec.Routes[at[k]]
		if rank(x) == rank(y) && (x.length() == y.length() || !x.plain() || !y.plain()) && !x.apart(y) {
			i.reader.say(model.Approximate, i.o, fmt.Sprintf("spec.routes[%d].priority", at[k]), "which of the routes "+x.Name+" and "+y.Name+" is asked first is not said: they are read in this order")
		}
	}
	return at
}

// length is that of the path that a route matches.
func (r *route) length() int {
	for _, h := range []*httpRoute{r.HTTPRoute, r.HTTP2Route} {
		switch {
		case h == nil:
		case h.Match.Path != nil && h.Match.Path.Exact != nil:
			return len(*h.Match.Path.Exact)
		case h.Match.Path != nil && h.Match.Path.Regex != nil:
			return len(*h.Match.Path.Regex)
		case h.Match.Prefix != nil:
			return len(*h.Match.Prefix)
		}
	}
	return 0
}

// plain says whether a route matches by the beginning of the path alone.
func (r *route) plain() bool {
	for _, h := range []*httpRoute{r.HTTPRoute, r.HTTP2Route} {
		if h != nil && (h.Match.Path != nil || h.Match.Method != "" || len(h.Match.Headers) > 0) {
			return false
		}
	}
	return r.GRPCRoute == nil
}

// port is the port of a route, 0 for all.
func (r *route) port() uint16 {
	switch {
	case r.HTTPRoute != nil:
		return r.HTTPRoute.Match.Port
	case r.HTTP2Route != nil:
		return r.HTTP2Route.Match.Port
	case r.GRPCRoute != nil:
		return r.GRPCRoute.Match.Port
	case r.TCPRoute != nil && r.TCPRoute.Match != nil:
		return r.TCPRoute.Match.Port
	}
	return 0
}

// apart says whether two routes cannot take the same request.
func (r *route) apart(o *route) bool {
	method := func(r *route) string {
		for _, h := range []*httpRoute{r.HTTPRoute, r.HTTP2Route} {
			if h != nil {
				return h.Match.Method
			}
		}
		return ""
	}
	kind := func(r *route) [4]bool {
		return [4]bool{r.HTTPRoute != nil, r.HTTP2Route != nil, r.GRPCRoute != nil, r.TCPRoute != nil}
	}
	a, b := method(r), method(o)
	return r.port() != 0 && o.port() != 0 && r.port() != o.port() || a != "" && b != "" && a != b || kind(r) != kind(o)
}

// arms lists the arms of a port. What takes all to the root itself is no arm: it is what SMI does too.
func (i *routeReader) arms(p *model.ServicePort) (out []arm) {
	spoken, closed := false, false
	for _, k := range i.ordered() {
		n := &i.spec.Routes[k]
		if n.port() != 0 && n.port() != p.Number {
			continue
		}
		at := fmt.Sprintf("spec.routes[%d]", k)
		m, targets, field := i.match(at, n, p)
		if field == "" {
			continue
		}
		if spoken = true; closed {
			i.reader.say(model.Notice, i.o, at, "the route is never asked: one before it takes every request")
			continue
		}
		shares, ok := i.shares(at+"."+field, targets, p)
		if m == nil || !ok {
			continue // reported
		}
		all := m.all == "" && len(m.match.Methods)+len(m.match.Headers) == 0
		switch last := len(out) - 1; {
		case all && i.self(shares):
			closed = true
		case all:
			out, closed = append(out, arm{name: n.Name, shares: shares}), true
		case last >= 0 && sameShares(out[last].shares, shares):
			out[last].matches = append(out[last].matches, *m)
		default:
			out = append(out, arm{n.Name, []path{*m}, shares})
		}
	}
	switch {
	case closed:
	case spoken:
		i.leave(i.o, "spec.routes", "App Mesh refuses requests that no route takes; SMI sends them to the root's own endpoints")
	default:
		i.leave(i.o, "spec.routes", fmt.Sprintf("no route speaks of port %d: App Mesh refuses what comes to it, and SMI sends it to the root's own endpoints", p.Number))
	}
	return out
}

func (i *routeReader) self(shares []model.Backend) bool {
	return len(shares) == 1 && shares[0].Service == i.root.Name
}

// shares reads weighted targets as backends; false where one of them is nothing that SMI could name.
func (i *routeReader) shares(at string, targets []target, p *model.ServicePort) (out []model.Backend, ok bool) {
	for k, t := range targets {
		where := fmt.Sprintf("%s.action.weightedTargets[%d]", at, k)
		if i.faults.below("%s", where) || t.VirtualNodeRef == nil {
			i.leave(i.o, where, "the target is no VirtualNode of this cluster: the route is left out")
			return nil, false
		}
		b, ok := i.share(where, t.VirtualNodeRef, t.Port, p)
		if !ok {
			return nil, false
		}
		b.Weight = max(0, t.Weight)
		if n := slices.IndexFunc(out, func(o model.Backend) bool { return o.Service == b.Service }); n >= 0 {
			out[n].Weight += b.Weight
			continue
		}
		out = append(out, b)
	}
	if !slices.ContainsFunc(out, func(b model.Backend) bool { return b.Weight > 0 }) {
		i.leave(i.o, at+".action.weightedTargets", "no target has a weight: App Mesh refuses these requests, and the route is left out")
		return nil, false
	}
	return out, true
}

// share is the Service behind a node; false where there is none beside the root.
func (i *routeReader) share(at string, f *reference, port uint16, p *model.ServicePort) (b model.Backend, ok bool) {
	n := i.nodes[f.of(i.o)]
	if n == nil {
		i.leave(i.o, at+".virtualNodeRef", "the VirtualNode "+f.of(i.o).String()+" is not in the input: the route is left out")
		return b, false
	}
	if n.spec.ServiceDiscovery == nil || n.spec.ServiceDiscovery.DNS == nil {
		i.leave(i.o, at+".virtualNodeRef", "the VirtualNode "+named(n.o).String()+" is not found by DNS: SMI shares among Services, and the route is left out")
		return b, false
	}
	host := n.spec.ServiceDiscovery.DNS.Hostname
	svc, ours := model.ParseServiceName(host, n.o.Namespace, i.in.World.Settings().ClusterDomain)
	switch {
	case host == i.root.Name:
		svc = i.root
	case !ours || svc.Namespace != i.root.Namespace:
		i.leave(i.o, at+".virtualNodeRef", host+" is no Service beside "+i.root.String()+": the route is left out")
		return b, false
	}
	if p.Number != 0 && !i.leads(n, svc, port, p) {
		i.leave(i.o, at+".port", fmt.Sprintf("SMI keeps the port, and port %d is led to another port of %s: the route is left out", p.Number, svc))
		return b, false
	}
	return model.Backend{Service: svc.Name}, true
}

// leads says whether requests to a port of the root arrive at the port of the same number of the node's Service: the node's listener
// is that port, or the one behind it.
func (i *routeReader) leads(n *node, svc model.Name, port uint16, p *model.ServicePort) bool {
	if port == 0 && len(n.spec.Listeners) == 1 {
		port = n.spec.Listeners[0].PortMapping.Port
	}
	if port == p.Number || port == 0 {
		return true
	}
	s := i.in.World.Service(svc)
	if s == nil {
		return false
	}
	known := s.Port(p.Number)
	return known != nil && (known.Target == port || slices.ContainsFunc(i.in.World.Selected(svc), func(w *model.Workload) bool { return w.TargetPort(known) == port }))
}
