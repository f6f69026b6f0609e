// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
)

// facts writes what was read in one line each.
func facts(list []model.Fact) string {
	var out []string
	for _, f := range list {
		switch f := f.(type) {
		case *model.Split:
			line := "split " + f.Name.Name + " of " + f.Root + " matches " + fmt.Sprint(f.Groups) + ":"
			for _, b := range f.Backends {
				line += fmt.Sprintf(" %s=%d", b.Service, b.Weight)
			}
			out = append(out, line)
		case *model.RouteGroup:
			line := "group " + f.Name.Name
			if f.FullPath {
				line += " full"
			}
			for _, m := range f.Matches {
				line += fmt.Sprintf(" {%s %s %s %v}", m.Name, m.Path, strings.Join(m.Methods, "|"), m.Headers)
			}
			out = append(out, line)
		default:
			out = append(out, fmt.Sprintf("%T %s", f, f.Ref()))
		}
	}
	return strings.Join(out, "\n")
}

func TestImportRoute(t *testing.T) {
	for _, c := range []struct {
		name, spec, want string
		left             string // paths of what was not understood
	}{
		{"short names, no port", `hosts: [catalog]
  http:
  - route: [{destination: {host: catalog-v1}, weight: 90}, {destination: {host: catalog-v2}, weight: 10}]`,
			"group vs {m0   []}\nsplit vs of catalog matches [vs]: catalog-v1=90 catalog-v2=10", ""}, // raw TCP is not split
		{"both layers", `hosts: [catalog.shop.svc.cluster.local]
  http:
  - route: [{destination: {host: catalog-v1}, weight: 90}, {destination: {host: catalog-v2}, weight: 10}]
  tcp:
  - route: [{destination: {host: catalog-v1}, weight: 9}, {destination: {host: catalog-v2}, weight: 1}]
  tls:
  - match: [{port: 443, sniHosts: [catalog.shop.svc.cluster.local]}]
    route: [{destination: {host: catalog-v1}, weight: 9}, {destination: {host: catalog-v2}, weight: 1}]`,
			"split vs of catalog matches []: catalog-v1=90 catalog-v2=10", ""},
		{"matches", `hosts: [catalog]
  http:
  - name: beta
    match:
    - {uri: {prefix: /a.b}, method: {exact: GET}, headers: {X-User: {exact: a.b}}}
    - {uri: {regex: "/v[0-9]+"}, authority: {prefix: cat}}
    - {method: {regex: GET|POST}, headers: {x: {}}}
    route: [{destination: {host: catalog-v2}}]
  - route: [{destination: {host: catalog}}]`,
			`group beta full {m0 /a\.b.* GET [{x-user a\.b}]} {m1 /v[0-9]+  [{host cat.*}]} {m2  GET|POST [{x .*}]}
split beta of catalog matches [beta]: catalog-v2=1`, ""},
		{"order by number", `hosts: [catalog]
  http:
  - match: [{uri: {prefix: /b}}]
    route: [{destination: {host: catalog-v2}}]
  - match: [{uri: {prefix: /}}]
    route: [{destination: {host: catalog-v1}}]
  - route: [{destination: {host: catalog}}]`,
			`group vs-01 {m0 /b  []}
split vs-01 of catalog matches [vs-01]: catalog-v2=1
group vs-02 {m0 /  []}
split vs-02 of catalog matches [vs-02]: catalog-v1=1`, ""},
		{"what restricts a match removes it", `hosts: [catalog]
  http:
  - match: [{uri: {prefix: /b}, queryParams: {q: {exact: x}}}, {uri: {prefix: /c}, sourceLabels: {a: b}}, {uri: {prefix: /d}}]
    route: [{destination: {host: catalog-v2}}]
    timeout: 5s
  - route: [{destination: {host: catalog}}]`,
			`group vs {m0 /d  []}
split vs of catalog matches [vs]: catalog-v2=1`,
			"spec.http[0].match[0].queryParams spec.http[0].match[1].sourceLabels spec.http[0].timeout"},
		{"subsets", `hosts: [catalog]
  http:
  - match: [{uri: {prefix: /b}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - route: [{destination: {host: catalog}}]`, "", "spec.http[0].route[0].destination.subset"},
		{"redirects", `hosts: [catalog]
  http:
  - match: [{uri: {prefix: /b}}]
    redirect: {uri: /c}
  - route: [{destination: {host: catalog}}]`, "", "spec.http[0].redirect"},
		{"refused requests", `hosts: [catalog]
  http:
  - match: [{uri: {prefix: /b}}]
    route: [{destination: {host: catalog-v2}}]`,
			"group vs {m0 /b  []}\nsplit vs of catalog matches [vs]: catalog-v2=1", "spec.http"},
		{"gateways", `hosts: [catalog]
  gateways: [front]
  http:
  - route: [{destination: {host: catalog-v2}}]`, "", "spec.gateways"},
		{"foreign host", `hosts: [shop.example.com]
  http:
  - route: [{destination: {host: catalog-v2}}]`, "split vs of shop.example.com matches []: catalog-v2=1", ""},
		{"another namespace", `hosts: [catalog]
  http:
  - match: [{uri: {prefix: /b}}]
    route: [{destination: {host: x.lab.svc.cluster.local}}]
  - route: [{destination: {host: catalog}}]`, "", "spec.http[0].route[0].destination.host"},
		{"misspelt", `hosts: [catalog]
  http:
  - match: [{urii: {prefix: /b}}]
    route: [{destination: {host: catalog-v2}}]
  - route: [{destination: {host: catalog}}]`, "", "spec.http[0].match[0].urii"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, _ := imported(t, world(shop()...), "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs, namespace: shop}\nspec:\n  "+c.spec+"\n")
			if got := facts(in.Facts); got != c.want {
				t.Errorf("read:\n%s\nwant:\n%s", got, c.want)
			}
			var left []string
			for _, f := range in.Findings {
				left = append(left, f.Path)
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("left out: %s, want %s\n%+v", got, c.left, in.Findings)
			}
			if (c.left != "") != (len(in.Kept) > 0) {
				t.Errorf("kept aside: %d objects", len(in.Kept))
			}
		})
	}
}

func TestUnwrap(t *testing.T) {
	for regex, want := range map[string]string{"(?:/a|/b).*": "/a|/b", "(?:a)|(?:b).*": "-", `(?:a\).*`: "-", "/a.*": "-", "(?:).*": ""} {
		got, ok := unwrap(regex)
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%q holds %q, want %q", regex, got, want)
		}
	}
	for _, p := range paths {
		if got, ok := unwrap(model.PathExpression(p, false)); !ok || got != p {
			t.Errorf("%q reads back as %q (%v)", p, got, ok)
		}
	}
}
