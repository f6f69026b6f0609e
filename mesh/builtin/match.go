// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/anymesh/anymesh/model"
)

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
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: value}}
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
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: text}}
}

func expression(re string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(re)}}
}

// regex is an RE2 expression; Envoy asks it for the whole text.
func regex(re string) *matcherv3.RegexMatcher {
	if re == "" {
		re = "(?:)" // only the empty text; an empty expression is refused on the wire
	}
	return &matcherv3.RegexMatcher{Regex: re}
}
