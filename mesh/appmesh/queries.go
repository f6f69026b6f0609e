// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"regexp"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are Envoy's own metrics, where clusters are named cds_ingress_… and cds_egress_…, and those of App Mesh's extension
// (APPMESH_METRIC_EXTENSION_VERSION=1), which is often all that is kept of them.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name:    "Envoy",
		Views:   []mesh.View{clusters(mesh.ServerSide, "cds_ingress_", self, nil), clusters(mesh.ClientSide, "cds_egress_", targets(cluster("cds_egress_")), self)},
		Choices: []mesh.Choice{mesh.PodLabels("kubernetes_namespace", "kubernetes_pod_name")},
	}, {
		Name: "App Mesh's metrics extension",
		Views: []mesh.View{{
			Side:     mesh.ClientSide,
			Only:     []mesh.Matcher{{Label: "TargetVirtualNode", Op: "!=", Value: ""}},
			Requests: "envoy_appmesh_RequestCountPerTarget",
			Failed:   "envoy_appmesh_HTTPCode_Target_5XX_Count",
			Latency:  "envoy_appmesh_TargetResponseTime", Unit: time.Millisecond,
			Server: targets(nodeLabel("TargetVirtualNode")),
			Client: append([]mesh.Name{{Kind: mesh.Workload, Composed: nodeLabel("VirtualNode")}}, self...),
		}},
		Choices: []mesh.Choice{mesh.PodLabels("kubernetes_namespace", "kubernetes_pod_name")},
	}},
	Notes: []string{
		"nodes are taken to be called as the Service or the workload that they stand for",
		"a caller's proxy tells the node that a router chose, and the VirtualService is lost: calls of a backend by its own name are counted with those of the split",
		"with the extension all is counted by the callers' proxies",
		"the callee's proxy does not tell who called",
	},
}

func clusters(side mesh.Side, prefix string, server, client []mesh.Name) mesh.View {
	return mesh.View{
		Side:     side,
		Only:     []mesh.Matcher{{Label: "envoy_cluster_name", Op: "=~", Value: prefix + ".*"}},
		Requests: "envoy_cluster_upstream_rq",
		Failure:  []mesh.Matcher{mesh.HTTPFailure("envoy_response_code")},
		Latency:  "envoy_cluster_upstream_rq_time", Unit: time.Millisecond,
		Server: server, Client: client,
	}
}

var self = []mesh.Name{
	{Kind: "Pod", Namespace: "kubernetes_namespace", Name: "kubernetes_pod_name"},
	{Kind: "Namespace", Name: "kubernetes_namespace"},
}

func targets(c *mesh.Composed) []mesh.Name {
	return []mesh.Name{{Kind: "Service", Composed: c}, {Kind: mesh.Workload, Composed: c}}
}

// nodeLabel is a label with the name of a VirtualNode, name_namespace.
func nodeLabel(label string) *mesh.Composed {
	return &mesh.Composed{
		Label: label,
		Parse: func(v string) []mesh.Named { return twoParts(strings.Split(v, "_")) },
		Build: func(n mesh.Named) string { return regexp.QuoteMeta(n.Name) + "_" + regexp.QuoteMeta(n.Namespace) },
		Any:   "[^_]+_[^_]+",
	}
}

// cluster is the label with the name of a cluster, prefix mesh_name_namespace_protocol_port, of which the mesh alone may have a line in it.
func cluster(prefix string) *mesh.Composed {
	return &mesh.Composed{
		Label: "envoy_cluster_name",
		Parse: func(v string) []mesh.Named {
			rest, ok := strings.CutPrefix(v, prefix)
			part := strings.Split(rest, "_")
			if !ok || len(part) < 5 {
				return nil
			}
			return twoParts(part[len(part)-4 : len(part)-2])
		},
		Build: func(n mesh.Named) string {
			return prefix + ".+_" + regexp.QuoteMeta(n.Name) + "_" + regexp.QuoteMeta(n.Namespace) + "_[^_]+_[0-9]+"
		},
		Any: prefix + ".+_[^_]+_[^_]+_[^_]+_[0-9]+",
	}
}

func twoParts(part []string) []mesh.Named {
	if len(part) != 2 || part[0] == "" || part[1] == "" {
		return nil
	}
	return []mesh.Named{{Namespace: part[1], Name: part[0]}}
}
