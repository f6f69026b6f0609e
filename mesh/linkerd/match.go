// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// The limits of an HTTPRoute, as Linkerd's own copy of the Gateway API's schema has them.
const (
	mostMatches  = 8  // of a rule
	mostRules    = 16 // of a route
	mostBackends = 16
	mostHeaders  = 16 // of a match
	longestPath  = 1024
	longestValue = 4096
)

const exact, regularExpression, pathPrefix = "Exact", "RegularExpression", "PathPrefix"

// methodNames are those that the schema takes.
var methodNames = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// native is one match in Linkerd's words, with the set of paths that it takes.
type native struct {
	httpMatch
	paths pattern.Pattern
	of    *model.Match
}

// lower says a match, once for each of its methods, since Linkerd takes one at a time; or why it cannot.
func lower(m *model.Match, full bool) (out []native, why string) {
	base := native{paths: pattern.Path(m.Path, full), of: m}
	if base.Path = pathMatch(base.paths, m.Path, full); base.Path != nil && len(base.Path.Value) > longestPath {
		return nil, fmt.Sprintf("Linkerd takes paths of up to %d letters, and one has %d", longestPath, len(base.Path.Value))
	}
	if base.Headers, why = headerMatches(m.Headers); why != "" {
		return nil, why
	}
	for _, name := range m.Methods {
		if !slices.Contains(methodNames, name) {
			return nil, "Linkerd knows the methods of HTTP and PATCH, and not " + name
		}
		one := base
		one.Method = name
		out = append(out, one)
	}
	if len(m.Methods) == 0 {
		out = append(out, base)
	}
	return out, ""
}

// pathMatch says a path; nil where any will do. A prefix is never said as one: Linkerd's ends where a segment does, and takes the
// path without its last slash too.
func pathMatch(p pattern.Pattern, written string, full bool) *stringMatch {
	switch {
	case p.Class == pattern.Any:
		return nil
	case p.Class == pattern.Exact && plainPath(p.Text):
		return &stringMatch{exact, p.Text}
	case full:
		return &stringMatch{regularExpression, whole(written)}
	}
	return &stringMatch{regularExpression, "^(?:" + rust(written) + ").*$"}
}

// whole is an expression that covers the same whole texts. Linkerd takes the leftmost match, and of alternatives the first that matches, and
// then asks whether it spans the whole text: without anchors, a|ab would not take ab.
func whole(expression string) string { return "^(?:" + rust(expression) + ")$" }

// plainPath says whether the Gateway API takes a text as an exact path.
func plainPath(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.ContainsAny(text, "%#") && letters.MatchString(text) &&
		!strings.Contains(text+"/", "//") && !strings.Contains(text+"/", "/./") && !strings.Contains(text+"/", "/../")
}

var letters = regexp.MustCompile(`^[A-Za-z0-9/\-._~!$&'()*+,;=:@]+$`)

// common are expressions that mean the same to Go and to Rust's regex crate, which Linkerd uses: without classes named by a letter (which
// are Unicode's there), without \Q, octal numbers and \<, and without set operations inside of brackets.
var common = regexp.MustCompile(`^(?:[^\\\[\]]|\\[^A-Za-z0-9<>]|\[\^?(?:[^\\\[\]&~]|\\[^A-Za-z0-9<>])+\])*$`)

// rust writes an expression in Rust's dialect.
func rust(expression string) string {
	if common.MatchString(expression) && !strings.Contains(expression, "--") {
		return expression
	}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return `[^\x{0}-\x{10FFFF}]` // matches nothing, as the model says
	}
	return re.String()
}

// headerMatches says conditions on headers, of which Linkerd takes one for each name.
func headerMatches(list []model.Header) (out []headerMatch, why string) {
	for i := range list {
		h := &list[i]
		if h.Authority() {
			return nil, "Linkerd has no expression for the host of a request"
		}
		k := slices.IndexFunc(list[:i], func(o model.Header) bool { return o.Name == h.Name })
		if k < 0 {
			out = append(out, headerCondition(h))
			continue
		}
		if list[k].Value != h.Value {
			return nil, "Linkerd takes one condition on a header, and the match has two on " + h.Name
		}
	}
	for _, h := range out {
		if len(h.Value) > longestValue {
			return nil, fmt.Sprintf("Linkerd takes values of headers of up to %d letters, and one has %d", longestValue, len(h.Value))
		}
	}
	if len(out) > mostHeaders {
		return nil, fmt.Sprintf("Linkerd takes %d headers in a match, and one has %d", mostHeaders, len(out))
	}
	return out, ""
}

func headerCondition(h *model.Header) headerMatch {
	if p := pattern.Value(h.Value); p.Class == pattern.Exact && p.Text != "" {
		return headerMatch{exact, h.Name, p.Text}
	}
	return headerMatch{regularExpression, h.Name, whole(h.Value)}
}

// apart says for certain that no request is in both matches.
func (m *native) apart(o *native) bool {
	return m.Method != "" && o.Method != "" && m.Method != o.Method || apart(m.paths, o.paths)
}

func apart(p, q pattern.Pattern) bool {
	for _, a := range p.Alternatives() {
		for _, b := range q.Alternatives() {
			switch {
			case a.Class == pattern.Exact && !b.Match(a.Text), b.Class == pattern.Exact && !a.Match(b.Text):
			case a.Class == pattern.Prefix && b.Class == pattern.Prefix && !strings.HasPrefix(a.Text, b.Text) && !strings.HasPrefix(b.Text, a.Text):
			default:
				return false
			}
		}
	}
	return true
}

// raised is what both of two matches take, said so that Linkerd prefers it to the second, or at least not the second to it. Of two matches of
// one request Linkerd asks the longer match of its path, which is as long as the path for all but prefixes; then one with a method; then the
// one with more headers; then the one that stands first. It reports false where the two have to be said by two conditions on one header.
func (m *native) raised(over *native) (native, bool) {
	up := *m
	up.Headers = slices.Clone(m.Headers)
	if up.Method == "" {
		up.Method = over.Method
	}
	for _, h := range over.Headers {
		k := slices.IndexFunc(up.Headers, func(o headerMatch) bool { return o.Name == h.Name })
		switch {
		case k < 0:
			up.Headers = append(up.Headers, h)
		case up.Headers[k] == h, h.Value == present:
		case up.Headers[k].Value == present:
			up.Headers[k] = h
		default:
			return up, false
		}
	}
	return up, len(up.Headers) <= mostHeaders
}

// present is the expression of a header that is there.
const present = "^(?:.*)$"

// outranked says whether Linkerd may prefer a match that stands further back to this one.
func (m *native) outranked(by *native) bool {
	return !m.apart(by) && (by.Method != "" && m.Method == "" || len(by.Headers) > len(m.Headers))
}

// rules packs matches of one fate into rules of as many as Linkerd takes. One without conditions is written as what it stands for.
func rules(list []httpMatch, to []backend) (out []httpRule) {
	list = slices.Clone(list)
	for i := range list {
		if m := &list[i]; m.Path == nil && m.Method == "" && len(m.Headers) == 0 {
			m.Path = &stringMatch{pathPrefix, "/"}
		}
	}
	for part := range slices.Chunk(list, mostMatches) {
		out = append(out, httpRule{Matches: part, BackendRefs: to})
	}
	return out
}
