// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"regexp"
	"slices"
	"strings"
)

// Class says what kind of text a pattern matches.
type Class uint8

// The classes. Regex is the zero value: nothing simpler is known of the expression.
const (
	Regex    Class = iota
	Any            // every text
	Exact          // Text alone
	Prefix         // texts that begin with Text, as text: /api takes /apiary too
	Suffix         // texts that end with Text
	Template       // paths whose segments meet Segments
	OneOf          // what any of Of matches; none of them is a OneOf or a Regex
)

// String is the class in lower case, for messages.
func (c Class) String() string {
	return [...]string{"regex", "any", "exact", "prefix", "suffix", "template", "one of"}[c]
}

// Pattern is the set of texts that an expression matches.
type Pattern struct {
	Class      Class
	Text       string    // of Exact, Prefix and Suffix
	Segments   []Segment // of Template
	Of         []Pattern // of OneOf; at least two
	Expression string    // that was read, as one that has to cover the whole text
}

// SegmentKind says what a segment of a path may be.
type SegmentKind uint8

// The kinds of segments. Rest and Begins stand for more than one segment.
const (
	Literal SegmentKind = iota // Text alone
	One                        // any text that is not empty: [^/]+
	Maybe                      // any text, also none: [^/]*
	Rest                       // one segment or more, each of any text: .*
	Begins                     // the last of a template: what follows the slash begins with Text
)

// Segment is a part of a path template: what stands between two slashes.
type Segment struct {
	Kind SegmentKind
	Text string // of Literal and Begins
}

// Alternatives lists the patterns of which any one has to match: those of a OneOf, otherwise the pattern alone.
func (p Pattern) Alternatives() []Pattern {
	if p.Class == OneOf {
		return p.Of
	}
	return []Pattern{p}
}

// Under says whether the pattern is a path and everything below it, /api and /api/x and not /apiary: what most gateways call a path
// prefix. The text is that path, without a slash at its end; the root of all paths is empty.
func (p Pattern) Under() (string, bool) {
	if p.Class == Prefix && p.Text == "/" {
		return "", true
	}
	if p.Class != OneOf || len(p.Of) != 2 {
		return "", false
	}
	a, b := p.Of[0], p.Of[1]
	if a.Class == Prefix {
		a, b = b, a
	}
	return a.Text, a.Class == Exact && b.Class == Prefix && b.Text == a.Text+"/"
}

// Match says whether a text is in the set.
func (p Pattern) Match(text string) bool {
	switch p.Class {
	case Any:
		return true
	case Exact:
		return text == p.Text
	case Prefix:
		return strings.HasPrefix(text, p.Text)
	case Suffix:
		return strings.HasSuffix(text, p.Text)
	case Template:
		rest, ok := strings.CutPrefix(text, "/")
		return ok && template(p.Segments, strings.Split(rest, "/"))
	case OneOf:
		return slices.ContainsFunc(p.Of, func(o Pattern) bool { return o.Match(text) })
	}
	re, err := regexp.Compile("^(?:" + p.Expression + ")$")
	return err == nil && re.MatchString(text)
}

// template says whether segments of a path meet those of a template.
func template(want []Segment, have []string) bool {
	if len(want) == 0 || len(have) == 0 {
		return len(want) == len(have)
	}
	switch s := want[0]; s.Kind {
	case Literal:
		return have[0] == s.Text && template(want[1:], have[1:])
	case One:
		return have[0] != "" && template(want[1:], have[1:])
	case Maybe:
		return template(want[1:], have[1:])
	case Begins:
		return strings.HasPrefix(strings.Join(have, "/"), s.Text)
	}
	for i := 1; i <= len(have); i++ {
		if template(want[1:], have[i:]) {
			return true
		}
	}
	return false
}

// covers says whether a pattern matches all that another matches. It may be wrong in saying no.
func (p Pattern) covers(o Pattern) bool {
	switch p.Class {
	case Any:
		return true
	case Prefix:
		return (o.Class == Exact || o.Class == Prefix) && strings.HasPrefix(o.Text, p.Text)
	case Suffix:
		return (o.Class == Exact || o.Class == Suffix) && strings.HasSuffix(o.Text, p.Text)
	case Template:
		return o.Class == Exact && p.Match(o.Text) || o.Class == Template && slices.Equal(p.Segments, o.Segments)
	}
	return o.Class == Exact && o.Text == p.Text
}
