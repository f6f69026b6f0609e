// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// imported reads objects beside the shop.
func imported(t *testing.T, text string) (*mesh.Input, *store.Store) {
	t.Helper()
	s := worldOf(t, "")
	list, problems := object.Parse("test", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := mesh.Input{Objects: list, World: s, Mesh: "cilium"}
	importAll(&in)
	for _, f := range in.Facts {
		s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return &in, s
}

const head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n"

const selectDB = "  endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: db}}\n"

// TestImport holds what is read of policies that others wrote, and what is left: that is refused.
func TestImport(t *testing.T) {
	fromWeb := "fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: web}}]"
	for _, c := range []struct {
		name, spec           string
		raw, get, other, udp bool   // web reaches 5432 by TCP, 8080 by GET /api?x=1, 8080 by GET /other, 53 by UDP
		left                 string // path of a finding; none: nothing is left
		open                 bool   // nobody is closed
		beta                 bool   // pods of web with track=beta reach 5432
	}{
		{name: "one port", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", raw: true},
		{name: "any protocol", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"53\"}]}]}]", udp: true},
		{name: "callers alone", spec: selectDB + "  ingress: [{" + fromWeb + "}]", raw: true, get: true, other: true, udp: true},
		{name: "requests", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{method: GET, path: '/api(\\?.*)?|/v1.*'}]}}]}]", get: true},
		{name: "requests with any query", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{method: GET, path: '/api(?:\\?.*)?|/v1.*'}]}}]}]", get: true},
		{name: "a path without a query", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{path: /api}, {path: /other.*}]}}]}]", other: true, left: "spec.ingress[0].toPorts[0].rules.http[0].path"},
		{name: "a header that is mended", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{headerMatches: [{name: x, value: y, mismatch: REPLACE}]}]}}]}]", left: "spec.ingress[0].toPorts[0].rules.http[0].headerMatches[0].mismatch"},
		{name: "everybody", spec: selectDB + "  ingress: [{toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", left: "spec.ingress[0].fromEndpoints"},
		{name: "entities", spec: selectDB + "  ingress: [{fromEntities: [cluster]}, {" + fromWeb + ", toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", raw: true, left: "spec.ingress[0].fromEntities"},
		{name: "refusals", spec: selectDB + "  ingress: [{" + fromWeb + "}]\n  ingressDeny: [{fromEndpoints: [{matchLabels: {app: web}}]}]", left: "spec.ingress"},
		{name: "pods", spec: selectDB + "  ingress: [{fromEndpoints: [{matchLabels: {track: beta}}], toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", beta: true},
		{name: "by label", spec: "  endpointSelector: {matchLabels: {app: db}}\n  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", raw: true},
		{name: "by expression", spec: "  endpointSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}\n  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", raw: true},
		{name: "named port", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: raw, protocol: TCP}]}]}]", left: "spec.ingress[0].toPorts[0].ports[0]"},
		{name: "a range", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"5400\", endPort: 5500, protocol: TCP}]}]}]", raw: true},
		{name: "a long range", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"1024\", endPort: 65535, protocol: TCP}]}]}]", left: "spec.ingress[0].toPorts[0].ports"},
		{name: "nobody", spec: selectDB + "  ingress: [{}]"},
		{name: "what pods call", spec: selectDB + "  egress: [{}]", left: "spec.egress", open: true, raw: true, get: true, other: true, udp: true, beta: true},
		{name: "authentication", spec: selectDB + "  ingress: [{" + fromWeb + ", authentication: {mode: required}, toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]}]", raw: true},
		{name: "server names", spec: selectDB + "  ingress: [{" + fromWeb + ", toPorts: [{ports: [{port: \"5432\", protocol: TCP}], serverNames: [a.example]}]}]", left: "spec.ingress[0].toPorts[0].serverNames"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, s := imported(t, head+c.spec)
			reaches := func(port uint16, q model.Request) bool {
				q.Service = model.Name{Namespace: "shop", Name: "db"}
				a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: "db"})
				ok, _, _ := a.Admit(a.Workloads[0].Workload, port, &q, "db.shop")
				return ok
			}
			get, other, raw, udp, beta := web, web, web, web, web
			get.Path, other.Path, raw.Layer, udp.Layer, beta.Layer = "/api?x=1", "/other", model.LayerStream, model.LayerDatagram, model.LayerStream
			beta.Pod = map[string]string{"app": "web", "track": "beta"}
			got := []bool{reaches(5432, raw), reaches(8080, get), reaches(8080, other), reaches(53, udp), reaches(5432, beta)}
			if want := []bool{c.raw, c.get, c.other, c.udp, c.beta || c.raw}; !slices.Equal(got, want) {
				t.Errorf("web reaches %v, want %v: %+v", got, want, in.Findings)
			}
			left := slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level == model.Unsupported })
			if left != (c.left != "") || left && !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return strings.HasPrefix(f.Path, c.left) }) {
				t.Errorf("left are %+v, want %s", in.Findings, c.left)
			}
			stranger := model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "stranger"}, Layer: model.LayerStream}
			if reaches(5432, stranger) != c.open {
				t.Errorf("a stranger is admitted: %v", !c.open)
			}
		})
	}
}

// TestImportCluster holds that a policy of the cluster that closes all of it is a setting, and that one which refuses takes all permissions.
func TestImportCluster(t *testing.T) {
	closed := strings.Replace(textOf(Driver.Globals(&model.Settings{Access: model.AccessDeny}).Objects), "\n", " ", -1)
	if _, s := imported(t, closed); s.Settings().Access != model.AccessDeny {
		t.Error("what closes the mesh does not read back")
	}
	in, s := imported(t, "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: c}\nspec: {endpointSelector: {}, ingressDeny: [{fromEntities: [world]}]}\n---\n"+
		head+selectDB+"  ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: web}}]}]")
	a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: "db"})
	if len(a.Grants) != 1 || !a.Grants[0].Empty() || len(in.Kept) == 0 {
		t.Errorf("%+v", a.Grants)
	}
}
