// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// path is a match, and what its path is when the expression covers the beginning, and when it covers all. Both are empty for any path.
type path struct {
	name       string // of the route
	match      model.Match
	begin, all string
	whole      bool // all was written
}

// match reads what a route takes, where it sends it, and in which field it says so: none where it does not speak of the port's kind of
// traffic. The match is nil where it has a condition that SMI cannot say, which is reported.
func (i *routeReader) match(at string, n *route, p *model.ServicePort) (m *path, targets []target, field string) {
	tcp := p.Protocol == model.TCP
	switch {
	case n.TCPRoute != nil && tcp:
		return &path{}, n.TCPRoute.Action.WeightedTargets, "tcpRoute"
	case n.HTTPRoute != nil && !tcp:
		field, targets = "httpRoute", n.HTTPRoute.Action.WeightedTargets
		m = i.request(at+".httpRoute.match", &n.HTTPRoute.Match)
	case n.HTTP2Route != nil && !tcp:
		field, targets = "http2Route", n.HTTP2Route.Action.WeightedTargets
		m = i.request(at+".http2Route.match", &n.HTTP2Route.Match)
	case n.GRPCRoute != nil && !tcp:
		field, targets = "grpcRoute", n.GRPCRoute.Action.WeightedTargets
		m = i.call(at+".grpcRoute.match", &n.GRPCRoute.Match)
	}
	if m != nil {
		m.name = n.Name
	}
	return m, targets, field
}

// request reads the conditions of an HTTP route; nil where SMI cannot say one of them.
func (i *routeReader) request(at string, m *httpMatch) *path {
	if i.faults.below("%s", at) {
		return nil // reported
	}
	out := &path{}
	switch {
	case m.Path != nil && m.Path.Exact != nil:
		out.all = regexp.QuoteMeta(*m.Path.Exact)
		out.begin = out.all + "$"
	case m.Path != nil && m.Path.Regex != nil:
		out.regex(*m.Path.Regex)
		if _, err := regexp.Compile(*m.Path.Regex); err != nil {
			i.leave(i.o, at+".path.regex", "this is no RE2 expression: the route is left out")
			return nil
		}
	case m.Prefix != nil && *m.Prefix != "/":
		out.begin = regexp.QuoteMeta(*m.Prefix)
		out.all = out.begin + ".*"
	}
	if m.Method != "" {
		out.match.Methods = []string{m.Method}
	}
	return i.conditions(at+".headers", m.Headers, out)
}

// regex reads an expression that covers the whole path. One that was made of SMI's own becomes what it was.
func (p *path) regex(text string) {
	p.all = text
	inner, ok := strings.CutPrefix(text, "(?:")
	if ok {
		inner, ok = strings.CutSuffix(inner, ").*")
	}
	if _, err := regexp.Compile(inner); ok && err == nil { // (?:a)|(?:b).* begins and ends so too
		p.begin = inner
		return
	}
	p.begin, p.whole = "(?:"+text+")$", true
}

// call reads the conditions of a gRPC route: a call is a request to /service/method, and its metadata are headers.
func (i *routeReader) call(at string, m *grpcMatch) *path {
	if i.faults.below("%s", at) {
		return nil // reported
	}
	out := &path{}
	switch svc := "/" + regexp.QuoteMeta(m.ServiceName) + "/"; {
	case m.ServiceName == "" && m.MethodName != "":
		i.leave(i.o, at+".methodName", "a method without its service is no condition that App Mesh takes: the route is left out")
		return nil
	case m.MethodName != "":
		out.all = svc + regexp.QuoteMeta(m.MethodName)
		out.begin = out.all + "$"
	case m.ServiceName != "":
		out.begin, out.all = svc, svc+".*"
	}
	return i.conditions(at+".metadata", m.Metadata, out)
}

// conditions reads conditions on headers; nil where SMI cannot say one of them.
func (i *routeReader) conditions(at string, list []headerMatch, out *path) *path {
	for k, h := range list {
		value := ".*"
		switch {
		case h.Invert:
			i.leave(i.o, fmt.Sprintf("%s[%d].invert", at, k), "SMI has no condition that something is not so: the route is left out")
			return nil
		case h.Match == nil:
		case h.Match.Exact != nil:
			value = regexp.QuoteMeta(*h.Match.Exact)
		case h.Match.Prefix != nil:
			value = regexp.QuoteMeta(*h.Match.Prefix) + ".*"
		case h.Match.Suffix != nil:
			value = ".*" + regexp.QuoteMeta(*h.Match.Suffix)
		case h.Match.Regex != nil:
			value = *h.Match.Regex
		}
		if _, err := regexp.Compile(value); err != nil {
			i.leave(i.o, fmt.Sprintf("%s[%d].match.regex", at, k), "this is no RE2 expression: the route is left out")
			return nil
		}
		name := strings.ToLower(h.Name)
		if strings.HasPrefix(name, ":") && name != ":authority" {
			i.leave(i.o, fmt.Sprintf("%s[%d].name", at, k), "SMI has no condition on "+h.Name+": the route is left out")
			return nil
		}
		out.match.Headers = append(out.match.Headers, model.Header{Name: name, Value: value})
	}
	return out
}
