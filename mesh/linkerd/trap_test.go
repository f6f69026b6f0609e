// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// What Linkerd does otherwise than one would think. Each test shows the trap, and that the driver does not fall into it.

// agree asks every caller for every path, and holds that Linkerd admits whom SMI admits.
func agree(t *testing.T, s *store.Store, objects []mesh.Object, wl *model.Workload, callers, methods, paths []string) {
	t.Helper()
	admitted, refused := 0, 0
	a, _ := model.JoinAccess(s, wl.Identity())
	for _, c := range callers {
		for _, m := range methods {
			for _, p := range paths {
				q := ask(c, m, p)
				want, _, why := a.Admit(wl, 8080, q, s.Settings().Host(q.Service))
				if got := judgeAdmit(objects, s, wl, 8080, q); got != want {
					t.Errorf("%q %s %s is admitted: %v, and by SMI: %v (%s)\n%s", c, m, p, got, want, why, text(t, objects))
				} else if got {
					admitted++
				} else {
					refused++
				}
			}
		}
	}
	if admitted == 0 || refused == 0 {
		t.Errorf("the test tests too little: %d admitted, %d refused", admitted, refused)
	}
}

// A request that no route of a Server takes is answered 404, even to those who may send anything to it.
func TestNoRouteIsNotFound(t *testing.T) {
	s := corpus(t, "linkerd-tcp-beside-requests")
	objects, _ := said(Driver, s)
	wl := workload(s, "catalog")
	agree(t, s, objects, wl, []string{"jobs", "web", "ops"}, []string{"GET", "POST"}, []string{"/", "/x", "/index.html"})
	if judgeAdmit(lacking(objects, "-rest"), s, wl, 8080, ask("jobs", "GET", "/x")) {
		t.Error("the trap is none: without a route for the rest jobs gets through")
	}
	alone, _ := said(Driver, world(t, shop+target("t", "web", "pathRegex: /api")))
	var routes []told
	for _, o := range read(alone) {
		if o.kind == "HTTPRoute" {
			routes = append(routes, o)
		}
	}
	for path, found := range map[string]bool{"/api": true, "/other": false} { // 403 to strangers, and 404
		for _, c := range (&asked{method: "POST", path: path}).chosen(routes) {
			if (c.route != nil) != found {
				t.Errorf("a route takes %s: %v, want %v", path, !found, found)
			}
		}
	}
}

// The route for the kubelet's checks goes as soon as a Server has another, and another may be asked in its place.
func TestProbesStay(t *testing.T) {
	for _, match := range []string{"pathRegex: /api", `pathRegex: "/health.*", methods: [GET]`, `pathRegex: "/healthz$", methods: [GET], headers: {x-user: beta}`, "methods: [GET]"} {
		s := world(t, shop+target("t", "web", match))
		objects, _ := said(Driver, s)
		wl := workload(s, "catalog")
		if !judgeAdmit(objects, s, wl, 8080, ask("", "GET", "/healthz")) {
			t.Errorf("%s: the kubelet's check is refused\n%s", match, text(t, objects))
		}
		if judgeAdmit(objects, s, wl, 8080, ask("", "GET", "/health")) || judgeAdmit(objects, s, wl, 8080, ask("", "POST", "/healthz")) {
			t.Errorf("%s: more than the check is admitted", match)
		}
		if judgeAdmit(lacking(objects, "-probes"), s, wl, 8080, ask("", "GET", "/healthz")) {
			t.Errorf("%s: the trap is none: the check gets through without its route", match)
		}
	}
}

// On a port that the proxy takes for opaque it sees no check, and refuses it.
func TestProbesOfOpaquePorts(t *testing.T) {
	s := world(t, strings.ReplaceAll(shop, "{name: http, port: 80, targetPort: 8080}", "{name: tcp-x, port: 80, targetPort: 8080}")+tcpTarget("t", "web"))
	objects, _ := said(Driver, s)
	wl := workload(s, "catalog")
	if !judgeAdmit(objects, s, wl, 8080, ask("", "GET", "/healthz")) || judgeAdmit(objects, s, wl, 8080, ask("", "GET", "/")) {
		t.Errorf("the kubelet's check is refused, or more is admitted: %s", text(t, objects))
	}
	kinds(objects, kindServer)[0].Spec.(*server).ProxyProtocol = "opaque"
	if again := read(append([]mesh.Object(nil), objects...)); admits(again, s, wl, 8080, ask("", "GET", "/healthz")) {
		t.Error("the trap is none")
	}
}

// A pod with the proxy in it shows the proxy's own ports: those are Linkerd's to close.
func TestProxyPortsAreLeftAlone(t *testing.T) {
	s := world(t, strings.ReplaceAll(shop, "ports: [{name: web, containerPort: 8080}]", "ports: [{name: web, containerPort: 8080}, {name: linkerd-proxy, containerPort: 4143}, {name: linkerd-admin, containerPort: 4191}, {name: linkerd-x, containerPort: 4192}]")+target("t", "web", "pathRegex: /api"))
	objects, _ := said(Driver, s)
	var ports []uint16
	for _, o := range kinds(objects, kindServer) {
		ports = append(ports, o.Spec.(*server).Port.Number)
	}
	if !slices.Equal(ports, []uint16{4192, 8080}) {
		t.Errorf("ports %d are closed, want 4192 and 8080", ports)
	}
}

// Linkerd takes the leftmost alternative that fits and asks then whether it spans the whole path: a|ab does not take ab.
func TestWholeExpressions(t *testing.T) {
	if spans("/a|/ab", "/ab") || !spans(whole("/a|/ab"), "/ab") {
		t.Fatal("the trap is none, or the driver falls into it")
	}
	for in, want := range map[string]string{
		"/a|/ab":          "^(?:/a|/ab)$",
		`/v\d+`:           "^(?:/v[0-9]+)$",        // \d is Unicode's there
		`/[\w&&x]`:        "^(?:/[&0-9A-Z_a-z])$",  // && is an intersection there
		`/\Qa.b\E`:        `^(?:/a\.b)$`,           // there is no \Q there
		`/[^/]+/x\.json`:  `^(?:/[^/]+/x\.json)$`,  // the same in both
		`/[!--]`:          `^(?:/[!-\-])$`,         // -- is a difference there
		`(?i)/API`:        `^(?:(?i)/API)$`,        // the same in both
		`/\<b\>`:          `^(?:/<b>)$`,            // \< is a word's beginning there
		`/[[:alpha:]]x`:   `^(?:/[A-Za-z]x)$`,      // a class in a class means another thing there
		`/x\x41\012`:      "^(?:/xA\\n)$",          // \012 is refused there
		"/a{1,3}(?:b|c)":  "^(?:/a{1,3}(?:b|c))$",  // the same in both
		`/(?P<id>[0-9]+)`: `^(?:/(?P<id>[0-9]+))$`, // the same in both
	} {
		if got := whole(in); got != want {
			t.Errorf("%s is written %s, want %s", in, got, want)
		}
	}
	s := world(t, shop+target("t", "web", `pathRegex: "(/a|/ab)$"`))
	objects, _ := said(Driver, s)
	agree(t, s, objects, workload(s, "catalog"), []string{"web"}, []string{"GET"}, []string{"/a", "/ab", "/abc", "/b"})
}

// A prefix ends where a segment does, and takes the path without its last slash too.
func TestPrefixesAreNotSegments(t *testing.T) {
	for _, path := range []string{"/api", "/api/", "/api/.*"} {
		s := world(t, shop+target("t", "web", "pathRegex: "+path))
		objects, _ := said(Driver, s)
		agree(t, s, objects, workload(s, "catalog"), []string{"web"}, []string{"GET"}, []string{"/api", "/api/", "/api/x", "/apiary", "/ap"})
		if strings.Contains(text(t, objects), pathPrefix) {
			t.Errorf("%s is said as a prefix: %s", path, text(t, objects))
		}
	}
}

// A Server has no service account to select by: labels that find others too would open those.
func TestAccountsHaveNoSelector(t *testing.T) {
	s := corpus(t, "access-labels-collide")
	objects, findings := said(Driver, s)
	if len(kinds(objects, kindServer)) == 0 || len(kinds(objects, kindPolicy)) > 0 {
		t.Errorf("a Server and nobody, want: %s", text(t, objects))
	}
	if !slices.ContainsFunc(findings, func(f model.Finding) bool { return f.Code == model.CodeSelector }) {
		t.Errorf("it is not said: %v", findings)
	}
}

// Linkerd refuses a second Server for a port of a pod; the judge panics at one.
func TestOneServerForAPort(t *testing.T) {
	for _, d := range append([]*mesh.Driver{Driver}, Driver.Older...) {
		s := corpus(t, "linkerd-one-server-for-a-port")
		objects, _ := said(d, s)
		for _, n := range []string{"catalog", "catalog-canary"} {
			for caller, want := range map[string]bool{"web": true, "jobs": false} {
				if got := judgeAdmit(objects, s, workload(s, n), 8080, ask(caller, "GET", "/")); got != want {
					t.Errorf("%s: %s is admitted to %s: %v", d.Name, caller, n, got)
				}
			}
		}
	}
}

// Linkerd asks one route, and SMI adds permissions up.
func TestUnionOfPermissions(t *testing.T) {
	matches := []string{"pathRegex: /api", "pathRegex: /api/admin/.*", "methods: [GET]", `pathRegex: ".*x$", methods: [GET, POST]`, "headers: {x-user: beta}", "pathRegex: /api, headers: {x-user: beta}", "pathRegex: /$"}
	paths := []string{"/", "/api", "/api/admin/", "/api/admin/x", "/x", "/y"}
	for i, a := range matches {
		for _, b := range matches[i+1:] {
			s := world(t, shop+target("a", "web", a)+target("b", "admin", b))
			objects, findings := said(Driver, s)
			if len(findings) > 0 {
				t.Fatalf("%s and %s: %v", a, b, findings)
			}
			wl := workload(s, "catalog")
			access, _ := model.JoinAccess(s, wl.Identity())
			for _, c := range []string{"web", "admin", "ops", ""} {
				for _, m := range []string{"GET", "POST", "PUT"} {
					for _, p := range paths {
						for _, user := range []string{"", "beta"} {
							q := ask(c, m, p)
							if user != "" {
								q.Headers["x-user"] = []string{user}
							}
							want, _, why := access.Admit(wl, 8080, q, s.Settings().Host(q.Service))
							if got := judgeAdmit(objects, s, wl, 8080, q); got != want {
								t.Errorf("%s and %s: %s %s %s %s is admitted: %v, by SMI: %v (%s)\n%s", a, b, c, m, p, user, got, want, why, text(t, objects))
							}
						}
					}
				}
			}
		}
	}
}

// A caller cannot say that it is another: the proxy writes the header that matches ask for.
func TestCallersCannotNameThemselves(t *testing.T) {
	s := corpus(t, "linkerd-nested-permissions")
	objects, _ := said(Driver, s)
	q := ask("admin", "GET", "/api/x")
	q.Headers[clientID] = []string{"web.shop.serviceaccount.identity.linkerd.cluster.local"}
	if judgeAdmit(objects, s, workload(s, "catalog"), 8080, q) {
		t.Error("admin is admitted to what only web may ask for")
	}
}

// A repeated header meets a condition by any of its values: what is behind the proxy must not be shown the others.
func TestRepeatedHeaders(t *testing.T) {
	s := world(t, shop+target("t", "web", `headers: {x-tenant: "blue|green"}`))
	objects, findings := said(Driver, s)
	for _, o := range kinds(objects, kindHTTPRoute) {
		spec := o.Spec.(*httpRoute)
		for _, r := range spec.Rules {
			for _, m := range r.Matches {
				for _, h := range m.Headers {
					if len(r.Filters) != 1 || !slices.Contains(r.Filters[0].RequestHeaderModifier.Set, headerValue{h.Name, h.Value}) {
						t.Errorf("%s: the header is not set to the text that is permitted: %+v", o.Name, r)
					}
				}
			}
		}
	}
	if len(findings) > 0 || !judgeAdmit(objects, s, workload(s, "catalog"), 8080, func() *model.Request {
		q := ask("web", "GET", "/")
		q.Headers["x-tenant"] = []string{"green"}
		return q
	}()) {
		t.Errorf("green is not admitted: %v", findings)
	}
	objects, findings = said(Driver, world(t, shop+target("t", "web", `headers: {x-tenant: "b.*"}`)))
	if len(kinds(objects, kindPolicy)) > 0 || len(findings) == 0 {
		t.Errorf("an expression on a header is permitted: %s", text(t, objects))
	}
}

// A Server closes its port, and a port without one stays open: each that is known gets one, also where nobody is admitted.
func TestServersClose(t *testing.T) {
	s := world(t, shop+target("t", "web", "pathRegex: /api")+`
apiVersion: v1
kind: Service
metadata: {name: metrics, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 9090}]}
`)
	objects, _ := said(Driver, s)
	wl := workload(s, "catalog")
	if n := len(kinds(objects, kindServer)); n != 2 {
		t.Errorf("%d Servers, want one for each port", n)
	}
	if strings.Contains(text(t, objects), "accessPolicy") {
		t.Error("the access policy is deny unless something else is said")
	}
	if judgeAdmit(objects, s, wl, 9090, ask("ops", "GET", "/")) || !judgeAdmit(nil, s, wl, 9090, ask("ops", "GET", "/")) {
		t.Error("port 9090 is not closed, or was so before")
	}
	open := world(t, strings.ReplaceAll(shop, "ports: [{name: web, containerPort: 8080}], livenessProbe: {httpGet: {path: /healthz, port: 8080}}", "env: []"))
	open.Set(store.Event{Object: model.Ref{Kind: model.KindService, Name: model.Name{Namespace: "shop", Name: "catalog"}}})
	a, _ := model.JoinAccess(open, model.Identity{Namespace: "shop", ServiceAccount: "catalog"})
	a.Grants = []model.Grant{{Permission: &model.Permission{Name: model.Name{Namespace: "shop", Name: "t"}}}}
	if o := Driver.Accesses(a); len(o.Objects) > 0 || !slices.ContainsFunc(o.Findings, func(f model.Finding) bool {
		return f.Level == model.Unsupported && strings.Contains(f.Message, "nothing closes")
	}) {
		t.Errorf("a workload without a known port cannot be closed, and it is not said: %v %v", o.Objects, o.Findings)
	}
}

// Linkerd sees no requests on ports that it takes for opaque.
func TestOpaquePorts(t *testing.T) {
	s := corpus(t, "linkerd-opaque-port")
	objects, _ := said(Driver, s)
	if len(kinds(objects, kindHTTPRoute)) > 0 || len(kinds(objects, kindTCPRoute)) != 1 {
		t.Errorf("connections are split and requests are not, want: %s", text(t, objects))
	}
	for _, o := range kinds(objects, kindServer) {
		if p := o.Spec.(*server).ProxyProtocol; p != "opaque" {
			t.Errorf("%s is %s", o.Name, p)
		}
	}
}

const split = `
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: s, namespace: shop}
spec:
  service: catalog
  matches: [{kind: HTTPRouteGroup, name: g}]
  backends: [{service: catalog-v2, weight: 1}]
---
`

func group(matches string) string {
	return "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: g, namespace: shop}\nspec: {matches: [" + matches + "]}\n---\n"
}

// A request that no rule of a Service's routes takes fails.
func TestRestGoesToTheRoot(t *testing.T) {
	s := world(t, shop+split+group("{name: m, pathRegex: /api}"))
	objects, _ := said(Driver, s)
	rest, err := judgeRoute(objects, s, ask("web", "GET", "/x"))
	if err != nil || rest["shop/catalog:80"] != 1 {
		t.Errorf("unmatched requests go to %v (%v)", rest, err)
	}
	spec := kinds(objects, kindHTTPRoute)[0].Spec.(*httpRoute)
	spec.Rules = spec.Rules[:1]
	if rest, err = judgeRoute([]mesh.Object{objects[0]}, s, ask("web", "GET", "/x")); err != nil || len(rest) > 0 {
		t.Errorf("the trap is none: without the last rule they go to %v (%v)", rest, err)
	}
}

// An HTTPRoute holds 16 rules of 8 matches.
func TestLimits(t *testing.T) {
	var list []string
	for i := range 300 {
		list = append(list, fmt.Sprintf("{name: m%d, pathRegex: /p%d$, methods: [GET]}", i, i))
	}
	list = append(list, `{name: root, pathRegex: "/(x)?$"}`)
	s := world(t, shop+split+group(strings.Join(list, ", "))+strings.ReplaceAll(target("t", "web", "pathRegex: /none"), "HTTPRouteGroup, name: t}", "HTTPRouteGroup, name: g}"))
	objects, findings := said(Driver, s)
	if len(findings) > 0 {
		t.Error(findings)
	}
	schemas := meshtest.Schemas{}
	for _, name := range crds {
		path, ok := meshtest.Shared("crds", name)
		if !ok {
			t.Skipf("Linkerd's CRDs are not here: %s", path)
		}
		if err := schemas.Load(path); err != nil {
			t.Fatal(err)
		}
	}
	for i := range objects {
		b, err := json.Marshal(&objects[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range schemas.Check(b) {
			t.Errorf("%s: %s", objects[i].Key(), p)
		}
	}
	wl := workload(s, "catalog")
	for path, want := range map[string]bool{"/p0": true, "/p127": true, "/p128": true, "/p299": true, "/": true, "/x": true, "/p300": false} {
		q := ask("web", "GET", path)
		got, err := judgeRoute(objects, s, q)
		if err != nil || (got["shop/catalog-v2:80"] == 1) != want {
			t.Errorf("%s goes to %v (%v)", path, got, err)
		}
		if judgeAdmit(objects, s, wl, 8080, q) != want {
			t.Errorf("%s is admitted: %v", path, !want)
		}
	}
}

// Linkerd splits what goes to a cluster IP.
func TestHeadlessRoots(t *testing.T) {
	for _, d := range append([]*mesh.Driver{Driver}, Driver.Older...) {
		objects, findings := said(d, corpus(t, "linkerd-headless-root"))
		if len(objects) > 0 || len(findings) != 2 || findings[0].Level != model.Unsupported || !strings.Contains(findings[0].Message, "headless") {
			t.Errorf("%s: %s\n%v", d.Name, text(t, objects), findings)
		}
	}
}

// While a change is applied, old and new objects stand side by side: no route may ever be open to the callers of another.
func TestNoRouteChangesItsCallers(t *testing.T) {
	before, _ := said(Driver, world(t, shop+target("m", "web", "pathRegex: /a$")+target("n", "ops", "pathRegex: /b$")))
	after, _ := said(Driver, world(t, shop+target("a", "jobs", "pathRegex: /c$")+target("m", "web", "pathRegex: /a$")+target("n", "ops", "pathRegex: /a$")))
	seen := map[model.Name]string{}
	for _, o := range kinds(before, kindMeshTLS) {
		seen[o.Name] = text(t, []mesh.Object{o})
	}
	for _, o := range kinds(after, kindMeshTLS) {
		if old, ok := seen[o.Name]; ok && old != text(t, []mesh.Object{o}) {
			t.Errorf("%s was %s and is %s", o.Name, old, text(t, []mesh.Object{o}))
		}
	}
	if len(seen) != 2 {
		t.Errorf("the test tests too little: %v", seen)
	}
}

// TestNames holds that names are what Kubernetes and Linkerd take, and that no two things share one.
func TestNames(t *testing.T) {
	seen := map[string]model.Ref{}
	long := strings.Repeat("a", 250)
	for _, n := range []string{"web", "web-deployment", "web-pod", "we.b", "we-b", long, long + "b", long + ".c"} {
		for _, k := range []model.Kind{model.KindDeployment, model.KindStatefulSet, model.KindDaemonSet, model.KindPod} {
			ref := model.Ref{Kind: k, Name: model.Name{Namespace: "shop", Name: n}}
			name := serverName(ref, 65535)
			if o, ok := seen[name]; ok || strings.Contains(name, ".") || len(name)+len("-part99")+61+len("-ids") > 253 {
				t.Errorf("%s is named %s, as is %s", ref, name, o)
			}
			seen[name] = ref
		}
	}
	s := world(t, strings.ReplaceAll(shop+target("t", "web.front", "pathRegex: /api")+target("u", "ops", "pathRegex: /api/x"), "name: catalog, namespace: shop}\nspec:\n  selector", "name: catalog.v1, namespace: shop}\nspec:\n  selector"))
	objects, findings := said(Driver, s)
	if len(findings) > 0 {
		t.Error(findings)
	}
	agree(t, s, objects, workload(s, "catalog.v1"), []string{"web.front", "front", "ops"}, []string{"GET"}, []string{"/api", "/api/x", "/"})
	in, back := imported(t, s, text(t, objects))
	a, _ := model.JoinAccess(back, model.Identity{Namespace: "shop", ServiceAccount: "catalog"})
	if ok, _, why := a.Admit(workload(s, "catalog.v1"), 8080, ask("web.front", "GET", "/api"), ""); !ok || len(in.Findings) > 0 {
		t.Errorf("read back: %s %v", why, in.Findings)
	}
	if objects, findings = said(Driver.Older[1], world(t, shop+tcpTarget("t", "web.front"))); len(kinds(objects, kindAuthorization)) > 0 || len(findings) == 0 {
		t.Errorf("an account with a dot: %s", text(t, objects))
	}
}
