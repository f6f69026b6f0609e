// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// leftOf are the findings of an import about one object, as a person reads them.
func leftOf(in *mesh.Input, name string) (out []string) {
	for _, f := range in.Findings {
		if f.Object.Name.Name == name && f.Level >= model.Approximate {
			out = append(out, f.Path+": "+f.Message)
		}
	}
	return out
}

func facts[T model.Fact](in *mesh.Input) (out []T) {
	for _, f := range in.Facts {
		if x, ok := f.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

func document(apiVersion, kind, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: shop}\nspec: %s\n", apiVersion, kind, name, spec)
}

const linkerdSMI = `---
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: catalog.shop.svc.cluster.local, namespace: shop}
spec:
  dstOverrides:
  - {authority: catalog.shop.svc.cluster.local, weight: 900m}
  - {authority: "catalog-v2.shop.svc.cluster.local.:80", weight: 100m}
  routes:
  - {name: GET /books, condition: {method: GET, pathRegex: "/books(/[^/]+)?"}}
  - {name: either, condition: {pathRegex: "/a|/b"}}
  - {name: retried, condition: {method: POST, pathRegex: /pay}, isRetryable: true}
`

// What linkerd-smi wrote is what its users still run.
func TestProfiles(t *testing.T) {
	s := world(t, shop)
	in, back := imported(t, s, linkerdSMI)
	splits := facts[*model.Split](in)
	if len(splits) != 1 || splits[0].Root != "catalog" || fmt.Sprint(splits[0].Backends) != "[{catalog 900} {catalog-v2 100}]" {
		t.Fatalf("%+v", splits)
	}
	groups := facts[*model.RouteGroup](in)
	if len(groups) != 1 || !groups[0].FullPath || len(groups[0].Matches) != 2 || groups[0].Matches[0].Name != "GET /books" || groups[0].Matches[1].Name != "retried" {
		t.Fatalf("%+v", groups)
	}
	left := leftOf(in, "catalog.shop.svc.cluster.local")
	if len(left) != 2 || !strings.Contains(left[0], "isRetryable") || !strings.Contains(left[1], "routes[1]") {
		t.Errorf("%q", left)
	}
	v, err := model.Evaluate(back, ask("web", "GET", "/"))
	if err != nil || len(v.Backends) != 2 || v.Backends[0].Share != 0.9 {
		t.Errorf("%+v %v", v, err)
	}
	for text, want := range map[string]string{"1": "[{catalog 1} {catalog-v2 2}]", `"1"`: "[{catalog 1} {catalog-v2 2}]", "1500m": "[{catalog 1500} {catalog-v2 2000}]", "1k": "[{catalog 1000} {catalog-v2 2}]", "0.5": "[{catalog 500} {catalog-v2 2000}]",
		"-1": "", "1x": "", "1u": ""} {
		in, _ := imported(t, s, document("linkerd.io/v1alpha2", "ServiceProfile", "catalog.shop.svc.cluster.local",
			"{dstOverrides: [{authority: catalog.shop.svc.cluster.local, weight: "+text+"}, {authority: catalog-v2.shop.svc.cluster.local, weight: 2}]}"))
		got := ""
		for _, x := range facts[*model.Split](in) {
			got += fmt.Sprint(x.Backends)
		}
		if got != want || (want == "") != (len(in.Kept) == 1) {
			t.Errorf("weight %s: %s, want %s; %v", text, got, want, in.Findings)
		}
	}
}

const weighted = `{parentRefs: [{group: core, kind: Service, name: catalog, port: 80}], rules: [{backendRefs: [{name: catalog, port: 80, weight: 3}, {name: catalog-v2, port: 80, weight: 1}]}]}`

// A ServiceProfile overrides the routes of its Service: what they say has no effect, until it is deleted.
func TestProfilesOverrideRoutes(t *testing.T) {
	s := world(t, shop)
	route := document("gateway.networking.k8s.io/v1", "HTTPRoute", "r", weighted)
	in, _ := imported(t, s, route+linkerdSMI)
	if n := facts[*model.Split](in); len(n) != 1 || n[0].Backends[0].Weight != 900 {
		t.Errorf("the profile's split, want: %+v", n)
	}
	if left := leftOf(in, "r"); len(left) != 1 || !strings.Contains(left[0], "overrides it") {
		t.Errorf("it is not said: %q", left)
	}
	in, _ = imported(t, s, route)
	if n := facts[*model.Split](in); len(n) != 1 || n[0].Backends[0].Weight != 3 || len(in.Findings) > 0 {
		t.Errorf("the route's split, want: %+v %v", n, in.Findings)
	}
	objects := read([]mesh.Object{})
	objects = append(objects, parse(`{"apiVersion":"linkerd.io/v1alpha2","kind":"ServiceProfile","metadata":{"name":"catalog.shop.svc.cluster.local","namespace":"shop"},"spec":{"dstOverrides":[{"authority":"catalog-v2.shop.svc.cluster.local","weight":1}]}}`)...)
	objects = append(objects, parse(`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"r","namespace":"shop"},"spec":{"parentRefs":[{"group":"","kind":"Service","name":"catalog"}],"rules":[{"backendRefs":[{"name":"catalog","port":80}]}]}}`)...)
	j := routeJudge{all: objects, w: s, q: ask("", "GET", "/"), port: 80}
	if got, err := j.route(model.HTTP); err != nil || got["shop/catalog-v2:80"] != 1 {
		t.Errorf("the trap is none: %v %v", got, err)
	}
}

// TestImportRoutes holds what is made of routes of Services.
func TestImportRoutes(t *testing.T) {
	to := func(n string) string { return "backendRefs: [{name: " + n + ", port: 80}]" }
	parent := "parentRefs: [{group: core, kind: Service, name: catalog, port: 80}]"
	for _, c := range []struct {
		name, kind, spec string
		goes             map[string]string // by method and path
		left             string            // in what is reported; empty: nothing
	}{
		{"what says most is asked first", "HTTPRoute", "{" + parent + ", rules: [{matches: [{path: {type: PathPrefix, value: /api}}], " + to("catalog-v2") + "}, {matches: [{path: {type: PathPrefix, value: /api/old}}], " + to("catalog") + "}, {" + to("catalog") + "}]}",
			map[string]string{"GET /api": "catalog-v2", "GET /api/old/x": "catalog", "GET /api/older": "catalog-v2", "GET /apis": "catalog"}, ""},
		{"methods say more", "HTTPRoute", "{" + parent + ", rules: [{matches: [{path: {type: RegularExpression, value: \"^(?:/api).*$\"}}], " + to("catalog") + "}, {matches: [{path: {type: RegularExpression, value: \"^.*$\"}, method: GET}], " + to("catalog-v2") + "}, {" + to("catalog") + "}]}",
			map[string]string{"GET /api": "catalog-v2", "POST /api": "catalog", "GET /": "catalog-v2"}, ""},
		{"refused by Linkerd", "HTTPRoute", "{" + parent + ", rules: [{matches: [{path: {type: Exact, value: /a}}], " + to("catalog-v2") + "}]}", map[string]string{"GET /a": "catalog-v2", "GET /b": "catalog"}, "refuses requests that no rule takes"},
		{"hosts", "HTTPRoute", "{" + parent + ", hostnames: [a.example], rules: [{" + to("catalog-v2") + "}]}", map[string]string{"GET /a": "catalog"}, "hostnames"},
		{"queries", "HTTPRoute", "{" + parent + ", rules: [{matches: [{queryParams: [{name: a, value: b}]}], " + to("catalog-v2") + "}, {" + to("catalog") + "}]}", map[string]string{"GET /a": "catalog"}, "queryParams"},
		{"alternatives", "HTTPRoute", "{" + parent + ", rules: [{matches: [{path: {type: RegularExpression, value: \"/a|/ab\"}}], " + to("catalog-v2") + "}, {" + to("catalog") + "}]}", map[string]string{"GET /ab": "catalog"}, "first alternative"},
		{"another port", "HTTPRoute", "{" + parent + ", rules: [{backendRefs: [{name: catalog-v2, port: 81}]}]}", map[string]string{"GET /a": "catalog"}, "port 80 is led to port 81"},
		{"another namespace", "HTTPRoute", "{" + parent + ", rules: [{backendRefs: [{name: catalog-v2, namespace: lab, port: 80}]}]}", map[string]string{"GET /a": "catalog"}, "no Service beside"},
		{"timeouts", "HTTPRoute", "{" + parent + ", rules: [{timeouts: {request: 1s}, " + to("catalog-v2") + "}]}", map[string]string{"GET /a": "catalog-v2"}, "timeouts"},
		{"gRPC", "GRPCRoute", "{" + parent + ", rules: [{matches: [{method: {service: a.B, method: C}}], " + to("catalog-v2") + "}, {matches: [{method: {service: x.Y}}], " + to("catalog-v2") + "}, {" + to("catalog") + "}]}",
			map[string]string{"POST /a.B/C": "catalog-v2", "POST /a.B/D": "catalog", "POST /x.Y/z": "catalog-v2", "POST /xaY/z": "catalog"}, ""},
		{"gateways", "HTTPRoute", "{parentRefs: [{name: door}], rules: [{" + to("catalog-v2") + "}]}", map[string]string{"GET /a": "catalog"}, "not of a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, back := imported(t, world(t, shop), document("gateway.networking.k8s.io/v1", c.kind, "r", c.spec))
			for q, want := range c.goes {
				method, path, _ := strings.Cut(q, " ")
				v, err := model.Evaluate(back, ask("web", method, path))
				if err != nil || len(v.Backends) != 1 || v.Backends[0].Service.Name != want {
					t.Errorf("%s goes to %+v (%v), want %s", q, v, err, want)
				}
			}
			if left := strings.Join(leftOf(in, "r"), "\n"); (left == "") != (c.left == "") || !strings.Contains(left, c.left) {
				t.Errorf("it is reported %q, want %q", left, c.left)
			}
		})
	}
}

// TestImportAccess holds what is made of Servers and what speaks of them.
func TestImportAccess(t *testing.T) {
	const server = "{podSelector: {matchLabels: {app: catalog}}, port: 8080}"
	mtls := document(policies, kindMeshTLS, "web", "{identities: [web.shop.serviceaccount.identity.linkerd.cluster.local]}")
	admit := func(kind, group, name string) string {
		return document(policies, kindPolicy, "p-"+name, "{targetRef: {group: "+group+", kind: "+kind+", name: "+name+"}, requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}]}")
	}
	for _, c := range []struct {
		name, text     string
		admits, denies []string // caller method path
		left           string
	}{
		{"all of a Server", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls + admit(kindServer, policyGroup, "s"), []string{"web GET /x"}, []string{"ops GET /x"}, ""},
		{"by the port's name", document(policyGroup+"/v1beta1", kindServer, "s", strings.Replace(server, "8080", "web", 1)) + mtls + admit(kindServer, policyGroup, "s"), []string{"web GET /x"}, []string{"ops GET /x"}, ""},
		{"nobody", document(policyGroup+"/v1beta3", kindServer, "s", server), nil, []string{"web GET /x"}, ""},
		{"only logged", document(policyGroup+"/v1beta3", kindServer, "s", strings.Replace(server, "}, port", "}, accessPolicy: audit, port", 1)), []string{"ops GET /x"}, nil, ""},
		{"whoever is of the mesh", document(policyGroup+"/v1beta3", kindServer, "s", strings.Replace(server, "}, port", "}, accessPolicy: all-authenticated, port", 1)), nil, []string{"ops GET /x"}, "all-authenticated"},
		{"ServerAuthorization", document(policyGroup+"/v1beta1", kindServer, "s", server) + document(policyGroup+"/v1beta1", kindAuthorization, "a", "{server: {name: s}, client: {meshTLS: {serviceAccounts: [{name: web}]}}}"), []string{"web GET /x"}, []string{"ops GET /x"}, ""},
		{"without identity", document(policyGroup+"/v1beta1", kindServer, "s", server) + document(policyGroup+"/v1beta1", kindAuthorization, "a", "{server: {name: s}, client: {unauthenticated: true}}"), nil, []string{"web GET /x"}, "unauthenticated"},
		{"of a network", document(policyGroup+"/v1beta1", kindServer, "s", server) + document(policyGroup+"/v1beta1", kindAuthorization, "a", "{server: {name: s}, client: {networks: [{cidr: 10.0.0.0/8}], meshTLS: {serviceAccounts: [{name: web}]}}}"), nil, []string{"web GET /x"}, "networks"},
		{"a network alone", document(policyGroup+"/v1beta3", kindServer, "s", server) + document(policies, kindNetwork, "n", "{networks: [{cidr: 10.0.0.0/8}]}") +
			document(policies, kindPolicy, "p", "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: NetworkAuthentication, name: n}]}"), nil, []string{"web GET /x"}, "all of a network"},
		{"two that hold together", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls + document(policies, kindNetwork, "n", "{networks: [{cidr: 10.0.0.0/8}]}") +
			document(policies, kindPolicy, "p", "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: NetworkAuthentication, name: n}, {group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}]}"), nil, []string{"web GET /x"}, "hold together"},
		{"a route", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls + document(policyGroup+"/v1beta3", kindHTTPRoute, "r", "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /api}}]}]}") + admit(kindHTTPRoute, policyGroup, "r"),
			[]string{"web GET /api/x"}, []string{"web GET /x", "web GET /apis", "ops GET /api"}, ""},
		{"a route of another group", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls + document(policyGroup+"/v1beta3", kindHTTPRoute, "r", "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /api}}]}]}") + admit(kindHTTPRoute, gateway, "r"),
			nil, []string{"web GET /api/x"}, "no HTTPRoute r is read"},
		{"another route is asked first", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls +
			document(policyGroup+"/v1beta3", kindHTTPRoute, "all", "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /}}]}]}") + admit(kindHTTPRoute, policyGroup, "all") +
			document(policyGroup+"/v1beta3", kindHTTPRoute, "admin", "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /admin}}]}]}"),
			nil, []string{"web GET /admin/x", "web GET /x"}, "another route"},
		{"everything where no route takes it", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls + document(policyGroup+"/v1beta3", kindHTTPRoute, "r", "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /api}}]}]}") + admit(kindServer, policyGroup, "s"),
			[]string{"web GET /api"}, []string{"web GET /x"}, "no route takes"},
		{"the kubelet's checks", document(policyGroup+"/v1beta3", kindServer, "s", server) + document(policies, kindNetwork, "n", "{networks: [{cidr: 0.0.0.0/0}]}") + document(policyGroup+"/v1beta3", kindHTTPRoute, "r", "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {type: Exact, value: /healthz}, method: GET}]}]}") +
			document(policies, kindPolicy, "p", "{targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: r}, requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: NetworkAuthentication, name: n}]}"), []string{" GET /healthz"}, []string{"web GET /healthz", " GET /"}, ""},
		{"what is not there", document(policyGroup+"/v1beta3", kindServer, "s", server) + mtls + admit(kindServer, policyGroup, "gone"), nil, []string{"web GET /x"}, "no Server gone is read"},
		{"labels by expression", document(policyGroup+"/v1beta3", kindServer, "s", "{podSelector: {matchExpressions: [{key: app, operator: Exists}]}, port: 8080}") + mtls + admit(kindServer, policyGroup, "s"), nil, []string{"web GET /x"}, "matchExpressions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := world(t, shop)
			in, back := imported(t, s, c.text)
			wl := workload(s, "catalog")
			a, _ := model.JoinAccess(back, wl.Identity())
			check := func(list []string, want bool) {
				for _, q := range list {
					f := strings.SplitN(q, " ", 3)
					if got, _, why := a.Admit(wl, 8080, ask(f[0], f[1], f[2]), ""); got != want {
						t.Errorf("%s is admitted: %v (%s)\n%v", q, got, why, in.Findings)
					}
				}
			}
			check(c.admits, true)
			check(c.denies, false)
			var left []string
			for _, f := range in.Findings {
				if f.Level >= model.Approximate {
					left = append(left, f.Path+": "+f.Message)
				}
			}
			if all := strings.Join(left, "\n"); (all == "") != (c.left == "") || !strings.Contains(all, c.left) {
				t.Errorf("it is reported %q, want %q", all, c.left)
			}
		})
	}
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

// randomNative writes Servers with routes and policies of every kind, with much in them that SMI cannot say.
func randomNative(r *rand.Rand) string {
	var docs []string
	add := func(api, kind, name, spec string) {
		docs = append(docs, fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":"shop"},"spec":{%s}}`, api, kind, name, spec))
	}
	add(policyGroup+"/v1beta3", kindServer, "s", `"podSelector":{"matchLabels":{"app":"catalog"}},"port":8080,"proxyProtocol":"`+pick(r, "unknown", "unknown", "HTTP/1", "opaque")+`"`)
	for _, n := range []string{"web", "ops"} {
		add(policies, kindMeshTLS, n, `"identityRefs":[{"kind":"ServiceAccount","name":"`+n+`"}`+pick(r, "", `,{"kind":"ServiceAccount","name":"jobs"}`)+`]`)
	}
	add(policies, kindMeshTLS, "all", `"identities":["*"]`)
	add(policies, kindNetwork, "net", `"networks":[{"cidr":"0.0.0.0/0"}]`)
	n := 0
	policy := func(kind, group, name string) {
		n++
		ref := pick(r, `{"group":"policy.linkerd.io","kind":"MeshTLSAuthentication","name":"web"}`, `{"group":"policy.linkerd.io","kind":"MeshTLSAuthentication","name":"ops"}`, `{"kind":"ServiceAccount","name":"jobs"}`,
			`{"group":"policy.linkerd.io","kind":"MeshTLSAuthentication","name":"all"}`, `{"group":"policy.linkerd.io","kind":"MeshTLSAuthentication","name":"gone"}`, `{"group":"policy.linkerd.io","kind":"NetworkAuthentication","name":"net"}`)
		add(policies, kindPolicy, fmt.Sprintf("p%d", n), `"targetRef":{"group":"`+group+`","kind":"`+kind+`","name":"`+name+`"},"requiredAuthenticationRefs":[`+ref+`]`)
	}
	if r.IntN(3) == 0 {
		policy(kindServer, policyGroup, "s")
	}
	for i := range r.IntN(4) {
		var rules []string
		for range 1 + r.IntN(2) {
			var m []string
			if r.IntN(4) > 0 {
				m = append(m, `"path":`+pick(r, `{"type":"Exact","value":"/api"}`, `{"type":"PathPrefix","value":"/api"}`, `{"type":"PathPrefix","value":"/api/x/"}`, `{"type":"RegularExpression","value":"/api/.*"}`, `{"type":"RegularExpression","value":"/a|/api"}`, `{"type":"PathPrefix","value":"/"}`, `{"type":"Exact","value":"/healthz"}`))
			}
			if r.IntN(3) == 0 {
				m = append(m, `"method":"`+pick(r, "GET", "POST")+`"`)
			}
			if r.IntN(3) == 0 {
				m = append(m, `"headers":[{"type":"`+pick(r, exact, regularExpression)+`","name":"x-user","value":"beta"}]`)
			}
			rules = append(rules, `{"matches":[{`+strings.Join(m, ",")+`}]}`)
		}
		name := fmt.Sprintf("r%d", i)
		add(gateway+"/v1", kindHTTPRoute, name, `"parentRefs":[{"group":"policy.linkerd.io","kind":"Server","name":"s"}],"rules":[`+strings.Join(rules, ",")+`]`)
		for range r.IntN(3) {
			policy(kindHTTPRoute, gateway, name)
		}
	}
	return strings.Join(docs, "\n")
}

// certain is what the proxy answers whatever the age of objects and the release are; false where it depends.
func certain(all []told, s *store.Store, wl *model.Workload, q *model.Request) (admitted, sure bool) {
	defer func() {
		if recover() != nil {
			admitted, sure = false, false
		}
	}()
	return admits(all, s, wl, 8080, q), true
}

// TestImportSafe holds that what is read admits no more than what was written does in every release, and as much where nothing is reported.
func TestImportSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	s := world(t, shop)
	wl := workload(s, "catalog")
	both, neither, exactly := 0, 0, 0
	for range 3000 {
		native := randomNative(r)
		in, back := imported(t, s, native)
		all := parse(native)
		whole := !slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
		if whole {
			exactly++
		}
		a, _ := model.JoinAccess(back, wl.Identity())
		for range 12 {
			q := ask(pick(r, "web", "ops", "jobs", "intruder", ""), pick(r, "GET", "POST", "PUT"), pick(r, "/", "/a", "/api", "/api/", "/api/x", "/api/xy", "/apis", "/healthz"))
			if r.IntN(2) == 0 {
				q.Headers["x-user"] = []string{pick(r, "beta", "other")}
			}
			if r.IntN(5) == 0 {
				q.Layer = model.LayerStream
			}
			before, sure := certain(all, s, wl, q)
			after, _, why := a.Admit(wl, 8080, q, "")
			check := q.Path == "/healthz" && q.Method == "GET" // SMI admits it by itself, to a caller without identity; Linkerd admits every caller
			switch {
			case check && (before || q.From.ServiceAccount == ""):
			case after && !before, sure && before && !after && whole:
				t.Fatalf("%+v: admitted %v (%v), as read %v (%s)\n%s\n%+v", q, before, sure, after, why, native, in.Findings)
			case before && after:
				both++
			case !before:
				neither++
			}
		}
	}
	t.Logf("%d admitted, %d refused, %d inputs read whole", both, neither, exactly)
	if both < 1000 || neither < 1000 || exactly < 100 {
		t.Error("the test tests too little")
	}
}
