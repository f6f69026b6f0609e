// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"cmp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// methods are those that Consul knows.
var methods = []string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

// authority is Envoy's name of the header that says which host was called.
const authority = ":authority"

// lower says one match, or why it cannot. One without conditions has none here either.
func lower(m *model.Match, full bool) (out httpMatch, why string) {
	switch p := pattern.Path(m.Path, full); {
	case p.Class == pattern.Any:
	case p.Class == pattern.Exact && strings.HasPrefix(p.Text, "/"):
		out.PathExact = p.Text
	case p.Class == pattern.Prefix && strings.HasPrefix(p.Text, "/"):
		out.PathPrefix = p.Text
	default:
		out.PathRegex = p.Expression
	}
	for _, name := range m.Methods {
		if !slices.Contains(methods, name) {
			return out, "Consul knows the methods " + strings.Join(methods, ", ") + ", and not " + name
		}
		if !slices.Contains(out.Methods, name) { // Consul refuses one that is named twice
			out.Methods = append(out.Methods, name)
		}
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		c := headerMatch{Name: h.Name, Regex: cmp.Or(h.Value, "(?:)")} // the empty expression would be none
		if h.Authority() {
			c.Name = authority
		}
		out.Header = append(out.Header, c)
	}
	return out, ""
}
