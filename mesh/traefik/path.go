// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/anymesh/anymesh/pattern"
)

// lower is the expression by which Traefik Mesh matches the same paths; empty for any path, and not ok where there is none.
//
// Traefik Mesh puts it behind the first slash: /RE is looked for at the beginning as ^/(RE). A part in braces is Traefik's own
// word for an expression, so that braces have to go in pairs; a backtick ends its rule.
func lower(expression string, full bool) (text string, ok bool) {
	switch p := pattern.Path(expression, full); p.Class {
	case pattern.Any:
		return "", true
	case pattern.Exact:
		rest, rooted := strings.CutPrefix(p.Text, "/")
		text, ok = "/"+regexp.QuoteMeta(rest)+"$", rooted
	case pattern.Prefix:
		rest, rooted := strings.CutPrefix(p.Text, "/")
		text, ok = "/"+regexp.QuoteMeta(rest), rooted
		if rest == "" {
			text = "/.*"
		}
	default:
		re, err := syntax.Parse(p.Expression, syntax.Perl)
		if err != nil {
			return "", false
		}
		d := derivation{ok: true}
		if re = d.after(re.Simplify()); re == nil || !d.ok {
			return "", false
		}
		text, ok = "/(?:"+bare(re).String()+")$", true
	}
	return text, ok && routable(text)
}

// routable says whether Traefik's router takes the expression of a path as Traefik Mesh gives it to it.
func routable(text string) bool {
	text = strings.TrimPrefix(text, "/")
	re, err := regexp.Compile(text)
	return err == nil && text != "" && re.NumSubexp() == 0 && quotable(text) && paired(text)
}

// quotable says whether a text can stand in a rule of Traefik's.
func quotable(text string) bool { return !strings.Contains(text, "`") }

// paired says whether braces go in pairs.
func paired(text string) bool {
	open := 0
	for _, r := range text {
		switch r {
		case '{':
			open++
		case '}':
			if open--; open < 0 {
				return false
			}
		}
	}
	return open == 0
}

// bare takes the capture groups out of an expression.
func bare(re *syntax.Regexp) *syntax.Regexp {
	if re.Op == syntax.OpCapture {
		return bare(re.Sub[0])
	}
	out := *re
	out.Sub = nil
	for _, s := range re.Sub {
		out.Sub = append(out.Sub, bare(s))
	}
	return &out
}

// derivation finds what is left of an expression behind a slash.
type derivation struct{ ok bool }

// after is what has to follow a slash in a text that the expression covers; nil where none does.
func (d *derivation) after(re *syntax.Regexp) *syntax.Regexp {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Rune[0] == '/' {
			return &syntax.Regexp{Op: syntax.OpLiteral, Rune: re.Rune[1:], Flags: re.Flags}
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i] <= '/' && '/' <= re.Rune[i+1] {
				return &syntax.Regexp{Op: syntax.OpEmptyMatch}
			}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	case syntax.OpCapture, syntax.OpQuest:
		return d.after(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus:
		return join(d.after(re.Sub[0]), &syntax.Regexp{Op: syntax.OpStar, Sub: re.Sub, Flags: re.Flags})
	case syntax.OpConcat:
		return d.concat(re)
	case syntax.OpAlternate:
		var all *syntax.Regexp
		for _, s := range re.Sub {
			all = either(all, d.after(s))
		}
		return all
	case syntax.OpNoMatch, syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEndText, syntax.OpEndLine:
	default:
		d.ok = false // a boundary of words depends on what is before it
	}
	return nil
}

func (d *derivation) concat(re *syntax.Regexp) *syntax.Regexp {
	var all *syntax.Regexp
	for i, s := range re.Sub {
		rest := &syntax.Regexp{Op: syntax.OpConcat, Sub: re.Sub[i+1:]}
		if len(rest.Sub) == 0 {
			rest = &syntax.Regexp{Op: syntax.OpEmptyMatch}
		}
		all = either(all, join(d.after(s), rest))
		if !empty(s) {
			break
		}
	}
	return all
}

// empty says whether an expression covers the empty text at the beginning.
func empty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpStar, syntax.OpQuest:
		return true
	case syntax.OpLiteral:
		return len(re.Rune) == 0
	case syntax.OpCapture, syntax.OpPlus:
		return empty(re.Sub[0])
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if !empty(s) {
				return false
			}
		}
		return true
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			if empty(s) {
				return true
			}
		}
	}
	return false
}

func join(a, b *syntax.Regexp) *syntax.Regexp {
	switch {
	case a == nil:
		return nil
	case a.Op == syntax.OpEmptyMatch || a.Op == syntax.OpLiteral && len(a.Rune) == 0:
		return b
	case b.Op == syntax.OpEmptyMatch:
		return a
	}
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{a, b}}
}

func either(a, b *syntax.Regexp) *syntax.Regexp {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &syntax.Regexp{Op: syntax.OpAlternate, Sub: []*syntax.Regexp{a, b}}
}
