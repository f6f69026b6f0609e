// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/pattern"
)

// letters are those that Istio's templates take in a segment.
const letters = `[a-zA-Z0-9\-._~%!$&'()+,;:@=`

// TemplateExpression is the expression for a template of Istio's.
func TemplateExpression(template string) string {
	return strings.NewReplacer(`\{\*\*\}`, letters+"/]*", `\{\*\}`, letters+"]+").Replace(regexp.QuoteMeta(template))
}

// ReadTemplates is the inverse: the texts and templates that were read as an expression; nil where it was written by somebody else.
func ReadTemplates(expression string) []string {
	var out []string
	for a := range strings.SplitSeq(expression, "|") {
		if !strings.Contains(a, letters) {
			text, ok := Wildcard(pattern.Path(a, true))
			if !ok || strings.ContainsAny(text, "{}") {
				return nil
			}
			out = append(out, text)
			continue
		}
		t := strings.ReplaceAll(strings.NewReplacer(letters+"/]*", "{**}", letters+"]+", "{*}").Replace(a), `\`, "")
		if TemplateExpression(t) != a || !wellFormed(t) {
			return nil
		}
		out = append(out, t)
	}
	return out
}

// wellFormed says whether Istio takes a template.
func wellFormed(template string) bool {
	rest, ok := strings.CutPrefix(template, "/")
	open := false
	for s := range strings.SplitSeq(rest, "/") {
		ok = ok && (Plain(s) || !open && (s == "{*}" || s == "{**}"))
		open = open || s == "{**}"
	}
	return ok
}

// AnyText is an expression for Istio's texts, each of which may begin or end with *. A lone * is given.
func AnyText(values []string, any string) string {
	var out []string
	for _, v := range values {
		begin, before := strings.CutSuffix(v, "*")
		end, after := strings.CutPrefix(v, "*")
		switch {
		case v == "*":
			out = append(out, any)
		case after:
			out = append(out, ".*"+regexp.QuoteMeta(end))
		case before:
			out = append(out, regexp.QuoteMeta(begin)+".*")
		default:
			out = append(out, regexp.QuoteMeta(v))
		}
	}
	return strings.Join(out, "|")
}
