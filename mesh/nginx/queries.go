// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"slices"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are those of the sidecars, which count what they pass on. Counters begin anew when NGINX reads its configuration again.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "NGINX Plus upstreams",
		Views: []mesh.View{{
			Side:     mesh.ClientSide,
			Only:     []mesh.Matcher{{Label: "dst_pod", Op: "!=", Value: ""}},
			Requests: "nginxplus_upstream_server_responses",
			Failure:  []mesh.Matcher{{Label: "code", Op: "=", Value: "5xx"}},
			Latency:  "nginxplus_upstream_server_response_latency_ms", Unit: time.Millisecond,
			Server: end("dst_"),
			Client: end(""),
		}},
	}},
	Notes: []string{
		"all is counted by the callers' sidecars",
		"the root of a split is lost: calls of a backend by its own name are counted with those of the split",
	},
}

func end(prefix string) []mesh.Name {
	return slices.Concat(mesh.Labelled(prefix+"namespace", map[string]string{"Deployment": prefix + "deployment", "DaemonSet": prefix + "daemonset",
		"StatefulSet": prefix + "statefulset", "Pod": prefix + "pod", "Service": prefix + "service"}),
		[]mesh.Name{{Kind: "Namespace", Name: prefix + "namespace"}})
}
