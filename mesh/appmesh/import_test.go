// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

// shop is what stands in the cluster beside the mesh's own objects.
func shop() []model.Fact {
	ports := []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}}
	var out []model.Fact
	for _, n := range []string{"catalog", "catalog-v1", "catalog-v2", "web", "db"} {
		labels := map[string]string{"app": n}
		if n == "catalog" {
			out = append(out, &model.Service{Name: name(n), Ports: ports, Selector: map[string]string{"part": "catalog"}})
			continue
		}
		s := &model.Service{Name: name(n), Ports: ports, Selector: labels}
		w := &model.Workload{Kind: model.KindDeployment, Name: name(n), Account: n, Selector: labels, Labels: map[string]string{"app": n}}
		switch n {
		case "catalog-v1", "catalog-v2":
			w.Labels["part"], w.Account = "catalog", "catalog"
		case "db":
			s.Ports = []model.ServicePort{{Name: "tcp", Number: 5432, Target: 5432, Protocol: model.TCP}}
		}
		out = append(out, s, w)
	}
	return out
}

// imported reads native objects beside the shop.
func imported(t *testing.T, text string, more ...model.Fact) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for _, f := range append(shop(), more...) {
		set(f)
	}
	objects, problems := object.Parse("native.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range objects {
		if o.Namespace == "" {
			o.Namespace = "shop"
		}
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "appmesh"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

// nodes are those of a usual App Mesh: one for each Deployment, found by its Service's name.
const nodes = `
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: catalog-v1}
spec:
  podSelector: {matchLabels: {app: catalog-v1}}
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  serviceDiscovery: {dns: {hostname: catalog-v1.shop.svc.cluster.local}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: catalog-v2}
spec:
  podSelector: {matchLabels: {app: catalog-v2}}
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  serviceDiscovery: {dns: {hostname: catalog-v2.shop.svc.cluster.local}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: root}
spec:
  listeners: [{portMapping: {port: 80, protocol: http}}]
  serviceDiscovery: {dns: {hostname: catalog.shop.svc.cluster.local}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: cloud}
spec:
  listeners: [{portMapping: {port: 80, protocol: http}}]
  serviceDiscovery: {awsCloudMap: {namespaceName: ecs, serviceName: old}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualService
metadata: {name: catalog}
spec:
  awsName: catalog.shop.svc.cluster.local
  provider: {virtualRouter: {virtualRouterRef: {name: catalog}}}
---
`

func routerOf(routes string) string {
	return nodes + "apiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualRouter\nmetadata: {name: catalog}\nspec:\n  listeners: [{portMapping: {port: 80, protocol: http}}]\n  routes:\n" + routes
}

const (
	both  = `action: {weightedTargets: [{virtualNodeRef: {name: catalog-v1}, weight: 9}, {virtualNodeRef: {name: catalog-v2}, weight: 1}]}`
	v2    = `action: {weightedTargets: [{virtualNodeRef: {name: catalog-v2}, weight: 1}]}`
	plain = `action: {weightedTargets: [{virtualNodeRef: {name: root}, weight: 1}]}`
	rest  = "\n  - {name: rest, priority: 9, httpRoute: {match: {prefix: /}, " + plain + "}}"
)

// told writes what was read, a line for each fact.
func toldOf(list []model.Fact) string {
	var out []string
	for _, f := range list {
		switch f := f.(type) {
		case *model.Split:
			line := "split " + f.Name.Name + " of " + f.Root + " by " + strings.Join(f.Groups, ",") + " to"
			for _, b := range f.Backends {
				line += fmt.Sprintf(" %s:%d", b.Service, b.Weight)
			}
			out = append(out, line)
		case *model.RouteGroup:
			line := "group " + f.Name.Name
			if f.FullPath {
				line += " full"
			}
			for _, m := range f.Matches {
				line += fmt.Sprintf(" {%s %q %v %v}", m.Name, m.Path, m.Methods, m.Headers)
			}
			out = append(out, line)
		case *model.Permission:
			line := "permit " + f.Name.Name + " to " + string(f.Destination.Kind) + " " + f.Destination.Name + " from"
			for _, s := range f.Sources {
				line += " " + string(s.Kind) + " " + s.Namespace + "/" + s.Name
			}
			for _, r := range f.Rules {
				line += " by " + string(r.Kind) + " " + r.Name
			}
			out = append(out, line)
		case *model.PortRoute:
			out = append(out, fmt.Sprintf("ports %s %v", f.Name.Name, f.Ports.List))
		case *model.Binding:
			out = append(out, fmt.Sprintf("binding %s %v %v", f.Name.Name, f.SPIFFE, f.Pods))
		case *model.Settings:
			out = append(out, "access "+f.Access.String())
		}
	}
	return strings.Join(out, "\n")
}

func paths(list []model.Finding) string {
	var out []string
	for _, f := range list {
		if !strings.HasPrefix(f.Path, "spec.serviceDiscovery") && f.Level > model.Notice {
			out = append(out, f.Path)
		}
	}
	return strings.Join(out, " ")
}

func TestImportRoutes(t *testing.T) {
	for _, c := range []struct{ name, routes, want, left string }{
		{"a plain split", "  - {name: all, httpRoute: {match: {prefix: /}, " + both + "}}", "split catalog of catalog by  to catalog-v1:9 catalog-v2:1", ""},
		{"unmatched requests go to the root", "  - {name: beta, priority: 1, httpRoute: {match: {prefix: /a.b, method: GET, headers: [{name: X-User, match: {exact: a.b}}, {name: x-any}, {name: x-re, match: {regex: 'b+'}}, {name: x-p, match: {prefix: p}}, {name: x-s, match: {suffix: s}}]}, " + v2 + "}}" + rest,
			`group catalog {beta "/a\\.b" [GET] [{x-user a\.b} {x-any .*} {x-re b+} {x-p p.*} {x-s .*s}]}` + "\nsplit catalog of catalog by catalog to catalog-v2:1", ""},
		{"a route that is asked later", "  - {name: all, priority: 5, httpRoute: {match: {prefix: /}, " + both + "}}\n  - {name: beta, priority: 1, httpRoute: {match: {path: {exact: /x}}, " + v2 + "}}",
			`group catalog-01 {beta "/x$" [] []}` + "\nsplit catalog-01 of catalog by catalog-01 to catalog-v2:1\nsplit catalog of catalog by  to catalog-v1:9 catalog-v2:1", ""},
		{"without priorities the longest is asked first", "  - {name: all, httpRoute: {match: {prefix: /}, " + both + "}}\n  - {name: beta, httpRoute: {match: {prefix: /beta}, " + v2 + "}}",
			`group catalog-01 {beta "/beta" [] []}` + "\nsplit catalog-01 of catalog by catalog-01 to catalog-v2:1\nsplit catalog of catalog by  to catalog-v1:9 catalog-v2:1", ""},
		{"an order that nothing says", "  - {name: a, priority: 1, httpRoute: {match: {path: {regex: '/a.*'}}, " + v2 + "}}\n  - {name: b, priority: 1, httpRoute: {match: {path: {regex: '/.*a'}}, " + both + "}}" + rest,
			`group catalog-01 full {a "/a.*" [] []}` + "\nsplit catalog-01 of catalog by catalog-01 to catalog-v2:1\n" + `group catalog-02 full {b "/.*a" [] []}` + "\nsplit catalog-02 of catalog by catalog-02 to catalog-v1:9 catalog-v2:1", "spec.routes[1].priority"},
		{"a whole path stays one", "  - {name: a, priority: 1, httpRoute: {match: {path: {regex: '/v[0-9]+'}}, " + v2 + "}}\n  - {name: b, priority: 2, httpRoute: {match: {prefix: /w}, " + v2 + "}}" + rest,
			`group catalog full {a "/v[0-9]+" [] []} {b "/w.*" [] []}` + "\nsplit catalog of catalog by catalog to catalog-v2:1", ""},
		{"what the mesh refuses", "  - {name: a, httpRoute: {match: {prefix: /a}, " + v2 + "}}", `group catalog {a "/a" [] []}` + "\nsplit catalog of catalog by catalog to catalog-v2:1", "spec.routes"},
		{"conditions that SMI cannot say", "  - {name: a, priority: 0, httpRoute: {match: {prefix: /, queryParameters: [{name: q}]}, " + v2 + "}}\n  - {name: b, priority: 1, httpRoute: {match: {prefix: /, scheme: https}, " + v2 + "}}\n" +
			"  - {name: c, priority: 2, httpRoute: {match: {prefix: /, headers: [{name: x, invert: true, match: {exact: a}}]}, " + v2 + "}}\n  - {name: d, priority: 3, httpRoute: {match: {prefix: /, headers: [{name: x, match: {range: {start: 1, end: 9}}}]}, " + v2 + "}}" + rest,
			"", "spec.routes[0].httpRoute.match.queryParameters spec.routes[1].httpRoute.match.scheme spec.routes[3].httpRoute.match.headers[0].match.range spec.routes[2].httpRoute.match.headers[0].invert"},
		{"what is beside the route", "  - {name: a, httpRoute: {match: {prefix: /}, timeout: {perRequest: {unit: s, value: 1}}, retryPolicy: {maxRetries: 1}, " + both + "}}",
			"split catalog of catalog by  to catalog-v1:9 catalog-v2:1", "spec.routes[0].httpRoute.timeout spec.routes[0].httpRoute.retryPolicy"},
		{"Cloud Map", "  - {name: a, httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNodeRef: {name: cloud}, weight: 1}]}}}", "", "spec.routes[0].httpRoute.action.weightedTargets[0].virtualNodeRef spec.routes"},
		{"a node of another account", "  - {name: a, httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNodeARN: 'arn:x', weight: 1}]}}}", "",
			"spec.routes[0].httpRoute.action.weightedTargets[0].virtualNodeARN spec.routes[0].httpRoute.action.weightedTargets[0] spec.routes"},
		{"another port", "  - {name: a, httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNodeRef: {name: catalog-v1}, weight: 1, port: 9999}]}}}", "",
			"spec.routes[0].httpRoute.action.weightedTargets[0].port spec.routes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, _ := imported(t, routerOf(c.routes))
			if got := toldOf(in.Facts); got != c.want {
				t.Errorf("read:\n%s\nwant:\n%s", got, c.want)
			}
			if got := paths(in.Findings); got != c.left {
				t.Errorf("left: %s\nwant: %s\n%+v", got, c.left, in.Findings)
			}
		})
	}
}

func TestImportGRPC(t *testing.T) {
	in, _ := imported(t, strings.Replace(routerOf(`  - {name: one, priority: 1, grpcRoute: {match: {serviceName: a.B, methodName: Get, metadata: [{name: X, match: {exact: y}}]}, `+v2+`}}
  - {name: all, priority: 2, grpcRoute: {match: {serviceName: a.B}, `+v2+`}}
  - {name: rest, priority: 3, grpcRoute: {match: {}, `+plain+`}}`), "port: 80, protocol: http}}]\n  routes", "port: 80, protocol: grpc}}]\n  routes", 1))
	want := `group catalog {one "/a\\.B/Get$" [] [{x y}]} {all "/a\\.B/" [] []}` + "\nsplit catalog of catalog by catalog to catalog-v2:1"
	if got := toldOf(in.Facts); got != want || paths(in.Findings) != "" {
		t.Errorf("read:\n%s\n%s", got, paths(in.Findings))
	}
}

// node writes a VirtualNode with its Deployment's labels.
func nodeOf(n, spec string) string {
	return "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: {name: " + n + "}\nspec:\n  podSelector: {matchLabels: {app: " + n + "}}\n  serviceDiscovery: {dns: {hostname: " + n + ".shop.svc.cluster.local}}\n  " + spec + "\n"
}

func serviceOf(n string) string {
	return "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualService\nmetadata: {name: " + n + "}\nspec:\n  provider: {virtualNode: {virtualNodeRef: {name: " + n + "}}}\n"
}

const (
	callsDB = "backends: [{virtualService: {virtualServiceRef: {name: db}}}]"
	rawDB   = "listeners: [{portMapping: {port: 5432, protocol: tcp}}]"
)

func pinned(names string) string {
	return "listeners: [{portMapping: {port: 5432, protocol: tcp}, tls: {mode: STRICT, certificate: {sds: {secretName: x}}, validation: {trust: {sds: {secretName: y}}, subjectAlternativeNames: {match: {exact: [" + names + "]}}}}}]"
}

func TestImportAccess(t *testing.T) {
	other := &model.Workload{Kind: model.KindPod, Name: name("job"), Account: "web", Labels: map[string]string{"app": "job"}}
	for _, c := range []struct {
		name, text string
		more       []model.Fact
		want, left string
	}{
		{"backends", serviceOf("db") + nodeOf("db", rawDB) + nodeOf("web", callsDB), nil, "ports db [5432]\npermit db to ServiceAccount db from ServiceAccount shop/web by TCPRoute db", ""},
		{"requests are no raw TCP", serviceOf("db") + nodeOf("db", "listeners: [{portMapping: {port: 8080, protocol: http}}]") + nodeOf("web", callsDB), nil,
			`group db {all "" [] []}` + "\nports db [8080]\npermit db to ServiceAccount db from ServiceAccount shop/web by HTTPRouteGroup db by TCPRoute db", ""},
		{"a group of backends", serviceOf("db") + nodeOf("db", rawDB) + nodeOf("web", "backendGroups: [{name: g}]") + "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: BackendGroup\nmetadata: {name: g}\nspec: {virtualservices: [{name: db}]}\n",
			nil, "ports db [5432]\npermit db to ServiceAccount db from ServiceAccount shop/web by TCPRoute db", ""},
		{"names in certificates count, and backends do not", serviceOf("db") + nodeOf("db", pinned("spiffe://cluster.local/ns/shop/sa/catalog, 'spiffe://other.example/x', db.example.com")) + nodeOf("web", callsDB), nil,
			"binding db-caller [spiffe://other.example/x] map[]\nports db [5432]\npermit db to ServiceAccount db from ServiceAccount shop/catalog IdentityBinding shop/db-caller by TCPRoute db",
			"spec.listeners[0].tls.validation.subjectAlternativeNames.match.exact[2]"},
		{"certificates of nobody close", nodeOf("db", pinned("")), nil, "ports db [5432]\npermit db to ServiceAccount db from by TCPRoute db", "spec.listeners[0].tls.validation.subjectAlternativeNames.match"},
		{"a listener beside stays open in the mesh", nodeOf("db", strings.Replace(pinned("spiffe://cluster.local/ns/shop/sa/web"), "listeners: [", "listeners: [{portMapping: {port: 80, protocol: http}}, ", 1)), nil,
			"ports db [5432]\npermit db to ServiceAccount db from ServiceAccount shop/web by TCPRoute db", "spec.listeners"},
		{"callers that share an account", serviceOf("db") + nodeOf("db", rawDB) + nodeOf("web", callsDB), []model.Fact{other},
			"binding web [] map[app:web]\nports db [5432]\npermit db to ServiceAccount db from IdentityBinding shop/web by TCPRoute db", "spec.backends"},
		{"destinations that share an account", serviceOf("catalog-v1") + nodeOf("catalog-v1", rawDB) + nodeOf("web", strings.Replace(callsDB, "db", "catalog-v1", 1)), nil,
			"binding catalog-v1 [] map[app:catalog-v1]\nports catalog-v1 [5432]\npermit catalog-v1 to IdentityBinding catalog-v1 from ServiceAccount shop/web by TCPRoute catalog-v1", ""},
		{"callers outside the cluster", serviceOf("db") + nodeOf("db", rawDB) + "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: {name: ecs}\nspec: {" + callsDB + "}\n", nil, "", "spec.backends"},
		{"backends that are not there", nodeOf("web", callsDB), nil, "", "spec.backends[0].virtualService.virtualServiceRef"},
		{"labels by expression", serviceOf("db") + strings.Replace(nodeOf("db", rawDB), "podSelector: {", "podSelector: {matchExpressions: [{key: app, operator: Exists}], ", 1) + nodeOf("web", callsDB), nil, "", "spec.podSelector.matchExpressions spec.podSelector"},
		{"a gateway calls what its routes lead to", serviceOf("db") + nodeOf("db", rawDB) + "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualGateway\nmetadata: {name: in}\nspec: {podSelector: {matchLabels: {app: web}}}\n" +
			"---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: GatewayRoute\nmetadata: {name: in}\nspec: {httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: db}}}}}}\n", nil,
			"ports db [5432]\npermit db to ServiceAccount db from ServiceAccount shop/web by TCPRoute db", "spec spec"},
		{"a route of another gateway", serviceOf("db") + nodeOf("db", rawDB) + "---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualGateway\nmetadata: {name: in}\nspec: {podSelector: {matchLabels: {app: web}}}\n" +
			"---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: GatewayRoute\nmetadata: {name: in}\nspec: {virtualGatewayRef: {name: out}, httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceRef: {name: db}}}}}}\n", nil, "", "spec spec"},
		{"clients held to their backends", "apiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata: {name: m}\nspec: {namespaceSelector: {matchLabels: {mesh: m}}}\n", nil, "access deny", ""},
		{"clients that are free", "apiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata: {name: m}\nspec: {egressFilter: {type: ALLOW_ALL}, meshOwner: '1'}\n", nil, "", "spec.meshOwner spec.egressFilter.type"},
		{"what is not SMI's", nodeOf("web", "listeners: [{portMapping: {port: 80, protocol: http}, healthCheck: {port: 80}, timeout: {}, outlierDetection: {}, connectionPool: {}, tls: {mode: STRICT, certificate: {acm: {certificateARN: x}}}}]\n  logging: {}\n  backendDefaults: {}") +
			"---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualGateway\nmetadata: {name: g}\nspec: {}\n---\napiVersion: appmesh.k8s.aws/v1beta2\nkind: GatewayRoute\nmetadata: {name: g}\nspec: {}\n", nil, "",
			"spec.listeners[0].healthCheck spec.listeners[0].timeout spec.listeners[0].outlierDetection spec.listeners[0].connectionPool spec.listeners[0].tls.certificate.acm spec.logging spec.backendDefaults spec spec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, _ := imported(t, c.text, c.more...)
			if got := toldOf(in.Facts); got != c.want {
				t.Errorf("read:\n%s\nwant:\n%s", got, c.want)
			}
			if got := paths(in.Findings); got != c.left {
				t.Errorf("left: %s\nwant: %s\n%+v", got, c.left, in.Findings)
			}
			for _, f := range in.Findings {
				if f.Level >= model.Unsupported && len(in.Kept) == 0 {
					t.Error("nothing is kept")
				}
			}
		})
	}
}
