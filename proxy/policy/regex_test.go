// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"testing"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// FuzzRegex holds that the quick ways of an expression answer as the expression does.
func FuzzRegex(f *testing.F) {
	for _, s := range []string{"/a", "/a.*", "^/a", "/a|/b", "(?i)/a", "a)(?:b", "/a$", "", "/v[0-9]+", "(?m)^/a", "/(?:a|b)", `\A/x`, "/a?b", "/a*"} {
		f.Add(s, "/a")
		f.Add(s, "/v1")
		f.Add(s, "/ab\n/a")
	}
	f.Fuzz(func(t *testing.T, expression, text string) {
		match, err := new(Compiler).regex(&matcherv3.RegexMatcher{Regex: expression})
		if err != nil {
			return
		}
		if got, want := match(text), regexp.MustCompile(`\A(?:`+expression+`)\z`).MatchString(text); got != want {
			t.Errorf("%q on %q: %v, want %v", expression, text, got, want)
		}
	})
}
