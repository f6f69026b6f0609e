// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// match is one native match before it is written: the conditions of a match of SMI, or what two of them have in common.
type match struct {
	path    path
	method  string // empty: any
	headers []HeaderMatch
	of      *model.ArmMatch // that it says; nil: every request
}

// path is a condition on a path: whole segments or the whole text where that says it exactly, an expression otherwise.
type path struct {
	kind       pathKind
	text       string // of exact and under; the root of all paths is empty
	expression string // that covers the whole path
}

type pathKind uint8

const (
	under pathKind = iota // the path itself and what is below it
	exact
	expression
)

// anyPath is met by every path.
var anyPath = path{expression: ".*"}

// spread is the number of paths up to which alternatives are written out and not as one expression.
const spread = 8

// methods that an HTTPRoute can name; there is no word for any other, and none for any of a list.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// lower says one match of SMI, as several where it has several methods or paths; or why it cannot be said.
func lower(m *model.ArmMatch) (out []match, why string) {
	headers, why := lowerHeaders(m.Headers)
	if why != "" {
		return nil, why
	}
	for _, name := range m.Methods {
		if !slices.Contains(methods, name) {
			return nil, "an HTTPRoute has no word for the method " + name
		}
	}
	names := m.Methods
	if len(names) == 0 {
		names = []string{""}
	}
	paths := lowerPath(pattern.Path(m.Path, m.Group.FullPath))
	if n := len(paths[0].expression); n > longestPath {
		return nil, fmt.Sprintf("an HTTPRoute takes paths of up to %d letters, and the expression has %d", longestPath, n)
	}
	for _, p := range paths {
		for i, name := range names {
			if !slices.Contains(names[:i], name) {
				out = append(out, match{p, name, headers, m})
			}
		}
	}
	return out, ""
}

// lowerPath says a path by segments where that is exact, and otherwise by one expression.
func lowerPath(p pattern.Pattern) []path {
	if p.Class == pattern.Any {
		return []path{anyPath}
	}
	if text, ok := p.Under(); ok && text == "" {
		return []path{{under, "", "/.*"}}
	} else if ok && sayable(text) {
		return []path{{under, text, regexp.QuoteMeta(text) + "(/.*)?"}}
	}
	all := p.Alternatives()
	if len(all) > spread || slices.ContainsFunc(all, func(a pattern.Pattern) bool { return a.Class != pattern.Exact || a.Text == "" || !sayable(a.Text) }) {
		return []path{{kind: expression, expression: whole(p)}}
	}
	var out []path
	for _, a := range all {
		out = append(out, path{exact, a.Text, regexp.QuoteMeta(a.Text)})
	}
	return out
}

// whole is an expression that has to cover the whole text. It is anchored where an engine that looks for the leftmost alternative first could
// stop before the end, as Linkerd's does, and then finds that it is not at the end.
func whole(p pattern.Pattern) string {
	switch p.Class {
	case pattern.Exact:
		return regexp.QuoteMeta(p.Text)
	case pattern.Prefix:
		return regexp.QuoteMeta(p.Text) + ".*"
	case pattern.Suffix:
		return ".*" + regexp.QuoteMeta(p.Text)
	case pattern.Any:
		return ".*"
	}
	return "^(?:" + p.Expression + ")$"
}

var letters = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$`)

// sayable says whether the API takes a text as a path or a prefix of segments. The root of all paths is empty here.
func sayable(text string) bool {
	text = cmp.Or(text, "/")
	for _, not := range []string{"//", "/./", "/../", "%2f", "%2F"} {
		if strings.Contains(text, not) {
			return false
		}
	}
	return text[0] == '/' && letters.MatchString(text) && !strings.HasSuffix(text, "/.") && !strings.HasSuffix(text, "/..") && len(text) <= longestPath
}

// lowerHeaders says conditions on headers, two on one name as one: of two the API looks at the first alone.
func lowerHeaders(list []model.Header) (out []HeaderMatch, why string) {
	values := map[string]pattern.Pattern{}
	var names []string
	for i := range list {
		h := &list[i]
		if h.Authority() {
			return nil, "a mesh takes no notice of the hostnames of an HTTPRoute, and the authority is no header"
		}
		v := pattern.Value(h.Value)
		before, twice := values[h.Name]
		if !twice {
			names = append(names, h.Name)
		} else if v, twice = both(before, v); !twice {
			return nil, "an HTTPRoute takes one condition on a header, and the match has two on " + h.Name
		}
		values[h.Name] = v
	}
	for _, name := range names {
		h := header(name, values[name])
		if len(h.Value) > longestHeader || len(name) > 256 {
			return nil, fmt.Sprintf("an HTTPRoute takes expressions on headers of up to %d letters, and that on %s is longer", longestHeader, name)
		}
		out = append(out, h)
	}
	if len(out) > mostHeaders {
		return nil, fmt.Sprintf("an HTTPRoute takes conditions on up to %d headers, and the match has %d", mostHeaders, len(out))
	}
	return out, ""
}

func header(name string, v pattern.Pattern) HeaderMatch {
	if v.Class == pattern.Exact && v.Text != "" {
		return HeaderMatch{Exact, name, v.Text}
	}
	if v.Class == pattern.Exact {
		return HeaderMatch{Expression, name, "^$"} // there, and empty
	}
	return HeaderMatch{Expression, name, whole(v)}
}

// both is what two patterns cover together, where one pattern says it.
func both(a, b pattern.Pattern) (pattern.Pattern, bool) {
	switch {
	case a.Expression == b.Expression, b.Class == pattern.Any:
		return a, true
	case a.Class == pattern.Any, b.Class == pattern.Exact && a.Match(b.Text):
		return b, true
	case a.Class == pattern.Exact && b.Match(a.Text):
		return a, true
	}
	return a, false
}
