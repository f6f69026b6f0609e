// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are Envoy's metrics with Consul's tags, as its own interface asks for them. Envoy counts what was reset or timed out as a 5xx of the
// cluster, so that resets are not added.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "Envoy with Consul's tags",
		Views: []mesh.View{{
			Side:     mesh.ServerSide,
			Only:     []mesh.Matcher{{Label: "envoy_http_conn_manager_prefix", Op: "=~", Value: "public_listener.*"}},
			Requests: "envoy_http_downstream_rq_xx",
			Failure:  failure,
			Latency:  "envoy_http_downstream_rq_time", Unit: time.Millisecond,
			Server: self,
		}, {
			Side:     mesh.ClientSide,
			Only:     []mesh.Matcher{{Label: upstreamLabel, Op: "!=", Value: ""}},
			Requests: "envoy_cluster_upstream_rq_xx",
			Failure:  failure,
			Latency:  "envoy_cluster_upstream_rq_time", Unit: time.Millisecond,
			Server: []mesh.Name{{Kind: "Service", Name: upstreamLabel}},
			Client: self,
		}},
		Choices: []mesh.Choice{mesh.PodLabels("namespace", "pod"), {
			About: "destination", Series: "envoy_cluster_upstream_rq_xx",
			Among: []mesh.Spelling{
				{Name: upstreamLabel, Probe: []mesh.Matcher{{Label: upstreamLabel, Op: "!=", Value: ""}}},
				{Name: "consul_service", Labels: map[string]string{upstreamLabel: "consul_service"}, Probe: []mesh.Matcher{{Label: "consul_service", Op: "!=", Value: ""}}},
			},
		}},
	}},
	Notes: []string{
		"a caller's proxy names the service that it calls and not its namespace: where two Services have one name, edges to them cannot be told",
		"the service that is named is the one that a split chose, and its root is lost: calls of a backend by its own name are counted with those of the split",
		"the callee's proxy does not tell who called",
	},
}

const upstreamLabel = "consul_destination_service"

var (
	failure = []mesh.Matcher{{Label: "envoy_response_code_class", Op: "=", Value: "5"}}
	self    = []mesh.Name{
		{Kind: "Service", Namespace: "namespace", Name: "local_cluster"},
		{Kind: "Pod", Namespace: "namespace", Name: "pod"},
		{Kind: "Namespace", Name: "namespace"},
	}
)
