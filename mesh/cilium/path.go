// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// query is what may follow a path. SMI takes no notice of it; Cilium's expression has to cover it.
const query = `(?:\?.*)?`

// pathExpression is an expression for a path with its query, where the one that is given speaks of the path alone. An expression that could reach
// over the end of the path would admit by what stands in the query: so no part of it takes a question mark. Why is not empty where it cannot
// be said; any request meets an empty expression.
func pathExpression(path string, full bool) (expression, why string) {
	p := pattern.Path(path, full)
	if p.Class == pattern.Any {
		return "", ""
	}
	var out []string
	for _, a := range p.Alternatives() {
		if (a.Class != pattern.Exact && a.Class != pattern.Prefix) || strings.Contains(a.Text, "?") {
			return rewritten(path, full)
		}
		end := query
		if a.Class == pattern.Prefix {
			end = ".*"
		}
		out = append(out, regexp.QuoteMeta(a.Text)+end)
	}
	return strings.Join(out, "|"), ""
}

func rewritten(path string, full bool) (expression, why string) {
	re, err := syntax.Parse(path, syntax.Perl)
	if err != nil {
		return "", "the expression cannot be read"
	}
	rest := ".*"
	if full {
		rest = query
	}
	text, ok := within(re, rest)
	if !ok {
		return "", "an expression has to cover the query too, and this one speaks of the end of the path where more of it follows"
	}
	return text, ""
}

// within writes an expression for a beginning of the path, and what follows it. Where the end of the path is spoken of, nothing but the query
// follows.
func within(re *syntax.Regexp, rest string) (string, bool) {
	if !ends(re) {
		return (&syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{without(re)}}).String() + rest, true
	}
	switch re.Op {
	case syntax.OpEndText, syntax.OpEndLine:
		return query, true
	case syntax.OpCapture:
		return within(re.Sub[0], rest)
	case syntax.OpAlternate:
		var out []string
		for _, s := range re.Sub {
			text, ok := within(s, rest)
			if !ok {
				return "", false
			}
			out = append(out, text)
		}
		return "(?:" + strings.Join(out, "|") + ")", true
	case syntax.OpConcat:
		last := len(re.Sub) - 1
		if slices.ContainsFunc(re.Sub[:last], ends) {
			return "", false
		}
		text, ok := within(re.Sub[last], rest)
		return without(&syntax.Regexp{Op: syntax.OpConcat, Sub: re.Sub[:last]}).String() + text, ok
	}
	return "", false
}

// ends says whether an expression speaks of the end of the text.
func ends(re *syntax.Regexp) bool {
	return re.Op == syntax.OpEndText || re.Op == syntax.OpEndLine || slices.ContainsFunc(re.Sub, ends)
}

// without is an expression that takes the same texts but those with a question mark, which no path has. The bounds of words stay: a question
// mark is no letter, as the end is none.
func without(re *syntax.Regexp) *syntax.Regexp {
	out := *re
	switch re.Op {
	case syntax.OpLiteral:
		if slices.Contains(re.Rune, '?') {
			return &syntax.Regexp{Op: syntax.OpNoMatch}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return &syntax.Regexp{Op: syntax.OpCharClass, Rune: []rune{0, '?' - 1, '?' + 1, 0x10FFFF}}
	case syntax.OpCharClass:
		out.Rune = nil
		for i := 0; i < len(re.Rune); i += 2 {
			lo, hi := re.Rune[i], re.Rune[i+1]
			if lo > '?' || hi < '?' {
				out.Rune = append(out.Rune, lo, hi)
				continue
			}
			if lo < '?' {
				out.Rune = append(out.Rune, lo, '?'-1)
			}
			if hi > '?' {
				out.Rune = append(out.Rune, '?'+1, hi)
			}
		}
		if len(out.Rune) == 0 {
			return &syntax.Regexp{Op: syntax.OpNoMatch}
		}
	}
	out.Sub = nil
	for _, s := range re.Sub {
		out.Sub = append(out.Sub, without(s))
	}
	return &out
}

// header reads a condition on one: presence where there is no value.
func header(name, value string) model.Header {
	if value == "" {
		return model.Header{Name: strings.ToLower(name), Value: ".*"}
	}
	return model.Header{Name: strings.ToLower(name), Value: regexp.QuoteMeta(value)}
}

// readPath is the inverse of pathExpression: an expression that has to cover the path alone. False where the one that is given does not take any
// query: SMI, which sees none, would admit more.
func readPath(expression string) (string, bool) {
	if expression == "" {
		return "", true
	}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return "", false
	}
	out, ok := anyQuery(re)
	if !ok {
		return "", false
	}
	return out.String(), true
}

// anyQuery is an expression without what takes the query at its end: `(?:\?.*)?`, or `.*`, which takes more of the path too and so stays.
func anyQuery(re *syntax.Regexp) (*syntax.Regexp, bool) {
	if re.Op == syntax.OpStar && (re.Sub[0].Op == syntax.OpAnyChar || re.Sub[0].Op == syntax.OpAnyCharNotNL) {
		return re, true
	}
	if re.Op == syntax.OpQuest && isQuery(re.Sub[0]) {
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}, true
	}
	out := *re
	switch re.Op {
	case syntax.OpCapture:
		return anyQuery(re.Sub[0])
	case syntax.OpAlternate:
		out.Sub = nil
		for _, s := range re.Sub {
			one, ok := anyQuery(s)
			if !ok {
				return nil, false
			}
			out.Sub = append(out.Sub, one)
		}
		return &out, true
	case syntax.OpConcat:
		last, ok := anyQuery(re.Sub[len(re.Sub)-1])
		if !ok {
			return nil, false
		}
		out.Sub = append(slices.Clone(re.Sub[:len(re.Sub)-1]), last)
		return &out, true
	}
	return nil, false
}

// isQuery says whether an expression is a question mark and all that follows.
func isQuery(re *syntax.Regexp) bool {
	if re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpConcat || len(re.Sub) != 2 || re.Sub[0].Op != syntax.OpLiteral || string(re.Sub[0].Rune) != "?" || re.Sub[1].Op != syntax.OpStar {
		return false
	}
	any := re.Sub[1].Sub[0].Op
	return any == syntax.OpAnyChar || any == syntax.OpAnyCharNotNL
}
