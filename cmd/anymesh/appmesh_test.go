// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"testing"
)

// colors is what a user of App Mesh has to move.
const colors = `apiVersion: v1
kind: Service
metadata: {name: color, namespace: shop}
spec: {selector: {part: color}, ports: [{name: http, port: 8080, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: red, namespace: shop}
spec: {selector: {app: red}, ports: [{name: http, port: 8080, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: blue, namespace: shop}
spec: {selector: {app: blue}, ports: [{name: http, port: 8080, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: red, namespace: shop, labels: {app: red, part: color}}
spec: {serviceAccountName: red, containers: [{name: app, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: blue, namespace: shop, labels: {app: blue, part: color}}
spec: {serviceAccountName: blue, containers: [{name: app, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec: {serviceAccountName: front, containers: [{name: app, image: x}]}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: Mesh
metadata: {name: colors}
spec: {namespaceSelector: {matchLabels: {mesh: colors}}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: front, namespace: shop}
spec:
  podSelector: {matchLabels: {app: front}}
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  backends: [{virtualService: {virtualServiceRef: {name: color}}}]
  serviceDiscovery: {dns: {hostname: front.shop.svc.cluster.local}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: red, namespace: shop}
spec:
  podSelector: {matchLabels: {app: red}}
  listeners: [{portMapping: {port: 8080, protocol: http}, healthCheck: {protocol: http, path: /ping, healthyThreshold: 2, unhealthyThreshold: 2, timeoutMillis: 2000, intervalMillis: 5000}}]
  serviceDiscovery: {dns: {hostname: red.shop.svc.cluster.local}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: blue, namespace: shop}
spec:
  podSelector: {matchLabels: {app: blue}}
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  serviceDiscovery: {dns: {hostname: blue.shop.svc.cluster.local}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualService
metadata: {name: color, namespace: shop}
spec: {awsName: color.shop.svc.cluster.local, provider: {virtualRouter: {virtualRouterRef: {name: color}}}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualRouter
metadata: {name: color, namespace: shop}
spec:
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  routes:
  - {name: blue, priority: 1, httpRoute: {match: {prefix: /blue}, action: {weightedTargets: [{virtualNodeRef: {name: blue}, weight: 1}]}}}
  - {name: all, priority: 2, httpRoute: {match: {prefix: /}, timeout: {perRequest: {unit: s, value: 5}}, action: {weightedTargets: [{virtualNodeRef: {name: red}, weight: 3}, {virtualNodeRef: {name: blue}, weight: 1}]}}}
`

// TestMoveFromAppMesh holds that App Mesh reads back, that what is left is named and kept, and that another mesh takes it from there.
func TestMoveFromAppMesh(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep.yaml")
	r := anymesh(t, colors, "import", "--from", "appmesh", "--keep", keep, "-f", "-").wants(t, exitUnsupported)
	same(t, kinds(t, r.out), []string{"HTTPRouteGroup shop/color-01", "TrafficSplit shop/color-01", "TrafficSplit shop/color", "HTTPRouteGroup shop/red", "TCPRoute shop/red", "TrafficTarget shop/red",
		"HTTPRouteGroup shop/blue", "TCPRoute shop/blue", "TrafficTarget shop/blue"})
	same(t, kinds(t, load(t, keep)), []string{"VirtualNode shop/red", "VirtualRouter shop/color"})
	has(t, r.errs, "spec.listeners[0].healthCheck\n", "spec.routes[1].httpRoute.timeout\n", "Run what is imported with --access-default deny.", "AWS App Mesh: 4 of 6 objects understood whole")
	for _, c := range []struct {
		from, path string
		code       int
	}{{"shop/front", "/", exitOK}, {"shop/front", "/blue/x", exitOK}, {"shop/red", "/", exitDenied}} {
		anymesh(t, colors+"---\n"+r.out, "why", "--from", c.from, "--to", "shop/color", "--access-default", "deny", "GET", c.path, "-f", "-").wants(t, c.code)
	}
	to := anymesh(t, colors+"---\n"+r.out, "translate", "--to", "istio", "--access-default", "deny", "-f", "-").wants(t, exitOK)
	has(t, to.out, "kind: VirtualService\n", "weight: 3\n", "kind: AuthorizationPolicy\n", "cluster.local/ns/shop/sa/front\n")
}
