// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
)

// permissions writes permissions with what they lead to in one line each.
func permissions(list []model.Fact) string {
	var out []string
	for _, f := range list {
		switch f := f.(type) {
		case *model.Permission:
			line := f.Name.String() + " to " + string(f.Destination.Kind) + " " + f.Destination.Name + " from"
			for _, s := range f.Sources {
				line += " " + string(s.Kind) + " " + s.Namespace + "/" + s.Name
			}
			for _, r := range f.Rules {
				line += " by " + string(r.Kind) + " " + r.Name
			}
			out = append(out, line)
		case *model.PortRoute:
			out = append(out, fmt.Sprintf("ports %s %v %v", f.Name.Name, f.Ports.Any, f.Ports.List))
		case *model.Binding:
			out = append(out, fmt.Sprintf("binding %s %v %v", f.Name.Name, f.SPIFFE, f.Pods))
		case *model.Settings:
			out = append(out, "access "+f.Access.String())
		default:
			out = append(out, facts([]model.Fact{f}))
		}
	}
	return strings.Join(out, "\n")
}

const webCaller = `from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]`

func TestImportAccess(t *testing.T) {
	for _, c := range []struct {
		name, spec, want string
		left             string // paths of what was not understood
	}{
		{"requests of an account", `selector: {matchLabels: {version: v3}}
  action: ALLOW
  rules: [{` + webCaller + `, to: [{operation: {methods: [GET], paths: [/a, /b*]}}]}]`,
			"group p full {m0 /a|/b.* GET []}\nshop/p to ServiceAccount canary from ServiceAccount shop/web by HTTPRouteGroup p", ""},
		{"a prefix stays one", `selector: {matchLabels: {version: v3}}
  rules: [{` + webCaller + `, to: [{operation: {paths: [/b.c*], ports: ["8080"]}}]}]`,
			"group p {m0 /b\\.c  []}\nports p false [8080]\nshop/p to ServiceAccount canary from ServiceAccount shop/web by HTTPRouteGroup p by TCPRoute p", ""},
		{"raw TCP", `selector: {matchLabels: {version: v3}}
  rules: [{` + webCaller + `}]`, "ports p true []\nshop/p to ServiceAccount canary from ServiceAccount shop/web by TCPRoute p", ""},
		{"headers and callers", `selector: {matchLabels: {version: v3}}
  rules: [{from: [{source: {serviceAccounts: [web, lab/x]}}, {source: {principals: [other.example/a]}}], when: [{key: "request.headers[X-User]", values: [a, b*, "*c"]}, {key: "request.headers[:authority]", values: ["*"]}]}]`,
			"binding p-caller [spiffe://other.example/a] map[]\ngroup p {m0   [{x-user a|b.*|.*c} {host .*}]}\n" +
				"shop/p to ServiceAccount canary from ServiceAccount shop/web ServiceAccount lab/x IdentityBinding shop/p-caller by HTTPRouteGroup p", ""},
		{"some of an account", `selector: {matchLabels: {version: v2}}
  rules: [{` + webCaller + `}]`,
			"binding p [] map[version:v2]\nports p true []\nshop/p to IdentityBinding p from ServiceAccount shop/web by TCPRoute p", ""},
		{"two accounts", `selector: {matchLabels: {app: catalog}}
  rules: []`, "shop/p to ServiceAccount canary from\nshop/p-2 to ServiceAccount catalog from", ""},
		{"nobody", `selector: {matchLabels: {version: v3}}`, "shop/p to ServiceAccount canary from", ""},
		{"what restricts removes", `selector: {matchLabels: {version: v3}}
  rules:
  - {from: [{source: {principals: [cluster.local/ns/shop/sa/web], ipBlocks: [10.0.0.0/8]}}]}
  - {` + webCaller + `, to: [{operation: {paths: [/a], notMethods: [GET]}}, {operation: {ports: ["1"]}}]}
  - {` + webCaller + `, when: [{key: source.ip, values: [10.1.1.1]}]}
  - {` + webCaller + `, when: [{key: "request.headers[a]", notValues: [b]}]}
  - {to: [{operation: {paths: [/a]}}]}`,
			"ports p false [1]\nshop/p to ServiceAccount canary from ServiceAccount shop/web by TCPRoute p",
			"spec.rules[0].from[0].source.ipBlocks spec.rules[1].to[0].operation.notMethods spec.rules[3].when[0].notValues spec.rules[2].when[0] spec.rules[4]"},
		{"refusals", `selector: {matchLabels: {version: v3}}
  action: DENY
  rules: [{` + webCaller + `}]`, "shop/p to ServiceAccount canary from", "spec.action"},
		{"logs", "action: AUDIT", "", "spec.action"},
		{"waypoints", "targetRefs: [{kind: Service, name: catalog}]", "", "spec.targetRefs"},
		{"labels of nobody", `selector: {matchLabels: {app: none}}
  rules: [{}]`, "", "spec.selector"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, _ := imported(t, world(shop()...), "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n  "+c.spec+"\n")
			if got := permissions(in.Facts); got != c.want {
				t.Errorf("read:\n%s\nwant:\n%s", got, c.want)
			}
			var left []string
			for _, f := range in.Findings {
				left = append(left, f.Path)
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("left out: %s, want %s\n%+v", got, c.left, in.Findings)
			}
		})
	}
	t.Run("all of the mesh", func(t *testing.T) {
		in, back := imported(t, world(shop()...), "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec: {}\n")
		if permissions(in.Facts) != "access deny" || back.Settings().Access != model.AccessDeny || len(in.Findings) > 0 {
			t.Errorf("read %s %+v", permissions(in.Facts), in.Findings)
		}
	})
	t.Run("other kinds", func(t *testing.T) {
		in, _ := imported(t, world(shop()...), "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: shop}\nspec: {host: catalog}\n---\n"+
			"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: d, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\n")
		if len(in.Findings) != 2 || in.Findings[0].Level != model.Unsupported || in.Findings[1].Level != model.Notice || len(in.Kept) != 1 {
			t.Errorf("%+v", in.Findings)
		}
	})
}

// TestTemplates holds that Istio's own path templates come back as they were, and that nothing else is taken for one.
func TestTemplates(t *testing.T) {
	w := world(shop()...)
	_, back := imported(t, w, "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n"+
		"  selector: {matchLabels: {version: v3}}\n  rules: [{"+webCaller+", to: [{operation: {paths: [\"/a.b/{*}/c/{**}\", /d*, \"/x/{**}/y\"]}}]}]\n")
	out := translate(back)
	if got := toldOf(out); !strings.Contains(got, "- /a.b/{*}/c/{**}\n        - /d*\n        - /x/{**}/y\n") || len(out.findings) > 0 {
		t.Errorf("said again:\n%s", got)
	}
}
