// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// maxRegexes bounds the cache of compiled expressions. Live snapshots keep what they use; the cache only saves work.
const maxRegexes = 4096

// Compiler compiles resources. It remembers regular expressions, since a mesh says the same few again and again. It is
// not safe for concurrent use; what it returns is immutable and is.
type Compiler struct {
	regexes map[string]func(string) bool
}

// regex compiles an RE2 expression that has to match the whole text.
func (c *Compiler) regex(m *matcherv3.RegexMatcher) (func(string) bool, error) {
	// engine_type says RE2 in older messages, which is what we have.
	if err := only(m, "regex google_re2"); err != nil {
		return nil, err
	}
	if f := c.regexes[m.Regex]; f != nil {
		return f, nil
	}
	re, err := regexp.Compile(`\A(?:` + m.Regex + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("regex %q: %w", m.Regex, err)
	}
	f := re.MatchString
	// Compiled alone as well: "a)(?:b" must not pass because of the frame around it.
	bare, err := regexp.Compile(m.Regex)
	if err != nil {
		return nil, fmt.Errorf("regex %q: %w", m.Regex, err)
	}
	// A beginning without anything special, which most paths have, is a quick way to say no.
	switch text, whole := bare.LiteralPrefix(); {
	case whole:
		f = func(s string) bool { return s == text }
	case text != "":
		f = func(s string) bool { return strings.HasPrefix(s, text) && re.MatchString(s) }
	}
	if c.regexes == nil || len(c.regexes) >= maxRegexes {
		c.regexes = map[string]func(string) bool{}
	}
	c.regexes[m.Regex] = f
	return f, nil
}

func (c *Compiler) text(m *matcherv3.StringMatcher) (func(string) bool, error) {
	if m == nil {
		return nil, errors.New("string matcher is missing")
	}
	if err := only(m, "exact prefix suffix safe_regex"); err != nil {
		return nil, err
	}
	switch p := m.MatchPattern.(type) {
	case *matcherv3.StringMatcher_Exact:
		return func(s string) bool { return s == p.Exact }, nil
	case *matcherv3.StringMatcher_Prefix:
		return func(s string) bool { return strings.HasPrefix(s, p.Prefix) }, nil
	case *matcherv3.StringMatcher_Suffix:
		return func(s string) bool { return strings.HasSuffix(s, p.Suffix) }, nil
	case *matcherv3.StringMatcher_SafeRegex:
		return c.regex(p.SafeRegex)
	}
	return nil, errors.New("StringMatcher without a pattern")
}

// header compiles a header condition. An absent header never matches a value, inverted or not, as in Envoy and gRPC.
func (c *Compiler) header(m *routev3.HeaderMatcher) (cond, error) {
	if err := only(m, "name string_match present_match invert_match"); err != nil {
		return nil, err
	}
	name, err := headerName(m.Name)
	if err != nil {
		return nil, err
	}
	invert := m.InvertMatch
	switch s := m.HeaderMatchSpecifier.(type) {
	case *routev3.HeaderMatcher_StringMatch:
		match, err := c.text(s.StringMatch)
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", m.Name, err)
		}
		return func(r *Request) bool {
			v, ok := r.header(name)
			return ok && match(v) != invert
		}, nil
	case *routev3.HeaderMatcher_PresentMatch:
		want := s.PresentMatch != invert
		return func(r *Request) bool {
			_, ok := r.header(name)
			return ok == want
		}, nil
	case nil:
		// Envoy reads a bare name as "is present".
		return func(r *Request) bool {
			_, ok := r.header(name)
			return ok != invert
		}, nil
	}
	return nil, fmt.Errorf("header %q: not understood: %T", m.Name, m.HeaderMatchSpecifier)
}

func headerName(s string) (Name, error) {
	n := Name{Lower: strings.ToLower(s), Canonical: textproto.CanonicalMIMEHeaderKey(s)}
	switch {
	case s == "":
		return n, errors.New("header matcher without a name")
	case n.Lower == ":method" || n.Lower == ":authority":
	case strings.HasPrefix(s, ":"):
		return n, fmt.Errorf("header %q: of the pseudo headers only :method and :authority are understood", s)
	}
	return n, nil
}

func (c *Compiler) headers(ms []*routev3.HeaderMatcher) ([]cond, error) {
	var out []cond
	for _, m := range ms {
		h, err := c.header(m)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}
