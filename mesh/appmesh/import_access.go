// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// permissions says who may call the pods of each node. A listener that asks for certificates by name is closed to all others, whatever
// their backends are; at every other the backends of the clients decide.
func (r *reader) permissions() {
	callers := map[*node][]model.Subject{}
	for _, from := range slices.Concat(r.order, r.gateways) {
		reached := r.reached(from)
		if len(reached) == 0 {
			continue
		}
		for _, s := range r.subjects(from) {
			for _, to := range reached {
				if !slices.Contains(callers[to], s) {
					callers[to] = append(callers[to], s)
				}
			}
		}
	}
	for _, n := range r.order {
		r.permit(n, callers[n])
	}
}

// reached lists the nodes behind the backends of a node.
func (r *reader) reached(from *node) (out []*node) {
	add := func(at string, f *reference) {
		n := f.of(from.o)
		s := r.services[n]
		if s == nil {
			r.leave(from.o, at, "the VirtualService "+n.String()+" is not in the input: who serves it is not known, and nobody is admitted for it")
			return
		}
		for _, to := range r.behind(s) {
			if !slices.Contains(out, to) {
				out = append(out, to)
			}
		}
	}
	for k, b := range from.spec.Backends {
		at := fmt.Sprintf("spec.backends[%d].virtualService", k)
		if f := b.VirtualService.VirtualServiceRef; f != nil {
			add(at+".virtualServiceRef", f)
		}
	}
	for k, f := range from.spec.BackendGroups {
		at := fmt.Sprintf("spec.backendGroups[%d]", k)
		g := r.groups[f.of(from.o)]
		if g == nil {
			r.leave(from.o, at, "the BackendGroup "+f.of(from.o).String()+" is not in the input: nobody is admitted for it")
			continue
		}
		for _, s := range g.VirtualServices {
			if s.Namespace == "" {
				s.Namespace = f.of(from.o).Namespace
			}
			add(at, &s)
		}
	}
	return out
}

// behind lists the nodes that serve a VirtualService.
func (r *reader) behind(s *service) (out []*node) {
	add := func(n *node) {
		if n == nil {
			return
		}
		if len(n.pods) > 0 || n.spec.PodSelector != nil {
			out = append(out, n)
			return
		}
		out = append(out, r.byAddress(n)...)
	}
	switch p := s.spec.Provider; {
	case p == nil:
	case p.VirtualNode != nil && p.VirtualNode.VirtualNodeRef != nil:
		add(r.nodes[p.VirtualNode.VirtualNodeRef.of(s.o)])
	case p.VirtualRouter != nil && p.VirtualRouter.VirtualRouterRef != nil:
		router := r.routers[p.VirtualRouter.VirtualRouterRef.of(s.o)]
		if router == nil {
			return nil
		}
		for k := range router.spec.Routes {
			for _, t := range router.spec.Routes[k].targets() {
				if t.VirtualNodeRef != nil {
					add(r.nodes[t.VirtualNodeRef.of(router.o)])
				}
			}
		}
	}
	return out
}

func (r *route) targets() []target {
	switch {
	case r.HTTPRoute != nil:
		return r.HTTPRoute.Action.WeightedTargets
	case r.HTTP2Route != nil:
		return r.HTTP2Route.Action.WeightedTargets
	case r.GRPCRoute != nil:
		return r.GRPCRoute.Action.WeightedTargets
	case r.TCPRoute != nil:
		return r.TCPRoute.Action.WeightedTargets
	}
	return nil
}

// byAddress lists the nodes of the pods behind the Service by which a node without pods is found.
func (r *reader) byAddress(n *node) (out []*node) {
	if n.spec.ServiceDiscovery == nil || n.spec.ServiceDiscovery.DNS == nil {
		return nil
	}
	svc, ours := model.ParseServiceName(n.spec.ServiceDiscovery.DNS.Hostname, n.o.Namespace, r.in.World.Settings().ClusterDomain)
	if !ours {
		return nil
	}
	behind := r.in.World.Selected(svc)
	for _, o := range r.order {
		if slices.ContainsFunc(o.pods, func(w *model.Workload) bool { return slices.Contains(behind, w) }) {
			out = append(out, o)
		}
	}
	return out
}

// subjects are the pods of a node as callers: their accounts, or their labels where an account has other pods too.
func (r *reader) subjects(n *node) (out []model.Subject) {
	if len(n.pods) == 0 {
		r.unknown(n, "spec.backends", "who calls from this node is not known: nobody is admitted for it")
		return nil
	}
	for _, id := range accounts(n.pods) {
		if r.whole(id, n.pods) {
			out = append(out, model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount})
			continue
		}
		if len(n.spec.PodSelector.MatchLabels) == 0 {
			continue // the whole namespace is no part of an account
		}
		r.shared(n, id, "spec.backends")
		b := r.binding(n)
		if s := (model.Subject{Kind: model.KindBinding, Namespace: b.Namespace, Name: b.Name}); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (r *reader) unknown(n *node, path, message string) {
	hint := "Add the Deployments, StatefulSets, DaemonSets or Pods to the input."
	if n.spec.PodSelector == nil {
		hint = "The node selects no pods: a node outside the cluster has no service account."
	}
	r.in.Leave(n.o, model.Unsupported, model.CodeNativeAmbiguous, path, message, hint)
}

// shared says that an account has pods beside those of a node: a mesh that knows callers by certificate cannot tell them apart.
func (r *reader) shared(n *node, id model.Identity, path string) {
	r.in.Leave(n.o, model.Approximate, model.CodeNativeAmbiguous, path, "service account "+id.String()+" also has pods that are not of this node: they are named by label, and most meshes tell callers by account alone",
		"Give the pods of each node a service account of their own.")
}

// binding names the pods of a node, once.
func (r *reader) binding(n *node) model.Name {
	for _, f := range r.in.Facts {
		if b, ok := f.(*model.Binding); ok && b.Name.Namespace == n.o.Namespace && b.Name.Name == n.o.Name {
			return b.Name
		}
	}
	b := &model.Binding{Name: r.name(model.KindBinding, named(n.o)), Pods: n.spec.PodSelector.MatchLabels}
	r.in.Add(b)
	return b.Name
}

func accounts(list []*model.Workload) (ids []model.Identity) {
	for _, w := range list {
		ids = append(ids, w.Identity())
	}
	slices.SortFunc(ids, model.Identity.Compare)
	return slices.Compact(ids)
}

func (r *reader) whole(id model.Identity, list []*model.Workload) bool {
	return !slices.ContainsFunc(r.in.World.Workloads(id), func(w *model.Workload) bool { return !slices.Contains(list, w) })
}

// permit says who may call the pods of a node: at each listener those whose certificate it asks for, at all others the clients that have it
// among their backends.
func (r *reader) permit(n *node, callers []model.Subject) {
	var web, raw, all []uint16 // listeners that name no certificate: of requests, of raw TCP, both
	pinned := false
	for k := range n.spec.Listeners {
		l := &n.spec.Listeners[k]
		pinned = pinned || l.pinned()
		if l.pinned() {
			continue
		}
		all = append(all, l.PortMapping.Port)
		if l.PortMapping.Protocol == "tcp" {
			raw = append(raw, l.PortMapping.Port)
		} else {
			web = append(web, l.PortMapping.Port)
		}
	}
	if !pinned && len(callers) == 0 {
		return
	}
	if len(n.pods) == 0 {
		r.unknown(n, "spec.podSelector", "whose pods these are is not known: nobody is admitted to them")
		return
	}
	for _, to := range r.destinations(n) {
		for k := range n.spec.Listeners {
			r.pin(n, k, to)
		}
		if len(callers) > 0 {
			r.grant(n, to, callers, web, true)
			r.grant(n, to, callers, raw, false)
		} else if len(all) > 0 {
			r.say(model.Approximate, n.o, "spec.listeners", fmt.Sprintf("listeners that ask for no certificate by name stay open to all in App Mesh (ports %v), and SMI closes them with the others", all))
		}
	}
}

// pinned says whether a listener admits callers by the names in their certificates.
func (l *nodeListener) pinned() bool {
	return l.TLS != nil && l.TLS.Mode == "STRICT" && l.TLS.Validation != nil && l.TLS.Validation.Names != nil
}

// destinations are the accounts of a node's pods, or the pods by label where an account has others too.
func (r *reader) destinations(n *node) (out []model.Subject) {
	ids := accounts(n.pods)
	for _, id := range ids {
		if !r.whole(id, n.pods) && len(n.spec.PodSelector.MatchLabels) > 0 {
			b := r.binding(n)
			return []model.Subject{{Kind: model.KindBinding, Namespace: b.Namespace, Name: b.Name}}
		}
		out = append(out, model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount})
	}
	return out
}

// pin says whose certificate a listener admits. Even one that admits nobody that SMI could name closes its pods.
func (r *reader) pin(n *node, k int, to model.Subject) {
	l := &n.spec.Listeners[k]
	if !l.pinned() {
		return
	}
	var sources []model.Subject
	names := l.TLS.Validation.Names.Match.Exact
	at := fmt.Sprintf("spec.listeners[%d].tls.validation.subjectAlternativeNames.match", k)
	if len(names) == 0 {
		r.leave(n.o, at, "the list of names is empty: nobody is admitted")
	}
	for i, san := range names {
		switch id, ours := model.ParseSPIFFE(san, r.in.World.Settings().TrustDomain); {
		case strings.HasSuffix(san, nobody):
		case ours && strings.HasPrefix(san, "spiffe://"):
			sources = append(sources, model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount})
		case strings.HasPrefix(san, "spiffe://"):
			b := &model.Binding{Name: r.name(model.KindBinding, model.Name{Namespace: n.o.Namespace, Name: n.o.Name + "-caller"}), SPIFFE: []string{san}}
			r.in.Add(b)
			sources = append(sources, model.Subject{Kind: model.KindBinding, Namespace: b.Name.Namespace, Name: b.Name.Name})
		default:
			r.leave(n.o, fmt.Sprintf("%s.exact[%d]", at, i), "SMI knows callers by service account or SPIFFE ID, and "+san+" is neither: it is left out")
		}
	}
	r.grant(n, to, sources, []uint16{l.PortMapping.Port}, l.PortMapping.Protocol != "tcp")
}

// grant says a permission on some ports: every request where the listeners speak HTTP, and raw TCP where they do not.
func (r *reader) grant(n *node, to model.Subject, sources []model.Subject, ports []uint16, web bool) {
	if len(ports) == 0 {
		return
	}
	name := r.name(model.KindPermission, model.Name{Namespace: to.Namespace, Name: n.o.Name})
	p := &model.Permission{Name: name, Destination: to, Sources: sources}
	if web {
		g := &model.RouteGroup{Name: r.name(model.KindGroup, name), Matches: []model.Match{{Name: "all"}}}
		r.in.Add(g)
		p.Rules = append(p.Rules, model.Rule{Kind: model.KindGroup, Name: g.Name.Name, All: true})
	}
	t := &model.PortRoute{Kind: model.KindTCPRoute, Name: r.name(model.KindTCPRoute, name), Ports: model.PortSet(ports...)}
	r.in.Add(t)
	p.Rules = append(p.Rules, model.Rule{Kind: model.KindTCPRoute, Name: t.Name.Name, All: true})
	r.in.Add(p)
}
