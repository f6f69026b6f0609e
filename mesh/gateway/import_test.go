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

// route is an HTTPRoute of catalog's port 80 with the rules given in YAML's flow style.
func route(n, rules string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " + n + ", namespace: shop}\nspec:\n" +
		"  parentRefs: [{group: \"\", kind: Service, name: catalog, port: 80}]\n  rules: [" + rules + "]\n---\n"
}

const (
	toV1   = "backendRefs: [{name: v1, port: 80}]"
	toV2   = "backendRefs: [{name: v2, port: 80}]"
	toRoot = "{backendRefs: [{name: catalog, port: 80}]}"
)

// TestRead holds what routes are as splits, by where requests then go.
func TestRead(t *testing.T) {
	for title, c := range map[string]struct {
		text string
		goes map[string]string // method, path and header u, to the backend; empty: the root
	}{
		"weights": {route("r", "{backendRefs: [{name: v1, port: 80, weight: 1}, {name: v2, port: 80, weight: 0}]}"), map[string]string{"GET /": "v1"}},
		"most specific first": {route("r", "{matches: [{path: {value: /}}], "+toV1+"}, {matches: [{path: {type: Exact, value: /a}}], "+toV2+"}"),
			map[string]string{"GET /a": "v2", "GET /a/b": "v1"}},
		"longest prefix": {route("r", "{matches: [{path: {value: /a}}], "+toV1+"}, {matches: [{path: {value: /a/b/}}], "+toV2+"}, "+toRoot),
			map[string]string{"GET /a": "v1", "GET /a/b": "v2", "GET /a/bc": "v1", "GET /ab": ""}},
		"method before headers": {route("r", "{matches: [{headers: [{name: U, value: x}]}], "+toV1+"}, {matches: [{method: GET}], "+toV2+"}, "+toRoot),
			map[string]string{"GET / x": "v2", "POST / x": "v1", "POST /": ""}},
		"two routes, the older first": {route("b", "{matches: [{method: GET}], "+toV2+"}, "+toRoot) + route("a", "{matches: [{method: GET}], "+toV1+"}"),
			map[string]string{"GET /": "v1", "POST /": ""}},
		"expression": {route("r", "{matches: [{path: {type: RegularExpression, value: \"/v[0-9]+\"}}], "+toV1+"}, {matches: [{path: {type: RegularExpression, value: \".*\"}}], backendRefs: [{name: catalog, port: 80}]}"),
			map[string]string{"GET /v1": "v1", "GET /v1/x": "", "GET /": ""}},
		"gRPC": {"apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: g, namespace: shop}\nspec:\n  parentRefs: [{group: \"\", kind: Service, name: catalog}]\n" +
			"  rules: [{matches: [{method: {service: a.B}}], " + toV1 + "}, {matches: [{method: {service: a.B, method: C}}], " + toV2 + "}, " + toRoot + "]\n",
			map[string]string{"POST /a.B/X": "v1", "POST /a.B/C": "v2", "POST /aXB/C": ""}},
		"TCP has the port where nothing else has": {strings.NewReplacer("HTTPRoute", "TCPRoute").Replace(route("r", "{"+toV1+"}")), map[string]string{"GET /": "v1"}},
	} {
		t.Run(title, func(t *testing.T) {
			in, w := imported(t, shop(), c.text)
			if slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate }) {
				t.Errorf("%+v", in.Findings)
			}
			for asked, want := range c.goes {
				f := strings.Fields(asked)
				q := get(f[1], map[string][]string{})
				if q.Method = f[0]; len(f) > 2 {
					q.Headers["u"] = []string{f[2]}
				}
				if want == "" {
					want = "catalog"
				}
				v, err := model.Evaluate(w, q)
				if err != nil || len(v.Backends) != 1 || v.Backends[0].Service.Name != want {
					t.Errorf("%s goes to %+v (%v), want %s", asked, v, err, want)
				}
			}
		})
	}
}

// TestNotUnderstood holds that what SMI cannot say is reported at its place, and the object kept.
func TestNotUnderstood(t *testing.T) {
	for title, c := range map[string]struct {
		text, path string
		splits     int
	}{
		"filter":         {route("r", "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}], "+toV1+"}"), "spec.rules[0].filters", 1},
		"mirror":         {route("r", "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}], "+toV1+"}"), "spec.rules[0].filters", 1},
		"redirect":       {route("r", "{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}, "+toRoot), "spec.rules[0].filters", 0},
		"timeout":        {route("r", "{timeouts: {request: 5s}, "+toV1+"}"), "spec.rules[0].timeouts", 1},
		"backend filter": {route("r", "{backendRefs: [{name: v1, port: 80, filters: [{type: RequestHeaderModifier}]}]}"), "spec.rules[0].backendRefs[0].filters", 0},
		"query":          {route("r", "{matches: [{queryParams: [{name: q, value: x}]}, {method: GET}], "+toV1+"}, "+toRoot), "spec.rules[0].matches[0].queryParams", 1},
		"no last rule":   {route("r", "{matches: [{method: GET}], "+toV1+"}"), "spec.rules", 1},
		"no weight":      {route("r", "{backendRefs: [{name: v1, port: 80, weight: 0}]}"), "spec.rules[0].backendRefs", 0},
		"other port":     {route("r", "{backendRefs: [{name: v1, port: 81}]}, "+toRoot), "spec.rules[0].backendRefs[0].port", 0},
		"other space":    {route("r", "{backendRefs: [{name: v1, namespace: lab, port: 80}]}, "+toRoot), "spec.rules[0].backendRefs[0]", 0},
		"not RE2":        {route("r", "{matches: [{path: {type: RegularExpression, value: \"/(?=a)\"}}], "+toV1+"}, "+toRoot), "spec.rules[0].matches[0].path", 0},
		"host header":    {route("r", "{matches: [{headers: [{name: Host, value: x}]}], "+toV1+"}, "+toRoot), "spec.rules[0].matches[0].headers[0]", 0},
		"gateway":        {strings.Replace(route("r", "{"+toV1+"}"), "group: \"\", kind: Service, name: catalog, port: 80", "name: ingress", 1), "spec.parentRefs[0]", 0},
		"consumer":       {strings.Replace(route("r", "{"+toV1+"}"), "name: catalog", "namespace: lab, name: catalog", 1), "spec.parentRefs[0]", 0},
		"TLSRoute":       {strings.Replace(route("r", "{"+toV1+"}"), "HTTPRoute", "TLSRoute", 1), "spec", 0},
		"Gateway":        {strings.Replace(route("r", "{"+toV1+"}"), "HTTPRoute", "Gateway", 1), "spec", 0},
	} {
		t.Run(title, func(t *testing.T) {
			in, _ := imported(t, shop(), c.text)
			splits := 0
			for _, f := range in.Facts {
				if f.Ref().Kind == model.KindSplit {
					splits++
				}
			}
			if !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level == model.Unsupported && f.Path == c.path }) || len(in.Kept) != 1 || splits != c.splits {
				t.Errorf("%d splits, %d kept, %+v", splits, len(in.Kept), in.Findings)
			}
		})
	}
}

// TestNear holds what is read, and may not be as it was: reported, not kept.
func TestNear(t *testing.T) {
	in, _ := imported(t, shop(), route("r", "{matches: [{path: {type: RegularExpression, value: \"/a.*\"}}], "+toV1+"}, {matches: [{path: {value: /a}}], "+toV2+"}, "+toRoot))
	if len(in.Findings) != 1 || in.Findings[0].Level != model.Approximate || len(in.Kept) != 0 {
		t.Errorf("an expression beside a prefix: %+v", in.Findings)
	}
	in, _ = imported(t, shop(), strings.Replace(route("r", "{matches: [{headers: [{name: u, value: x}, {name: U, value: y}]}], "+toV1+"}, "+toRoot), "spec:", "spec:\n  hostnames: [a.example]", 1))
	if len(in.Findings) != 2 || in.Findings[0].Level != model.Notice || in.Findings[1].Level != model.Notice {
		t.Errorf("hostnames, and a header twice: %+v", in.Findings)
	}
}

// TestPorts holds that ports which are routed alike are one split, and that others are reported.
func TestPorts(t *testing.T) {
	ports := []model.ServicePort{{Name: "http", Number: 80, Protocol: model.HTTP}, {Name: "http-b", Number: 81, Protocol: model.HTTP}}
	both := func() []model.Fact {
		return []model.Fact{service("catalog", ports...), service("v1", ports...), service("v2", ports[0])}
	}
	second := strings.NewReplacer("port: 80", "port: 81", "name: r", "name: r2")
	first := route("r", "{matches: [{method: GET}], backendRefs: [{name: v1, port: 80, weight: 9}, {name: v2, port: 80, weight: 1}]}, "+toRoot)
	in, _ := imported(t, world(both()...), first+second.Replace(route("r", "{matches: [{method: GET}], "+toV1+"}, "+toRoot)))
	if len(in.Findings) > 0 || len(in.Facts) != 2 {
		t.Errorf("alike but for a backend without the port: %+v %+v", in.Facts, in.Findings)
	}
	in, _ = imported(t, world(both()...), first+second.Replace(route("r", "{matches: [{method: PUT}], "+toV1+"}, "+toRoot)))
	if len(in.Kept) != 2 || len(in.Facts) != 0 {
		t.Errorf("not alike: %+v %+v", in.Facts, in.Findings)
	}
}

// TestBack holds that routes which were written for random splits read back as what they were written for.
func TestBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	paths := append(slices.Clone(parts.plain), parts.expressions...)
	for n := range 60 {
		var facts []model.Fact
		for i := range 1 + r.IntN(3) {
			g := fmt.Sprintf("g%d", i)
			facts = append(facts, split(fmt.Sprintf("s%d", i), fmt.Sprintf("v%d", i+1), g), group1(g, randomMatch(r, paths), randomMatch(r, paths)))
		}
		s := shop(facts...)
		o := said(s)
		in, back := imported(t, shop(), textOf(o.Objects))
		if len(in.Findings) > 0 {
			t.Fatalf("world %d: %+v", n, in.Findings)
		}
		for range 30 {
			if err := compare(back, o.Objects, randomRequest(r)); err != nil {
				t.Fatalf("world %d, read back: %v\n%s", n, err, textOf(o.Objects))
			}
		}
	}
}
