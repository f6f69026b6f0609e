// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

func quote(text string) string { return regexp.QuoteMeta(text) }

// readMatch is a native match as SMI has it: what its path is when the expression covers the beginning, and when it covers all.
type readMatch struct {
	native
	match      model.Match
	begin, all string
	whole      bool     // all was written
	by         *callers // that the match itself names
}

// everyRequest is a match without conditions.
func everyRequest() readMatch { return readMatch{native: native{paths: pattern.Path("", true)}} }

// match reads a match; why says what SMI cannot.
func (r *reader) match(m *httpMatch) (out readMatch, why string) {
	out.httpMatch = *m
	if m.Path != nil {
		if why = out.path(m.Path); why != "" {
			return out, why
		}
	}
	out.paths = pattern.Path(out.all, true)
	if m.Method != "" {
		out.match.Methods = []string{m.Method}
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		name := strings.ToLower(h.Name)
		value, ok := quote(h.Value), true
		if h.Type == regularExpression {
			value, ok = unanchored(h.Value)
		}
		switch {
		case !ok:
			return out, "the expression " + h.Value + " may mean less to Linkerd, which takes the first alternative that fits, than to SMI"
		case name == clientID:
			if out.by = namedCallers(value, r.in.World.Settings().TrustDomain); out.by == nil {
				return out, "SMI has no name for the callers " + h.Value
			}
		case name == "host":
			return out, "Linkerd does not see the host as a header"
		default:
			out.match.Headers = append(out.match.Headers, model.Header{Name: name, Value: value})
		}
	}
	return out, ""
}

// path reads a path in both of SMI's ways.
func (m *readMatch) path(s *stringMatch) string {
	switch s.Type {
	case exact:
		m.all, m.whole = quote(s.Value), true
		m.begin = m.all + "$"
	case regularExpression:
		inner, begins := unwrap(s.Value, ").*$")
		text, ok := unanchored(s.Value)
		switch {
		case s.Value == "^.*$":
		case begins:
			m.begin, m.all = inner, "(?:"+inner+").*"
		case ok:
			m.begin, m.all, m.whole = "(?:"+text+")$", text, true
		default:
			return "the expression " + s.Value + " may mean less to Linkerd, which takes the first alternative that fits, than to SMI"
		}
	case "", pathPrefix: // whole segments
		if t := strings.TrimRight(s.Value, "/"); t != "" {
			m.all, m.whole = quote(t)+"(?:/.*)?", true
			m.begin = m.all + "$"
		}
	default:
		return "SMI has no word for a path of the type " + s.Type
	}
	return ""
}

// unwrap takes an expression out of what it was put into.
func unwrap(expression, end string) (string, bool) {
	inner, ok := strings.CutPrefix(expression, "^(?:")
	if ok {
		inner, ok = strings.CutSuffix(inner, end)
	}
	if _, err := regexp.Compile(inner); !ok || err != nil {
		return "", false // ^(?:a)|(?:b)$ begins and ends so too
	}
	return inner, true
}

// unanchored is an expression that covers the same whole texts as one of Linkerd's, which has to span a text with its first match. False where
// that may be fewer than it could span.
func unanchored(expression string) (string, bool) {
	if inner, ok := unwrap(expression, ")$"); ok {
		return inner, true
	}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return "", false
	}
	if n := len(re.Sub); re.Op == syntax.OpConcat && re.Sub[n-1].Op == syntax.OpEndText {
		return expression, true
	}
	class := pattern.Value(expression).Class
	return expression, class != pattern.Regex && class != pattern.OneOf
}

// identityName is a service account's name on the wire. A namespace has no dots; an account may.
var identityName = regexp.MustCompile(`^([a-z0-9.-]+)\.([a-z0-9-]+)\.serviceaccount\.identity\.(\[\^\.\]\+|[a-z0-9-]+)\.(.+)$`)

// namedCallers is the inverse of conditions; nil where it was written otherwise.
func namedCallers(expression, trustDomain string) *callers {
	out := &callers{}
	for text := range strings.SplitSeq(expression, "|") {
		plain := strings.ReplaceAll(text, `\.`, ".")
		if quote(plain) != text && quote(strings.ReplaceAll(plain, "[^.]+", "")) != strings.ReplaceAll(text, "[^.]+", "") {
			return nil
		}
		if !out.name(plain, trustDomain) {
			return nil
		}
	}
	return out
}

// name adds a caller by the name that its certificate bears, or by an expression that leaves the control plane's namespace open.
func (c *callers) name(id, trustDomain string) bool {
	if strings.HasPrefix(id, "spiffe://") && !strings.Contains(id, "*") {
		c.add(callers{ids: []string{id}})
		return true
	}
	p := identityName.FindStringSubmatch(strings.Replace(id, "[^.]+", "linkerd", 1))
	if p == nil || p[4] != trustDomain {
		return false
	}
	c.add(callers{accounts: []model.Identity{{Namespace: p[2], ServiceAccount: p[1]}}})
	return true
}

// routeGroup makes a route group of matches, with expressions that cover the beginning of a path wherever none was written to cover the whole.
// Matches that differ in their method alone are one.
func routeGroup(list []readMatch) *model.RouteGroup {
	g := &model.RouteGroup{}
	for i := range list {
		g.FullPath = g.FullPath || list[i].whole
	}
	seen := map[string]int{}
	for i := range list {
		p := &list[i]
		m := p.match
		if m.Path = p.begin; g.FullPath {
			m.Path = p.all
		}
		key := fmt.Sprintf("%q %q", m.Path, m.Headers)
		if k, ok := seen[key]; ok && len(m.Methods) > 0 && len(g.Matches[k].Methods) > 0 {
			g.Matches[k].Methods = append(g.Matches[k].Methods, m.Methods...)
			continue
		}
		seen[key] = len(g.Matches)
		m.Name = fmt.Sprintf("m%d", len(g.Matches))
		g.Matches = append(g.Matches, m)
	}
	return g
}
