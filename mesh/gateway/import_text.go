// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// reading is a path as SMI's expressions: one that covers its beginning, and one that covers all of it. Both are empty for any path.
type reading struct {
	begin, all string
	whole      bool // all was written
}

// readPath reads a condition on a path; false where it is none.
func readPath(kind, text string) (reading, bool) {
	switch quoted := regexp.QuoteMeta(strings.TrimSuffix(text, "/")); {
	case kind == Exact:
		quoted = regexp.QuoteMeta(text)
		return reading{quoted + "$", quoted, true}, true
	case kind == Prefix && quoted == "":
		return reading{}, true
	case kind == Prefix:
		return reading{quoted + "(/|$)", quoted + "(/.*)?", false}, true
	case kind != Expression:
		return reading{}, false
	}
	for strings.HasSuffix(text, "(?:)") { // it says nothing, and makes the expression longer: see lengthen
		text = strings.TrimSuffix(text, "(?:)")
	}
	text, ok := readValue(Expression, text)
	if !ok {
		return reading{}, false
	}
	if text == ".*" {
		return reading{}, true
	}
	if begin, open := strings.CutSuffix(text, ".*"); open {
		if inner, ok := strings.CutPrefix(begin, "(?:"); ok {
			if inner, ok = strings.CutSuffix(inner, ")"); ok && compiles(inner) {
				return reading{inner, text, false}, true
			}
		}
		if literal(begin) {
			return reading{begin, text, false}, true
		}
	}
	return reading{"(?:" + text + ")$", text, true}, true
}

// readValue reads a condition on a whole text as an expression; false where it does not compile here.
func readValue(kind, text string) (string, bool) {
	if kind == Exact {
		return regexp.QuoteMeta(text), true
	}
	if inner, ok := strings.CutPrefix(text, "^(?:"); ok {
		if inner, ok = strings.CutSuffix(inner, ")$"); ok && compiles(inner) {
			return inner, true
		}
	}
	return text, kind == Expression && compiles(text)
}

func compiles(expression string) bool {
	_, err := regexp.Compile(expression)
	return err == nil
}

// literal says whether an expression is one text, with nothing in it that stands for more.
func literal(expression string) bool {
	re, err := regexp.Compile(expression)
	if err != nil {
		return false
	}
	text, all := re.LiteralPrefix()
	return all && regexp.QuoteMeta(text) == expression
}

// grpcRoute is read alone: see package gamma.
type grpcRoute struct {
	ParentRefs []ParentRef `json:"parentRefs,omitempty"`
	Hostnames  []string    `json:"hostnames,omitempty"`
	Rules      []struct {
		Name        string       `json:"name,omitempty"`
		Matches     []grpcMatch  `json:"matches,omitempty"`
		BackendRefs []BackendRef `json:"backendRefs,omitempty"`
	} `json:"rules,omitempty"`
}

type grpcMatch struct {
	Method *struct {
		Type    string `json:"type,omitempty"`
		Service string `json:"service,omitempty"`
		Method  string `json:"method,omitempty"`
	} `json:"method,omitempty"`
	Headers []HeaderMatch `json:"headers,omitempty"`
}

// grpcRules reads gRPC's methods as paths, /service/method.
func (r *Reader) grpcRules(o *object.Object, f faults, list []struct {
	Name        string       `json:"name,omitempty"`
	Matches     []grpcMatch  `json:"matches,omitempty"`
	BackendRefs []BackendRef `json:"backendRefs,omitempty"`
}) (out []rule) {
	for i, native := range list {
		at := fmt.Sprintf("spec.rules[%d]", i)
		one := rule{at: at, refs: native.BackendRefs, sound: !f.below("%s.backendRefs", at)}
		matches := native.Matches
		if len(matches) == 0 && !f.below("%s.matches", at) {
			matches = []grpcMatch{{}}
		}
		for k := range matches {
			where := fmt.Sprintf("%s.matches[%d]", at, k)
			if f.below("%s", where) {
				continue // reported
			}
			if e, ok := r.grpcMatch(o, where, &matches[k]); ok {
				one.entries = append(one.entries, e)
			}
		}
		out = append(out, one)
	}
	return out
}

func (r *Reader) grpcMatch(o *object.Object, at string, m *grpcMatch) (e entry, ok bool) {
	e.rank = []int{0, 0, 0}
	if n := m.Method; n != nil {
		quote := regexp.QuoteMeta
		if n.Type == Expression {
			quote = func(s string) string { return "(?:" + s + ")" }
		}
		service, method := "[^/]+", "[^/]+"
		if n.Service != "" {
			service = quote(n.Service)
		}
		if n.Method != "" {
			method = quote(n.Method)
		}
		if n.Type != "" && n.Type != Exact && n.Type != Expression || !compiles(service) || !compiles(method) {
			r.leave(o, at+".method", "this is no condition that SMI could say: the match is left out")
			return e, false
		}
		all := "/" + service + "/" + method
		e.path = reading{all + "$", all, true}
		e.rank = []int{len(n.Service), len(n.Method), 0}
	}
	e.header, ok = r.headers(o, at, m.Headers)
	e.rank[2] = len(e.header)
	return e, ok
}

// group makes a route group of matches, with expressions that cover the beginning of a path wherever none was written to cover the whole.
// Matches that differ in their method alone are one.
func group(list []entry) *model.RouteGroup {
	g := &model.RouteGroup{FullPath: slices.ContainsFunc(list, func(e entry) bool { return e.path.whole })}
	for _, e := range list {
		m := model.Match{Path: e.path.begin, Headers: e.header}
		if g.FullPath {
			m.Path = e.path.all
		}
		if e.method != "" {
			m.Methods = []string{e.method}
		}
		if n := len(g.Matches) - 1; n >= 0 && e.method != "" && len(g.Matches[n].Methods) > 0 && g.Matches[n].Path == m.Path && slices.Equal(g.Matches[n].Headers, m.Headers) {
			g.Matches[n].Methods = append(g.Matches[n].Methods, e.method)
			continue
		}
		m.Name = fmt.Sprintf("m%d", len(g.Matches))
		g.Matches = append(g.Matches, m)
	}
	return g
}
