// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"regexp"
	"testing"
)

// TestAnywhere holds that an expression of a whole value takes what the one that it was made of is found in.
func TestAnywhere(t *testing.T) {
	for _, e := range []string{"", "a", "^a", "a$", "^a$", "a|b", "^a|b$", "^(?:a|b)$", "^(?:a)|(?:b)$", "(a|b)", ".*", "a.*", "^", "$", `a\$`, `^a\$`, `a\\$`, "^^a", "a$$", "[ab]", "^[a|b]$", "(?i)A", "^(?i)a$", "a{2}"} {
		got, err := regexp.Compile("^(?:" + Anywhere(e) + ")$")
		if err != nil {
			t.Errorf("%q is %q: %v", e, Anywhere(e), err)
			continue
		}
		for _, text := range []string{"", "a", "b", "ab", "ba", "xax", "aa", "xa", "ax", "a$", "xa$", "a$x", `a\`, "A", "|", "xAx"} {
			if want := regexp.MustCompile(e).MatchString(text); got.MatchString(text) != want {
				t.Errorf("%q is %q, which takes %q: %v", e, Anywhere(e), text, !want)
			}
		}
	}
}
