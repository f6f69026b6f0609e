// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// bookstore is what a user of OSM has: SMI as OSM reads it, what OSM adds to it, and the workloads.
const bookstore = `apiVersion: v1
kind: Service
metadata: {name: bookstore, namespace: shop}
spec: {selector: {app: bookstore}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bookstore, namespace: shop}
spec:
  selector: {matchLabels: {app: bookstore}}
  template:
    metadata: {labels: {app: bookstore}}
    spec: {serviceAccountName: bookstore, containers: [{name: app, image: x}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: books, pathRegex: /books, methods: [GET]}]}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: buyer, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: bookstore, namespace: shop}
  sources: [{kind: ServiceAccount, name: buyer, namespace: shop}]
  rules: [{kind: HTTPRouteGroup, name: routes, matches: [books]}]
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: all, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: bookstore, namespace: shop}
  sources: [{kind: ServiceAccount, name: thief, namespace: shop}]
  rules: [{kind: HTTPRouteGroup, name: routes}]
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: later, namespace: shop}
spec: {service: bookstore, backends: [{service: bookstore, weight: 1}]}
---
apiVersion: policy.openservicemesh.io/v1alpha1
kind: Retry
metadata: {name: retry, namespace: shop}
spec: {}
---
apiVersion: config.openservicemesh.io/v1alpha2
kind: MeshConfig
metadata: {name: osm-mesh-config, namespace: osm-system}
spec: {traffic: {enablePermissiveTrafficPolicyMode: false}}
`

// TestImportDialect holds that a mesh which reads SMI itself is read by its own meaning: its objects of SMI are native to it.
func TestImportDialect(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep.yaml")
	r := anymesh(t, bookstore, "import", "--from", "osm", "--keep", keep, "-f", "-").wants(t, exitUnsupported)
	same(t, kinds(t, r.out), []string{"HTTPRouteGroup shop/routes", "TrafficTarget shop/buyer", "TrafficTarget shop/all"})
	has(t, r.out, "anymesh.dev/path-regex: full\n")
	has(t, r.errs, "notice AM0701 [osm] <stdin>:34:11 spec.rules[0].matches\n", "approximate AM0701 [osm] accessDefault\n", "Run what is imported with --access-default deny.", "the mesh reads split.smi-spec.io/v1alpha2 alone",
		"Open Service Mesh: 4 of 6 objects understood whole; SMI: 3 objects\n")
	same(t, kinds(t, load(t, keep)), []string{"TrafficSplit shop/later", "Retry shop/retry"})

	workloads, _, _ := strings.Cut(bookstore, "---\napiVersion: specs")
	for _, c := range []struct {
		from, path string
		code       int
	}{{"shop/buyer", "/books", exitOK}, {"shop/buyer", "/books/1", exitDenied}, {"shop/thief", "/books", exitDenied}} {
		anymesh(t, r.out+"---\n"+workloads, "why", "--from", c.from, "--to", "shop/bookstore", "--access-default", "deny", "GET", c.path, "-f", "-").wants(t, c.code)
	}
	// SMI as its page means it is not touched by another mesh's import.
	none := anymesh(t, bookstore, "import", "--from", "istio", "-f", "-").wants(t, exitOK)
	has(t, none.errs, "the input holds no object of its APIs")
	// What is wrong with the text of an object is told, once.
	broken := anymesh(t, strings.Replace(bookstore, "pathRegex: /books", "pathRegex: '('", 1), "import", "--from", "osm", "-f", "-").wants(t, exitInvalid)
	if strings.Count(broken.errs, "AM0204") != 1 {
		t.Errorf("%s", broken.errs)
	}
}

// TestImportEach holds that the same SMI is read by each mesh's own meaning.
func TestImportEach(t *testing.T) {
	const native = `apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: catalog, namespace: shop, labels: {app: catalog}}
spec: {serviceAccountName: catalog, containers: [{name: app, image: x}]}
---
apiVersion: specs.smi-spec.io/v1alpha3
kind: HTTPRouteGroup
metadata: {name: g, namespace: shop}
spec: {matches: [{name: m, pathRegex: "/a|/b", headers: [{x-user: beta}]}]}
---
apiVersion: access.smi-spec.io/v1alpha2
kind: TrafficTarget
metadata: {name: t, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: catalog, namespace: shop, port: 8080}
  sources: [{kind: ServiceAccount, name: web, namespace: shop}]
  rules: [{kind: HTTPRouteGroup, name: g}]
---
apiVersion: specs.smi.nginx.com/v1alpha2
kind: RateLimit
metadata: {name: r, namespace: shop}
spec: {}
`
	workloads, _, _ := strings.Cut(native, "---\napiVersion: specs")
	for _, c := range []struct {
		from, path, value string
		code              int
	}{
		{"traefik", "/a", "xbetax", exitOK}, {"traefik", "/b", "xbetax", exitDenied}, {"traefik", "//b", "beta", exitOK},
		{"nginx", "/a", "xbetax", exitOK}, {"nginx", "/b", "beta", exitOK}, {"nginx", "//b", "beta", exitDenied},
	} {
		r := anymesh(t, native, "import", "--from", c.from, "-f", "-")
		if want := map[string]int{"traefik": exitOK, "nginx": exitUnsupported}[c.from]; r.code != want {
			t.Fatalf("%s: exit %d\n%s", c.from, r.code, r.errs)
		}
		anymesh(t, r.out+"---\n"+workloads, "why", "--from", "shop/web", "--to", "shop/catalog", "--header", "x-user: "+c.value, "GET", c.path, "-f", "-").wants(t, c.code)
	}
}

// TestOwnDialect holds that SMI which we wrote for a mesh is not taken for a wish again: it has that mesh's meaning, and would mean more.
func TestOwnDialect(t *testing.T) {
	const wish = `apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: g, namespace: shop}
spec: {matches: [{name: m, pathRegex: /books$}]}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: t, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: bookstore}
  sources: [{kind: ServiceAccount, name: buyer}]
  rules: [{kind: HTTPRouteGroup, name: g}]
`
	workloads, _, _ := strings.Cut(bookstore, "---\napiVersion: specs")
	for _, to := range []string{"osm", "traefik"} {
		written := anymesh(t, wish+"---\n"+workloads, "translate", "--to", to, "-f", "-").out
		both := wish + "---\n" + workloads + "---\n" + written
		has(t, written, "app.kubernetes.io/managed-by: anymesh\n", "kind: TrafficTarget\n")
		if again := anymesh(t, both, "translate", "--to", to, "-f", "-"); again.out != written {
			t.Errorf("%s: what was written is read again:\n%s", to, again.out)
		}
		back := anymesh(t, workloads+"---\n"+written, "import", "--from", to, "-f", "-").wants(t, exitOK)
		for path, code := range map[string]int{"/books": exitOK, "/books/1": exitDenied} {
			anymesh(t, back.out+"---\n"+workloads, "why", "--from", "shop/buyer", "--to", "shop/bookstore", "GET", path, "-f", "-").wants(t, code)
		}
	}
}

// TestDiffDialect holds that a folder of SMI is taken for a mesh's only where we wrote it.
func TestDiffDialect(t *testing.T) {
	there := filepath.Dir(save(t, "osm.yaml", anymesh(t, bookstore, "translate", "--to", "osm", "-f", "-").out))
	anymesh(t, bookstore, "diff", "--against", there, "-f", "-").wants(t, exitOK)
	there = filepath.Dir(save(t, "osm.yaml", bookstore))
	has(t, anymesh(t, bookstore, "diff", "--against", there, "-f", "-").wants(t, exitFailure).errs, "no object of a mesh")
}
