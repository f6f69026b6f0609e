// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// turns is how many texts an expression is asked for: each takes other branches of it.
const turns = 4

// samples lists short texts that an expression covers whole, the shortest first; none for one that offers none.
func samples(expression string) (out []string) {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil
	}
	whole, err := regexp.Compile("^(?:" + expression + ")$")
	if err != nil {
		return nil
	}
	tree = tree.Simplify()
	for turn := range turns {
		var b strings.Builder
		write(&b, tree, turn)
		if s := b.String(); whole.MatchString(s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(a) - len(b) })
	return out
}

// write writes a text that a tree covers, by the branches of a turn.
func write(b *strings.Builder, re *syntax.Regexp, turn int) {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(letter(re.Rune, turn))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('k')
	case syntax.OpCapture, syntax.OpPlus:
		write(b, re.Sub[0], turn)
	case syntax.OpStar, syntax.OpQuest:
		if turn%2 == 1 {
			write(b, re.Sub[0], turn)
		}
	case syntax.OpConcat:
		for _, s := range re.Sub {
			write(b, s, turn)
		}
	case syntax.OpAlternate:
		write(b, re.Sub[turn%len(re.Sub)], turn)
	}
}

// letter is one of a class: the ranges are pairs of runes. A plain character is taken before any other, as paths and headers have them.
func letter(ranges []rune, turn int) rune {
	plain := func(c rune) bool { return c > ' ' && c < 127 && !strings.ContainsRune(`"'\?#%`, c) }
	n := len(ranges) / 2
	for i := range n {
		k := (i + turn) % n
		for _, c := range []rune{'k', ranges[2*k], ranges[2*k+1], 'a'} {
			if c >= ranges[2*k] && c <= ranges[2*k+1] && plain(c) {
				return c
			}
		}
	}
	if n == 0 {
		return 'k' // a class of nothing: the text will not be covered, and is dropped
	}
	return ranges[0]
}
