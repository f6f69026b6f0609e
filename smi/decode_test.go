// SPDX-License-Identifier: Apache-2.0

package smi_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

const (
	target1 = "access.smi-spec.io/v1alpha1"
	target2 = "access.smi-spec.io/v1alpha2"
	target3 = "access.smi-spec.io/v1alpha3"
	target4 = "access.smi-spec.io/v1alpha4"
	specs1  = "specs.smi-spec.io/v1alpha1"
	specs2  = "specs.smi-spec.io/v1alpha2"
	specs3  = "specs.smi-spec.io/v1alpha3"
	specs4  = "specs.smi-spec.io/v1alpha4"
	split1  = "split.smi-spec.io/v1alpha1"
	split2  = "split.smi-spec.io/v1alpha2"
	split3  = "split.smi-spec.io/v1alpha3"
	split4  = "split.smi-spec.io/v1alpha4"
)

// permit is the spec of a sound permission; what is written in place of its parts is put at their end.
func permit(destination, rules, sources string) string {
	return "spec:\n  destination: {kind: ServiceAccount, name: b" + destination + "}\n  rules: [{kind: HTTPRouteGroup, name: g}" + rules + "]\n  sources: [{kind: ServiceAccount, name: a}" + sources + "]\n"
}

// group is a group of one match.
func group(fields string) string { return "spec:\n  matches:\n  - {name: a" + fields + "}\n" }

func shares(weights string) string {
	return "spec:\n  service: root\n  backends: [" + weights + "]\n"
}

// verdict is what is wanted of a spec: findings in their order, as "code path", and the hint of the first.
type verdict struct {
	name, apiVersion, kind, body string
	findings                     []string
	hint                         string
}

func check(t *testing.T, c verdict) []model.Fact {
	t.Helper()
	it, findings := smi.Decode(read(t, write(c.apiVersion, c.kind, c.body)))
	var got []string
	for _, f := range findings {
		mark := string(f.Code) + " " + f.Path
		if f.Level == model.Notice {
			mark = "notice " + mark
		}
		got = append(got, mark)
		if f.Message == "" || f.Object.Name.String() != "shop/x" || string(f.Object.Kind) != c.kind {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	if !reflect.DeepEqual(got, c.findings) {
		t.Errorf("%s: found %q, want %q", c.name, got, c.findings)
	} else if len(findings) > 0 && !strings.Contains(findings[0].Hint, c.hint) {
		t.Errorf("%s: the hint is %q", c.name, findings[0].Hint)
	}
	return it.Facts("shop")
}

// TestFaultsThatOtherSchemasLetPass holds the inputs that the published schemas get wrong, with the right answer.
func TestFaultsThatOtherSchemasLetPass(t *testing.T) {
	for _, c := range []verdict{
		{"1 split without spec", split4, "TrafficSplit", "", []string{"AM0203 spec"}, "under spec"},
		{"1 target without spec", target3, "TrafficTarget", "", []string{"AM0203 spec"}, ""},
		{"2 fraction", split2, "TrafficSplit", shares("{service: a, weight: 0.5}"), []string{"AM0207 spec.backends[0].weight"}, "Multiply"},
		{"2 below zero", split4, "TrafficSplit", shares("{service: a, weight: -3}"), []string{"AM0207 spec.backends[0].weight"}, ""},
		{"3 no root", split4, "TrafficSplit", "spec:\n  service: ''\n  backends: [{service: a, weight: 1}]\n", []string{"AM0203 spec.service"}, ""},
		{"3 no backends", split4, "TrafficSplit", shares(""), []string{"notice AM0305 spec.backends"}, ""},
		{"4 group of a match", split4, "TrafficSplit", shares("{service: a, weight: 1}") + "  matches: [{apiGroup: specs.smi-spec.io, kind: HTTPRouteGroup, name: g}]\n", nil, ""},
		{"4 no group of a match", split4, "TrafficSplit", shares("{service: a, weight: 1}") + "  matches: [{apiGroup: null, kind: HTTPRouteGroup, name: g}]\n", nil, ""},
		{"5 status", split4, "TrafficSplit", shares("{service: a, weight: 1}") + "status: {x: 1}\n", nil, ""},
		{"6 headers as mapping", specs4, "HTTPRouteGroup", group(", headers: {cookie: x}"), nil, ""},
		{"6 headers as list", specs4, "HTTPRouteGroup", group(", headers: [{cookie: x}, {a: b, c: d}]"), nil, ""},
		{"7 number for a header", specs4, "HTTPRouteGroup", group(", headers: {x-debug: 1}"), []string{"AM0202 spec.matches[0].headers[x-debug]"}, `"1"`},
		{"7 number in a list", specs4, "HTTPRouteGroup", group(", headers: [{X-Debug: true}]"), []string{"AM0202 spec.matches[0].headers[x-debug]"}, `"true"`},
		{"8 methods of others", specs4, "HTTPRouteGroup", group(", methods: [PROPFIND, m-search, '*']"), nil, ""},
		{"8 lower case", specs4, "HTTPRouteGroup", group(", methods: [get]"), []string{"AM0208 spec.matches[0].methods"}, "Write GET."},
		{"9 one name twice", specs4, "HTTPRouteGroup", "spec:\n  matches: [{name: a}, {name: a}]\n", []string{"AM0205 spec.matches[1].name"}, ""},
		{"9 expression", specs4, "HTTPRouteGroup", group(", pathRegex: '(['"), []string{"AM0204 spec.matches[0].pathRegex"}, "RE2"},
		{"9 no path", specs4, "HTTPRouteGroup", group(""), nil, ""},
		{"10 headers in v1alpha1", specs1, "HTTPRouteGroup", "matches: [{name: a, headers: {a: b}}]\n", []string{"AM0211 spec.matches[0].headers"}, "v1alpha4"},
		{"11 ports", specs4, "TCPRoute", "spec: {matches: {ports: [0, -1, 70000, 80, 80]}}\n",
			[]string{"AM0206 spec.matches.ports[0]", "AM0206 spec.matches.ports[1]", "AM0206 spec.matches.ports[2]", "AM0206 spec.matches.ports[4]"}, "1 to 65535"},
		{"12 empty spec", specs4, "TCPRoute", "spec: {}\n", nil, ""},
		{"12 empty matches", specs4, "UDPRoute", "spec: {matches: {}}\n", nil, ""},
		{"13 name of ports", specs4, "TCPRoute", "spec: {matches: {name: x, ports: [80]}}\n", nil, ""},
		{"14 no port", target1, "TrafficTarget", "destination: {kind: ServiceAccount, name: b}\nspecs: []\nsources: []\n", nil, ""},
		{"15 port", target2, "TrafficTarget", permit(", port: 99999", "", ""), []string{"AM0206 spec.destination.port"}, ""},
		{"15 fraction", target2, "TrafficTarget", permit(", port: 80.5", "", ""), []string{"AM0202 spec.destination.port"}, ""},
		{"15 text", target2, "TrafficTarget", permit(`, port: "9091"`, "", ""), []string{"AM0202 spec.destination.port"}, "without quotes"},
		{"16 kind of nobody", target4, "TrafficTarget", "spec:\n  destination: {kind: Foo, name: b}\n  rules: [{kind: TCPRoute, name: g}]\n  sources: [{kind: Group, name: a}]\n",
			[]string{"AM0210 spec.destination.kind", "AM0210 spec.sources[0].kind"}, "ServiceAccount"},
		{"17 no rules, no sources", target3, "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: b}, rules: [], sources: []}\n", []string{"AM0203 spec.rules", "AM0203 spec.sources"}, ""},
		{"18 port in v1alpha3", target3, "TrafficTarget", permit(", port: 80", "", ""), []string{"AM0211 spec.destination.port"}, "TCPRoute"},
		{"19 UDPRoute in v1alpha1", target1, "TrafficTarget", "destination: {kind: ServiceAccount, name: b}\nspecs: [{kind: UDPRoute, name: u}]\nsources: [{kind: ServiceAccount, name: a}]\n", nil, ""},
		{"20 matches at the top", specs4, "HTTPRouteGroup", "matches: [{name: a}]\n", []string{"AM0211 matches"}, "under spec"},
	} {
		check(t, c)
	}
}

func TestOtherFaults(t *testing.T) {
	for _, c := range []verdict{
		{"typo", split4, "TrafficSplit", shares("{service: a, wieght: 1}"), []string{"AM0201 spec.backends[0].wieght"}, "Did you mean weight?"},
		{"typo at the top", target1, "TrafficTarget", "destination: {kind: ServiceAccount, name: b}\nspec: {a: b}\nspces: []\nsources: []\n", []string{"AM0211 spec", "AM0201 spec.spces", "AM0201 spec.a"}, "v1alpha4"},
		{"no spec of ports", specs4, "TCPRoute", "", []string{"notice AM0203 spec"}, "spec: {}"},
		{"rules in v1alpha1", target1, "TrafficTarget", "destination: {kind: ServiceAccount, name: b}\nrules: []\nsources: []\n", []string{"AM0201 spec.rules"}, "destination, specs, sources"},
		{"text for a weight", split1, "TrafficSplit", shares("{service: a, weight: much}, {service: b, weight: [1]}"), []string{"AM0207 spec.backends[0].weight", "AM0207 spec.backends[1].weight"}, "whole number"},
		{"whole text for a weight", split3, "TrafficSplit", shares("{service: a, weight: 1k}"), []string{"notice AM0207 spec.backends[0].weight"}, "without quotes"},
		{"quantity in v1alpha2", split2, "TrafficSplit", shares("{service: a, weight: 500m}"), []string{"AM0207 spec.backends[0].weight"}, "Multiply"},
		{"too far apart", split1, "TrafficSplit", shares("{service: a, weight: 1n}, {service: b, weight: 1M}"), []string{"AM0207 spec.backends"}, ""},
		{"no service", split4, "TrafficSplit", shares("{weight: 1}"), []string{"AM0203 spec.backends[0].service"}, ""},
		{"no list of backends", split4, "TrafficSplit", "spec: {service: a}\n", []string{"AM0203 spec.backends"}, ""},
		{"text for backends", split4, "TrafficSplit", "spec: {service: a, backends: b}\n", []string{"AM0202 spec.backends"}, ""},
		{"matches in v1alpha2", split2, "TrafficSplit", shares("{service: a}") + "  matches: [{kind: HTTPRouteGroup, name: g}]\n", []string{"AM0211 spec.matches"}, "v1alpha4"},
		{"match of another kind", split4, "TrafficSplit", shares("{service: a}") + "  matches: [{apiGroup: apps, kind: Foo}]\n",
			[]string{"AM0210 spec.matches[0].kind", "AM0210 spec.matches[0].apiGroup", "AM0203 spec.matches[0].name"}, "HTTPRouteGroup"},
		{"null for matches", target4, "TrafficTarget", permit("", ", {kind: HTTPRouteGroup, name: h, matches: null}", ""), []string{"AM0202 spec.rules[1].matches"}, "remove"},
		{"kind of no route", target4, "TrafficTarget", permit("", ", {kind: TCPRuote, name: h}", ""), []string{"AM0210 spec.rules[1].kind"}, "TCPRoute"},
		{"no name", target4, "TrafficTarget", permit("", ", {kind: TCPRoute}", ", {kind: ServiceAccount}"), []string{"AM0203 spec.rules[1].name", "AM0203 spec.sources[1].name"}, ""},
		{"no kind", target4, "TrafficTarget", permit("", ", {name: x}", ", {name: x}"), []string{"notice", "AM0203 spec.sources[1].kind"}, ""},
		{"matches of ports", target4, "TrafficTarget", permit("", ", {kind: TCPRoute, name: x, matches: [a]}", ""), []string{"notice AM0201 spec.rules[1].matches"}, ""},
		{"port of a source", target2, "TrafficTarget", permit("", "", ", {kind: ServiceAccount, name: c, port: 80}"), []string{"AM0201 spec.sources[1].port"}, ""},
		{"group of a binding", target4, "TrafficTarget", permit("", "", ", {kind: IdentityBinding, name: c, group: access.smi-spec.io}, {kind: IdentityBinding, name: d, group: rbac}"), []string{"AM0210 spec.sources[2].group"}, ""},
		{"no destination", target4, "TrafficTarget", "spec: {rules: [{kind: TCPRoute, name: a}], sources: [{kind: ServiceAccount, name: a}]}\n", []string{"AM0203 spec.destination"}, ""},
		{"look-ahead", specs4, "HTTPRouteGroup", group(", pathRegex: '/(?!admin).*'"), []string{"AM0204 spec.matches[0].pathRegex"}, "neither ahead nor back"},
		{"back-reference", specs4, "HTTPRouteGroup", group(`, headers: {a: '(a)\1'}`), []string{"AM0204 spec.matches[0].headers[a]"}, "no back-references"},
		{"method of two words", specs4, "HTTPRouteGroup", group(", methods: ['GET POST']"), []string{"AM0208 spec.matches[0].methods"}, "one word"},
		{"pseudo header", specs4, "HTTPRouteGroup", group(", headers: {':path': x, ':authority': y}"), []string{"AM0209 spec.matches[0].headers[:path]"}, "pathRegex"},
		{"header of two words", specs4, "HTTPRouteGroup", group(", headers: {'a b': x}"), []string{"AM0209 spec.matches[0].headers[a b]"}, "one word"},
		{"text for headers", specs4, "HTTPRouteGroup", group(", headers: x"), []string{"AM0202 spec.matches[0].headers"}, ""},
		{"texts for headers", specs4, "HTTPRouteGroup", group(", headers: [x]"), []string{"AM0209 spec.matches[0].headers"}, ""},
		{"no name of a match", specs4, "HTTPRouteGroup", "spec: {matches: [{pathRegex: /}]}\n", []string{"AM0203 spec.matches[0].name"}, ""},
		{"no matches", specs4, "HTTPRouteGroup", "spec: {}\n", []string{"AM0203 spec.matches"}, ""},
		{"unfinished match", specs4, "HTTPRouteGroup", group(", pathRegex: null"), []string{"AM0202 spec.matches[0].pathRegex"}, ""},
		{"ports in v1alpha3", specs3, "TCPRoute", "spec: {matches: {ports: [80]}}\n", []string{"AM0211 spec.matches"}, "v1alpha4"},
		{"spec in v1alpha1", specs1, "TCPRoute", "spec: {}\n", []string{"notice AM0211 spec"}, ""},
		{"unfinished ports", specs4, "TCPRoute", "spec: {matches: {ports: }}\n", []string{"AM0202 spec.matches.ports"}, ""},
		{"text for a port", specs4, "TCPRoute", "spec: {matches: {ports: [http]}}\n", []string{"AM0202 spec.matches.ports[0]"}, ""},
		{"text for a spec", specs4, "TCPRoute", "spec: x\n", []string{"AM0202 spec"}, ""},
		{"two schemes", target4, "IdentityBinding", "spec: {schemes: {serviceAccount: a, podLabelSelector: {matchLabels: {a: b}}}}\n", []string{"AM0213 spec.schemes.serviceAccount"}, ""},
		{"no scheme", target4, "IdentityBinding", "spec: {schemes: {}}\n", []string{"AM0203 spec.schemes"}, ""},
		{"no schemes", target4, "IdentityBinding", "spec: {}\n", []string{"AM0203 spec.schemes"}, ""},
		{"no labels", target4, "IdentityBinding", "spec: {schemes: {podLabelSelector: {matchLabels: {}}}}\n", []string{"AM0203 spec.schemes.podLabelSelector.matchLabels"}, ""},
		{"expressions", target4, "IdentityBinding", "spec: {schemes: {podLabelSelector: {matchLabels: {a: b}, matchExpressions: []}}}\n", []string{"AM0201 spec.schemes.podLabelSelector.matchExpressions"}, ""},
		{"IDs", target4, "IdentityBinding", "spec: {schemes: {spiffeIdentities: [spiffe://a.b/c, a.b/c/d_E, a.b, https://a/b, a/../b, A/b]}}\n",
			[]string{"AM0212 spec.schemes.spiffeIdentities[2]", "AM0212 spec.schemes.spiffeIdentities[3]", "AM0212 spec.schemes.spiffeIdentities[4]", "AM0212 spec.schemes.spiffeIdentities[5]"}, "spiffe://"},
	} {
		if c.name == "no kind" {
			c.findings[0] = "AM0203 spec.rules[1].kind"
		}
		check(t, c)
	}
}

func TestFactsOfSoundObjects(t *testing.T) {
	name := model.Name{Namespace: "shop", Name: "x"}
	for _, c := range []struct {
		apiVersion, kind, body string
		want                   model.Fact
	}{
		{split1, "TrafficSplit", shares("{service: a, weight: 1}, {service: b, weight: 500m}, {service: c}, {service: d, weight: '0.25'}, {service: e, weight: 1e1}"),
			&model.Split{Name: name, Root: "root", Backends: []model.Backend{{Service: "a", Weight: 100}, {Service: "b", Weight: 50}, {Service: "c"}, {Service: "d", Weight: 25}, {Service: "e", Weight: 1000}}}},
		{split1, "TrafficSplit", shares("{service: a, weight: 1Ki}, {service: b, weight: 1k}"),
			&model.Split{Name: name, Root: "root", Backends: []model.Backend{{Service: "a", Weight: 1024}, {Service: "b", Weight: 1000}}}},
		{specs2, "HTTPRouteGroup", "matches: [{name: a, pathRegex: /x, methods: [GET, '*'], headers: [{A: x, a: y}, {Host: z}]}, {name: b, methods: []}]\n",
			&model.RouteGroup{Name: name, Matches: []model.Match{{Name: "a", Path: "/x", Headers: []model.Header{{Name: "a", Value: "x"}, {Name: "a", Value: "y"}, {Name: "host", Value: "z"}}}, {Name: "b"}}}},
		{target1, "TrafficTarget", "destination: {kind: ServiceAccount, name: b, port: 80}\nspecs: [{kind: HTTPRouteGroup, name: g}, {kind: HTTPRouteGroup, name: h, matches: []}]\nsources: [{kind: ServiceAccount, name: a, namespace: n}]\n",
			&model.Permission{Name: name, Port: 80, Destination: model.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "b"},
				Sources: []model.Subject{{Kind: "ServiceAccount", Namespace: "n", Name: "a"}},
				Rules:   []model.Rule{{Kind: "HTTPRouteGroup", Name: "g", All: true}, {Kind: "HTTPRouteGroup", Name: "h", Matches: []string{}}}}},
		{specs1, "TCPRoute", "", &model.PortRoute{Kind: "TCPRoute", Name: name, Ports: model.AnyPort}},
		{specs4, "UDPRoute", "spec: {matches: {ports: [443, 80]}}\n", &model.PortRoute{Kind: "UDPRoute", Name: name, Ports: model.PortSet(80, 443)}},
		{target4, "IdentityBinding", "spec: {schemes: {spiffeIdentities: [a/b, 'spiffe://a/c'], serviceAccount: s}}\n",
			&model.Binding{Name: name, Account: "s", SPIFFE: []string{"spiffe://a/b", "spiffe://a/c"}}},
	} {
		got := check(t, verdict{apiVersion: c.apiVersion, kind: c.kind, body: c.body})
		if !reflect.DeepEqual(got, []model.Fact{c.want}) {
			t.Errorf("%s\n%s\nmeans %s\nand not %s", c.apiVersion, c.body, show(got), show([]model.Fact{c.want}))
		}
	}
}

// TestFaultsAllowNothing asserts for every fault that what it is part of has no effect.
func TestFaultsAllowNothing(t *testing.T) {
	for _, c := range []struct{ apiVersion, kind, body string }{
		{specs4, "HTTPRouteGroup", group(", pathRegex: '(['")},
		{specs4, "HTTPRouteGroup", group(", query: x")},
		{specs4, "HTTPRouteGroup", group(", headers: {x: 1}")},
		{specs4, "HTTPRouteGroup", group(", headers: null")},
		{specs4, "HTTPRouteGroup", group(", methods: [get, POST]")},
		{specs4, "HTTPRouteGroup", "matches: [{name: a}]\n"},
		{specs4, "HTTPRouteGroup", group("") + "  host: x\n"},
		{specs1, "HTTPRouteGroup", "matches: [{name: a, headers: {a: b}}]\n"},
		{specs4, "TCPRoute", "spec: {matches: {ports: [80, 0]}}\n"},
		{specs4, "TCPRoute", "spec: {matches: {port: 80}}\n"},
		{specs4, "TCPRoute", "spec: {ports: [80]}\n"},
		{specs3, "TCPRoute", "spec: {matches: {ports: [80]}}\n"},
		{target3, "TrafficTarget", permit(", port: 80", "", "")},
		{target4, "TrafficTarget", permit("", ", {kind: TCPRuote, name: h}", "")},
		{target4, "TrafficTarget", permit("", "", ", {kind: ServiceAccount, name: c, port: 80}")},
		{target4, "TrafficTarget", permit("", ", {kind: HTTPRouteGroup, name: h, matches: null}", "")},
		{target4, "IdentityBinding", "spec: {schemes: {serviceAccount: a, podLabelSelector: {matchLabels: {a: b}}}}\n"},
		{target4, "IdentityBinding", "spec: {schemes: {spiffeIdentities: [x]}}\n"},
		{split4, "TrafficSplit", shares("{service: a, weight: -3}, {service: b, weight: 1}")},
	} {
		it, findings := smi.Decode(read(t, write(c.apiVersion, c.kind, c.body)))
		if len(findings) == 0 {
			t.Errorf("%s: no finding", c.body)
		}
		for _, f := range it.Facts("") {
			if !idle(f) {
				t.Errorf("%s\nhas an effect: %s", c.body, show([]model.Fact{f}))
			}
		}
	}
	p := check(t, verdict{"", target3, "TrafficTarget", permit(", port: 80", "", ""), []string{"AM0211 spec.destination.port"}, ""})[0].(*model.Permission)
	if p.Destination.Name != "b" {
		t.Errorf("the destination of a broken permission is lost: %+v", p)
	}
	g := check(t, verdict{"", specs4, "HTTPRouteGroup", "spec: {matches: [{name: a}, {name: b, x: y}, {name: a}, {name: c}]}\n", []string{"AM0201 spec.matches[1].x", "AM0205 spec.matches[2].name"}, ""})[0].(*model.RouteGroup)
	if !g.Matches[0].Never || !g.Matches[1].Never || !g.Matches[2].Never || g.Matches[3].Never {
		t.Errorf("the wrong matches are broken: %+v", g.Matches)
	}
	list, _ := object.Parse("x", []byte(write(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegex: /a, pathRegex: /}]}\n")))
	if it, _ := smi.Decode(list[0]); !idle(it.Facts("")[0]) {
		t.Error("a match with one field twice has an effect")
	}
}

// idle says whether a fact has no effect of its own.
func idle(f model.Fact) bool {
	switch f := f.(type) {
	case *model.Split:
		return f.Broken
	case *model.RouteGroup:
		for _, m := range f.Matches {
			if !m.Never {
				return false
			}
		}
		return true
	case *model.PortRoute:
		return f.Ports.Empty()
	case *model.Permission:
		return f.Broken
	case *model.Binding:
		return f.Broken
	}
	return false
}

func TestNamespaceAndPathAnnotation(t *testing.T) {
	text := "apiVersion: " + specs4 + "\nkind: HTTPRouteGroup\nmetadata:\n  name: x\n  annotations: {anymesh.dev/path-regex: HOW}\n" + group("")
	it, findings := smi.Decode(read(t, strings.Replace(text, "HOW", "full", 1)))
	if f := it.Facts("")[0].(*model.RouteGroup); len(findings) > 0 || !f.FullPath || f.Name.Namespace != "default" {
		t.Errorf("%+v, %+v", findings, f)
	}
	if f := it.Facts("other")[0].(*model.RouteGroup); f.Name.Namespace != "other" {
		t.Errorf("%+v", f)
	}
	it, findings = smi.Decode(read(t, strings.Replace(text, "HOW", "Full", 1)))
	if len(findings) != 1 || !idle(it.Facts("")[0]) {
		t.Errorf("%+v", findings)
	}
}
