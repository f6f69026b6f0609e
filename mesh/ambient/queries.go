// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are what waypoints report, which see both ends of a request: https://istio.io/latest/docs/reference/config/metrics.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "standard metrics of waypoints",
		Views: []mesh.View{{
			Side:     mesh.ServerSide,
			Only:     []mesh.Matcher{{Label: "reporter", Op: "=", Value: "waypoint"}},
			Requests: "istio_requests_total",
			Failure:  []mesh.Matcher{mesh.HTTPFailure("response_code"), mesh.GRPCFailure("grpc_response_status")},
			Latency:  "istio_request_duration_milliseconds", Unit: time.Millisecond,
			Server: []mesh.Name{
				{Kind: mesh.Workload, Namespace: "destination_workload_namespace", Name: "destination_workload", Unknown: nobody},
				{Kind: "Service", Namespace: "destination_service_namespace", Name: "destination_service_name", Unknown: nobody},
				{Kind: "Namespace", Name: "destination_workload_namespace", Unknown: nobody},
			},
			Client: []mesh.Name{
				{Kind: mesh.Workload, Namespace: "source_workload_namespace", Name: "source_workload", Unknown: nobody},
				{Kind: "Namespace", Name: "source_workload_namespace", Unknown: nobody},
			},
		}},
	}},
	Notes: []string{
		"requests are counted by waypoints: what reaches a pod without one is not counted, for ztunnel knows connections alone",
		"a waypoint does not say which pod it chose: there are no numbers of pods and nodes",
		"the label of a workload does not tell its kind: two of one name and namespace are counted as one",
	},
}

var nobody = []string{"unknown"}
