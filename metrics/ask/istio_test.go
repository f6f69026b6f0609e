// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh/all"

	"github.com/anymesh/anymesh/mesh"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// queries are those of a driver, by its name.
func queries(t testing.TB, name string) *mesh.Queries {
	t.Helper()
	for _, d := range all.Drivers() {
		if d.Name == name && d.Queries != nil {
			return d.Queries
		}
	}
	t.Fatalf("%s has no queries", name)
	return nil
}

// shop is the world of the stories: web calls catalog, which is two Deployments behind one root, and db.
func shop() *World {
	w := &World{}
	w.Pod("shop/web-7d9f8c6b5d-x2x4z", "Deployment shop/web", "ReplicaSet shop/web-7d9f8c6b5d", "Service shop/web", "Node n1")
	w.Pod("shop/web-7d9f8c6b5d-bbbbb", "Deployment shop/web", "ReplicaSet shop/web-7d9f8c6b5d", "Service shop/web", "Node n2")
	w.Pod("shop/catalog-v1-5d4f8c6b5d-zzzzz", "Deployment shop/catalog-v1", "Service shop/catalog", "Service shop/catalog-v1", "Node n1")
	w.Pod("shop/catalog-v2-6d4f8c6b5d-ccccc", "Deployment shop/catalog-v2", "Service shop/catalog", "Service shop/catalog-v2", "Node n2")
	w.Pod("shop/db-0", "StatefulSet shop/db", "Service shop/db", "Node n1")
	w.Pod("other/web-66d9f8c6bd-ddddd", "Deployment other/web", "Service other/web", "Node n2")
	w.Add("Namespace shop", "Namespace other", "TrafficSplit shop/catalog")
	w.Splits = splits("catalog", "catalog-v1", "catalog-v2")
	return w
}

const istio = `
  # two pods of web; one dies at 90 s
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,response_code="200"} 0+10x8
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,response_code="201"} 0+5x8
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,response_code="404"} 0+1x8
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,response_code="503"} 0+2x8
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,response_code="200",grpc_response_status="14"} 0+1x8
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,response_code="200",grpc_response_status="5"} 0+1x8
  istio_requests_total{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-dddff",SRC-NONE,DST-web,response_code="200"} 0+10x6 stale
  # a counter that begins anew at 90 s, and is down altogether
  istio_requests_total{reporter="destination",namespace="shop",pod="catalog-v1-5d4f8c6b5d-zzzzz",SRC-web,DST-catalog-v1,response_code="500"} 100 200 300 400 500 600 50 150 250
  # web calls catalog-v1 and db, and web of another namespace
  istio_requests_total{reporter="source",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-web,DST-catalog-v1,response_code="500"} 0+20x8
  istio_requests_total{reporter="source",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-web,DST-catalog-v2,response_code="200"} 0+30x8
  istio_requests_total{reporter="source",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-web,DST-db,response_code="200"} 0+7x8
  istio_requests_total{reporter="source",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-web,destination_workload="web",destination_workload_namespace="other",destination_service_name="web",destination_service_namespace="other",response_code="200"} 0+3x8
  # and what never arrived anywhere, with response code 0
  istio_requests_total{reporter="source",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-web,destination_workload="unknown",destination_workload_namespace="unknown",destination_service_name="catalog-v1",destination_service_namespace="shop",response_code="0"} 0+4x8
  istio_requests_total{reporter="source",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-web,destination_workload="unknown",destination_workload_namespace="unknown",destination_service_name="PassthroughCluster",destination_service_namespace="unknown",response_code="200"} 0+6x8
  istio_requests_total{reporter="destination",namespace="other",pod="web-66d9f8c6bd-ddddd",SRC-web,destination_workload="web",destination_workload_namespace="other",destination_service_name="web",destination_service_namespace="other",response_code="200"} 0+3x8
  # of 60 requests in the minute 30 took up to 10 ms, 54 up to 50 ms, 60 up to 100 ms
  istio_request_duration_milliseconds_bucket{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,le="10"} 0+7.5x8
  istio_request_duration_milliseconds_bucket{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,le="50"} 0+13.5x8
  istio_request_duration_milliseconds_bucket{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,le="100"} 0+15x8
  istio_request_duration_milliseconds_bucket{reporter="destination",namespace="shop",pod="web-7d9f8c6b5d-x2x4z",SRC-NONE,DST-web,le="+Inf"} 0+15x8
`

// labels writes out what the series above call SRC-… and DST-….
func labels(series string) string {
	r := []string{"SRC-NONE", `source_workload="unknown",source_workload_namespace="unknown"`}
	for _, n := range []string{"web", "catalog-v1", "catalog-v2", "db"} {
		r = append(r, "SRC-"+n, `source_workload="`+n+`",source_workload_namespace="shop"`,
			"DST-"+n, `destination_workload="`+n+`",destination_workload_namespace="shop",destination_service_name="`+n+`",destination_service_namespace="shop"`)
	}
	return strings.NewReplacer(r...).Replace(series)
}

func TestIstio(t *testing.T) {
	s := story{"istio", queries(t, "istio"), labels(istio), shop()}.source(t)
	// 4 x (10+5+1+1) of the pod that lives. Of the one that died there are two scrapes, 10 apart, of 15 s; Prometheus adds the 15 s before them and
	// half an interval after them: 10 x 37.5/15.
	want(t, s, "deployments shop/web", "Deployment shop/web: 93+12 10/50/95")
	want(t, s, "pods shop/web-7d9f8c6b5d-x2x4z,shop/web-7d9f8c6b5d-bbbbb", "Pod shop/web-7d9f8c6b5d-x2x4z: 68+12 10/50/95", "Pod shop/web-7d9f8c6b5d-bbbbb: 0+0")
	want(t, s, "services shop/web", "Service shop/web: 93+12 10/50/95")
	want(t, s, "replicasets shop/web-7d9f8c6b5d", "ReplicaSet shop/web-7d9f8c6b5d: 93+12 10/50/95")
	// A counter that fell from 600 to 50 and rose to 250 counted 250 in 45 s. All failed: there is no series of success.
	want(t, s, "deployments shop/catalog-v1", "Deployment shop/catalog-v1: 0+333.3")
	want(t, s, "deployments other/web,shop/catalog-v2", "Deployment other/web: 12+0", "Deployment shop/catalog-v2: 0+0")
	want(t, s, "namespaces shop,other", "Namespace shop: 93+345.3 10/50/95", "Namespace other: 12+0")
	want(t, s, "nodes n1,n2", "Node n1: 68+345.3 10/50/95", "Node n2: 12+0")
	a := want(t, s, "deployments shop/web edges",
		"Deployment shop/web to {} client: 24+0",
		"Deployment shop/web to Deployment other/web client: 12+0",
		"Deployment shop/web to Deployment other/web server: 12+0",
		"Deployment shop/web to Deployment shop/catalog-v1 client: 0+96", // 80 that came back, and 16 that never arrived
		"Deployment shop/web to Deployment shop/catalog-v1 server: 0+333.3",
		"Deployment shop/web to Deployment shop/catalog-v2 client: 120+0",
		"Deployment shop/web from {} server: 93+12 10/50/95")
	if !strings.Contains(strings.Join(a.Notes, "\n"), "edges with other resources than deployments") {
		t.Errorf("that db is left out is not said: %q", a.Notes)
	}
	want(t, s, "deployments shop/web edges statefulsets", "Deployment shop/web to {} client: 24+0", "Deployment shop/web to StatefulSet shop/db client: 28+0",
		"Deployment shop/web from {} server: 93+12 10/50/95")
	want(t, s, "deployments shop/catalog-v1 edges", "Deployment shop/catalog-v1 from Deployment shop/web client: 0+96", "Deployment shop/catalog-v1 from Deployment shop/web server: 0+333.3")
	a = want(t, s, "services shop/catalog-v1 edges")
	if len(a.Notes) != 1 || a.Notes[0] != "istio does not tell the edges of services: ask for the other side of them as deployments or namespaces" {
		t.Errorf("what can be asked for is not said: %q", a.Notes)
	}
	want(t, s, "services shop/catalog-v1 edges deployments", "Service shop/catalog-v1 from Deployment shop/web client: 0+96", "Service shop/catalog-v1 from Deployment shop/web server: 0+333.3")
	want(t, s, "namespaces other edges", "Namespace other from Namespace shop client: 12+0", "Namespace other from Namespace shop server: 12+0")
	want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} client: 0+96", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 120+0")
	want(t, s, "trafficsplits shop/catalog edges deployments", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from Deployment shop/web client: 0+96",
		"TrafficSplit shop/catalog [catalog→catalog-v2 10] from Deployment shop/web client: 120+0")
}

// TestAmbient asks what waypoints report.
func TestAmbient(t *testing.T) {
	series := strings.NewReplacer(`reporter="destination"`, `reporter="waypoint"`, "web-7d9f8c6b5d-x2x4z", "shop-waypoint-1").Replace(labels(istio))
	s := story{"ambient", queries(t, "ambient"), series, shop()}.source(t)
	want(t, s, "deployments shop/web", "Deployment shop/web: 93+12 10/50/95")
	want(t, s, "services shop/catalog-v1", "Service shop/catalog-v1: 0+333.3")
	want(t, s, "deployments shop/catalog-v1 edges", "Deployment shop/catalog-v1 from Deployment shop/web server: 0+333.3")
	want(t, s, "trafficsplits shop/catalog", "TrafficSplit shop/catalog [catalog→catalog-v1 90] from {} server: 0+333.3", "TrafficSplit shop/catalog [catalog→catalog-v2 10] from {} client: 0+0")
	a := want(t, s, "pods shop/db-0", "Pod shop/db-0: 0+0")
	if len(a.Notes) != 1 {
		t.Errorf("that pods cannot be told is not said: %q", a.Notes)
	}
}
