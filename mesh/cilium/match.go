// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// mostRequests is into how many rules one match may be written out.
const mostRequests = 64

const headerHint = "Write it as a whole text, several of these with |, or .* for presence."

// lower says a match, or why it cannot. A header of several values is a rule for each.
func lower(m *model.GrantMatch) (out []request, why, hint string) {
	var r request
	if r.Path, why = pathExpression(m.Path, m.Group.FullPath); why != "" {
		return nil, why, ""
	}
	methods := make([]string, len(m.Methods))
	for i, name := range m.Methods {
		methods[i] = regexp.QuoteMeta(name)
	}
	r.Method = strings.Join(methods, "|")
	out = []request{r}
	for i := range m.Headers {
		h := &m.Headers[i]
		if h.Authority() {
			if why = host(out, h.Value); why != "" {
				return nil, why, ""
			}
			continue
		}
		if out, why = headers(out, h); why != "" {
			return nil, why, headerHint
		}
	}
	return out, "", ""
}

// host adds a condition on the authority, of which a rule takes one.
func host(out []request, value string) (why string) {
	if pattern.Value(value).Class == pattern.Any {
		return ""
	}
	if value == "" {
		value = "^$" // no text is no condition
	}
	if out[0].Host != "" && out[0].Host != value {
		return "a rule takes one condition on the host, and the match has two"
	}
	for i := range out {
		out[i].Host = value
	}
	return ""
}

// headers adds a condition on a header. An empty value would ask for presence alone, which is more than was permitted.
func headers(in []request, h *model.Header) (out []request, why string) {
	v := pattern.Value(h.Value)
	if v.Class == pattern.Any {
		return with(in, headerMatch{Name: h.Name}), ""
	}
	for _, a := range v.Alternatives() {
		if a.Class != pattern.Exact || a.Text == "" {
			return nil, fmt.Sprintf("Cilium permits by header without expressions, and %s: %q is one", h.Name, h.Value)
		}
		out = append(out, with(in, headerMatch{h.Name, a.Text})...)
	}
	if len(out) > mostRequests {
		return nil, fmt.Sprintf("the values of its headers make more than %d rules", mostRequests)
	}
	return out, ""
}

func with(in []request, h headerMatch) (out []request) {
	for _, r := range in {
		r.Headers = append(slices.Clone(r.Headers), h)
		out = append(out, r)
	}
	return out
}
