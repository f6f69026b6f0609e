// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// show writes a pattern in one line.
func show(p Pattern) string {
	switch p.Class {
	case Exact, Prefix, Suffix:
		return p.Class.String() + " " + p.Text
	case Template:
		out := "template"
		for _, s := range p.Segments {
			out += "/" + [...]string{"", "{+}", "{*}", "{**}", "^"}[s.Kind] + s.Text
		}
		return out
	case OneOf:
		var of []string
		for _, o := range p.Of {
			of = append(of, show(o))
		}
		return strings.Join(of, " | ")
	}
	return p.Class.String()
}

func TestPath(t *testing.T) {
	for _, c := range []struct {
		expression string
		full       bool
		want       string
	}{
		{"", false, "any"},
		{".*", false, "any"},
		{"/", false, "prefix /"},
		{"/.*", true, "prefix /"},
		{"/metrics", false, "prefix /metrics"},
		{"^/metrics", false, "prefix /metrics"},
		{"/metrics", true, "exact /metrics"},
		{"/metrics$", false, "exact /metrics"},
		{`/a\.json$`, false, "exact /a.json"},
		{"/api/.*$", false, "prefix /api/"},
		{"(?s)/api/.*", true, "prefix /api/"},
		{".*/healthz$", false, "suffix /healthz"},
		{`.*\.png`, true, "suffix .png"},
		{".*/x", false, "regex"}, // contains
		{"/a|/b", false, "prefix /a | prefix /b"},
		{"/(a|b)/c$", false, "exact /a/c | exact /b/c"},
		{"/v[1-3]/", false, "prefix /v1/ | prefix /v2/ | prefix /v3/"},
		{"/a/?", false, "prefix /a"},
		{"/a/?", true, "exact /a/ | exact /a"},
		{"/a(/.*)?", true, "prefix /a/ | exact /a"},
		{"(/a|/a/b)", false, "prefix /a"},
		{"/users/[^/]+$", false, "template/users/{+}"},
		{"/users/[^/]+", false, "template/users/{+} | template/users/{+}/{**}"},
		{"/users/[^/]*", false, "prefix /users/"},
		{"/users/[^/]*$", false, "template/users/{*}"},
		{"/users/[^/]+/orders$", false, "template/users/{+}/orders"},
		{"/users/[^/]+/orders", false, "template/users/{+}/^orders"},
		{"/users/[^/]+/orders/", false, "template/users/{+}/orders/{**}"},
		{"/users/[^/]+/", false, "template/users/{+}/{**}"},
		{"/a/.*/b", true, "template/a/{**}/b"},
		{"/a.*/b", true, "regex"},
		{"/[^/]+/b[^/]*", true, "regex"},
		{"/users/[0-9]+", false, "regex"},
		{"/.+", false, "regex"},
		{"(?i)/a", false, "regex"},
		{"(?i)/1", false, "prefix /1"},
		{`/a\b`, false, "regex"},
		{"(?m)/a$", false, "regex"},
		{"a$b", true, "regex"},
		{"a$.*", true, "exact a"},
		{"a{3}", true, "exact aaa"},
		{"[0-9]{2}", true, "regex"}, // 100 alternatives
		{"(", true, "regex"},
		{"a)(b", false, "regex"},
	} {
		t.Run(fmt.Sprint(c.expression, c.full), func(t *testing.T) {
			if got := show(Path(c.expression, c.full)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestValue(t *testing.T) {
	for expression, want := range map[string]string{
		"":           "exact ",
		".*":         "any",
		"canary":     "exact canary",
		"canary.*":   "prefix canary",
		".*Firefox":  "suffix Firefox",
		".*Fire.*":   "regex",
		"a|b":        "exact a | exact b",
		"^(yes|no)$": "exact yes | exact no",
		".+":         "regex",
		"/a/[^/]+":   "regex",
		`\*`:         "exact *",
	} {
		if got := show(Value(expression)); got != want {
			t.Errorf("%q is %s, want %s", expression, got, want)
		}
	}
}

func TestUnder(t *testing.T) {
	for expression, want := range map[string]string{
		"/api(/.*)?":    "/api",
		"/api|/api/.*":  "/api",
		"/api/.*|/api":  "/api",
		"/.*":           "",
		"/api.*":        "-",
		"/api|/apis/.*": "-",
		"/a|/b|/a/.*":   "-",
		"/api/.*|/api/": "-",
	} {
		got, ok := Path(expression, true).Under()
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%q is under %q, want %q", expression, got, want)
		}
	}
}

// pieces are put together to expressions and to texts that such expressions may match.
var pieces = []string{"/", "a", "b", "ab", ".*", "[^/]+", "[^/]*", "|", "(", ")", "?", "^", "$", "/a", "/b/", `\.`, "[ab]", ".", "+", "*", "x{2}", "[^/\n]+", "(?:a|/)", "-", "é", "(?i)"}

func expression(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(7) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func someText(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(7) {
		b.WriteString([]string{"/", "a", "b", "ab", "/a", "/b/", ".", "x", "xx", "-", "é", "A", "\xff", "\ufffd", "/"}[r.IntN(15)])
	}
	return b.String()
}

// same fails where a pattern and its expression differ on a text.
func same(t *testing.T, p Pattern, texts ...string) {
	t.Helper()
	re := regexp.MustCompile("^(?:" + p.Expression + ")$")
	for _, s := range texts {
		if strings.Contains(s, "\n") {
			continue
		}
		if want := re.MatchString(s); p.Match(s) != want {
			t.Fatalf("%q is said to be %s; on %q the expression says %v", p.Expression, show(p), s, want)
		}
	}
}

// TestEqual holds what the package promises: what is said of an expression is true for every text.
func TestEqual(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	seen := map[Class]int{}
	for range 6_000 {
		e := expression(r)
		if _, err := regexp.Compile(e); err != nil {
			continue
		}
		texts := make([]string, 12)
		for i := range texts {
			texts[i] = someText(r)
		}
		for _, p := range []Pattern{Path(e, false), Path(e, true), Value(e)} {
			seen[p.Class]++
			same(t, p, texts...)
		}
	}
	for c := Regex; c <= OneOf; c++ {
		if seen[c] < 5 {
			t.Errorf("only %d expressions were of class %s: the test tests too little", seen[c], c)
		}
	}
}

func FuzzEqual(f *testing.F) {
	for _, e := range []string{"/a", "/a/[^/]+", "(/a|/b/)?$", ".*x", "/[ab]/.*", "\ufffd"} {
		f.Add(e, "/a/b")
	}
	f.Fuzz(func(t *testing.T, e, text string) {
		if _, err := regexp.Compile(e); err != nil {
			t.Skip()
		}
		same(t, Path(e, false), text)
		same(t, Path(e, true), text)
		same(t, Value(e), text)
	})
}
