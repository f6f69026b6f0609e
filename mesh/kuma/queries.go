// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"regexp"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are Envoy's metrics as Kuma's dashboards ask for them, and as those of the releases that told a proxy by the tag kuma.io/service.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "Envoy with Kuma's labels",
		Views: []mesh.View{{
			Side:     mesh.ServerSide,
			Only:     []mesh.Matcher{{Label: "envoy_http_conn_manager_prefix", Op: "=~", Value: "self_inbound_dp_.*"}},
			Requests: "envoy_http_downstream_rq_xx_total",
			Failure:  class,
			Latency:  "envoy_http_downstream_rq_time", Unit: time.Millisecond,
			Server: self,
		}, {
			Side:     mesh.ClientSide,
			Only:     []mesh.Matcher{{Label: "envoy_cluster_name", Op: "=~", Value: ".*_m?svc_.*"}},
			Requests: "envoy_cluster_upstream_rq_xx_total",
			Failure:  class,
			Latency:  "envoy_cluster_upstream_rq_time", Unit: time.Millisecond,
			Server: []mesh.Name{{Kind: "Service", Composed: service("envoy_cluster_name")}},
			Client: self,
		}},
		Choices: []mesh.Choice{mesh.PodLabels("namespace", "pod"), {
			About: "counters",
			Among: []mesh.Spelling{
				{Name: "with _total"},
				{Name: "without _total", Series: map[string]string{
					"envoy_http_downstream_rq_xx_total":  "envoy_http_downstream_rq_xx",
					"envoy_cluster_upstream_rq_xx_total": "envoy_cluster_upstream_rq_xx",
				}},
			},
		}},
	}, {
		Name: "Envoy with the tag kuma.io/service",
		Views: []mesh.View{byTag(mesh.ServerSide, "localhost_.*", []mesh.Name{{Kind: "Service", Composed: service(serviceTag)}}, nil),
			byTag(mesh.ClientSide, ".*_svc_.*", []mesh.Name{{Kind: "Service", Composed: service("envoy_cluster_name")}}, []mesh.Name{{Kind: "Service", Composed: service(serviceTag)}})},
		Choices: []mesh.Choice{{
			About: "service label",
			Among: []mesh.Spelling{
				{Name: serviceTag, Probe: []mesh.Matcher{{Label: serviceTag, Op: "!=", Value: ""}}},
				{Name: "service", Labels: map[string]string{serviceTag: "service"}, Probe: []mesh.Matcher{{Label: "service", Op: "!=", Value: ""}}},
			},
		}},
	}},
	Notes: []string{
		"the label of a workload does not tell its kind: two of one name and namespace are counted as one",
		"a caller's proxy tells the Service that a split chose, and the root is lost: calls of a backend by its own name are counted with those of the split",
		"the callee's proxy does not tell who called",
	},
}

const serviceTag = "kuma_io_service"

var (
	class = []mesh.Matcher{{Label: "envoy_response_code_class", Op: "=", Value: "5"}}
	self  = []mesh.Name{
		{Kind: mesh.Workload, Namespace: "namespace", Name: "kuma_workload"},
		{Kind: "Pod", Namespace: "namespace", Name: "pod"},
		{Kind: "Namespace", Name: "namespace"},
	}
)

// byTag is a view of the releases up to 2.8, which told the inbound clusters of a proxy from the outbound by name alone.
func byTag(side mesh.Side, clusters string, server, client []mesh.Name) mesh.View {
	return mesh.View{
		Side:     side,
		Only:     []mesh.Matcher{{Label: "envoy_cluster_name", Op: "=~", Value: clusters}},
		Requests: "envoy_cluster_upstream_rq",
		Failure:  []mesh.Matcher{mesh.HTTPFailure("envoy_response_code")},
		Latency:  "envoy_cluster_upstream_rq_time", Unit: time.Millisecond,
		Server: server, Client: client,
	}
}

// service is a label with the name of a Service: mesh_name_namespace_zone_msvc_port of a MeshService, name_namespace_svc_port before.
func service(label string) *mesh.Composed {
	return &mesh.Composed{
		Label: label,
		Parse: func(v string) []mesh.Named {
			part := strings.Split(v, "_")
			n := len(part)
			switch {
			case n >= 4 && part[n-2] == "svc":
				return []mesh.Named{{Namespace: part[n-3], Name: part[n-4]}}
			case n >= 6 && part[n-2] == "msvc":
				return []mesh.Named{{Namespace: part[n-4], Name: part[n-5]}}
			}
			return nil
		},
		Build: func(n mesh.Named) string {
			name := regexp.QuoteMeta(n.Name) + "_" + regexp.QuoteMeta(n.Namespace)
			return name + "_svc_[0-9]+|.+_" + name + "_[^_]+_msvc_[0-9]+"
		},
		Any: ".+_svc_[0-9]+|.+_msvc_[0-9]+",
	}
}
