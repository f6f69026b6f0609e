// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"errors"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// HTTPRouteGroup names sets of requests (group specs).
type HTTPRouteGroup struct {
	Meta
	Matches []Match
}

// Match is one set of requests.
type Match struct {
	Name      string   `json:"name"`
	PathRegex string   `json:"pathRegex,omitempty"`
	Methods   []string `json:"methods,omitempty"`
	Headers   Headers  `json:"headers,omitzero"` // from v1alpha2
	Never     bool     `json:"-"`                // a fault takes its effect away
}

// Headers are the conditions of a match on headers, in the order in which they were written. SMI writes them as one mapping, and
// earlier wrote them as a list of mappings, which can name a header twice.
type Headers struct {
	List  bool // as a list
	Items []Header
}

// Header is a condition on one header.
type Header struct{ Name, Value string }

// UnmarshalNode reads either shape.
func (h *Headers) UnmarshalNode(n *yaml.Node) []object.Problem {
	switch {
	case n.Kind == yaml.MappingNode:
		return h.fields(n)
	case n.Kind == yaml.SequenceNode:
		h.List = true
		var all []object.Problem
		for _, c := range n.Content {
			if c.Kind != yaml.MappingNode {
				all = append(all, object.Problem{Code: model.CodeHeader, Line: c.Line, Column: c.Column, Message: "an item of the list is not a header",
					Hint: `Write - name: "expression".`})
				continue
			}
			all = append(all, h.fields(c)...)
		}
		return all
	}
	return []object.Problem{{Code: model.CodeType, Line: n.Line, Column: n.Column, Message: "header names with expressions are wanted here, not " + n.Value,
		Hint: `Write name: "expression" below it.`}}
}

func (h *Headers) fields(n *yaml.Node) []object.Problem {
	var all []object.Problem
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i].Value, n.Content[i+1]
		value, ok := object.Text(v)
		if !ok {
			all = append(all, object.Problem{Code: model.CodeType, Path: "[" + strings.ToLower(name) + "]", Line: v.Line, Column: v.Column,
				Message: "the value of header " + name + " is not text", Hint: `Put the expression in quotes: "` + v.Value + `".`})
			continue
		}
		h.Items = append(h.Items, Header{name, value})
	}
	return all
}

// MarshalJSON writes the shape that was read; without one a mapping, or a list where a mapping would lose a name.
func (h Headers) MarshalJSON() ([]byte, error) {
	list := h.List
	for i, c := range h.Items {
		list = list || slices.ContainsFunc(h.Items[:i], func(o Header) bool { return o.Name == c.Name })
	}
	open, between, end := "{", ",", "}"
	if list {
		open, between, end = "[{", "},{", "}]"
	}
	out := []byte(open)
	for i, c := range h.Items {
		if i > 0 {
			out = append(out, between...)
		}
		out = append(object.AppendString(out, c.Name), ':')
		out = object.AppendString(out, c.Value)
	}
	return append(out, end...), nil
}

// IsZero says whether there are no conditions.
func (h Headers) IsZero() bool { return len(h.Items) == 0 }

type groupSpec struct {
	Matches []Match `json:"matches"`
}

func (d *decoder) group() *HTTPRouteGroup {
	var spec groupSpec
	d.read(&spec)
	if isMap(d.spec) && object.Field(d.spec, "matches") == nil {
		d.missing("matches", "spec.matches", "List the matches; a group without any takes no request.")
	}
	first := map[string]int{}
	for i := range spec.Matches {
		m := &spec.Matches[i]
		if k, ok := first[m.Name]; ok && m.Name != "" {
			d.invalid(model.CodeDuplicateMatch, at("matches", i, "name"), "two matches are called "+m.Name+": the first is "+at("matches", k, ""), "Give each match a name of its own.")
			spec.Matches[k].Never = true // nobody can tell which of the two is meant
		} else {
			first[m.Name] = i
		}
		d.match(i, m)
		m.Never = d.never[i]
	}
	if how, ok := d.meta.Annotations[PathRegex]; ok && how != "full" {
		d.invalid(model.CodeType, "metadata.annotations["+PathRegex+"]", "nobody knows what "+how+" means here", `Write "full", or remove the annotation.`)
	}
	return &HTTPRouteGroup{d.meta, spec.Matches}
}

// match checks one match.
func (d *decoder) match(i int, m *Match) {
	if m.Name == "" {
		d.missing("name", at("matches", i, "name"), "Give the match a name: permissions refer to it.")
	}
	d.regex(at("matches", i, "pathRegex"), m.PathRegex)
	for _, method := range m.Methods {
		d.method(at("matches", i, "methods"), method)
	}
	for _, h := range m.Headers.Items {
		d.header(at("matches", i, "headers["+strings.ToLower(h.Name)+"]"), h)
	}
}

// regex checks an expression of RE2.
func (d *decoder) regex(path, expression string) {
	_, err := syntax.Parse(expression, syntax.Perl)
	if err == nil {
		return
	}
	hint := "Expressions are those of RE2."
	var e *syntax.Error
	if errors.As(err, &e) {
		switch {
		case e.Code == syntax.ErrInvalidPerlOp && lookaround(e.Expr):
			hint = "RE2 looks neither ahead nor back: say it with several matches."
		case e.Code == syntax.ErrInvalidEscape && len(e.Expr) == 2 && e.Expr[1] >= '1' && e.Expr[1] <= '9':
			hint = "RE2 has no back-references: write the text out."
		}
	}
	d.invalid(model.CodeRegex, path, "not an expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), hint)
}

func lookaround(op string) bool {
	for _, p := range [...]string{"(?=", "(?!", "(?<"} {
		if strings.HasPrefix(op, p) {
			return true
		}
	}
	return false
}

// verbs are the methods that everybody knows. Methods are case-sensitive (RFC 9110, 9.1).
const verbs = " GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH "

func (d *decoder) method(path, method string) {
	switch upper := strings.ToUpper(method); {
	case method == "*":
	case !token(method):
		d.invalid(model.CodeMethod, path, "not a method: "+method, "A method is one word, such as GET, or *.")
	case upper != method && strings.Contains(verbs, " "+upper+" "):
		d.invalid(model.CodeMethod, path, "no request has the method "+method+": methods are case-sensitive", "Write "+upper+".")
	}
}

func (d *decoder) header(path string, h Header) {
	if !token(h.Name) && h.Name != ":authority" {
		hint := "A header's name is one word, such as user-agent."
		if strings.HasPrefix(h.Name, ":") {
			hint = "Of the pseudo headers only :authority can be matched; there are pathRegex and methods."
		}
		d.invalid(model.CodeHeader, path, "not a header name: "+h.Name, hint)
	}
	d.regex(path, h.Value)
}

// token says whether a text is a token (RFC 9110, 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// Facts is one route group. A fault outside of the matches takes all of them their effect.
func (g *HTTPRouteGroup) Facts(namespace string) []model.Fact {
	f := &model.RouteGroup{Name: g.name(namespace), FullPath: g.Annotations[PathRegex] == "full"}
	for _, m := range g.Matches {
		n := model.Match{Name: m.Name, Path: m.PathRegex, Methods: m.Methods, Never: m.Never || g.Broken}
		for _, method := range m.Methods {
			if method == "*" {
				n.Methods = nil
			}
		}
		if len(n.Methods) == 0 {
			n.Methods = nil
		}
		for _, h := range m.Headers.Items {
			n.Headers = append(n.Headers, model.Header{Name: strings.ToLower(h.Name), Value: h.Value})
		}
		f.Matches = append(f.Matches, n)
	}
	return []model.Fact{f}
}

func (g *HTTPRouteGroup) spec() any { return &groupSpec{orEmpty(g.Matches)} }
