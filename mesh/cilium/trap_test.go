// SPDX-License-Identifier: Apache-2.0

package cilium

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

// shop has a workload of the account db, which web and jobs may want to call.
const shop = `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: http, port: 8080}, {name: tcp-raw, port: 5432}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec: {selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {serviceAccountName: db, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5432}]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: web, containers: [{name: c}]}}}
---
`

func worldOf(t *testing.T, text string) *store.Store {
	t.Helper()
	c := meshtest.Case{Name: t.Name(), Text: []byte(shop + text)}
	s, findings := c.World()
	for _, f := range findings {
		if f.Level == model.Invalid {
			t.Fatalf("%+v", f)
		}
	}
	return s
}

func target(name, to string, sources string, rules ...string) string {
	return fmt.Sprintf("apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: {name: %s, namespace: shop}\nspec: {destination: %s, sources: [%s], rules: [%s]}\n---\n",
		name, to, sources, strings.Join(rules, ", "))
}

const (
	toDB   = "{kind: ServiceAccount, name: db, namespace: shop}"
	byWeb  = "{kind: ServiceAccount, name: web, namespace: shop}"
	tcpAll = "{kind: TCPRoute, name: all}"
	tcpRaw = "{kind: TCPRoute, name: raw}"
	getAPI = "{kind: HTTPRouteGroup, name: api}"
	udpDNS = "{kind: UDPRoute, name: dns}"

	routes = `
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: all, namespace: shop}
spec: {matches: {ports: []}}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: raw, namespace: shop}
spec: {matches: {ports: [5432]}}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: UDPRoute
metadata: {name: dns, namespace: shop}
spec: {matches: {ports: [53]}}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: api, namespace: shop}
spec: {matches: [{name: api, pathRegex: /api}]}
---
`
)

// saidOf is what the driver says of the account db.
func saidOf(s *store.Store, account string) *mesh.Output {
	a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: account})
	return Driver.Accesses(a)
}

func textOf(objs []mesh.Object) string {
	var docs []string
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		docs = append(docs, string(text))
	}
	return strings.Join(docs, "\n---\n")
}

// asks asks what reaches a port of db.
func asks(s *store.Store, objs []mesh.Object, layer model.Layer, port uint16, q model.Request) bool {
	q.Service, q.Layer = model.Name{Namespace: "shop", Name: "db"}, layer
	wl := s.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "db"})[0]
	return judgeAdmit(objs, s, wl, port, &q)
}

var web = model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "web"}, Method: "GET", Path: "/api"}

// TestTrapQuery holds that nothing is admitted by what stands in the query, and that a query takes nothing from what is admitted.
func TestTrapQuery(t *testing.T) {
	texts := []string{"", "/", "/a", "/ab", "/api", "/api/x", "/apix", "/b", "/v1", "/v12/x", "/a/b/c", "/A"}
	queries := []string{"", "?", "?x=b", "?x=/api", "?/v1", "?a?b"}
	said := 0
	for _, e := range []string{"/api", "/api$", "/api(/.*)?$", ".*b", ".*b$", "/a|/b$", "/(a|b)$", "/v[0-9]+", "/v[0-9]+$", "/v[0-9]+(/|$)", "/[^/]+/b", "(?i)/a$", "/a.?", "/a\\?x=b", "[?/]a", `/a\b`, "", "/", "^/api", "(/api$|/v1)x*", "/a$b"} {
		for _, full := range []bool{false, true} {
			text, why := pathExpression(e, full)
			if why != "" {
				continue
			}
			said++
			back, ok := readPath(text)
			for _, p := range texts {
				for _, q := range queries {
					m := model.Match{Path: e}
					r := model.Request{Path: p + q}
					want := m.Covers(full, &r, "")
					if got := text == "" || covers(text, p+q); got != want {
						t.Errorf("%s, full %v, is %s, and takes %s: %v", e, full, text, p+q, got)
					}
					m.Path = back
					if got := ok && m.Covers(true, &r, ""); text != "" && got != want {
						t.Errorf("%s, full %v, reads back as %q, %v: takes %s: %v", e, full, back, ok, p+q, got)
					}
				}
			}
		}
	}
	if said < 36 {
		t.Errorf("only %d expressions were said", said)
	}
	for _, e := range []string{"/public", "/public.", "/a[^?]*", "/a(\\?x=.*)?", "/a|/b.*"} {
		if back, ok := readPath(e); ok {
			t.Errorf("%s refuses some queries, and is read as %s", e, back)
		}
	}
}

// TestTrapProxy holds that a port on which a caller may send raw TCP is not led through a proxy of HTTP for the same caller's requests.
func TestTrapProxy(t *testing.T) {
	s := worldOf(t, routes+target("a", toDB, byWeb, tcpRaw)+target("b", toDB, byWeb, getAPI))
	o := saidOf(s, "db")
	post := web
	post.Path = "/other"
	if !asks(s, o.Objects, model.LayerStream, 5432, web) || !asks(s, o.Objects, model.LayerHTTP, 5432, post) || !asks(s, o.Objects, model.LayerHTTP, 8080, web) || asks(s, o.Objects, model.LayerHTTP, 8080, post) || asks(s, o.Objects, model.LayerStream, 8080, web) {
		t.Error(textOf(o.Objects))
	}
	if text := textOf(o.Objects); !strings.Contains(text, `{"port":"1","endPort":5431,"protocol":"TCP"},{"port":"5433","endPort":65535,"protocol":"TCP"}`) {
		t.Error(text)
	}
}

// TestTrapAnyPort holds that raw TCP on any port is TCP alone: a rule without ports would be for every protocol. UDP is its own.
func TestTrapAnyPort(t *testing.T) {
	s := worldOf(t, routes+target("a", toDB, byWeb, tcpAll))
	o := saidOf(s, "db")
	if !asks(s, o.Objects, model.LayerStream, 9999, web) || asks(s, o.Objects, model.LayerDatagram, 53, web) {
		t.Error(textOf(o.Objects))
	}
	s = worldOf(t, routes+target("a", toDB, byWeb, udpDNS))
	o = saidOf(s, "db")
	if asks(s, o.Objects, model.LayerStream, 53, web) || !asks(s, o.Objects, model.LayerDatagram, 53, web) || asks(s, o.Objects, model.LayerDatagram, 54, web) {
		t.Error(textOf(o.Objects))
	}
}

// TestPods holds that pods of one account are told apart by their labels, and that one whom two sources find says that its raw TCP is shut.
func TestPods(t *testing.T) {
	binding := "apiVersion: access.smi-spec.io/v1alpha4\nkind: IdentityBinding\nmetadata: {name: beta, namespace: shop}\nspec: {schemes: {podLabelSelector: {matchLabels: {%s}}}}\n---\n"
	by := "{kind: IdentityBinding, name: beta, namespace: shop}"
	s := worldOf(t, routes+fmt.Sprintf(binding, "track: beta")+target("a", toDB, by, tcpRaw))
	o := saidOf(s, "db")
	beta := web
	beta.Pod = map[string]string{"app": "web", "track": "beta"}
	if asks(s, o.Objects, model.LayerStream, 5432, web) || !asks(s, o.Objects, model.LayerStream, 5432, beta) {
		t.Error(textOf(o.Objects))
	}
	s = worldOf(t, routes+fmt.Sprintf(binding, "track: beta")+target("a", toDB, by, tcpRaw)+target("b", toDB, byWeb, getAPI))
	o = saidOf(s, "db")
	if !slices.ContainsFunc(o.Findings, func(f model.Finding) bool { return f.Level == model.Approximate && f.Feature == model.AccessStream }) {
		t.Errorf("%+v", o.Findings)
	}
	s = worldOf(t, routes+fmt.Sprintf(binding, "pod-template-hash: abc")+target("a", toDB, by, tcpRaw))
	o = saidOf(s, "db")
	if text := textOf(o.Objects); !strings.Contains(text, `"ingress":[{}]`) || !slices.ContainsFunc(o.Findings, func(f model.Finding) bool { return f.Level == model.Unsupported && f.Feature == model.AccessPods }) {
		t.Errorf("%s %+v", text, o.Findings)
	}
}

// TestTrapHeader holds that a header which has to be empty is not one that has to be there.
func TestTrapHeader(t *testing.T) {
	m := model.GrantMatch{Match: &model.Match{Headers: []model.Header{{Name: "x", Value: ""}}}, Group: &model.RouteGroup{}}
	if list, why, _ := lower(&m); why == "" {
		t.Errorf("%+v", list)
	}
	m.Headers = []model.Header{{Name: "x", Value: "a|b"}, {Name: "y", Value: ".*"}, {Name: "host", Value: ""}}
	if list, why, _ := lower(&m); why != "" || len(list) != 2 || list[0].Host != "^$" || list[1].Headers[0].Value != "b" || list[0].Headers[1] != (headerMatch{Name: "y"}) {
		t.Errorf("%+v %s", list, why)
	}
}

// TestTrapLongAccount holds that an account whose name no label can have is closed all the same.
func TestTrapLongAccount(t *testing.T) {
	long := strings.Repeat("a", 64)
	text := strings.ReplaceAll(shop, "serviceAccountName: db", "serviceAccountName: "+long) + routes + target("a", "{kind: ServiceAccount, name: "+long+", namespace: shop}", byWeb, tcpRaw)
	c := meshtest.Case{Name: "long", Text: []byte(text)}
	s, _ := c.World()
	o := saidOf(s, long)
	if out := textOf(o.Objects); !strings.Contains(out, `"matchLabels":{"k8s:app":"db"}`) || !strings.Contains(out, `"ingress":[{}]`) || len(o.Findings) == 0 {
		t.Errorf("%s %+v", out, o.Findings)
	}
}

// TestTrapAutoPort holds that a port which does not say what it carries is said to lose raw TCP by a split.
func TestTrapAutoPort(t *testing.T) {
	s := worldOf(t, `
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: front, namespace: shop}
spec: {service: front, backends: [{service: front, weight: 1}]}
`)
	r, _ := model.JoinRoute(s, model.Name{Namespace: "shop", Name: "front"})
	o := Driver.Routes(r)
	if len(o.Objects) != 1 || !slices.ContainsFunc(o.Findings, func(f model.Finding) bool { return f.Level == model.Approximate && f.Feature == model.SplitWeight }) {
		t.Errorf("%s %+v", textOf(o.Objects), o.Findings)
	}
}
