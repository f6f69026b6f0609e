// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are Istio's standard metrics: https://istio.io/latest/docs/reference/config/metrics.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "standard metrics",
		Views: []mesh.View{
			view(mesh.ServerSide, "destination", append(callee, pod), caller),
			view(mesh.ClientSide, "source", callee, append(caller, pod)),
		},
		Choices: []mesh.Choice{mesh.PodLabels("namespace", "pod")},
	}},
	Notes: []string{
		"the label of a workload does not tell its kind: two of one name and namespace are counted as one",
		"the Service that is named is the one that a split chose, and its root is lost: calls of a backend by its own name are counted with those of the split",
	},
}

func view(side mesh.Side, reporter string, server, client []mesh.Name) mesh.View {
	return mesh.View{
		Side:     side,
		Only:     []mesh.Matcher{{Label: "reporter", Op: "=", Value: reporter}},
		Requests: "istio_requests_total",
		Failure:  []mesh.Matcher{mesh.HTTPFailure("response_code"), mesh.GRPCFailure("grpc_response_status")},
		Latency:  "istio_request_duration_milliseconds", Unit: time.Millisecond,
		Server: server, Client: client,
	}
}

var (
	nobody = []string{"unknown"}
	pod    = mesh.Name{Kind: "Pod", Namespace: "namespace", Name: "pod"}
	callee = []mesh.Name{
		{Kind: mesh.Workload, Namespace: "destination_workload_namespace", Name: "destination_workload", Unknown: nobody},
		{Kind: "Service", Namespace: "destination_service_namespace", Name: "destination_service_name",
			Unknown: []string{"unknown", "PassthroughCluster", "InboundPassthroughCluster", "BlackHoleCluster"}},
		{Kind: "Namespace", Name: "destination_workload_namespace", Unknown: nobody},
	}
	caller = []mesh.Name{
		{Kind: mesh.Workload, Namespace: "source_workload_namespace", Name: "source_workload", Unknown: nobody},
		{Kind: "Namespace", Name: "source_workload_namespace", Unknown: nobody},
	}
)
