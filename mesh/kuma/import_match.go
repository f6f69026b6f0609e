// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// condition is a match, and what its path is when the expression covers the beginning, and when it covers all.
type condition struct {
	Match      model.Match
	Begin, All string
	Whole      bool // All was written
}

// readMatch reads a match, and says whether it takes every request; false where it has a condition that SMI cannot say.
func readMatch(m *match) (c condition, every, ok bool) {
	ok = true
	every = m.Method == "" && len(m.Headers) == 0 && (m.Path == nil || m.Path.Type == pathPrefix && m.Path.Value == "/")
	if m.Method != "" {
		c.Match.Methods = []string{m.Method}
	}
	if m.Path != nil {
		c.path(m.Path)
	}
	for _, h := range m.Headers {
		value := regexp.QuoteMeta(h.Value)
		switch h.Type {
		case expression:
			value = h.Value
		case "Prefix":
			value += ".*"
		case "Present":
			value = ".*"
		case "Absent":
			ok = false
		}
		c.Match.Headers = append(c.Match.Headers, model.Header{Name: strings.ToLower(h.Name), Value: value})
	}
	return c, every, ok
}

// path reads a path in both of SMI's ways. The ^ at the beginning of an expression only ever say how early it is asked.
func (c *condition) path(p *pathMatch) {
	quoted := regexp.QuoteMeta(p.Value)
	switch p.Type {
	case pathExact:
		c.Begin, c.All, c.Whole = quoted+"$", quoted, true
	case pathPrefix:
		quoted = strings.TrimSuffix(quoted, "/")
		c.All = quoted + "(?:/.*)?"
		c.Begin = quoted + "(?:/|$)"
	default:
		c.expression(strings.TrimLeft(p.Value, "^"))
	}
}

func (c *condition) expression(e string) {
	c.All, c.Begin, c.Whole = e, "(?:"+e+")$", true
	if e == ".*" {
		c.All, c.Begin, c.Whole = "", "", false
		return
	}
	inner, ok := strings.CutPrefix(e, "(?:")
	if ok {
		inner, ok = strings.CutSuffix(inner, ").*")
	}
	if _, err := regexp.Compile(inner); ok && err == nil { // (?:a)|(?:b).* begins and ends so too
		c.Begin, c.Whole = inner, false
	}
}
