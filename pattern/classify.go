// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// most is the number of alternatives up to which an expression is taken apart.
const most = 64

// Path reads an expression on paths. With full it has to cover the whole path; otherwise it covers the beginning, as SMI says.
// The empty expression matches every path. An expression that does not compile is a Regex that matches nothing.
func Path(expression string, full bool) Pattern {
	switch {
	case expression == "":
		return Pattern{Class: Any, Expression: ".*"}
	case !compiles(expression):
		return Pattern{Expression: nothing}
	case !full:
		expression = "(?:" + expression + ").*"
	}
	return read(expression, true)
}

// Value reads an expression that has to cover a whole value, such as that of a header. It is never a Template.
func Value(expression string) Pattern {
	if !compiles(expression) {
		return Pattern{Expression: nothing}
	}
	return read(expression, false)
}

// nothing is an expression that matches no text.
const nothing = `[^\x{0}-\x{10FFFF}]`

// compiles looks at an expression by itself: put between parentheses, a)(b would compile too.
func compiles(expression string) bool {
	_, err := syntax.Parse(expression, syntax.Perl)
	return err == nil
}

// read classifies an expression that has to cover the whole text.
func read(expression string, path bool) Pattern {
	whole := Pattern{Expression: expression}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return whole
	}
	rows := expand(re.Simplify())
	if rows == nil {
		return whole
	}
	var of []Pattern
	for _, r := range rows {
		r, ok := r.anchored()
		if !ok {
			return whole
		}
		for _, r := range r.open(path) {
			p := r.classify(path)
			if p.Class == Regex {
				return whole
			}
			of = add(of, p)
		}
	}
	switch {
	case len(of) == 1:
		of[0].Expression = expression
		return of[0]
	case len(of) > most:
		return whole
	}
	return Pattern{Class: OneOf, Of: of, Expression: expression}
}

// add keeps only what no other alternative covers.
func add(of []Pattern, p Pattern) []Pattern {
	if slices.ContainsFunc(of, func(o Pattern) bool { return o.covers(p) }) {
		return of
	}
	return append(slices.DeleteFunc(of, p.covers), p)
}

// part is one piece of an expression without alternatives.
type part struct {
	kind kind
	text string
}

type kind uint8

const (
	plain    kind = iota
	anything      // .*
	segment       // [^/]+
	within        // [^/]*
	begin         // the text begins here
	end           // the text ends here
)

type row []part

// expand takes an expression apart into alternatives; nil where it cannot.
func expand(re *syntax.Regexp) []row {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []row{{}}
	case syntax.OpBeginText:
		return []row{{{kind: begin}}}
	case syntax.OpEndText:
		return []row{{{kind: end}}}
	case syntax.OpLiteral:
		return literal(re)
	case syntax.OpCharClass:
		return letters(re.Rune)
	case syntax.OpCapture:
		return expand(re.Sub[0])
	case syntax.OpQuest:
		if rows := expand(re.Sub[0]); rows != nil && len(rows) < most {
			return append(rows, row{})
		}
	case syntax.OpAlternate:
		return alternate(re.Sub)
	case syntax.OpConcat:
		return concat(re.Sub)
	case syntax.OpStar:
		return repeated(re.Sub[0], within)
	case syntax.OpPlus:
		return repeated(re.Sub[0], segment)
	}
	return nil
}

// literal is a text. One that any case of its letters meets stands for too many texts, and so does the code point of a broken byte.
func literal(re *syntax.Regexp) []row {
	for _, r := range re.Rune {
		if r == unicode.ReplacementChar || re.Flags&syntax.FoldCase != 0 && unicode.SimpleFold(r) != r {
			return nil
		}
	}
	return []row{{{plain, string(re.Rune)}}}
}

// letters makes an alternative of each rune of a class. A class that holds the code point of a broken byte is left alone, as
// such a literal is.
func letters(class []rune) []row {
	var rows []row
	for i := 0; i < len(class); i += 2 {
		if int(class[i+1]-class[i]) >= most || class[i+1] >= unicode.ReplacementChar {
			return nil
		}
		for r := class[i]; r <= class[i+1]; r++ {
			rows = append(rows, row{{plain, string(r)}})
		}
	}
	if len(rows) > most {
		return nil
	}
	return rows
}

func alternate(subs []*syntax.Regexp) []row {
	var rows []row
	for _, s := range subs {
		r := expand(s)
		if r == nil || len(rows)+len(r) > most {
			return nil
		}
		rows = append(rows, r...)
	}
	return rows
}

func concat(subs []*syntax.Regexp) []row {
	rows := []row{{}}
	for _, s := range subs {
		tails := expand(s)
		if tails == nil || len(rows)*len(tails) > most {
			return nil
		}
		var next []row
		for _, head := range rows {
			for _, t := range tails {
				next = append(next, append(head[:len(head):len(head)], t...))
			}
		}
		rows = next
	}
	return rows
}

// repeated knows repetitions of any letter, and of any letter but the slash.
func repeated(sub *syntax.Regexp, k kind) []row {
	for sub.Op == syntax.OpCapture {
		sub = sub.Sub[0]
	}
	switch {
	case anyLetter(sub):
		if k == segment {
			return nil
		}
		return []row{{{kind: anything}}}
	case sub.Op == syntax.OpCharClass && (leavesOut(sub.Rune, '/') || leavesOut(sub.Rune, '\n', '/')):
		return []row{{{kind: k}}}
	}
	return nil
}

func anyLetter(re *syntax.Regexp) bool {
	return re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL ||
		re.Op == syntax.OpCharClass && (leavesOut(re.Rune) || leavesOut(re.Rune, '\n'))
}

// leavesOut says whether a class holds every rune but the given ones, which are in order.
func leavesOut(class []rune, out ...rune) bool {
	next := rune(0)
	for _, r := range out {
		if len(class) < 2 || class[0] != next || class[1] != r-1 {
			return false
		}
		next, class = r+1, class[2:]
	}
	return len(class) == 2 && class[0] == next && class[1] == unicode.MaxRune
}

// anchored takes out the places where the text has to begin or to end. It reports false where they leave no text that could match, or
// where it cannot tell.
func (r row) anchored() (row, bool) {
	var out row
	closed := false
	for _, p := range r {
		optional := p.kind == anything || p.kind == within
		switch {
		case p.kind == begin:
			for _, o := range out {
				if o.kind != anything && o.kind != within {
					return nil, false
				}
			}
			out = out[:0]
		case p.kind == end:
			closed = true
		case closed && optional, p.kind == plain && p.text == "":
		case closed:
			return nil, false
		default:
			out = out.add(p)
		}
	}
	return out, true
}

// add appends a part, joined with the one before where both say one thing.
func (r row) add(p part) row {
	if len(r) == 0 {
		return append(r, p)
	}
	last := &r[len(r)-1]
	switch {
	case last.kind == plain && p.kind == plain:
		last.text += p.text
	case last.kind == anything && (p.kind == anything || p.kind == within):
	case last.kind == within && p.kind == anything:
		last.kind = anything
	default:
		return append(r, p)
	}
	return r
}

// open writes a path that ends in a segment with anything behind it as two: one that ends there, and one that goes on below.
func (r row) open(path bool) []row {
	n := len(r)
	if !path || n < 2 || r[n-2].kind != segment || r[n-1].kind != anything {
		return []row{r}
	}
	below := append(r[:n-1:n-1], part{plain, "/"}, part{kind: anything})
	return []row{r[: n-1 : n-1], below}
}

// classify says what one alternative matches.
func (r row) classify(path bool) Pattern {
	switch {
	case len(r) == 0:
		return Pattern{Class: Exact}
	case len(r) == 1 && r[0].kind == plain:
		return Pattern{Class: Exact, Text: r[0].text}
	case len(r) == 1 && r[0].kind == anything:
		return Pattern{Class: Any}
	case len(r) == 2 && r[0].kind == plain && r[1].kind == anything:
		return Pattern{Class: Prefix, Text: r[0].text}
	case len(r) == 2 && r[0].kind == anything && r[1].kind == plain:
		return Pattern{Class: Suffix, Text: r[1].text}
	case path && r[0].kind == plain && strings.HasPrefix(r[0].text, "/"):
		if s := r.segments(); s != nil {
			return Pattern{Class: Template, Segments: s}
		}
	}
	return Pattern{}
}

// segments reads a path template; nil where a part is neither a whole segment nor a literal.
func (r row) segments() []Segment {
	var out []Segment
	bare := false // a slash was read, and what follows it is not yet known
	for i, p := range r {
		last := i == len(r)-1
		if p.kind != plain {
			if !bare {
				return nil
			}
			out = append(out, Segment{Kind: map[kind]SegmentKind{anything: Rest, segment: One, within: Maybe}[p.kind]})
			bare = false
			continue
		}
		if p.text[0] != '/' {
			return nil
		}
		texts := strings.Split(p.text[1:], "/")
		for _, t := range texts[:len(texts)-1] {
			out = append(out, Segment{Text: t})
		}
		tail := texts[len(texts)-1]
		switch {
		case last || tail != "" && r[i+1].kind != anything:
			if !last {
				return nil
			}
			out = append(out, Segment{Text: tail})
		case tail != "" && i+2 == len(r):
			return append(out, Segment{Begins, tail})
		case tail != "":
			return nil
		default:
			bare = true
		}
	}
	return out
}
