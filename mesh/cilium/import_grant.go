// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// permitted is one thing that some callers may do: requests, or where web is nil whatever they send.
type permitted struct {
	sources  []model.Subject
	list     []span
	protocol string
	web      []model.Match
	at       string
}

// mostExpanded is how many ports a range may be written out into.
const mostExpanded = 256

// grants says what one policy grants at a destination.
func (r *reader) grants(n *native, to model.Subject) {
	var found []permitted
	for i := range n.spec.Ingress {
		found = append(found, r.rule(n, at("spec.ingress", i), &n.spec.Ingress[i])...)
	}
	for i := range found {
		r.permit(n, to, found, &found[i])
	}
}

// rule reads one rule; a part of it that is not understood admits nobody.
func (r *reader) rule(n *native, path string, i *ingress) (out []permitted) {
	if i.empty() {
		return nil
	}
	if i.Authentication != nil && i.Authentication.Mode == "required" {
		r.in.Leave(n.o, model.Notice, model.CodeNotUnderstood, path+".authentication", "SMI does not say how callers prove who they are", "Ask the next mesh for mTLS.")
	}
	if i.Authentication != nil && i.Authentication.Mode != "required" && i.Authentication.Mode != "disabled" {
		r.leave(n.o, path+".authentication", "SMI does not say how callers prove who they are: the rule is left out", "")
		return nil
	}
	if n.restricted(path) {
		return nil // reported
	}
	sources := r.sources(n, path, i.From)
	if len(sources) == 0 {
		return nil
	}
	if len(i.Ports) == 0 {
		r.in.Leave(n.o, model.Notice, model.CodeNotUnderstood, path, "the rule admits any protocol, and SMI speaks of TCP and UDP alone", "")
		return []permitted{{sources, []span{allPorts}, tcp, nil, path}, {sources, []span{allPorts}, udp, nil, path}}
	}
	for k := range i.Ports {
		p, where := &i.Ports[k], at(path+".toPorts", k)
		if n.limited(where) {
			continue // reported
		}
		one := permitted{sources: sources, at: where}
		if p.Rules != nil && p.Rules.HTTP != nil {
			if one.web = r.requests(n, where, p.Rules.HTTP); len(one.web) == 0 {
				continue
			}
		}
		for _, protocol := range []string{tcp, udp} {
			one.protocol = protocol
			if one.list = r.ports(n, where, p.Ports, protocol); len(one.list) > 0 && (protocol == tcp || one.web == nil) {
				out = append(out, one)
			}
		}
	}
	return out
}

// restricted says whether a rule has a part of its own, beside callers and ports, that was not understood.
func (n *native) restricted(path string) bool {
	for _, p := range n.faults {
		rest, ok := strings.CutPrefix(p.Path, path+".")
		if ok && !strings.HasPrefix(rest, "fromEndpoints[") && !strings.HasPrefix(rest, "toPorts[") {
			return true
		}
	}
	return false
}

// limited says whether a part of a rule on ports was not understood, beside one of its rules on requests.
func (n *native) limited(path string) bool {
	for _, p := range n.faults {
		rest, ok := strings.CutPrefix(p.Path, path)
		if ok && (rest == "" || rest[0] == '.') && !strings.HasPrefix(rest, ".rules.http[") {
			return true
		}
	}
	return false
}

// sources reads who may call: accounts, and pods by their labels.
func (r *reader) sources(n *native, path string, list []selector) (out []model.Subject) {
	if len(list) == 0 {
		r.leave(n.o, path+".fromEndpoints", "SMI names its callers, and this rule admits all: it is left out", "")
	}
	for k := range list {
		where := at(path+".fromEndpoints", k)
		pods, account, namespace, ok := readSelector(&list[k], n.o.Namespace)
		switch {
		case n.below(where): // reported
		case !ok || account != "" && len(pods) > 0 || account == "" && len(pods) == 0:
			r.leave(n.o, where, "SMI names callers by their account, or pods of a namespace by their labels, and no others: it is left out", "")
		case account != "":
			out = append(out, model.Subject{Kind: model.KindServiceAccount, Namespace: namespace, Name: account})
		default:
			out = append(out, r.binding(n, namespace, pods))
		}
	}
	return out
}

// binding is one for pods; the same for the same.
func (r *reader) binding(n *native, namespace string, pods map[string]string) model.Subject {
	for _, f := range r.in.Facts {
		if b, ok := f.(*model.Binding); ok && b.Name.Namespace == namespace && maps.Equal(b.Pods, pods) {
			return model.Subject{Kind: model.KindBinding, Namespace: namespace, Name: b.Name.Name}
		}
	}
	b := &model.Binding{Name: r.in.Free(model.KindBinding, model.Name{Namespace: namespace, Name: n.o.Name + "-caller"}), Pods: pods}
	r.in.Add(b)
	return model.Subject{Kind: model.KindBinding, Namespace: namespace, Name: b.Name.Name}
}

// ports reads those of a protocol.
func (r *reader) ports(n *native, path string, list []port, protocol string) (out []span) {
	for k, p := range list {
		where := at(path+".ports", k)
		number, err := strconv.ParseUint(p.Port, 10, 16)
		switch {
		case p.Protocol != "" && p.Protocol != "ANY" && p.Protocol != tcp && p.Protocol != udp:
			if protocol == tcp {
				r.leave(n.o, where, "SMI has no word for "+p.Protocol+": it is left out", "")
			}
		case p.Protocol == tcp && protocol == udp || p.Protocol == udp && protocol == tcp:
		case err != nil:
			if protocol == tcp || p.Protocol == udp {
				r.leave(n.o, where, "SMI speaks of ports by number: it is left out", "")
			}
		case number == 0:
			out = append(out, allPorts)
		default:
			out = append(out, span{uint16(number), max(uint16(number), p.EndPort)})
		}
	}
	return out
}

// permit makes a permission of one thing.
func (r *reader) permit(n *native, to model.Subject, all []permitted, p *permitted) {
	ports, ok := p.set(all)
	if !ok {
		r.leave(n.o, p.at+".ports", fmt.Sprintf("SMI lists ports, and this range has more than %d: it is left out", mostExpanded), "")
		return
	}
	perm := &model.Permission{Name: r.name(model.KindPermission, n, to), Destination: to, Sources: p.sources}
	if p.web != nil {
		g := &model.RouteGroup{Name: r.name(model.KindGroup, n, to), FullPath: true, Matches: slices.Clone(p.web)}
		for i := range g.Matches {
			g.Matches[i].Name = "m" + strconv.Itoa(i)
		}
		perm.Rules = append(perm.Rules, model.Rule{Kind: model.KindGroup, Name: g.Name.Name, All: true})
		r.in.Add(g)
	}
	if kind := map[string]model.Kind{tcp: model.KindTCPRoute, udp: model.KindUDPRoute}[p.protocol]; p.web == nil || !ports.Any {
		pr := &model.PortRoute{Kind: kind, Name: r.name(kind, n, to), Ports: ports}
		perm.Rules = append(perm.Rules, model.Rule{Kind: kind, Name: pr.Name.Name, All: true})
		r.in.Add(pr)
	}
	r.in.Add(perm)
}

// set is the ports of a thing as SMI lists them. All but some are all, where the same callers may send what they like to those; false where
// they are too many to list.
func (p *permitted) set(all []permitted) (model.Ports, bool) {
	var in [65536]bool
	size := 0
	for _, s := range p.list {
		for n := int(s.first); n <= int(s.last); n++ {
			if !in[n] {
				in[n], size = true, size+1
			}
		}
	}
	var list, missing []uint16
	for n := 1; n < len(in); n++ {
		switch {
		case in[n] && size <= mostExpanded:
			list = append(list, uint16(n))
		case !in[n] && size > mostExpanded:
			missing = append(missing, uint16(n))
		}
	}
	if size <= mostExpanded {
		return model.PortSet(list...), true
	}
	for _, n := range missing {
		if !slices.ContainsFunc(all, func(o permitted) bool { return o.web == nil && o.protocol == p.protocol && o.covers(p.sources, n) }) {
			return model.Ports{}, false
		}
	}
	return model.AnyPort, true
}

func (p *permitted) covers(sources []model.Subject, n uint16) bool {
	return slices.ContainsFunc(p.list, func(s span) bool { return s.first <= n && n <= s.last }) &&
		!slices.ContainsFunc(sources, func(s model.Subject) bool { return !slices.Contains(p.sources, s) })
}

// requests reads rules on requests; one with a condition that SMI cannot say is left out.
func (r *reader) requests(n *native, path string, list []request) (out []model.Match) {
	for k := range list {
		q, where := &list[k], at(path+".rules.http", k)
		if n.below(where) {
			continue // reported
		}
		m, field, why := q.match()
		if why != "" {
			r.leave(n.o, where+field, why+": the rule is left out", "")
			continue
		}
		out = append(out, m)
	}
	return out
}

// match reads one rule on requests, or says which of its fields SMI cannot say, and why.
func (q *request) match() (m model.Match, field, why string) {
	var ok bool
	if m.Path, ok = readPath(q.Path); !ok {
		return m, ".path", "SMI takes no notice of the query, and this expression covers the path with certain queries, or with none, alone"
	}
	if v := pattern.Value(q.Method); q.Method != "" && v.Class != pattern.Any {
		for _, a := range v.Alternatives() {
			if a.Class != pattern.Exact || a.Text == "" || strings.Contains(a.Text, "*") {
				return m, ".method", "SMI lists methods by name"
			}
			m.Methods = append(m.Methods, a.Text)
		}
	}
	if q.Host != "" {
		m.Headers = append(m.Headers, model.Header{Name: "host", Value: q.Host})
	}
	for _, text := range q.Names {
		name, value, _ := strings.Cut(text, " ")
		m.Headers = append(m.Headers, header(strings.TrimRight(name, ":"), value))
	}
	for _, h := range q.Headers {
		m.Headers = append(m.Headers, header(h.Name, h.Value))
	}
	if slices.ContainsFunc(m.Headers, func(h model.Header) bool { return h.Name == "" || strings.HasPrefix(h.Name, ":") }) {
		return m, ".headers", "SMI has no such header"
	}
	return m, "", ""
}
