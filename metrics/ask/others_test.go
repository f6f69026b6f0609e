// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh/gamma"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

const traefik = `
  traefik_service_requests_total{service="shop-web-8080@http",code="200",method="GET",protocol="http"} 0+10x8
  traefik_service_requests_total{service="shop-web-8080@http",code="502",method="GET",protocol="http"} 0+2x8
  traefik_service_requests_total{service="shop-db-allow-web-5432-traffic-target@http",code="200",method="GET",protocol="http"} 0+7x8
  traefik_service_requests_total{service="shop-catalog-catalog-8080-catalog-v1-traffic-split-backend@http",code="500",method="GET",protocol="http"} 0+20x8
  traefik_service_requests_total{service="shop-catalog-v1-8080@http",code="200",method="GET",protocol="http"} 0+5x8
  traefik_service_request_duration_seconds_bucket{service="shop-web-8080@http",code="200",le="0.01"} 0+12x8
  traefik_service_request_duration_seconds_bucket{service="shop-web-8080@http",code="200",le="+Inf"} 0+12x8
`

func TestTraefik(t *testing.T) {
	s := story{"traefik", queries(t, "traefik"), traefik, shop()}.source(t)
	want(t, s, "services shop/web,shop/db,other/web", "Service shop/web: 40+8 5/9/9.9", "Service shop/db: 28+0", "Service other/web: 0+0")
	want(t, s, "services shop/catalog-v1", "Service shop/catalog-v1: 20+80")
	want(t, s, "deployments shop/catalog-v1", "Deployment shop/catalog-v1: 20+80") // what stands behind that Service alone
	want(t, s, "namespaces shop", "Namespace shop: 88+88 5/9/9.9")
	a := want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
	if len(a.Notes) > 0 {
		t.Errorf("an exact answer has notes: %q", a.Notes)
	}
	if a := want(t, s, "services shop/web edges"); len(a.Notes) != 1 {
		t.Errorf("that there are no edges is not said: %q", a.Notes)
	}
}

// TestTraefikDashes has a namespace and a Service whose dashes make one label of two names.
func TestTraefikDashes(t *testing.T) {
	w := (&World{}).Add("Service a/b-c", "Service a-b/c", "Service a/d-e")
	s := story{"traefik", queries(t, "traefik"), `
  traefik_service_requests_total{service="a-b-c-80@http",code="200"} 0+10x8
  traefik_service_requests_total{service="a-d-e-80@http",code="200"} 0+5x8`, w}.source(t)
	want(t, s, "services a/b-c,a-b/c,a/d-e", "Service a/b-c: 0+0", "Service a-b/c: 0+0", "Service a/d-e: 20+0")
}

const nginx = `
  nginxplus_upstream_server_responses{namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst_namespace="shop",dst_deployment="catalog-v1",dst_service="catalog-v1",dst_pod="catalog-v1-5d4f8c6b5d-zzzzz",code="5xx"} 0+20x8
  nginxplus_upstream_server_responses{namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst_namespace="shop",dst_statefulset="db",dst_service="db",dst_pod="db-0",code="2xx"} 0 7 14 21 28 35 7 14 21
  nginxplus_upstream_server_responses{namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst_namespace="other",dst_deployment="web",dst_service="web",dst_pod="web-66d9f8c6bd-ddddd",code="2xx"} 0+3x8
  nginxplus_upstream_server_response_latency_ms_bucket{namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst_namespace="other",dst_deployment="web",dst_service="web",dst_pod="web-66d9f8c6bd-ddddd",le="10"} 0+3x8
  nginxplus_upstream_server_response_latency_ms_bucket{namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst_namespace="other",dst_deployment="web",dst_service="web",dst_pod="web-66d9f8c6bd-ddddd",le="+Inf"} 0+3x8
`

func TestNGINX(t *testing.T) {
	s := story{"nginx", queries(t, "nginx"), nginx, shop()}.source(t)
	want(t, s, "deployments shop/catalog-v1,other/web", "Deployment shop/catalog-v1: 0+80", "Deployment other/web: 12+0 5/9/9.9")
	want(t, s, "statefulsets shop/db", "StatefulSet shop/db: 28+0") // NGINX read its configuration again: 21 in 45 s all the same
	want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment other/web client: 12+0 5/9/9.9", "Deployment shop/web to Deployment shop/catalog-v1 client: 0+80")
	want(t, s, "pods shop/db-0 edges", "Pod shop/db-0 from Pod shop/web-7d9f8c6b5d-x2x4z client: 28+0")
	want(t, s, "nodes n1 edges", "Node n1 to Node n1 client: 28+80", "Node n1 to Node n2 client: 12+0 5/9/9.9", "Node n1 from Node n1 client: 28+80")
	want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
}

const builtin = `
  anymesh_http_requests_total{side="server",source="edge/gate",source_namespace="edge",service="",backend="",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="200",grpc_status="",verdict="allowed"} 0+10x8
  anymesh_http_requests_total{side="server",source="edge/gate",source_namespace="edge",service="",backend="",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="0",grpc_status="",verdict="allowed"} 0+2x8
  anymesh_http_requests_total{side="server",source="edge/gate",source_namespace="edge",service="",backend="",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="200",grpc_status="14",verdict="allowed"} 0+1x8
  anymesh_http_requests_total{side="server",source="edge/gate",source_namespace="edge",service="",backend="",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="403",grpc_status="",verdict="denied"} 0+1x8
  anymesh_http_requests_total{side="client",source="shop/web",source_namespace="shop",service="catalog.shop.svc.cluster.local:8080",backend="catalog-v1.shop.svc.cluster.local:8080",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="500",grpc_status="",verdict="allowed"} 0+20x8
  anymesh_http_requests_total{side="client",source="shop/web",source_namespace="shop",service="catalog-v1.shop.svc.cluster.local:8080",backend="catalog-v1.shop.svc.cluster.local:8080",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="200",grpc_status="",verdict="allowed"} 0+5x8
  anymesh_http_requests_total{side="client",source="shop/web",source_namespace="shop",service="web.other.svc:8080",backend="web.other.svc:8080",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",code="200",grpc_status="",verdict="allowed"} 0+3x8
  anymesh_http_request_duration_seconds_bucket{side="server",source="edge/gate",source_namespace="edge",service="",backend="",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",le="0.01"} 0+12x8
  anymesh_http_request_duration_seconds_bucket{side="server",source="edge/gate",source_namespace="edge",service="",backend="",workload_namespace="shop",workload="web",workload_kind="Deployment",workload_pod="web-7d9f8c6b5d-x2x4z",le="+Inf"} 0+12x8
`

func TestBuiltin(t *testing.T) {
	s := story{"builtin", queries(t, "builtin"), builtin, shop()}.source(t)
	want(t, s, "deployments shop/web,other/web", "Deployment shop/web: 44+12 5/9/9.9", "Deployment other/web: 0+0")
	want(t, s, "statefulsets shop/web", "StatefulSet shop/web: 0+0")
	want(t, s, "pods shop/web-7d9f8c6b5d-x2x4z", "Pod shop/web-7d9f8c6b5d-x2x4z: 44+12 5/9/9.9")
	want(t, s, "services other/web", "Service other/web: 12+0")
	want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment other/web client: 12+0", "Deployment shop/web to Deployment shop/catalog-v1 client: 20+80")
	want(t, s, "deployments shop/web edges namespaces", "Deployment shop/web to Namespace other client: 12+0", "Deployment shop/web to Namespace shop client: 20+80",
		"Deployment shop/web from Namespace edge server: 44+12 5/9/9.9")
	a := want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
	if len(a.Notes) > 0 {
		t.Errorf("an exact answer has notes: %q", a.Notes)
	}
}

// TestGamma: the Gateway API is a language and has no proxies.
func TestGamma(t *testing.T) {
	s := story{"gamma", gamma.Driver.Queries, "  up 1", shop()}.source(t)
	a := want(t, s, "deployments shop/web", "Deployment shop/web: 0+0")
	if !strings.Contains(strings.Join(a.Notes, "\n"), "has no series of its own") {
		t.Errorf("it is not said: %q", a.Notes)
	}
}
