// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// policy is a permission of any release, with the workloads that it speaks of.
type policy struct {
	o         *object.Object
	namespace string            // empty: all
	labels    map[string]string // of the Dataplane, or tags of an inbound
	section   string            // the only inbound; empty: all
	rank      int               // of the selection: a higher one comes later, and the last word counts
	bars      bool              // it was not understood: nothing is granted where it may reach
	verdicts  verdicts
	from      []from
	legacy    *trafficPermission // of Kuma 1: of those that speak of an inbound the most particular one counts alone
}

// permission reads a MeshTrafficPermission; what it grants is said when all are read.
func (r *reader) permission(o *object.Object) {
	var v struct {
		Spec permission `json:"spec"`
	}
	f := r.decode(o, &v)
	p := policy{o: o, namespace: o.Namespace, from: v.Spec.From}
	if o.Namespace == system {
		p.namespace = ""
	}
	p.bars = f.below("spec.targetRef") || f.below("spec.from") || r.other(o)
	p.selects(v.Spec.TargetRef)
	for i := range v.Spec.Rules {
		d := &v.Spec.Rules[i].Default
		p.bars = p.bars || f.below("spec.rules[%d].default.deny", i)
		p.verdicts.Deny = append(p.verdicts.Deny, d.Deny...)
		if f.below("spec.rules[%d].default.allow", i) || f.below("spec.rules[%d].default.allowWithShadowDeny", i) {
			continue // reported: a condition on the server name, which SMI does not know
		}
		p.verdicts.Allow = append(append(p.verdicts.Allow, d.Allow...), d.AllowWithShadowDeny...)
	}
	if p.bars {
		r.leave(o, "spec", "what this refuses, and to whom, was not understood: nothing is read that admits anybody where it may reach")
	}
	r.policies = append(r.policies, p)
}

// selects reads the top reference of a policy.
func (p *policy) selects(t *targetRef) {
	if t == nil {
		t = &targetRef{Kind: "Mesh"}
	}
	p.labels, p.section = map[string]string{}, t.SectionName
	p.rank = slices.Index([]string{"Mesh", "MeshSubset", "MeshService", "MeshServiceSubset", "Dataplane"}, t.Kind)
	switch t.Kind {
	case "Mesh":
	case "MeshSubset":
		maps.Copy(p.labels, t.Tags)
	case "MeshService", "MeshServiceSubset":
		maps.Copy(p.labels, t.Tags)
		p.labels[tagService] = t.Name
	case "Dataplane":
		maps.Copy(p.labels, t.Labels)
		p.bars = p.bars || t.Name != ""
	default:
		p.bars = true
	}
	p.bars = p.bars || len(t.ProxyTypes) > 0
	for k := range p.labels {
		known := k == labelNamespace || k == labelAccount || k == tagService
		p.bars = p.bars || strings.Contains(k, "kuma.io/") && !known
	}
}

// trafficPermission reads a permission of Kuma 1.
func (r *reader) trafficPermission(o *object.Object) {
	var v struct {
		Mesh string            `json:"mesh"`
		Spec trafficPermission `json:"spec"`
	}
	f := r.decode(o, &v)
	p := policy{o: o, legacy: &v.Spec, bars: len(f) > 0 || r.other(o)}
	for _, s := range slices.Concat(v.Spec.Sources, v.Spec.Destinations) {
		for k := range s.Match {
			known := k == labelNamespace || k == tagService
			p.bars = p.bars || strings.Contains(k, "kuma.io/") && !known
		}
	}
	if p.bars {
		r.leave(o, "spec", "whom this selects was not understood: nothing is read that admits anybody")
	}
	r.report(o, model.Notice, "spec", "Kuma 3.0 has no TrafficPermission: where nothing takes its place, everybody is refused", "Translate what was read here to --to kuma.")
	r.policies = append(r.policies, p)
}

// inbound is a port of a workload as Kuma knows it, with its tags; port 0 stands for those to which no Service leads.
type inbound struct {
	port    uint16
	names   []string
	tags    []map[string]string // for each Service's port that leads to it
	labels  map[string]string   // of the Dataplane
	account model.Identity
}

// inbounds lists the ports of a workload.
func (r *reader) inbounds(w *model.Workload) []inbound {
	labels := maps.Clone(w.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelNamespace] = w.Name.Namespace
	out := []inbound{{labels: labels, account: w.Identity()}}
	before := slices.Clone(r.in.World.Selecting(w))
	slices.SortFunc(before, model.Name.Compare)
	for _, n := range before {
		s := r.in.World.Service(n)
		for i := range s.Ports {
			p := &s.Ports[i]
			t := w.TargetPort(p)
			if t == 0 || p.Protocol == model.UDP {
				continue
			}
			k := slices.IndexFunc(out, func(o inbound) bool { return o.port == t })
			if k < 0 {
				k, out = len(out), append(out, inbound{port: t, labels: labels, account: w.Identity()})
			}
			tags := maps.Clone(labels)
			tags[tagService] = tag(n, p.Number)
			tags["k8s.kuma.io/service-name"], tags["k8s.kuma.io/service-port"] = n.Name, strconv.Itoa(int(p.Number))
			out[k].tags = append(out[k].tags, tags)
			out[k].names = append(out[k].names, section(p.Name, t))
		}
	}
	return out
}

// reaches says whether a policy speaks of an inbound; may, whether of any that the workload could have.
func (p *policy) reaches(i *inbound) (does, may bool) {
	if p.namespace != "" && p.namespace != i.account.Namespace {
		return false, false
	}
	if p.bars {
		return true, true
	}
	labels := maps.Clone(i.labels)
	labels[labelAccount] = i.account.ServiceAccount
	if p.rank == 4 || p.labels[tagService] == "" {
		may = subset(p.labels, labels)
		does = may
	}
	for _, t := range i.tags {
		if p.rank != 4 && subset(p.labels, t) {
			does, may = true, true
		}
	}
	return does && (p.section == "" || slices.Contains(i.names, p.section)), may
}

// subset says whether all pairs of a selection are among labels. An empty selection selects everything here.
func subset(selection, labels map[string]string) bool {
	for k, v := range selection {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// client is somebody who may call: an identity of ours, with the tags that certificates of the Mesh name, or a SPIFFE ID.
type client struct {
	id    string
	ours  model.Identity
	tags  []map[string][]string // for each of its workloads
	alias bool                  // of another trust domain
}

// clients lists all that the input or a permission names.
func (r *reader) clients() (out []client) {
	domain := r.in.World.Settings().TrustDomain
	add := func(id string) *client {
		for i := range out {
			if out[i].id == id {
				return &out[i]
			}
		}
		c := client{id: id}
		who, ok := model.ParseSPIFFE(id, domain)
		c.ours, c.alias = who, !ok
		out = append(out, c)
		return &out[len(out)-1]
	}
	for _, w := range all[*model.Workload](r.in.World) {
		c := add(w.Identity().SPIFFE(domain))
		c.tags = append(c.tags, map[string][]string{})
		tags := c.tags[len(c.tags)-1]
		inbounds := r.inbounds(w)
		if len(inbounds) == 1 { // no Service leads to it: Kuma makes up a name
			tags[tagService] = []string{w.Name.Name + "_" + w.Name.Namespace + "_svc"}
		}
		for _, i := range inbounds {
			for _, t := range append(i.tags, i.labels) {
				for k, v := range t {
					tags[k] = append(tags[k], v)
				}
			}
		}
	}
	for _, p := range r.policies {
		for _, c := range p.verdicts.Allow {
			if c.SpiffeID != nil && c.SpiffeID.Type == "Exact" && strings.HasPrefix(c.SpiffeID.Value, "spiffe://") {
				add(c.SpiffeID.Value)
			}
		}
	}
	slices.SortFunc(out, func(a, b client) int { return strings.Compare(a.id, b.id) })
	return out
}

// carries says whether all workloads of a client have tags that a selection names. Those of a client without workloads are not known.
func (c *client) carries(selection map[string]string, wildcard bool) bool {
	return len(c.tags) > 0 && !slices.ContainsFunc(c.tags, func(tags map[string][]string) bool { return !carries(tags, selection, wildcard) })
}

// may says whether one of the workloads of a client, or one that is not known, may have them.
func (c *client) may(selection map[string]string) bool {
	return len(selection) == 0 || len(c.tags) == 0 || slices.ContainsFunc(c.tags, func(tags map[string][]string) bool { return carries(tags, selection, false) })
}

func carries(tags map[string][]string, selection map[string]string, wildcard bool) bool {
	for k, v := range selection {
		if !(wildcard && v == "*" && len(tags[k]) > 0) && !slices.Contains(tags[k], v) {
			return false
		}
	}
	return true
}
