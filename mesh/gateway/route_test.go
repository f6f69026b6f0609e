// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
)

// parts are what random matches are made of, so that they overlap in all of the ways by which one is more specific than another.
var parts = struct {
	plain, expressions []string
	methods            [][]string
	headers            []model.Header
}{
	plain:       []string{"", "/", "/a$", "/a(/.*)?$", "/a/b(/.*)?$", "/a/b$", "/a/b/c$|/a$", "/x$"},
	expressions: []string{"/a", "/a/", "/a/[0-9]+", ".*b", "/(a|x)", "/a|/a/b|/a/b/c", "/a/b"},
	methods:     [][]string{nil, nil, {"GET"}, {"GET", "POST"}},
	headers:     []model.Header{{Name: "u", Value: "1"}, {Name: "u", Value: ".*"}, {Name: "u", Value: "1|2"}, {Name: "v", Value: "x"}, {Name: "w", Value: "y.*"}},
}

func randomMatch(r *rand.Rand, paths []string) model.Match {
	m := model.Match{Path: paths[r.IntN(len(paths))], Methods: parts.methods[r.IntN(len(parts.methods))]}
	for _, h := range parts.headers {
		if r.IntN(5) == 0 && !slices.ContainsFunc(m.Headers, func(o model.Header) bool { return o.Name == h.Name }) {
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}

func randomRequest(r *rand.Rand) *model.Request {
	q := get([]string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a/7", "/x", "/xb", "/a/b/c?q=1"}[r.IntN(10)], map[string][]string{})
	q.Method = []string{"GET", "POST", "PUT"}[r.IntN(3)]
	for _, h := range [][2]string{{"u", "1"}, {"u", "2"}, {"v", "x"}, {"w", "yz"}, {"w", "y"}} {
		if r.IntN(2) == 0 {
			q.Headers[h[0]] = []string{h[1]}
		}
	}
	return q
}

// TestOrder holds that what SMI decides by the order of splits comes out in every order in which a mesh may ask matches, with
// paths that the Gateway API orders itself and with expressions, which it does not.
func TestOrder(t *testing.T) {
	for title, paths := range map[string][]string{"plain": parts.plain, "expressions": append(slices.Clone(parts.plain), parts.expressions...)} {
		t.Run(title, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(paths))))
			rules := 0
			for n := range 80 {
				facts := []model.Fact{}
				for i := range 2 + r.IntN(2) {
					g := fmt.Sprintf("g%d", i)
					facts = append(facts, split(fmt.Sprintf("s%d", i), fmt.Sprintf("v%d", i+1), g), group1(g, randomMatch(r, paths), randomMatch(r, paths)))
				}
				s := shop(facts...)
				o := said(s)
				if len(o.Findings) > 0 {
					t.Fatal(o.Findings)
				}
				for _, spec := range specs(o) {
					rules += len(spec.Rules)
				}
				for range 40 {
					if err := compare(s, o.Objects, randomRequest(r)); err != nil {
						t.Fatalf("world %d: %v\n%s", n, err, textOf(o.Objects))
					}
				}
			}
			if rules < 200 {
				t.Errorf("only %d rules were written: the test tests too little", rules)
			}
		})
	}
}

// TestLast holds that each port that is spoken of has a last rule to the root: what no rule takes would be refused.
func TestLast(t *testing.T) {
	for _, m := range []model.Match{{Path: "/a$"}, {Path: "/a"}, {Headers: []model.Header{{Name: "u", Value: "1"}}}} {
		list := specs(said(shop(split("s", "v1", "g"), group1("g", m))))
		rules := list[0].Rules
		last := rules[len(rules)-1]
		if len(list) != 1 || last.BackendRefs[0].Name != "catalog" || len(last.Matches) != 1 || len(last.Matches[0].Headers) != 0 || last.Matches[0].Method != "" {
			t.Errorf("the last rule beside %+v is %+v", m, last)
		}
	}
}

// TestExpressionsAlone holds that a prefix never stands beside an expression: Istio would ask the prefix / first, and drop the rest
// (istio/istio#60695).
func TestExpressionsAlone(t *testing.T) {
	for _, spec := range specs(said(shop(split("s", "v1", "g"), group1("g", model.Match{Path: "/a[0-9]"}, model.Match{Path: "/b$"}, model.Match{Headers: []model.Header{{Name: "u", Value: "1"}}})))) {
		for _, rule := range spec.Rules {
			for _, m := range rule.Matches {
				if m.Path == nil || m.Path.Type != Expression {
					t.Errorf("%+v stands beside an expression", m)
				}
			}
		}
	}
}

// TestPaths holds which paths are said by segments: a prefix of SMI's takes /apiary too, and one that ends in a slash does not take the
// path without it, which a prefix of segments does.
func TestPaths(t *testing.T) {
	for in, want := range map[string]TextMatch{
		"/api":         {Expression, "/api.*"},
		"/api/":        {Expression, "/api/.*"},
		"/api(/|$)":    {Prefix, "/api"},
		"/api$":        {Exact, "/api"},
		"/":            {Prefix, "/"},
		"":             {Prefix, "/"},
		"/a//b$":       {Expression, "/a//b"}, // the API takes no such text
		"/a b$":        {Expression, "/a b"},
		"/a|/ab":       {Expression, "/a.*"},
		"(?:/a|/b)/c$": {Exact, "/a/c"},
		"/a[0-9]$":     {Expression, "^(?:(?:/a[0-9]$).*)$"},
	} {
		list := specs(said(shop(split("s", "v1", "g"), group1("g", model.Match{Path: in}))))
		if len(list) == 0 {
			t.Errorf("%q is not said", in)
			continue
		}
		if got := *list[0].Rules[0].Matches[0].Path; got != want {
			t.Errorf("%q is %+v, want %+v", in, got, want)
		}
	}
}

// TestHeaders holds that no two conditions on one header are written, for the second would not count, and that what cannot be said as one is
// left out and reported.
func TestHeaders(t *testing.T) {
	two := func(a, b string) *model.RouteGroup {
		return group1("g", model.Match{Headers: []model.Header{{Name: "u", Value: a}, {Name: "u", Value: b}}})
	}
	for _, c := range []struct{ a, b, want string }{{"beta", "b.*", "beta"}, {".*", "x|y", "^(?:x|y)$"}, {"a.*", ".*b", ""}, {"a", "b", ""}} {
		o := said(shop(split("s", "v1", "g"), two(c.a, c.b)))
		got := ""
		if list := specs(o); len(list) > 0 {
			if n := len(list[0].Rules[0].Matches[0].Headers); n != 1 {
				t.Errorf("%d conditions are written", n)
			}
			got = list[0].Rules[0].Matches[0].Headers[0].Value
		}
		if got != c.want || (got == "") != inexact(o) {
			t.Errorf("%s and %s are %q, want %q; %v", c.a, c.b, got, c.want, o.Findings)
		}
	}
}

// TestMethods holds that a list of methods is one match for each, and that one without a word leaves its match out.
func TestMethods(t *testing.T) {
	list := specs(said(shop(split("s", "v1", "g"), group1("g", model.Match{Methods: []string{"GET", "POST", "GET"}}))))
	if got := list[0].Rules[0].Matches; len(got) != 2 || got[0].Method != "GET" || got[1].Method != "POST" {
		t.Errorf("%+v", got)
	}
	if o := said(shop(split("s", "v1", "g"), group1("g", model.Match{Methods: []string{"GET", "PURGE"}}))); len(o.Objects) > 0 || !inexact(o) {
		t.Errorf("%s", textOf(o.Objects))
	}
}

// TestMissing holds that no rule is left without a backend, and none names one that is not there: a mesh answers that with a 500.
func TestMissing(t *testing.T) {
	for title, backends := range map[string][]model.Backend{
		"missing":      {{Service: "v1", Weight: 1}, {Service: "nowhere", Weight: 9}},
		"no weight":    {{Service: "v1"}, {Service: "v2"}},
		"all missing":  {{Service: "nowhere", Weight: 1}},
		"part of none": {{Service: "v1", Weight: 0}, {Service: "nowhere", Weight: 9}},
		"root itself":  {{Service: "catalog", Weight: 1}, {Service: "v1", Weight: 3}},
	} {
		s := split("s", "")
		s.Backends = backends
		w := shop(s)
		if err := compare(w, said(w).Objects, get("/", nil)); err != nil {
			t.Errorf("%s: %v", title, err)
		}
	}
}

// TestLimits holds what happens beyond what one object holds.
func TestLimits(t *testing.T) {
	t.Run("matches", func(t *testing.T) {
		var list []model.Match
		for i := range 300 {
			list = append(list, model.Match{Path: fmt.Sprintf("/%d$", i)})
		}
		s := shop(split("s", "v1", "g"), group1("g", list...))
		o := said(s)
		if n := len(specs(o)); n < 3 || inexact(o) {
			t.Fatalf("%d routes; %v", n, o.Findings)
		}
		for i, spec := range specs(o) {
			if !fit(spec.Rules) || i > 0 && o.Objects[i].Name == o.Objects[i-1].Name {
				t.Errorf("route %s has %d rules", o.Objects[i].Name, len(spec.Rules))
			}
		}
		for _, p := range []string{"/0", "/63", "/64", "/128", "/299", "/300"} {
			if err := compare(s, o.Objects, get(p, nil)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("order between routes", func(t *testing.T) {
		facts := []model.Fact{}
		for i := range 20 { // each takes what the others take: the order alone tells
			facts = append(facts, split(fmt.Sprintf("s%02d", i), fmt.Sprintf("v%d", i%3+1), fmt.Sprintf("g%d", i)), group1(fmt.Sprintf("g%d", i), model.Match{Headers: []model.Header{{Name: "u", Value: fmt.Sprintf("1|%d", i+2)}}}))
		}
		s := shop(facts...)
		o := said(s)
		if !inexact(o) {
			t.Error("nothing is reported")
		}
		if err := compare(s, o.Objects, get("/", map[string][]string{"u": {"1"}})); err != nil {
			t.Errorf("%v\n%v", err, o.Findings)
		}
	})
	t.Run("backends", func(t *testing.T) {
		s := split("s", "")
		s.Backends = nil
		facts := []model.Fact{s}
		for i := range 17 {
			n := fmt.Sprintf("b%d", i)
			s.Backends = append(s.Backends, model.Backend{Service: n, Weight: 1})
			facts = append(facts, service(n))
		}
		if o := said(shop(facts...)); len(o.Objects) > 0 || !inexact(o) {
			t.Errorf("%s", textOf(o.Objects))
		}
	})
	t.Run("letters", func(t *testing.T) {
		if o := said(shop(split("s", "v1", "g"), group1("g", model.Match{Path: "/" + strings.Repeat("x+", 600)}))); len(o.Objects) > 0 || !inexact(o) {
			t.Errorf("%s", textOf(o.Objects))
		}
	})
	t.Run("headers", func(t *testing.T) {
		var m model.Match
		for i := range 17 {
			m.Headers = append(m.Headers, model.Header{Name: fmt.Sprintf("h%d", i), Value: "x"})
		}
		if o := said(shop(split("s", "v1", "g"), group1("g", m))); len(o.Objects) > 0 || !inexact(o) {
			t.Errorf("%s", textOf(o.Objects))
		}
	})
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		in    []int64
		want  string
		exact bool
	}{
		{[]int64{900, 100}, "[9 1]", true},
		{[]int64{0, 7}, "[0 7]", true},
		{[]int64{0, 7, 14}, "[0 1 2]", true},
		{[]int64{3_000_000, 1}, "[1000000 1]", false},
		{[]int64{3_000_000, 1_500_000}, "[2 1]", true},
		{[]int64{0, 3_000_000}, "[0 1]", true},
		{[]int64{1 << 40, 1<<40 - 1}, "[1000000 1000000]", false},
	} {
		var shares []model.Share
		for _, w := range c.in {
			shares = append(shares, model.Share{Weight: w})
		}
		if got, exact := Weights(shares); fmt.Sprint(got) != c.want || exact != c.exact {
			t.Errorf("%v is %v (%v), want %s", c.in, got, exact, c.want)
		}
	}
}

// TestUnknown holds that nothing is written for a root whose ports are not known, and that all of it is reported.
func TestUnknown(t *testing.T) {
	assumed := &model.Service{Name: name("catalog"), Assumed: true, Ports: []model.ServicePort{{Protocol: model.Auto}}}
	v1 := &model.Service{Name: name("v1"), Assumed: true, Ports: []model.ServicePort{{Protocol: model.Auto}}}
	o := said(world(assumed, v1, split("s", "v1", "g"), group1("g", model.Match{Path: "/a"})))
	features := map[model.Feature]bool{}
	for _, f := range o.Findings {
		features[f.Feature] = f.Level == model.Unsupported
	}
	if len(o.Objects) > 0 || !features[model.SplitWeight] || !features[model.SplitMatch] || !features[model.RoutePath] {
		t.Errorf("%s %+v", textOf(o.Objects), o.Findings)
	}
}

// TestHeadless holds that no route is written for a root without a cluster IP, which the API leaves to each mesh and most refuse, and that
// this is reported.
func TestHeadless(t *testing.T) {
	root := service("catalog")
	root.Headless = true
	if o := said(world(root, service("v1"), split("s", "v1"))); len(o.Objects) > 0 || !inexact(o) {
		t.Errorf("%s %+v", textOf(o.Objects), o.Findings)
	}
}
