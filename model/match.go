// SPDX-License-Identifier: Apache-2.0

package model

import (
	"regexp"
	"slices"
	"strings"
)

// Covers says whether a request meets all conditions of the match. Full says that the path expression covers the whole path; host is
// the authority where the request names none.
//
// Expressions are compiled at each call: the evaluator answers questions, it does not serve traffic, and compiled
// expressions are a hundred times the size of their text.
func (m *Match) Covers(full bool, q *Request, host string) bool {
	if m.Never || len(m.Methods) > 0 && !slices.Contains(m.Methods, q.Method) {
		return false
	}
	path, _, _ := strings.Cut(q.Path, "?")
	if m.Path != "" && !matches(PathExpression(m.Path, full), path) {
		return false
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		values, ok := q.Headers[h.Name]
		if h.Authority() {
			values, ok = []string{q.Host}, true
			if q.Host == "" {
				values[0] = host
			}
		}
		if !ok || !matches(h.Value, strings.Join(values, ",")) {
			return false
		}
	}
	return true
}

// PathExpression is the RE2 expression that has to cover the whole path where SMI's covers its beginning: `/metrics` takes
// `/metricsfoo` too, as the SMI page says. With full the expression covers the whole path as it stands.
func PathExpression(path string, full bool) string {
	if full {
		return path
	}
	return "(?:" + path + ").*"
}

// matches says whether an expression covers a whole text. An expression that does not compile covers nothing.
func matches(expression, text string) bool {
	re, err := regexp.Compile("^(?:" + expression + ")$")
	return err == nil && re.MatchString(text)
}
