// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"testing"
)

const linkerd = `
  response_total{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",classification="success",status_code="200",tls="true",client_id="default.edge.serviceaccount.identity.linkerd.cluster.local"} 0+10x8
  response_total{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",classification="failure",status_code="500",tls="true",client_id="default.edge.serviceaccount.identity.linkerd.cluster.local"} 0+5x8
  response_total{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-bbbbb",deployment="web",classification="success",status_code="200",tls="no_identity"} 0+1x8
  response_total{direction="inbound",namespace="other",pod="web-66d9f8c6bd-ddddd",deployment="web",classification="success",status_code="200",tls="true",client_id="web.shop.serviceaccount.identity.linkerd.cluster.local"} 0+3x8
  response_total{direction="outbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",dst_namespace="shop",dst_service="catalog-v1",dst_deployment="catalog-v1",classification="failure"} 0+20x8
  response_total{direction="outbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",dst_namespace="shop",dst_service="db",dst_statefulset="db",classification="success"} 0+7x8
  response_total{direction="outbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",dst_namespace="other",dst_service="web",dst_deployment="web",classification="success"} 0+3x8
  response_total{direction="outbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",authority="example.org",classification="success"} 0+6x8
  response_total{direction="outbound",namespace="other",pod="web-66d9f8c6bd-ddddd",deployment="web",dst_namespace="other",dst_service="web",dst_deployment="web",classification="success"} 0+9x8
  # what was sent to Service catalog, and what a client sent to catalog-v1 by its own name
  outbound_http_route_backend_response_statuses_total{namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",parent_kind="Service",parent_namespace="shop",parent_name="catalog",route_kind="HTTPRoute",route_name="catalog-8080",backend_kind="Service",backend_namespace="shop",backend_name="catalog-v1",http_status="200",error=""} 0+90x8
  outbound_http_route_backend_response_statuses_total{namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",parent_kind="Service",parent_namespace="shop",parent_name="catalog",route_kind="HTTPRoute",route_name="catalog-8080",backend_kind="Service",backend_namespace="shop",backend_name="catalog-v2",http_status="503",error=""} 0+4x8
  outbound_http_route_backend_response_statuses_total{namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",parent_kind="Service",parent_namespace="shop",parent_name="catalog",route_kind="HTTPRoute",route_name="catalog-8080",backend_kind="Service",backend_namespace="shop",backend_name="catalog-v2",error="REQUEST_TIMEOUT"} 0+1x8
  outbound_http_route_backend_response_statuses_total{namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",parent_kind="Service",parent_namespace="shop",parent_name="catalog-v1",route_kind="default",backend_kind="Service",backend_namespace="shop",backend_name="catalog-v1",http_status="200",error=""} 0+50x8
  outbound_http_route_backend_response_duration_seconds_bucket{namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",parent_kind="Service",parent_namespace="shop",parent_name="catalog",backend_kind="Service",backend_namespace="shop",backend_name="catalog-v1",le="0.05"} 0+45x8
  outbound_http_route_backend_response_duration_seconds_bucket{namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",parent_kind="Service",parent_namespace="shop",parent_name="catalog",backend_kind="Service",backend_namespace="shop",backend_name="catalog-v1",le="+Inf"} 0+45x8
  # one pod took up to 10 ms and the other up to 20 ms: half of all took 10 ms
  response_latency_ms_bucket{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",le="10"} 0+10x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",le="20"} 0+10x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",deployment="web",le="+Inf"} 0+10x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-bbbbb",deployment="web",le="10"} 0+0x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-bbbbb",deployment="web",le="20"} 0+10x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",pod="web-7d9f8c6b5d-bbbbb",deployment="web",le="+Inf"} 0+10x8
`

func TestLinkerd(t *testing.T) {
	s := story{"linkerd", queries(t, "linkerd"), linkerd, shop()}.source(t)
	want(t, s, "deployments shop/web,other/web", "Deployment shop/web: 44+20 10/18/19.8", "Deployment other/web: 12+0")
	want(t, s, "pods shop/web-7d9f8c6b5d-x2x4z", "Pod shop/web-7d9f8c6b5d-x2x4z: 40+20 5/9/9.9")
	// By its pods it is the same, and so are the quantiles: they are of all requests, not of the slower pod.
	want(t, s, "replicasets shop/web-7d9f8c6b5d", "ReplicaSet shop/web-7d9f8c6b5d: 44+20 10/18/19.8")
	want(t, s, "nodes n1", "Node n1: 40+20 5/9/9.9")
	want(t, s, "services shop/catalog-v1,other/web", "Service shop/catalog-v1: 0+80", "Service other/web: 48+0")
	want(t, s, "namespaces shop", "Namespace shop: 44+20 10/18/19.8")
	// The web of the other namespace calls itself. Its name alone would make this an edge of shop's web, in both directions.
	want(t, s, "deployments shop/web edges",
		"Deployment shop/web to {} client: 24+0",
		"Deployment shop/web to Deployment other/web client: 12+0",
		"Deployment shop/web to Deployment shop/catalog-v1 client: 0+80")
	want(t, s, "deployments other/web edges",
		"Deployment other/web to Deployment other/web client: 36+0",
		"Deployment other/web from Deployment other/web client: 36+0",
		"Deployment other/web from Deployment shop/web client: 12+0")
	want(t, s, "deployments other/web edges namespaces",
		"Deployment other/web to Namespace other client: 36+0",
		"Deployment other/web from Namespace other client: 36+0",
		"Deployment other/web from Namespace shop client: 12+0",
		"Deployment other/web from Namespace shop server: 12+0")
	// Exactly what went through the root: the calls of catalog-v1 by its own name are not the split's.
	a := want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 360+0 25/45/49.5", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+20")
	if len(a.Notes) > 0 {
		t.Errorf("an exact answer has notes: %q", a.Notes)
	}
	want(t, s, "trafficsplits shop/catalog edges deployments", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from Deployment shop/web client: 360+0 25/45/49.5",
		"TrafficSplit shop/catalog [catalog→catalog-v2 10] from Deployment shop/web client: 0+20")
}

func TestLinkerdBeforeRoutes(t *testing.T) {
	s := story{"linkerd-2.11", queries(t, "linkerd-2.11"), linkerd, shop()}.source(t)
	a := want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
	if len(a.Notes) != 1 {
		t.Errorf("that the root is lost is not said: %q", a.Notes)
	}
}

func TestLinkerdRoutes(t *testing.T) {
	s := story{"linkerd", queries(t, "linkerd"), `
  route_response_total{direction="inbound",namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst="web.shop.svc.cluster.local:8080",rt_route="GET /cart",classification="success"} 0+10x8
  route_response_total{direction="inbound",namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst="web.shop.svc.cluster.local:8080",rt_route="GET /cart",classification="failure"} 0+2x8
  route_response_total{direction="inbound",namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst="web.shop.svc.cluster.local:8080",rt_route="POST /pay",classification="failure"} 0+1x8
  route_response_total{direction="inbound",namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst="web.shop.svc.cluster.local:8080",classification="success"} 0+100x8
  route_response_total{direction="outbound",namespace="shop",deployment="web",pod="web-7d9f8c6b5d-x2x4z",dst="web.shop.svc.cluster.local:8080",rt_route="GET /cart",classification="success"} 0+100x8
  route_response_latency_ms_bucket{direction="inbound",namespace="shop",deployment="web",dst="web.shop.svc.cluster.local:8080",rt_route="GET /cart",le="10"} 0+12x8
  route_response_latency_ms_bucket{direction="inbound",namespace="shop",deployment="web",dst="web.shop.svc.cluster.local:8080",rt_route="GET /cart",le="+Inf"} 0+12x8
`, shop()}.source(t)
	want(t, s, "deployments shop/web routes", "Deployment shop/web web/GET /cart: 40+8 5/9/9.9", "Deployment shop/web web/POST /pay: 0+4")
	want(t, s, "services shop/web routes", "Service shop/web web/GET /cart: 40+8 5/9/9.9", "Service shop/web web/POST /pay: 0+4")
	if a := want(t, story{"istio", queries(t, "istio"), "  up 1", shop()}.source(t), "deployments shop/web routes"); len(a.Notes) != 1 {
		t.Errorf("that routes cannot be told is not said: %q", a.Notes)
	}
}
