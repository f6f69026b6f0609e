// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// condition is a match, and what its path is when the expression covers the beginning, and when it covers all.
type condition struct {
	match      model.Match
	begin, all string
	whole      bool // all was written
}

// readMatch reads a match of a route, and says whether it takes every request; false where SMI cannot say it.
func readMatch(m *routeMatch) (c condition, every, ok bool) {
	if m == nil || m.HTTP == nil {
		return c, true, true
	}
	return readHTTP(m.HTTP)
}

func readHTTP(m *httpMatch) (c condition, every, ok bool) {
	quoted := regexp.QuoteMeta
	switch {
	case m.PathExact != "":
		c.begin, c.all, c.whole = quoted(m.PathExact)+"$", quoted(m.PathExact), true
	case m.PathPrefix == "/":
	case m.PathPrefix != "":
		c.begin, c.all = quoted(m.PathPrefix), quoted(m.PathPrefix)+".*"
	case m.PathRegex != "" && m.PathRegex != ".*":
		c.expression(m.PathRegex)
	}
	c.match.Methods = m.Methods
	for _, h := range m.Header {
		value := h.Regex
		switch {
		case h.Present:
			value = ".*"
		case h.Exact != "":
			value = quoted(h.Exact)
		case h.Prefix != "":
			value = quoted(h.Prefix) + ".*"
		case h.Suffix != "":
			value = ".*" + quoted(h.Suffix)
		case h.Regex == "":
			return c, false, false
		}
		n := strings.ToLower(h.Name)
		if n == authority {
			n = "host"
		}
		c.match.Headers = append(c.match.Headers, model.Header{Name: n, Value: value})
	}
	return c, c.all == "" && len(m.Methods) == 0 && len(m.Header) == 0, true
}

// expression reads one that covers the whole path in both of SMI's ways.
func (c *condition) expression(e string) {
	c.all, c.begin, c.whole = e, "(?:"+e+")$", true
	inner, ok := strings.CutPrefix(e, "(?:")
	if ok {
		inner, ok = strings.CutSuffix(inner, ").*")
	}
	if _, err := regexp.Compile(inner); ok && err == nil { // (?:a)|(?:b).* begins and ends so too
		c.begin, c.whole = inner, false
	}
}
