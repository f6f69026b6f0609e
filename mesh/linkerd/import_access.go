// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/model"
)

// admitted lists the callers whom policies admit to a target. Open is asked about a policy that asks for no identity, and says whether SMI admits
// the same by itself.
func (r *reader) admitted(namespace string, target reference, open func(*nativePolicy) bool) (out callers) {
	for _, p := range r.policies {
		ref := p.v.Spec.TargetRef
		whole := target.Kind == kindServer && ref.Group == "" && ref.Kind == "Namespace" && ref.Name == namespace
		if p.o.Namespace == namespace && (ref == target || whole) {
			p.read = true
			out.add(r.policy(p, open))
		}
	}
	return out
}

// policy reads the callers of one policy. Several authentications have to hold together, and SMI has no word for a network.
func (r *reader) policy(p *nativePolicy, open func(*nativePolicy) bool) (out callers) {
	if len(p.faults) > 0 {
		return out // reported
	}
	identities, network := 0, false
	for i, ref := range p.v.Spec.RequiredAuthenticationRefs {
		at, name := fmt.Sprintf("spec.requiredAuthenticationRefs[%d]", i), model.Name{Namespace: cmp.Or(ref.Namespace, p.o.Namespace), Name: ref.Name}
		switch {
		case ref.Group == "" && ref.Kind == "ServiceAccount":
			identities++
			out.add(callers{accounts: []model.Identity{{Namespace: name.Namespace, ServiceAccount: name.Name}}})
		case ref.Group == policyGroup && ref.Kind == kindMeshTLS && r.tls[name] != nil:
			identities++
			out.add(r.identities(r.tls[name]))
		case ref.Group == policyGroup && ref.Kind == kindNetwork && r.networks[name]:
			network = true
		default:
			r.in.Leave(p.o, model.Notice, model.CodeNotUnderstood, at, "there is no "+ref.Kind+" "+name.String()+": Linkerd ignores the policy", "")
			return callers{}
		}
	}
	switch {
	case identities == 0 && open != nil && open(p):
		return callers{}
	case identities == 0:
		r.leave(p.o, "spec.requiredAuthenticationRefs", "SMI names its callers, and this policy admits all, or all of a network: it is left out")
		return callers{}
	case network || identities > 1:
		r.leave(p.o, "spec.requiredAuthenticationRefs", "these have to hold together, and SMI has one name for a caller: the policy is left out")
		return callers{}
	}
	return out
}

// identities reads a list of callers.
func (r *reader) identities(t *nativeTLS) (out callers) {
	for i, ref := range t.v.Spec.IdentityRefs {
		if at := fmt.Sprintf("spec.identityRefs[%d]", i); ref.Kind != "ServiceAccount" || ref.Group != "" || ref.Name == "" || t.faults.below("%s", at) {
			r.leave(t.o, at, "SMI names each caller, and this stands for many: it is left out")
			continue
		}
		out.add(callers{accounts: []model.Identity{{Namespace: cmp.Or(ref.Namespace, t.o.Namespace), ServiceAccount: ref.Name}}})
	}
	for i, id := range t.v.Spec.Identities {
		if !out.name(id, r.in.World.Settings().TrustDomain) {
			r.leave(t.o, fmt.Sprintf("spec.identities[%d]", i), "SMI has no name for "+id+": it is left out")
		}
	}
	return out
}

// authorized lists the callers whom ServerAuthorizations admit to a Server.
func (r *reader) authorized(s *nativeServer) (out callers) {
	for _, p := range r.authorizations {
		spec := &p.v.Spec
		if p.o.Namespace != s.o.Namespace || spec.Server.Name != s.o.Name && (spec.Server.Selector == nil || len(spec.Server.Selector.MatchLabels) > 0 && !model.Selects(spec.Server.Selector.MatchLabels, s.o.Labels)) {
			continue
		}
		p.read = true
		if len(p.faults) > 0 {
			continue // reported: networks, callers without identity, expressions on labels
		}
		if spec.Client.MeshTLS == nil {
			r.leave(p.o, "spec.client", "SMI names its callers: it is left out")
			continue
		}
		for _, a := range spec.Client.MeshTLS.ServiceAccounts {
			out.add(callers{accounts: []model.Identity{{Namespace: cmp.Or(a.Namespace, p.o.Namespace), ServiceAccount: a.Name}}})
		}
		for i, id := range spec.Client.MeshTLS.Identities {
			if !out.name(id, r.in.World.Settings().TrustDomain) {
				r.leave(p.o, fmt.Sprintf("spec.client.meshTLS.identities[%d]", i), "SMI has no name for "+id+": it is left out")
			}
		}
	}
	return out
}

// common are the callers that are also among others; all where there are no others.
func (c *callers) common(o *callers) callers {
	return c.without(func(one callers) bool { return o != nil && !o.has(&one) })
}

// without are the callers of which something does not hold.
func (c *callers) without(what func(callers) bool) (out callers) {
	for _, a := range c.accounts {
		if one := (callers{accounts: []model.Identity{a}}); !what(one) {
			out.add(one)
		}
	}
	for _, id := range c.ids {
		if one := (callers{ids: []string{id}}); !what(one) {
			out.add(one)
		}
	}
	return out
}

// has says whether all of some callers are among these.
func (c *callers) has(o *callers) bool {
	return !slices.ContainsFunc(o.accounts, func(a model.Identity) bool { return !slices.Contains(c.accounts, a) }) &&
		!slices.ContainsFunc(o.ids, func(id string) bool { return !slices.Contains(c.ids, id) })
}

// permissions says what the Servers permit. Ports, and then workloads, for which the same holds are one permission.
func (r *reader) permissions() {
	for _, s := range r.servers {
		if !s.bars {
			r.authorize(s)
		}
		r.open(s)
	}
	var list []*nativeServer
	for _, s := range r.servers {
		k := slices.IndexFunc(list, func(o *nativeServer) bool { return o.alike(s) && slices.Equal(o.workloads, s.workloads) })
		if k < 0 {
			list = append(list, s)
			continue
		}
		list[k].ports = append(list[k].ports, s.ports...)
		slices.Sort(list[k].ports)
	}
	for len(list) > 0 {
		s := list[0]
		var together, rest []*nativeServer
		for _, o := range list {
			if o == s || o.alike(s) && slices.Equal(o.ports, s.ports) {
				together = append(together, o)
			} else {
				rest = append(rest, o)
			}
		}
		list = rest
		r.destinations(together)
	}
}

// alike says whether two Servers of a namespace permit the same.
func (s *nativeServer) alike(o *nativeServer) bool {
	return s.o.Namespace == o.o.Namespace && !s.bars && !o.bars && slices.EqualFunc(s.permits, o.permits, func(a, b permit) bool {
		return a.all == b.all && a.callers.equal(&b.callers) && slices.EqualFunc(a.matches, b.matches, func(x, y readMatch) bool { return x.equal(y.httpMatch) })
	})
}

// open reports ports of a Server's workloads that no Server closes: SMI closes all of a workload.
func (r *reader) open(s *nativeServer) {
	for _, w := range s.workloads {
		ports := w.Ports
		for _, n := range r.in.World.Selecting(w) {
			for _, p := range r.in.World.Service(n).Ports {
				if p.Protocol != model.UDP {
					ports = append(slices.Clip(ports), model.ContainerPort{Number: w.TargetPort(&p)})
				}
			}
		}
		for _, p := range ports {
			if p.Number != 0 && p.Protocol != model.UDP && !proxyPort(w, p.Number) && !slices.ContainsFunc(r.servers, func(o *nativeServer) bool {
				return slices.Contains(o.ports, p.Number) && slices.Contains(o.workloads, w)
			}) {
				at := report{s.o, "spec.port", fmt.Sprintf("no Server closes port %d of %s, which SMI closes together with the others", p.Number, w.Ref())}
				if !r.said[at] {
					r.said[at] = true
					r.in.Leave(at.o, model.Approximate, model.CodeApproximate, at.path, at.message, "")
				}
			}
		}
	}
}

// destinations says what Servers permit that permit the same: to accounts, where they find all of their workloads, and by label otherwise.
func (r *reader) destinations(list []*nativeServer) {
	var all []*model.Workload
	for _, s := range list {
		all = append(all, s.workloads...)
	}
	if ids, whole := r.accounts(all); whole {
		for _, id := range ids {
			r.permit(list[0], model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount})
		}
		return
	}
	for _, s := range list {
		b := &model.Binding{Name: r.free(model.KindBinding, model.Name{Namespace: s.o.Namespace, Name: s.o.Name}), Pods: s.spec.PodSelector.MatchLabels}
		r.in.Add(b)
		r.permit(s, model.Subject{Kind: model.KindBinding, Namespace: b.Name.Namespace, Name: b.Name.Name})
	}
}

// accounts lists the accounts of workloads, and says whether these are all workloads of each.
func (r *reader) accounts(list []*model.Workload) (ids []model.Identity, whole bool) {
	whole = true
	for _, w := range list {
		if !slices.Contains(ids, w.Identity()) {
			ids = append(ids, w.Identity())
		}
	}
	slices.SortFunc(ids, model.Identity.Compare)
	for _, id := range ids {
		for _, w := range r.in.World.Workloads(id) {
			whole = whole && slices.Contains(list, w)
		}
	}
	return ids, whole
}

// permit says the permissions of one Server to one destination. Even one that permits nothing closes it.
func (r *reader) permit(s *nativeServer, to model.Subject) {
	n := model.Name{Namespace: s.o.Namespace, Name: s.o.Name}
	if len(s.permits) == 0 {
		r.in.Add(&model.Permission{Name: r.free(model.KindPermission, n), Destination: to})
	}
	for _, p := range s.permits {
		out := &model.Permission{Name: r.free(model.KindPermission, n), Destination: to}
		for _, a := range p.callers.accounts {
			out.Sources = append(out.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: a.Namespace, Name: a.ServiceAccount})
		}
		for _, id := range p.callers.ids {
			b := &model.Binding{Name: r.free(model.KindBinding, model.Name{Namespace: n.Namespace, Name: n.Name + "-caller"}), SPIFFE: []string{id}}
			r.in.Add(b)
			out.Sources = append(out.Sources, model.Subject{Kind: model.KindBinding, Namespace: b.Name.Namespace, Name: b.Name.Name})
		}
		if !p.all {
			g := routeGroup(p.matches)
			g.Name = r.free(model.KindGroup, out.Name)
			r.in.Add(g)
			out.Rules = append(out.Rules, model.Rule{Kind: model.KindGroup, Name: g.Name.Name, All: true})
		}
		ports := &model.PortRoute{Kind: model.KindTCPRoute, Name: r.free(model.KindTCPRoute, out.Name), Ports: model.PortSet(s.ports...)}
		r.in.Add(ports)
		out.Rules = append(out.Rules, model.Rule{Kind: model.KindTCPRoute, Name: ports.Name.Name, All: true})
		r.in.Add(out)
	}
}
