// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
)

// account is what policies grant at the workloads of one identity.
type account struct {
	*reader
	id     model.Identity
	called map[uint16][]uint16 // target ports by the number of the Services' ports
	found  []permitted
}

// permitted is one thing that some callers may do.
type permitted struct {
	sources []model.Subject
	ports   model.Ports // of the pods
	web     []model.Match
}

// ports finds out by which ports of Services the pods are called.
func (a *account) ports() {
	a.called = map[uint16][]uint16{}
	joined, _ := model.JoinAccess(a.in.World, a.id)
	for _, m := range joined.Workloads {
		for _, l := range m.Listens {
			for _, n := range l.Called {
				if !slices.Contains(a.called[n], l.Number) {
					a.called[n] = append(a.called[n], l.Number)
				}
			}
		}
	}
}

// pods reads a policy as ztunnel does, and behind each waypoint that it admits what that lets through.
func (a *account) pods(p *native) {
	for i := range p.spec.Rules {
		rule, at := &p.spec.Rules[i], fmt.Sprintf("spec.rules[%d]", i)
		ports, ok := a.bytes(p, at, rule)
		if !ok {
			continue
		}
		direct, waypoints := a.callers(p, at, rule, true)
		if len(direct) > 0 {
			a.add(permitted{direct, ports, nil})
		}
		for _, w := range waypoints {
			a.behind(p, at, w, ports)
		}
	}
}

// bytes are the ports of a rule for pods; false where it speaks of requests, and so admits nobody.
func (a *account) bytes(p *native, at string, r *policy.Rule) (ports model.Ports, ok bool) {
	speaks := len(r.When) > 0
	ports.Any = len(r.To) == 0
	for _, t := range r.To {
		op := t.Operation
		speaks = speaks || len(op.Methods)+len(op.Paths)+len(op.Hosts) > 0
		ports = ports.Union(a.numbers(p, at, op.Ports))
	}
	if speaks {
		a.leave(p.o, at, "ztunnel leaves out a rule that speaks of requests, and so it admits nobody")
	}
	return ports, !speaks && !ports.Empty()
}

// numbers reads ports; none written is any.
func (a *account) numbers(p *native, at string, list []string) model.Ports {
	if len(list) == 0 {
		return model.AnyPort
	}
	var out []uint16
	for _, text := range list {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			a.leave(p.o, at, text+" is no port")
			continue
		}
		out = append(out, uint16(n))
	}
	return model.PortSet(out...)
}

// callers reads who a rule admits: those whom SMI can name, and waypoints, where these may be.
func (a *account) callers(p *native, at string, r *policy.Rule, pods bool) (out []model.Subject, waypoints []model.Name) {
	if len(r.From) == 0 {
		a.leave(p.o, at, "SMI names its callers, and this rule admits all: it is left out")
	}
	for k, f := range r.From {
		if len(f.Source.ServiceAccounts) > 0 || len(f.Source.Principals) == 0 {
			a.leave(p.o, fmt.Sprintf("%s.from[%d]", at, k), "callers are read by their principals alone: it is left out")
			continue
		}
		for _, who := range f.Source.Principals {
			id, ours := model.ParseSPIFFE(who, a.in.World.Settings().TrustDomain)
			n := model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}
			switch _, passes := a.at[n]; {
			case strings.Contains(who, "*") || who == "":
				a.leave(p.o, fmt.Sprintf("%s.from[%d]", at, k), "SMI names each caller, and "+who+" stands for many: it is left out")
			case pods && ours && passes:
				waypoints = append(waypoints, n)
			case ours:
				out = append(out, model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount})
			default:
				b := &model.Binding{Name: a.free(model.KindBinding, a.id.ServiceAccount+"-caller"), SPIFFE: []string{"spiffe://" + who}}
				a.in.Add(b)
				out = append(out, model.Subject{Kind: model.KindBinding, Namespace: b.Name.Namespace, Name: b.Name.Name})
			}
		}
	}
	return out, waypoints
}

// behind reads what a waypoint lets through to ports of the pods.
func (a *account) behind(p *native, at string, waypoint model.Name, ports model.Ports) {
	if a.barred[waypoint.Namespace] {
		a.leave(p.o, at, "a policy at waypoints of "+waypoint.Namespace+" is not understood: what they let through is not read")
		return
	}
	for _, w := range a.at[waypoint] {
		for i := range w.spec.Rules {
			where := fmt.Sprintf("spec.rules[%d]", i)
			sources, _ := a.callers(w, where, &w.spec.Rules[i], false)
			headers, ok := a.headers(w, where, w.spec.Rules[i].When)
			if len(sources) == 0 || !ok {
				continue
			}
			list := w.spec.Rules[i].To
			if len(list) == 0 {
				list = []policy.To{{}}
			}
			for _, t := range list {
				to := ports
				if written := a.numbers(w, where, t.Operation.Ports); !written.Any {
					to = ports.Intersect(a.targets(written))
				}
				if to.Empty() {
					continue
				}
				one := permitted{sources: sources, ports: to}
				if op := t.Operation; len(headers)+len(op.Methods)+len(op.Paths)+len(op.Hosts) > 0 {
					m, ok := a.request(w, where, &op)
					if !ok {
						continue
					}
					m.Headers = append(m.Headers, headers...)
					one.web = []model.Match{m}
				}
				a.add(one)
			}
		}
	}
}

// targets are the ports of pods to which those of Services lead, where they lead to one alone.
func (a *account) targets(p model.Ports) model.Ports {
	var out []uint16
	for _, n := range p.List {
		out = append(out, a.called[n]...)
	}
	return model.PortSet(out...)
}

// headers reads conditions on headers; false where there is another, since all of them have to hold.
func (a *account) headers(p *native, at string, list []policy.Condition) (out []model.Header, ok bool) {
	for k, c := range list {
		name, ok := strings.CutPrefix(c.Key, "request.headers[")
		name, closed := strings.CutSuffix(name, "]")
		if !ok || !closed || len(c.Values) == 0 {
			a.leave(p.o, fmt.Sprintf("%s.when[%d]", at, k), "SMI has no condition on "+c.Key+": the rule is left out")
			return nil, false
		}
		if name = strings.ToLower(name); name == policy.Authority {
			name = "host"
		}
		out = append(out, model.Header{Name: name, Value: policy.AnyText(c.Values, ".*")})
	}
	return out, true
}

// request reads the conditions of an operation; false where SMI cannot say one of them.
func (a *account) request(p *native, at string, op *policy.Operation) (m model.Match, ok bool) {
	for _, name := range op.Methods {
		if name != "*" && strings.Contains(name, "*") || len(op.Hosts) > 0 {
			a.leave(p.o, at, "SMI lists methods by name, and hosts by expression: the operation is left out")
			return m, false
		}
		m.Methods = append(m.Methods, name)
	}
	if slices.Contains(m.Methods, "*") {
		m.Methods = nil
	}
	var paths []string
	for _, text := range op.Paths {
		if strings.Contains(text, "{*") {
			paths = append(paths, policy.TemplateExpression(text))
			continue
		}
		paths = append(paths, policy.AnyText([]string{text}, ".+"))
	}
	m.Path = strings.Join(paths, "|")
	return m, true
}

// add keeps one thing, with those requests that the same callers may send to the same ports.
func (a *account) add(p permitted) {
	same := func(x, y model.Ports) bool { return x.Any == y.Any && slices.Equal(x.List, y.List) }
	for i := range a.found {
		f := &a.found[i]
		if slices.Equal(f.sources, p.sources) && same(f.ports, p.ports) && (f.web == nil) == (p.web == nil) {
			f.web = append(f.web, p.web...)
			return
		}
	}
	a.found = append(a.found, p)
}

// say makes a permission of each thing; one that grants nothing where there is none, which closes the account.
func (a *account) say() {
	to := model.Subject{Kind: model.KindServiceAccount, Namespace: a.id.Namespace, Name: a.id.ServiceAccount}
	if len(a.found) == 0 {
		a.in.Add(&model.Permission{Name: a.free(model.KindPermission, a.id.ServiceAccount), Destination: to})
	}
	for _, f := range a.found {
		n := a.free(model.KindPermission, a.id.ServiceAccount)
		p := &model.Permission{Name: n, Destination: to, Sources: f.sources}
		if f.web != nil {
			g := &model.RouteGroup{Name: a.free(model.KindGroup, n.Name), FullPath: true, Matches: f.web}
			for i := range g.Matches {
				g.Matches[i].Name = "m" + strconv.Itoa(i)
			}
			p.Rules = append(p.Rules, model.Rule{Kind: model.KindGroup, Name: g.Name.Name, All: true})
			a.in.Add(g)
		}
		if f.web == nil || !f.ports.Any {
			pr := &model.PortRoute{Kind: model.KindTCPRoute, Name: a.free(model.KindTCPRoute, n.Name), Ports: f.ports}
			p.Rules = append(p.Rules, model.Rule{Kind: model.KindTCPRoute, Name: pr.Name.Name, All: true})
			a.in.Add(pr)
		}
		a.in.Add(p)
	}
}

// free is a name in the account's namespace that no fact of the kind has yet.
func (a *account) free(k model.Kind, n string) model.Name {
	return a.in.Free(k, model.Name{Namespace: a.id.Namespace, Name: cmp.Or(n, "account")})
}
