// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"strings"
	"testing"

	"github.com/anymesh/anymesh/metrics"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// The defects of the queries of smi-metrics, which served TrafficMetrics before, each with what would have caught it. That every query parses
// (its edges of namespaces did not) is TestEveryQuery.

// One status alone was a success.
func TestOtherThan200Succeeds(t *testing.T) {
	s := story{"istio", queries(t, "istio"), `
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="201"} 0+1x8
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="204"} 0+1x8
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="302"} 0+1x8
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="404"} 0+1x8
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="200",grpc_response_status="13"} 0+1x8
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="0"} 0+1x8
  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="599"} 0+1x8`, shop()}.source(t)
	want(t, s, "deployments shop/web", "Deployment shop/web: 16+12")
}

// Edges of namespaces had two conditions without a comma between them.
func TestEdgesOfNamespaces(t *testing.T) {
	s := story{"istio", queries(t, "istio"), labels(istio), shop()}.source(t)
	want(t, s, "namespaces other edges", "Namespace other from Namespace shop client: 12+0", "Namespace other from Namespace shop server: 12+0")
}

// The series that were asked for were made by a part of Istio that is no more. Those that are asked for here are the ones that Istio has made
// since, with no setting.
func TestSeriesExist(t *testing.T) {
	for _, sh := range queries(t, "istio").Shapes {
		for _, v := range sh.Views {
			if v.Requests != "istio_requests_total" || v.Latency != "istio_request_duration_milliseconds" {
				t.Errorf("%s, %s are not of Istio's standard metrics", v.Requests, v.Latency)
			}
		}
	}
}

// What had no traffic was an error.
func TestZeroTraffic(t *testing.T) {
	for _, series := range []string{"  up 1", `  istio_requests_total{reporter="destination",destination_workload="web",destination_workload_namespace="shop",response_code="200"} 7x8`} {
		s := story{"istio", queries(t, "istio"), series, shop()}.source(t)
		a := want(t, s, "deployments shop/web", "Deployment shop/web: 0+0")
		if m := a.Measures[0]; m.Mesh != "istio" || m.P99 != 0 {
			t.Errorf("%+v", m)
		}
		want(t, s, "deployments shop/web edges")
		want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+0", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
	}
}

// Edges did not say their side.
func TestEdgesHaveSides(t *testing.T) {
	s := story{"istio", queries(t, "istio"), labels(istio), shop()}.source(t)
	a, err := s.Measure(t.Context(), question(t, "deployments shop/catalog-v1 edges"))
	if err != nil || len(a.Measures) != 2 {
		t.Fatal(lines(a), err)
	}
	if a.Measures[0].Edge.Side != metrics.Client || a.Measures[1].Edge.Side != metrics.Server {
		t.Errorf("%v", lines(a))
	}
}

// Names were put into expressions as they are, and a direction was told by the name alone: TestNames of package query and TestLinkerd, with the web of
// another namespace, which calls itself.
func TestDots(t *testing.T) {
	w := (&World{}).Add("Deployment shop/web.v1", "Deployment shop/web-v1")
	s := story{"linkerd", queries(t, "linkerd"), `
  response_total{direction="inbound",namespace="shop",deployment="web.v1",classification="success"} 0+10x8
  response_total{direction="inbound",namespace="shop",deployment="web-v1",classification="failure"} 0+1x8
  response_total{direction="inbound",namespace="shopx",deployment="web.v1",classification="failure"} 0+1x8`, w}.source(t)
	want(t, s, "deployments shop/web.v1", "Deployment shop/web.v1: 40+0")
	want(t, s, "deployments shop/web.v1,shop/web-v1", "Deployment shop/web.v1: 40+0", "Deployment shop/web-v1: 0+4")
}

// An empty histogram was a number without meaning.
func TestNoLatency(t *testing.T) {
	s := story{"linkerd", queries(t, "linkerd"), `
  response_total{direction="inbound",namespace="shop",deployment="web",classification="success"} 0+10x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",deployment="web",le="10"} 0x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",deployment="web",le="+Inf"} 0x8
  response_latency_ms_bucket{direction="inbound",namespace="shop",deployment="bad",le="10"} NaN NaN NaN NaN NaN NaN NaN NaN NaN
  response_latency_ms_bucket{direction="inbound",namespace="shop",deployment="bad",le="+Inf"} Inf Inf Inf Inf Inf Inf Inf Inf Inf`, shop()}.source(t)
	if a := want(t, s, "deployments shop/web", "Deployment shop/web: 40+0"); strings.Contains(strings.Join(lines(a), ""), "NaN") {
		t.Errorf("%v", lines(a))
	}
}
