// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"regexp/syntax"
	"strings"
)

// Anywhere is the expression of a whole value for one that a mesh looked for anywhere in it.
func Anywhere(value string) string {
	inner, begins := strings.CutPrefix(value, "^")
	inner, ends := strings.CutSuffix(inner, "$")
	if rest, ok := strings.CutPrefix(inner, "(?:"); ok && begins && ends { // as we write it
		if rest, ok = strings.CutSuffix(rest, ")"); ok {
			if _, err := syntax.Parse(rest, syntax.Perl); err == nil {
				return rest
			}
		}
	}
	if strings.Contains(inner, "|") || strings.HasSuffix(inner, `\`) { // which ends no text
		return ".*(?:" + value + ").*"
	}
	if !begins && !strings.HasPrefix(inner, ".*") {
		inner = ".*" + inner
	}
	if !ends && !strings.HasSuffix(inner, ".*") {
		inner += ".*"
	}
	return inner
}
