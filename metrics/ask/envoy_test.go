// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"strings"
	"testing"
)

const consul = `
  envoy_http_downstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="public_listener",envoy_response_code_class="2"} 0+10x8
  envoy_http_downstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="public_listener",envoy_response_code_class="4"} 0+1x8
  envoy_http_downstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="public_listener",envoy_response_code_class="5"} 0+2x8
  envoy_http_downstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-dddff",envoy_http_conn_manager_prefix="public_listener_http",envoy_response_code_class="2"} 0+10x6 stale
  envoy_http_downstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="upstream",envoy_response_code_class="2"} 0+1000x8
  envoy_cluster_upstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",consul_destination_service="catalog-v1",envoy_response_code_class="5"} 0+20x8
  envoy_cluster_upstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",consul_destination_service="db",envoy_response_code_class="2"} 0+7x8
  envoy_cluster_upstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",consul_destination_service="web",envoy_response_code_class="2"} 0+3x8
  envoy_cluster_upstream_rq_xx{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="local_app",envoy_response_code_class="2"} 0+1000x8
  envoy_http_downstream_rq_time_bucket{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="public_listener",le="10"} 0+13x8
  envoy_http_downstream_rq_time_bucket{local_cluster="web",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="public_listener",le="+Inf"} 0+13x8
`

func TestConsul(t *testing.T) {
	for name, rename := range map[string]func(string) string{
		"today":  func(s string) string { return s },
		"before": func(s string) string { return strings.ReplaceAll(s, "consul_destination_service", "consul_service") },
		"pods called otherwise": func(s string) string {
			return strings.NewReplacer("namespace=", "kubernetes_namespace=", "pod=", "kubernetes_pod_name=").Replace(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := story{"consul", queries(t, "consul"), rename(consul), shop()}.source(t)
			want(t, s, "services shop/web,other/web", "Service shop/web: 69+8 5/9/9.9", "Service other/web: 0+0")
			want(t, s, "deployments shop/web", "Deployment shop/web: 69+8 5/9/9.9") // by its pods, with the one that died
			want(t, s, "namespaces shop", "Namespace shop: 69+8 5/9/9.9")
			a := want(t, s, "services shop/web edges", "Service shop/web to Service shop/catalog-v1 client: 0+80", "Service shop/web to Service shop/db client: 28+0")
			if !strings.Contains(strings.Join(a.Notes, "\n"), "more than one Service has its name") { // there are two called web
				t.Errorf("that an edge cannot be told is not said: %q", a.Notes)
			}
			want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment shop/catalog-v1 client: 0+80")
			want(t, s, "deployments shop/catalog-v1 edges", "Deployment shop/catalog-v1 from Deployment shop/web client: 0+80")
			want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
		})
	}
}

const appmesh = `
  envoy_cluster_upstream_rq{kubernetes_namespace="shop",kubernetes_pod_name="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="cds_ingress_my_mesh_web_shop_http_8080",envoy_response_code="200"} 0+10x8
  envoy_cluster_upstream_rq{kubernetes_namespace="shop",kubernetes_pod_name="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="cds_ingress_my_mesh_web_shop_http_8080",envoy_response_code="503"} 0+2x8
  envoy_cluster_upstream_rq{kubernetes_namespace="shop",kubernetes_pod_name="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="cds_egress_my_mesh_catalog-v1_shop_http_8080",envoy_response_code="500"} 0+20x8
  envoy_cluster_upstream_rq{kubernetes_namespace="shop",kubernetes_pod_name="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="cds_egress_my_mesh_web_other_http_8080",envoy_response_code="200"} 0+3x8
  envoy_cluster_upstream_rq_time_bucket{kubernetes_namespace="shop",kubernetes_pod_name="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="cds_ingress_my_mesh_web_shop_http_8080",le="10"} 0+12x8
  envoy_cluster_upstream_rq_time_bucket{kubernetes_namespace="shop",kubernetes_pod_name="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="cds_ingress_my_mesh_web_shop_http_8080",le="+Inf"} 0+12x8
`

func TestAppMesh(t *testing.T) {
	for name, series := range map[string]string{"pods as in its guide": appmesh,
		"pods as elsewhere": strings.NewReplacer("kubernetes_namespace", "namespace", "kubernetes_pod_name", "pod").Replace(appmesh)} {
		t.Run(name, func(t *testing.T) {
			s := story{"appmesh", queries(t, "appmesh"), series, shop()}.source(t)
			want(t, s, "deployments shop/web", "Deployment shop/web: 40+8 5/9/9.9") // what it sends is not mixed in
			want(t, s, "pods shop/web-7d9f8c6b5d-x2x4z", "Pod shop/web-7d9f8c6b5d-x2x4z: 40+8 5/9/9.9")
			want(t, s, "services other/web", "Service other/web: 12+0")
			want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment other/web client: 12+0", "Deployment shop/web to Deployment shop/catalog-v1 client: 0+80")
			want(t, s, "deployments other/web edges", "Deployment other/web from Deployment shop/web client: 12+0")
			want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
		})
	}
}

const appmeshExtension = `
  envoy_appmesh_RequestCountPerTarget{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="catalog-v1_shop"} 0+20x8
  envoy_appmesh_HTTPCode_Target_5XX_Count{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="catalog-v1_shop"} 0+20x8
  envoy_appmesh_RequestCountPerTarget{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="catalog-v2_shop"} 0+20x8
  envoy_appmesh_HTTPCode_Target_5XX_Count{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="catalog-v2_shop"} 0+1x8
  envoy_appmesh_RequestCountPerTarget{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="web_other"} 0+3x8
  envoy_appmesh_TargetResponseTime_bucket{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="catalog-v2_shop",le="10"} 0+20x8
  envoy_appmesh_TargetResponseTime_bucket{Mesh="m",VirtualNode="web_shop",TargetVirtualNode="catalog-v2_shop",le="+Inf"} 0+20x8
`

func TestAppMeshExtension(t *testing.T) {
	s := story{"appmesh", queries(t, "appmesh"), appmeshExtension, shop()}.source(t)
	want(t, s, "deployments shop/catalog-v1,shop/catalog-v2,other/web", "Deployment shop/catalog-v1: 0+80", "Deployment shop/catalog-v2: 76+4 5/9/9.9", "Deployment other/web: 12+0")
	want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment other/web client: 12+0", "Deployment shop/web to Deployment shop/catalog-v1 client: 0+80",
		"Deployment shop/web to Deployment shop/catalog-v2 client: 76+4 5/9/9.9")
}

const kuma = `
  envoy_http_downstream_rq_xx_total{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="self_inbound_dp_http",envoy_response_code_class="2"} 0+10x8
  envoy_http_downstream_rq_xx_total{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="self_inbound_dp_http",envoy_response_code_class="5"} 0+2x8
  envoy_http_downstream_rq_xx_total{mesh="m",namespace="shop",kuma_workload="catalog-v1",pod="catalog-v1-5d4f8c6b5d-zzzzz",envoy_http_conn_manager_prefix="self_inbound_dp_http",envoy_response_code_class="5"} 0+20x8
  envoy_http_downstream_rq_xx_total{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="self_outbound",envoy_response_code_class="2"} 0+1000x8
  envoy_cluster_upstream_rq_xx_total{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="m_catalog-v1_shop_zone-1_msvc_8080",envoy_response_code_class="5"} 0+20x8
  envoy_cluster_upstream_rq_xx_total{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_cluster_name="web_other_svc_8080",envoy_response_code_class="2"} 0+3x8
  envoy_http_downstream_rq_time_bucket{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="self_inbound_dp_http",le="10"} 0+12x8
  envoy_http_downstream_rq_time_bucket{mesh="m",namespace="shop",kuma_workload="web",pod="web-7d9f8c6b5d-x2x4z",envoy_http_conn_manager_prefix="self_inbound_dp_http",le="+Inf"} 0+12x8
`

func TestKuma(t *testing.T) {
	for name, series := range map[string]string{"with _total": kuma, "without _total": strings.ReplaceAll(kuma, "_xx_total", "_xx")} {
		t.Run(name, func(t *testing.T) {
			s := story{"kuma", queries(t, "kuma"), series, shop()}.source(t)
			want(t, s, "deployments shop/web,shop/catalog-v1,other/web", "Deployment shop/web: 40+8 5/9/9.9", "Deployment shop/catalog-v1: 0+80", "Deployment other/web: 0+0")
			want(t, s, "services other/web", "Service other/web: 12+0")
			want(t, s, "namespaces shop", "Namespace shop: 40+88 5/9/9.9")
			want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment other/web client: 12+0", "Deployment shop/web to Deployment shop/catalog-v1 client: 0+80")
			want(t, s, "deployments shop/web edges services", "Deployment shop/web to Service other/web client: 12+0", "Deployment shop/web to Service shop/catalog-v1 client: 0+80")
			want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
		})
	}
}

const kuma2 = `
  envoy_cluster_upstream_rq{kuma_io_service="web_shop_svc_8080",envoy_cluster_name="localhost_8080",envoy_response_code="200"} 0+10x8
  envoy_cluster_upstream_rq{kuma_io_service="web_shop_svc_8080",envoy_cluster_name="localhost_8080",envoy_response_code="500"} 0+2x8
  envoy_cluster_upstream_rq{kuma_io_service="web_shop_svc_8080",envoy_cluster_name="catalog-v1_shop_svc_8080",envoy_response_code="500"} 0+20x8
  envoy_cluster_upstream_rq_time_bucket{kuma_io_service="web_shop_svc_8080",envoy_cluster_name="localhost_8080",le="10"} 0+12x8
  envoy_cluster_upstream_rq_time_bucket{kuma_io_service="web_shop_svc_8080",envoy_cluster_name="localhost_8080",le="+Inf"} 0+12x8
`

func TestKuma2(t *testing.T) {
	for name, series := range map[string]string{"kuma_io_service": kuma2, "service": strings.ReplaceAll(kuma2, "kuma_io_service", "service")} {
		t.Run(name, func(t *testing.T) {
			s := story{"kuma-2", queries(t, "kuma-2"), series, shop()}.source(t)
			want(t, s, "services shop/web", "Service shop/web: 40+8 5/9/9.9")
			want(t, s, "deployments shop/web", "Deployment shop/web: 40+8 5/9/9.9")
			want(t, s, "namespaces shop", "Namespace shop: 40+8 5/9/9.9")
			want(t, s, "services shop/web edges", "Service shop/web to Service shop/catalog-v1 client: 0+80")
			want(t, s, "deployments shop/catalog-v1 edges", "Deployment shop/catalog-v1 from Deployment shop/web client: 0+80")
		})
	}
}

const osmWASM = `
  osm_request_total{source_namespace="shop",source_kind="Deployment",source_name="web",source_pod="web-7d9f8c6b5d-x2x4z",destination_namespace="shop",destination_kind="Deployment",destination_name="catalog-v1",destination_pod="catalog-v1-5d4f8c6b5d-zzzzz",response_code="500"} 0+20x8
  osm_request_total{source_namespace="shop",source_kind="Deployment",source_name="web",source_pod="web-7d9f8c6b5d-x2x4z",destination_namespace="shop",destination_kind="StatefulSet",destination_name="db",destination_pod="db-0",response_code="200"} 0+7x8
  osm_request_total{source_namespace="unknown",source_kind="unknown",source_name="unknown",source_pod="unknown",destination_namespace="shop",destination_kind="Deployment",destination_name="web",destination_pod="web-7d9f8c6b5d-x2x4z",response_code="200"} 0+10x8
  osm_request_total{source_namespace="unknown",source_kind="unknown",source_name="unknown",source_pod="unknown",destination_namespace="shop",destination_kind="Deployment",destination_name="web",destination_pod="web-7d9f8c6b5d-x2x4z",response_code="503"} 0+2x8
  osm_request_duration_ms_bucket{source_namespace="unknown",source_kind="unknown",source_name="unknown",source_pod="unknown",destination_namespace="shop",destination_kind="Deployment",destination_name="web",destination_pod="web-7d9f8c6b5d-x2x4z",le="10"} 0+12x8
  osm_request_duration_ms_bucket{source_namespace="unknown",source_kind="unknown",source_name="unknown",source_pod="unknown",destination_namespace="shop",destination_kind="Deployment",destination_name="web",destination_pod="web-7d9f8c6b5d-x2x4z",le="+Inf"} 0+12x8
`

func TestOSM(t *testing.T) {
	s := story{"osm", queries(t, "osm"), osmWASM, shop()}.source(t)
	want(t, s, "deployments shop/web,shop/catalog-v1", "Deployment shop/web: 40+8 5/9/9.9", "Deployment shop/catalog-v1: 0+80")
	want(t, s, "statefulsets shop/db", "StatefulSet shop/db: 28+0")
	want(t, s, "deployments shop/db", "Deployment shop/db: 0+0") // the label tells the kind
	want(t, s, "services shop/db", "Service shop/db: 28+0")
	want(t, s, "pods shop/web-7d9f8c6b5d-x2x4z edges", "Pod shop/web-7d9f8c6b5d-x2x4z to Pod shop/catalog-v1-5d4f8c6b5d-zzzzz server: 0+80",
		"Pod shop/web-7d9f8c6b5d-x2x4z to Pod shop/db-0 server: 28+0", "Pod shop/web-7d9f8c6b5d-x2x4z from {} server: 40+8 5/9/9.9")
	want(t, s, "nodes n1 edges", "Node n1 to Node n1 server: 28+80", "Node n1 from {} server: 40+8 5/9/9.9", "Node n1 from Node n1 server: 28+80")
	want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} server: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
}

const osmEnvoy = `
  envoy_cluster_upstream_rq_xx{source_namespace="shop",source_service="web",source_pod_name="web-7d9f8c6b5d-x2x4z",source_workload_kind="Deployment",source_workload_name="web",envoy_cluster_name="shop/web|8080|local",envoy_response_code_class="2"} 0+10x8
  envoy_cluster_upstream_rq_xx{source_namespace="shop",source_service="web",source_pod_name="web-7d9f8c6b5d-x2x4z",source_workload_kind="Deployment",source_workload_name="web",envoy_cluster_name="shop/catalog-v1|8080",envoy_response_code_class="5"} 0+20x8
  envoy_cluster_upstream_rq_time_bucket{source_namespace="shop",source_service="web",source_pod_name="web-7d9f8c6b5d-x2x4z",source_workload_kind="Deployment",source_workload_name="web",envoy_cluster_name="shop/web|8080|local",le="10"} 0+10x8
  envoy_cluster_upstream_rq_time_bucket{source_namespace="shop",source_service="web",source_pod_name="web-7d9f8c6b5d-x2x4z",source_workload_kind="Deployment",source_workload_name="web",envoy_cluster_name="shop/web|8080|local",le="+Inf"} 0+10x8
`

func TestOSMWithoutStatistics(t *testing.T) {
	s := story{"osm", queries(t, "osm"), osmEnvoy, shop()}.source(t)
	want(t, s, "deployments shop/web", "Deployment shop/web: 40+0 5/9/9.9")
	want(t, s, "services shop/web", "Service shop/web: 40+0 5/9/9.9")
	want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment shop/catalog-v1 client: 0+80")
	want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+80", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
}
