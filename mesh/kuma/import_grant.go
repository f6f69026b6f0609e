// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// permits says whether a client is admitted to an inbound, by all policies that speak of it.
func (r *reader) permits(i *inbound, c *client) bool {
	var rules, tagged, legacy []policy
	for _, p := range r.policies {
		if p.legacy != nil {
			if p.bars {
				return false
			}
			legacy = append(legacy, p)
			continue
		}
		does, _ := p.reaches(i)
		switch {
		case !does:
		case p.bars:
			return false
		case len(p.from) > 0:
			tagged = append(tagged, p)
		default:
			rules = append(rules, p)
		}
	}
	switch {
	case len(rules) > 0 && len(tagged) > 0: // both have to say so: which of them counts depends on the certificates
		return bySPIFFE(rules, c) && byTags(tagged, c)
	case len(rules) > 0:
		return bySPIFFE(rules, c)
	case len(tagged) > 0:
		return byTags(tagged, c)
	}
	return byDestination(legacy, i, c)
}

// bySPIFFE is how rules decide: a refusal comes first.
func bySPIFFE(list []policy, c *client) bool {
	allowed := false
	for _, p := range list {
		if slices.ContainsFunc(p.verdicts.Deny, func(x caller) bool { return x.is(c.id) }) {
			return false
		}
		allowed = allowed || slices.ContainsFunc(p.verdicts.Allow, func(x caller) bool { return x.SpiffeID != nil && x.is(c.id) })
	}
	return allowed
}

// is says whether an entry means a caller. An entry without conditions means everybody.
func (x *caller) is(id string) bool {
	switch {
	case x.SpiffeID == nil:
		return true
	case x.SpiffeID.Type == "Exact":
		return x.SpiffeID.Value == id
	}
	return strings.HasPrefix(id, x.SpiffeID.Value)
}

// byTags is how from decides: the last word counts, of the most particular policy. A refusal counts where it may reach a client; a permission only
// where it does.
func byTags(list []policy, c *client) bool {
	slices.SortStableFunc(list, func(a, b policy) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return strings.Compare(b.o.Name, a.o.Name)
	})
	allowed := false
	for _, p := range list {
		for _, f := range p.from {
			selection := maps.Clone(f.TargetRef.Tags)
			if f.TargetRef.Kind == "MeshService" || f.TargetRef.Kind == "MeshServiceSubset" {
				selection = map[string]string{tagService: f.TargetRef.Name}
				maps.Copy(selection, f.TargetRef.Tags)
			}
			switch deny := f.Default.Action == "Deny"; {
			case deny && c.may(selection):
				allowed = false
			case !deny && !c.alias && c.carries(selection, false):
				allowed = true
			}
		}
	}
	return allowed
}

// byDestination is how permissions of Kuma 1 decide: the one whose destination says most of an inbound, alone. Where several say as much, all of
// them have to admit.
func byDestination(list []policy, i *inbound, c *client) bool {
	if c.alias || len(i.tags) == 0 {
		return false
	}
	for _, tags := range i.tags {
		best, admitted := -1, false
		for _, p := range list {
			for _, d := range p.legacy.Destinations {
				rank, ok := destinationRank(d.Match, tags)
				if !ok || rank < best {
					continue
				}
				admits := slices.ContainsFunc(p.legacy.Sources, func(s selector) bool { return c.carries(s.Match, true) })
				admitted = admits && (rank > best || admitted)
				best = rank
			}
		}
		if !admitted {
			return false
		}
	}
	return true
}

// destinationRank says how much a selection says of what has tags: each pair counts, and a value more than a wildcard.
func destinationRank(selection, tags map[string]string) (rank int, ok bool) {
	for k, v := range selection {
		have, there := tags[k]
		switch {
		case there && v == have:
			rank += 1001
		case there && v == "*":
			rank += 1000
		default:
			return 0, false
		}
	}
	return rank, true
}

// granted is what one workload grants: to each client, by its SPIFFE ID, the ports.
type granted struct {
	of    *model.Workload
	to    map[string]model.Ports
	token string // the same where the same is granted
}

// grants says what all policies grant, destination by destination. Each workload that some policy speaks of is closed.
func (r *reader) grants() {
	if len(r.policies) == 0 {
		return
	}
	clients := r.clients()
	of := map[model.Identity][]granted{}
	for _, w := range all[*model.Workload](r.in.World) {
		if g, closed := r.granted(w, clients); closed {
			of[w.Identity()] = append(of[w.Identity()], g)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(of), model.Identity.Compare) {
		list := of[id]
		same := len(list) == len(r.in.World.Workloads(id)) && !slices.ContainsFunc(list, func(g granted) bool { return g.token != list[0].token })
		if same {
			to := model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount}
			r.permit(model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}, to, list[0].to, clients)
			continue
		}
		for _, g := range list {
			r.bind(g, clients)
		}
	}
	r.names()
}

func (r *reader) granted(w *model.Workload, clients []client) (g granted, closed bool) {
	g = granted{of: w, to: map[string]model.Ports{}}
	inbounds := r.inbounds(w)
	for i := range inbounds {
		for _, p := range r.policies {
			_, may := p.reaches(&inbounds[i])
			closed = closed || may && p.legacy == nil || p.legacy != nil && p.speaks(&inbounds[i])
		}
	}
	if !closed {
		return g, false
	}
	for k := range clients {
		var ports []uint16
		for i := range inbounds {
			if r.permits(&inbounds[i], &clients[k]) {
				ports = append(ports, inbounds[i].port)
			}
		}
		switch {
		case len(ports) == len(inbounds):
			g.to[clients[k].id] = model.AnyPort
		case len(ports) > 0:
			g.to[clients[k].id] = model.PortSet(slices.DeleteFunc(ports, func(n uint16) bool { return n == 0 })...)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.to)) {
		g.token += fmt.Sprintln(id, g.to[id])
	}
	return g, true
}

// speaks says whether a permission of Kuma 1 names an inbound as destination.
func (p *policy) speaks(i *inbound) bool {
	return p.bars || slices.ContainsFunc(i.tags, func(tags map[string]string) bool {
		return slices.ContainsFunc(p.legacy.Destinations, func(d selector) bool { _, ok := destinationRank(d.Match, tags); return ok })
	})
}

// bind says what one workload grants, by its labels. Where they find others too, nobody is admitted to any of them.
func (r *reader) bind(g granted, clients []client) {
	n := model.Name{Namespace: g.of.Name.Namespace, Name: g.of.Name.Name}
	b := &model.Binding{Name: r.in.Free(model.KindBinding, n), Pods: g.of.Finder()}
	for _, o := range r.in.World.Labelled(n.Namespace, b.Pods) {
		if o.Ref() != g.of.Ref() {
			g.to = nil
		}
	}
	r.in.Add(b)
	r.permit(n, model.Subject{Kind: model.KindBinding, Namespace: n.Namespace, Name: b.Name.Name}, g.to, clients)
}

// permit says permissions for a destination: one for each set of ports. One that grants nothing closes it.
func (r *reader) permit(n model.Name, to model.Subject, grants map[string]model.Ports, clients []client) {
	by := map[string][]model.Subject{}
	sets := map[string]model.Ports{}
	for _, c := range clients {
		ports, ok := grants[c.id]
		if !ok || ports.Empty() {
			continue
		}
		text := fmt.Sprint(ports)
		sets[text] = ports
		by[text] = append(by[text], r.subject(n, &c))
	}
	if len(by) == 0 {
		r.in.Add(&model.Permission{Name: r.in.Free(model.KindPermission, n), Destination: to})
	}
	for _, text := range slices.Sorted(maps.Keys(by)) {
		p := &model.Permission{Name: r.in.Free(model.KindPermission, n), Destination: to, Sources: by[text]}
		pr := &model.PortRoute{Kind: model.KindTCPRoute, Name: r.in.Free(model.KindTCPRoute, p.Name), Ports: sets[text]}
		p.Rules = []model.Rule{{Kind: model.KindTCPRoute, Name: pr.Name.Name, All: true}}
		r.in.Add(pr)
		r.in.Add(p)
	}
}

// subject is a client in SMI's words: an account, or a binding of its ID.
func (r *reader) subject(n model.Name, c *client) model.Subject {
	if !c.alias {
		return model.Subject{Kind: model.KindServiceAccount, Namespace: c.ours.Namespace, Name: c.ours.ServiceAccount}
	}
	b := &model.Binding{Name: r.in.Free(model.KindBinding, model.Name{Namespace: n.Namespace, Name: n.Name + "-caller"}), SPIFFE: []string{c.id}}
	r.in.Add(b)
	return model.Subject{Kind: model.KindBinding, Namespace: n.Namespace, Name: b.Name.Name}
}

// names says where a policy admits more than the input names.
func (r *reader) names() {
	const known = "SMI names each caller: those that the input names were read, and others are refused"
	for _, p := range r.policies {
		for _, c := range p.verdicts.Allow {
			switch {
			case c.SpiffeID == nil:
				r.leave(p.o, "spec.rules", "an entry without conditions admits everybody, and SMI names each caller: it is left out")
			case c.SpiffeID.Type == "Prefix":
				r.report(p.o, model.Approximate, "spec.rules", known, "Add the workloads of all callers to the input.")
			}
		}
		for _, f := range p.from {
			if f.Default.Action != "Deny" {
				r.report(p.o, model.Approximate, "spec.from", known, "Add the workloads of all callers to the input.")
			}
		}
		if p.legacy != nil {
			r.report(p.o, model.Approximate, "spec.sources", known, "Add the workloads of all callers to the input.")
		}
	}
	if s := r.in.World.Settings(); s.Access != model.AccessDeny && !r.used[s.Ref()] {
		r.report(r.policies[0].o, model.Notice, "spec.targetRef", "a mesh with certificates also refuses what no policy speaks of; SMI leaves it open", "Set --access-default deny, or add the Mesh or MeshIdentity to the input.")
	}
	if len(all[*model.Workload](r.in.World)) == 0 {
		r.in.Leave(r.policies[0].o, model.Unsupported, model.CodeNativeAmbiguous, "spec", "which workloads the permissions speak of is not known: SMI needs their service accounts",
			"Add the Deployments, StatefulSets, DaemonSets or Pods to the input.")
	}
}
