// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// written is a match in Traefik Mesh's words, or why there is none. One without conditions is any request.
func written(m *model.Match, full bool) (out model.Match, why string) {
	path, ok := lower(m.Path, full)
	switch name := dialect.Method(m); {
	case !ok:
		return out, fmt.Sprintf("Traefik's router does not take the path %q", m.Path)
	case name != "":
		return out, "Traefik Mesh does not take the method " + name
	case dialect.Twice(m):
		return out, "Traefik Mesh takes one condition on a header, and would lose the other"
	}
	out.Path, out.Methods = path, m.Methods
	for _, h := range m.Headers {
		if h.Authority() {
			return out, noHost
		}
		value := "^(?:" + h.Value + ")$"
		if p := pattern.Value(h.Value); p.Class == pattern.Any {
			value = ".*"
		}
		if !quotable(value) || !quotable(h.Name) {
			return out, "a backtick ends a rule of Traefik's"
		}
		out.Headers = append(out.Headers, model.Header{Name: h.Name, Value: value})
	}
	slices.SortFunc(out.Headers, func(a, b model.Header) int { return strings.Compare(a.Name, b.Name) })
	return out, ""
}

// anyRequest says whether a match has no conditions.
func anyRequest(m *model.Match) bool { return m.Path == "" && len(m.Methods)+len(m.Headers) == 0 }

// length is how many operators stand in the rule of matches: the longer of two rules is asked first.
func length(list []model.Match) int {
	if len(list) == 0 {
		return 1
	}
	n := 2 + len(list) - 1
	for i := range list {
		parts := len(list[i].Headers)
		if list[i].Path != "" {
			parts++
		}
		if len(list[i].Methods) > 0 {
			parts++
		}
		n += max(0, parts-1)
	}
	return n
}

// covers says whether one match takes all that another takes. It may be wrong in saying no.
func covers(a, b *model.Match) bool {
	if len(a.Methods) > 0 && (len(b.Methods) == 0 || slices.ContainsFunc(b.Methods, func(m string) bool { return !slices.Contains(a.Methods, m) })) {
		return false
	}
	for _, h := range a.Headers {
		if !slices.Contains(b.Headers, h) && !(h.Value == ".*" && slices.ContainsFunc(b.Headers, func(o model.Header) bool { return o.Name == h.Name })) {
			return false
		}
	}
	if a.Path == "" || a.Path == b.Path {
		return true
	}
	p, whole := fixed(a.Path)
	q, _ := fixed(b.Path)
	return p != "" && q != "" && !whole && strings.HasPrefix(q, p) // what begins with q begins with p
}

// apart says whether no request is in both of two matches. It may be wrong in saying no.
func apart(a, b *model.Match) bool {
	if len(a.Methods) > 0 && len(b.Methods) > 0 && !slices.ContainsFunc(a.Methods, func(m string) bool { return slices.Contains(b.Methods, m) }) {
		return true
	}
	for _, h := range a.Headers {
		for _, o := range b.Headers {
			x, y := pattern.Value(h.Value), pattern.Value(o.Value)
			if h.Name == o.Name && x.Class == pattern.Exact && y.Class == pattern.Exact && x.Text != y.Text {
				return true
			}
		}
	}
	p, whole := fixed(a.Path)
	q, whole2 := fixed(b.Path)
	switch {
	case p == "" || q == "":
		return false
	case whole && whole2:
		return p != q
	case whole:
		return !strings.HasPrefix(p, q)
	case whole2:
		return !strings.HasPrefix(q, p)
	}
	return !strings.HasPrefix(p, q) && !strings.HasPrefix(q, p)
}

// fixed is the text of a path that is a beginning, or a whole one; empty for any other.
func fixed(path string) (text string, whole bool) {
	re, err := syntax.Parse(path, syntax.Perl)
	if err != nil || path == "" {
		return "", false
	}
	if re.Op == syntax.OpConcat && len(re.Sub) == 2 && re.Sub[1].Op == syntax.OpEndText {
		re, whole = re.Sub[0], true
	}
	if re.Op != syntax.OpLiteral || re.Flags&syntax.FoldCase != 0 {
		return "", false
	}
	return string(re.Rune), whole
}
