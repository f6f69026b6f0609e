// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"regexp"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are OSM's own metrics, where its WASM statistics are switched on, and Envoy's otherwise. Namespaces have to be enabled for either
// (osm metrics enable --namespace).
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "OSM's WASM statistics",
		Views: []mesh.View{{
			Side:     mesh.ServerSide,
			Requests: "osm_request_total",
			Failure:  []mesh.Matcher{mesh.HTTPFailure("response_code")},
			Latency:  "osm_request_duration_ms", Unit: time.Millisecond,
			Server: end("destination_", "kind", "name", "pod"),
			Client: end("source_", "kind", "name", "pod"),
		}},
	}, {
		Name: "Envoy",
		Views: []mesh.View{
			clusters(mesh.ServerSide, []mesh.Matcher{{Label: "envoy_cluster_name", Op: "=~", Value: `.+/.+\|local`}}, proxy, nil),
			clusters(mesh.ClientSide, []mesh.Matcher{{Label: "envoy_cluster_name", Op: "=~", Value: `.+/.+\|.+`}, {Label: "envoy_cluster_name", Op: "!~", Value: `.+\|local`}},
				[]mesh.Name{{Kind: "Service", Composed: service}}, proxy),
		},
	}},
	Notes: []string{
		"only requests of namespaces for which metrics are enabled are counted",
		"the root of a split is lost: calls of a backend by its own name are counted with those of the split",
		"without the WASM statistics the callee's proxy does not tell who called",
	},
}

func end(prefix, kind, name, pod string) []mesh.Name {
	nobody := []string{"unknown"}
	return []mesh.Name{
		{Kind: mesh.Workload, Namespace: prefix + "namespace", Name: prefix + name, KindLabel: prefix + kind, Unknown: nobody},
		{Kind: "Pod", Namespace: prefix + "namespace", Name: prefix + pod, Unknown: nobody},
		{Kind: "Namespace", Name: prefix + "namespace", Unknown: nobody},
	}
}

// proxy is whose proxy it is; its labels begin with source_ on either side.
var proxy = append(end("source_", "workload_kind", "workload_name", "pod_name"), mesh.Name{Kind: "Service", Namespace: "source_namespace", Name: "source_service"})

func clusters(side mesh.Side, only []mesh.Matcher, server, client []mesh.Name) mesh.View {
	return mesh.View{
		Side:     side,
		Only:     only,
		Requests: "envoy_cluster_upstream_rq_xx",
		Failure:  []mesh.Matcher{{Label: "envoy_response_code_class", Op: "=", Value: "5"}},
		Latency:  "envoy_cluster_upstream_rq_time", Unit: time.Millisecond,
		Server: server, Client: client,
	}
}

// service is the name of a cluster, namespace/service|port.
var service = &mesh.Composed{
	Label: "envoy_cluster_name",
	Parse: func(v string) []mesh.Named {
		of, _, ok := strings.Cut(v, "|")
		namespace, name, two := strings.Cut(of, "/")
		if !ok || !two {
			return nil
		}
		return []mesh.Named{{Namespace: namespace, Name: name}}
	},
	Build: func(n mesh.Named) string {
		return regexp.QuoteMeta(n.Namespace) + "/" + regexp.QuoteMeta(n.Name) + `\|.+`
	},
	Any: `.+/.+\|.+`,
}
