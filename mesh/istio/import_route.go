// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// arm is a split as a VirtualService has it on one port.
type arm struct {
	name    string // may be empty
	key     string // by which it is the same on all ports
	matches []path // none: every request
	shares  []model.Backend
}

// path is a match, and what its path is when the expression covers the beginning, and when it covers all.
type path struct {
	match      model.Match
	begin, all string
	whole      bool // all was written
}

// route reads a VirtualService as splits of each of its hosts.
func (r *reader) route(o *object.Object) {
	var v struct {
		Spec virtualService `json:"spec"`
	}
	i := routeReader{reader: r, o: o, faults: r.decode(o, &v), spec: &v.Spec}
	switch s := &v.Spec; {
	case len(s.Gateways) > 0 && !slices.Contains(s.Gateways, "mesh"):
		r.leave(o, "spec.gateways", "SMI splits what goes through the mesh, and not what comes in by a gateway: the object is left out")
		return
	case len(s.ExportTo) > 0 && !slices.Equal(s.ExportTo, []string{"*"}):
		r.leave(o, "spec.exportTo", "SMI splits for every client, and not for those of some namespaces: the object is left out")
		return
	case len(s.Gateways) > 1:
		r.leave(o, "spec.gateways", "SMI splits what goes through the mesh, and not what comes in by a gateway")
	}
	seen := map[model.Name]bool{}
	for k, host := range v.Spec.Hosts {
		root, ours := model.ParseServiceName(host, o.Namespace, r.in.World.Settings().ClusterDomain)
		if !ours {
			root = model.Name{Namespace: o.Namespace, Name: host}
		}
		if strings.Contains(host, "*") {
			r.leave(o, fmt.Sprintf("spec.hosts[%d]", k), "SMI splits one host at a time: "+host+" is left out")
			continue
		}
		if !seen[root] {
			seen[root] = true
			i.root(root, host, ours)
		}
	}
}

type routeReader struct {
	*reader
	faults
	o     *object.Object
	spec  *virtualService
	ports []model.ServicePort // of the root
	named model.Name          // the root; a foreign host by its own name
}

// root reads what happens to one root, port by port, and says it where all ports agree, as they do in SMI.
func (i *routeReader) root(root model.Name, host string, ours bool) {
	i.named, i.ports = root, nil
	if s := i.in.World.Service(root); ours && s != nil {
		i.ports = s.Ports
	} else {
		i.ports = i.mentioned()
	}
	var web, raw []arm
	for k := range i.ports {
		if p := &i.ports[k]; p.Protocol.CarriesHTTP() {
			web = merge(web, i.http(p))
		}
		if p := &i.ports[k]; p.Protocol.CarriesBytes() {
			raw = merge(raw, i.stream(p))
		}
	}
	all := joined(web, raw)
	if !i.agree(all) {
		all = apart(web, raw) // what takes every request need not take raw TCP
	}
	if !i.agree(all) {
		i.leave(i.o, "spec", "the ports of "+host+" are not all routed alike, as SMI's are: the object is left out for it")
		return
	}
	if ours {
		host = root.Name
	}
	i.say(all, host)
}

// joined are the arms of requests and of raw TCP where what takes every request takes raw TCP too.
func joined(web, raw []arm) []arm {
	n := len(web)
	if n == 0 || len(web[n-1].matches) > 0 {
		return apart(web, raw)
	}
	last := web[n-1]
	if len(raw) > 0 && len(raw[0].shares) > len(last.shares) {
		last.shares = raw[0].shares
	}
	return append(apart(web[:n-1], nil), last)
}

// apart are the arms of requests and of raw TCP where nothing takes both: every request is then a match without conditions.
func apart(web, raw []arm) []arm {
	web = slices.Clone(web)
	for k := range web {
		if len(web[k].matches) == 0 {
			web[k].matches = []path{{}}
		}
	}
	return append(web, raw...)
}

// mentioned are the ports that the object names, for a root that is not known: one without number where it names none.
func (i *routeReader) mentioned() []model.ServicePort {
	kinds := map[uint16]model.Protocol{}
	for _, h := range i.spec.HTTP {
		for _, m := range h.Match {
			kinds[m.Port] = model.HTTP
		}
		if len(h.Match) == 0 {
			kinds[0] = model.HTTP
		}
	}
	bytes := func(n uint16, p model.Protocol) {
		if _, both := kinds[n]; both {
			p = model.Auto
		}
		kinds[n] = p
	}
	for _, t := range i.spec.TCP {
		for _, m := range t.Match {
			bytes(m.Port, model.TCP)
		}
		if len(t.Match) == 0 {
			bytes(0, model.TCP)
		}
	}
	for _, t := range i.spec.TLS {
		for _, m := range t.Match {
			bytes(m.Port, model.TLS)
		}
	}
	if len(kinds) > 1 {
		delete(kinds, 0)
	}
	var out []model.ServicePort
	for _, n := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, model.ServicePort{Number: n, Protocol: kinds[n]})
	}
	return out
}

// merge joins what two ports say. A port that some backends lack has fewer of them, or has no such arm.
func merge(a, b []arm) []arm {
	out, at := slices.Clone(a), 0
	for _, y := range b {
		k := slices.IndexFunc(out, func(x arm) bool { return x.key == y.key })
		if k < 0 {
			out, at = slices.Insert(out, at, y), at+1
			continue
		}
		if at = k + 1; len(y.shares) > len(out[k].shares) {
			out[k].shares = y.shares
		}
	}
	return out
}

// http lists the arms of a port that carries requests, also those that no request reaches, which may be reached on other ports. One that takes
// all to the root itself is no arm: it is what SMI does too.
func (i *routeReader) http(p *model.ServicePort) []arm {
	var out []arm
	spoken, closed := false, false
	for k := range i.spec.HTTP {
		h := &i.spec.HTTP[k]
		takes, all, matches := i.matches(k, p)
		if !takes {
			continue
		}
		spoken, closed = true, closed || all
		shares, ok := i.shares(fmt.Sprintf("spec.http[%d]", k), h.Route, p)
		if all && ok && i.self(shares) {
			break
		}
		if ok && (all || len(matches) > 0) {
			out = append(out, arm{h.Name, cmp.Or(h.Name, fmt.Sprint(len(out))), matches, shares})
		}
	}
	if spoken && !closed {
		i.leave(i.o, "spec.http", "Istio refuses requests that no match takes; SMI sends them to the root's own endpoints")
	}
	return out
}

// matches reads the matches of a route that speak of a port, and says whether there are any, and whether they take every request.
func (i *routeReader) matches(k int, p *model.ServicePort) (takes, all bool, out []path) {
	list := i.spec.HTTP[k].Match
	if len(list) == 0 {
		return true, !i.faults.below("spec.http[%d].match", k), nil
	}
	for n := range list {
		m := &list[n]
		if m.Port != 0 && p.Number != 0 && m.Port != p.Number {
			continue
		}
		takes = true
		read, ok := i.match(k, n, m)
		switch {
		case ok && m.bare():
			return true, true, nil
		case ok:
			out = append(out, read)
		}
	}
	return takes, false, out
}

// bare says whether a match takes all requests of its port.
func (m *httpMatch) bare() bool {
	return m.URI == nil && m.Method == nil && m.Authority == nil && len(m.Headers) == 0
}

func (i *routeReader) self(shares []model.Backend) bool {
	return len(shares) == 1 && shares[0].Service == i.named.Name
}

// stream is what happens to raw TCP on a port: one arm, or none.
func (i *routeReader) stream(p *model.ServicePort) []arm {
	take := func(at string, route []destination) []arm {
		if shares, ok := i.shares(at, route, p); ok && !i.self(shares) {
			return []arm{{shares: shares}}
		}
		return nil
	}
	if p.Protocol == model.TLS {
		for k, t := range i.spec.TLS {
			if slices.ContainsFunc(t.Match, func(m tlsMatch) bool { return m.Port == 0 || m.Port == p.Number }) && !i.faults.below("spec.tls[%d].match", k) {
				return take(fmt.Sprintf("spec.tls[%d]", k), t.Route)
			}
		}
		return nil
	}
	for k, t := range i.spec.TCP {
		on := func(m portMatch) bool { return m.Port == 0 || p.Number == 0 || m.Port == p.Number }
		if (len(t.Match) == 0 || slices.ContainsFunc(t.Match, on)) && !i.faults.below("spec.tcp[%d].match", k) {
			return take(fmt.Sprintf("spec.tcp[%d]", k), t.Route)
		}
	}
	return nil
}

// shares reads destinations as backends; false where one of them is nothing that SMI could name.
func (i *routeReader) shares(at string, route []destination, p *model.ServicePort) ([]model.Backend, bool) {
	if len(route) == 0 || i.faults.below("%s.route", at) {
		return nil, false
	}
	var out []model.Backend
	for k, d := range route {
		where := fmt.Sprintf("%s.route[%d].destination", at, k)
		n, ours := model.ParseServiceName(d.Destination.Host, i.o.Namespace, i.in.World.Settings().ClusterDomain)
		switch {
		case d.Destination.Subset != "":
			i.leave(i.o, where+".subset", "SMI shares among Services, and "+d.Destination.Subset+" is a subset of one: the route is left out")
			return nil, false
		case d.Destination.Host == i.named.Name:
			n.Name = i.named.Name
		case !ours || n.Namespace != i.named.Namespace:
			i.leave(i.o, where+".host", d.Destination.Host+" is no Service beside "+i.named.String()+": the route is left out")
			return nil, false
		}
		if d.Destination.Port != nil && p.Number != 0 && d.Destination.Port.Number != p.Number {
			i.leave(i.o, where+".port", fmt.Sprintf("SMI keeps the port, and port %d is led to port %d: the route is left out", p.Number, d.Destination.Port.Number))
			return nil, false
		}
		b := model.Backend{Service: n.Name, Weight: 1}
		if len(route) > 1 {
			b.Weight = 0
			if d.Weight != nil {
				b.Weight = int64(max(0, *d.Weight))
			}
		}
		out = append(out, b)
	}
	return out, true
}

// match reads one match; false where it has conditions that SMI cannot say.
func (i *routeReader) match(k, n int, m *httpMatch) (path, bool) {
	at := fmt.Sprintf("spec.http[%d].match[%d]", k, n)
	if i.faults.below("%s", at) {
		return path{}, false // reported
	}
	out := path{match: model.Match{Name: m.Name}}
	if m.Method != nil {
		names, ok := methodNames(m.Method)
		if !ok {
			i.leave(i.o, at+".method", "SMI lists methods by name: the match is left out")
			return out, false
		}
		out.match.Methods = names
	}
	if m.URI != nil {
		out.uri(m.URI)
	}
	if m.Authority != nil {
		out.match.Headers = append(out.match.Headers, model.Header{Name: "host", Value: m.Authority.expression()})
	}
	for _, h := range slices.Sorted(maps.Keys(m.Headers)) {
		s := m.Headers[h]
		out.match.Headers = append(out.match.Headers, model.Header{Name: strings.ToLower(h), Value: s.expression()})
	}
	return out, true
}

// expression is what covers the same whole texts.
func (s *stringMatch) expression() string {
	switch {
	case s.Exact != nil:
		return regexp.QuoteMeta(*s.Exact)
	case s.Prefix != "":
		return regexp.QuoteMeta(s.Prefix) + ".*"
	case s.Regex == "" || s.Regex == "*": // Istio's word for a header that is there
		return ".*"
	}
	return s.Regex
}

// uri reads a path in both of SMI's ways.
func (p *path) uri(s *stringMatch) {
	p.all = s.expression()
	switch inner, ok := unwrap(s.Regex); {
	case s.Exact != nil:
		p.begin, p.whole = p.all+"$", true
	case s.Prefix != "":
		p.begin = regexp.QuoteMeta(s.Prefix)
	case s.Regex == "":
		p.all = ""
	case ok:
		p.begin = inner
	default:
		p.begin, p.whole = "(?:"+s.Regex+")$", true
	}
}

// unwrap is the inverse of model.PathExpression.
func unwrap(regex string) (string, bool) {
	inner, ok := strings.CutPrefix(regex, "(?:")
	if ok {
		inner, ok = strings.CutSuffix(inner, ").*")
	}
	if _, err := regexp.Compile(inner); !ok || err != nil {
		return "", false // (?:a)|(?:b).* begins and ends so too
	}
	return inner, true
}
