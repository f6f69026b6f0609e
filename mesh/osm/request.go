// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// requests are the matches of a permission in OSM's words. What it cannot say is left out.
func (w *accessWriter) requests(g *model.Grant) (out []request) {
	for i := range g.HTTP {
		m := &g.HTTP[i]
		why := ""
		if name := dialect.Method(m.Match); name != "" {
			why = "OSM does not take the method " + name
		} else if dialect.Twice(m.Match) {
			why = "OSM takes one condition on a header, and would lose the other"
		}
		if why != "" {
			w.o.SayAll(m.Intents, model.Unsupported, why+": the match is left out and stays refused", "")
			continue
		}
		q := request{of: g, Match: model.Match{Path: whole(m.Path, m.Group.FullPath), Methods: m.Methods}}
		for _, h := range m.Headers {
			if h.Authority() {
				h.Name = "host"
			}
			q.Headers = append(q.Headers, h)
		}
		slices.SortFunc(q.Headers, func(a, b model.Header) int { return strings.Compare(a.Name, b.Name) })
		for in := range m.Intents {
			q.intents = append(q.intents, in)
		}
		if q.Path != "" || len(q.Methods)+len(q.Headers) > 0 {
			q.key = fmt.Sprintf("%q %q %q", q.Path, q.Methods, q.Headers)
		}
		out = append(out, q)
	}
	return out
}

// whole is an expression that covers the whole path where the given one covers its beginning; empty for any path.
func whole(expression string, full bool) string {
	switch p := pattern.Path(expression, full); p.Class {
	case pattern.Any:
		return ""
	case pattern.Exact:
		return regexp.QuoteMeta(p.Text)
	case pattern.Prefix:
		return regexp.QuoteMeta(p.Text) + ".*"
	default:
		return p.Expression
	}
}

// covers says whether one match takes all that another takes. It may be wrong in saying no.
func covers(a, b *model.Match) bool {
	if len(a.Methods) > 0 && (len(b.Methods) == 0 || slices.ContainsFunc(b.Methods, func(m string) bool { return !slices.Contains(a.Methods, m) })) {
		return false
	}
	for _, h := range a.Headers {
		if !slices.Contains(b.Headers, h) {
			return false
		}
	}
	p, q := pattern.Path(a.Path, true), pattern.Path(b.Path, true)
	switch {
	case p.Class == pattern.Any || a.Path == b.Path:
		return true
	case q.Class == pattern.Exact:
		return p.Match(q.Text)
	case p.Class == pattern.Prefix && q.Class == pattern.Prefix:
		return strings.HasPrefix(q.Text, p.Text)
	}
	return false
}

// apart says whether no request is in both of two matches. It may be wrong in saying no.
func apart(a, b *model.Match) bool {
	if len(a.Methods) > 0 && len(b.Methods) > 0 && !slices.ContainsFunc(a.Methods, func(m string) bool { return slices.Contains(b.Methods, m) }) {
		return true
	}
	for _, h := range a.Headers {
		for _, o := range b.Headers {
			if h.Name == o.Name && parted(pattern.Value(h.Value), pattern.Value(o.Value)) {
				return true
			}
		}
	}
	return parted(pattern.Path(a.Path, true), pattern.Path(b.Path, true))
}

func parted(p, q pattern.Pattern) bool {
	switch {
	case p.Class == pattern.Exact:
		return !q.Match(p.Text)
	case q.Class == pattern.Exact:
		return !p.Match(q.Text)
	case p.Class == pattern.Prefix && q.Class == pattern.Prefix:
		return !strings.HasPrefix(p.Text, q.Text) && !strings.HasPrefix(q.Text, p.Text)
	}
	return false
}
