// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/cmd/anymesh/move"
	"github.com/anymesh/anymesh/test/kubetest"
)

// definition is a kind as Istio installs it, without its schema.
func definition(group, plural, kind string) string {
	return `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + plural + `.` + group + `}
spec:
  group: ` + group + `
  scope: Namespaced
  names: {plural: ` + plural + `, singular: ` + strings.ToLower(kind) + `, kind: ` + kind + `, listKind: ` + kind + `List}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
}

// TestMigrateCluster holds that a cluster is read as files are, kinds that nobody understands included.
func TestMigrateCluster(t *testing.T) {
	c := kubetest.Start(t)
	c.Apply(t, definition("networking.istio.io", "virtualservices", "VirtualService"), definition("networking.istio.io", "gateways", "Gateway"),
		definition("security.istio.io", "authorizationpolicies", "AuthorizationPolicy"))
	c.Apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n", "apiVersion: v1\nkind: Namespace\nmetadata: {name: idle, labels: {istio.io/rev: x, istio-injection: enabled}}\n")
	deployments := ""
	for _, d := range []struct{ name, account, labels, port string }{{"web", "web", "app: web", "8080"}, {"catalog-v1", "catalog", "app: catalog, version: v1", "8080"},
		{"catalog-v2", "catalog", "app: catalog, version: v2", "8080"}, {"payments", "payments", "app: payments", "9000"}} {
		deployments += `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + d.name + `, namespace: shop}
spec:
  selector: {matchLabels: {` + d.labels + `}}
  template:
    metadata: {labels: {` + d.labels + `}}
    spec: {serviceAccountName: ` + d.account + `, containers: [{name: a, image: a, ports: [{containerPort: ` + d.port + `}]}]}
`
	}
	native := anymesh(t, deployments, "translate", "--to", "istio", "-f", shop+"/services.yaml", "-f", shop+"/access.yaml", "-f", shop+"/split.yaml", "-f", "-").wants(t, exitOK).out
	c.Apply(t, load(t, shop+"/services.yaml"), deployments, native, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {servers: []}\n")

	out := filepath.Join(t.TempDir(), "plan")
	r := anymesh(t, "", "migrate", "--from", "istio", "--to", "linkerd", "--kubeconfig", c.Kubeconfig, "--out", out, "-o", "json").wants(t, exitUnsupported) // the Gateway
	s := parsed[move.Shape](t, r.out)
	if !s.Check.Asked || s.Check.Requests < 100 || len(s.Check.Differences) > 0 {
		t.Errorf("%+v", s.Check)
	}
	var namespaces []string
	for _, p := range s.Plan {
		namespaces = append(namespaces, p.Namespace)
	}
	same(t, namespaces, []string{"idle", "shop"})
	plan := load(t, filepath.Join(out, "plan.txt"))
	has(t, plan, "= Gateway shop/edge", "kubectl rollout restart -n shop deployment/catalog-v1", "kubectl annotate namespace idle --overwrite linkerd.io/inject=enabled",
		"kubectl get services,serviceaccounts,pods,deployments,statefulsets,daemonsets -A -o yaml > "+out+"/beside.yaml", "kubectl label namespace idle --overwrite istio-injection=enabled istio.io/rev=x")
	same(t, kinds(t, load(t, filepath.Join(out, "04-clean/shop/remove.yaml"))), kinds(t, native))
	lacks(t, load(t, filepath.Join(out, "back/01-prepare/shop/apply.yaml")), "resourceVersion", "managedFields", "uid")
}
