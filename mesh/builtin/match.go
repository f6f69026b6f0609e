// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/anymesh/anymesh/model"
)

// What a resource is made of is many small messages. Those that always go together are made in one piece here: at each change they are made
// anew, and one allocation is quicker than five.

// headers are the conditions of a match on all but the path. All must hold; an absent header meets none.
func headers(m *model.Match) []*routev3.HeaderMatcher {
	n := len(m.Headers)
	if len(m.Methods) > 0 {
		n++
	}
	if n == 0 {
		return nil
	}
	list := make([]*routev3.HeaderMatcher, 0, n)
	if len(m.Methods) > 0 {
		list = append(list, header(":method", methods(m.Methods)))
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		name := h.Name
		if h.Authority() {
			name = ":authority" // what HTTP/1.1 calls host is this one everywhere behind the codec
		}
		list = append(list, header(name, expression(h.Value)))
	}
	return list
}

func header(name string, value *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	h := &struct {
		header routev3.HeaderMatcher
		by     routev3.HeaderMatcher_StringMatch
	}{}
	h.header.Name, h.header.HeaderMatchSpecifier, h.by.StringMatch = name, &h.by, value
	return &h.header
}

func methods(list []string) *matcherv3.StringMatcher {
	if len(list) == 1 {
		return exactly(list[0])
	}
	quoted := make([]string, len(list))
	for i, m := range list {
		quoted[i] = regexp.QuoteMeta(m) // a token may hold . * + | ^
	}
	return expression(strings.Join(quoted, "|"))
}

func exactly(text string) *matcherv3.StringMatcher {
	m := &struct {
		matcher matcherv3.StringMatcher
		by      matcherv3.StringMatcher_Exact
	}{}
	m.matcher.MatchPattern, m.by.Exact = &m.by, text
	return &m.matcher
}

func expression(re string) *matcherv3.StringMatcher {
	m := &struct {
		matcher matcherv3.StringMatcher
		by      matcherv3.StringMatcher_SafeRegex
		regex   matcherv3.RegexMatcher
	}{}
	m.matcher.MatchPattern, m.by.SafeRegex, m.regex.Regex = &m.by, &m.regex, regex(re)
	return &m.matcher
}

// regex is an RE2 expression; Envoy asks it for the whole text.
func regex(re string) string {
	if re == "" {
		return "(?:)" // only the empty text; an empty expression is refused on the wire
	}
	return re
}
