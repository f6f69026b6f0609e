// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are the proxy's metrics with the labels that the scrape job of Linkerd gives them: https://linkerd.io/2/reference/proxy-metrics.
// A latency is the time to the first byte.
var queries = &mesh.Queries{Shapes: []mesh.Shape{{
	Name:    "proxy metrics with policy routes",
	Views:   []mesh.View{received, sent, routed, profiledRoutes},
	Choices: []mesh.Choice{mesh.PodLabels("namespace", "pod")},
}}, Notes: notes}

// earlyQueries are those of the releases whose splits are ServiceProfiles.
var earlyQueries = &mesh.Queries{Shapes: []mesh.Shape{{
	Name:    "proxy metrics",
	Views:   []mesh.View{received, sent, profiledRoutes},
	Choices: []mesh.Choice{mesh.PodLabels("namespace", "pod")},
}}, Notes: notes}

var notes = []string{
	"a Service's traffic is counted by the proxies of its callers: that of callers outside the mesh is not in it",
	"the callee's proxy knows its callers by account, and so by namespace alone",
	"latencies are times to the first byte",
	"routes are told where the Service has a ServiceProfile, and not by what an HTTPRoute matches",
}

var (
	received = mesh.View{
		Side:     mesh.ServerSide,
		Only:     []mesh.Matcher{{Label: "direction", Op: "=", Value: "inbound"}},
		Requests: "response_total",
		Failure:  []mesh.Matcher{{Label: "classification", Op: "=", Value: "failure"}},
		Latency:  "response_latency_ms", Unit: time.Millisecond,
		Server: self,
		Client: []mesh.Name{{Kind: "Namespace", Composed: callerID}},
	}
	sent = mesh.View{
		Side:     mesh.ClientSide,
		Only:     []mesh.Matcher{{Label: "direction", Op: "=", Value: "outbound"}},
		Requests: "response_total",
		Failure:  []mesh.Matcher{{Label: "classification", Op: "=", Value: "failure"}},
		Latency:  "response_latency_ms", Unit: time.Millisecond,
		Server: append(mesh.Labelled("dst_namespace", map[string]string{"Deployment": "dst_deployment", "DaemonSet": "dst_daemonset", "StatefulSet": "dst_statefulset",
			"ReplicaSet": "dst_replicaset", "ReplicationController": "dst_replicationcontroller", "Job": "dst_k8s_job", "CronJob": "dst_cronjob", "Service": "dst_service"}),
			mesh.Name{Kind: "Namespace", Name: "dst_namespace"}),
		Client: self,
	}
	// routed are the only series that tell the Service that was called from the one that a route chose.
	routed = mesh.View{
		Side: mesh.ClientSide,
		Only: []mesh.Matcher{{Label: "parent_kind", Op: "=", Value: "Service"}, {Label: "backend_kind", Op: "=", Value: "Service"}},

		Requests: "outbound_http_route_backend_response_statuses_total",
		Failure:  []mesh.Matcher{mesh.HTTPFailure("http_status"), {Label: "error", Op: "!=", Value: ""}},
		Latency:  "outbound_http_route_backend_response_duration_seconds", Unit: time.Second,
		Server: []mesh.Name{{Kind: "Service", Namespace: "backend_namespace", Name: "backend_name"}},
		Client: self,
		Root:   &mesh.Name{Kind: "Service", Namespace: "parent_namespace", Name: "parent_name"},
	}

	// profiledRoutes are counted where a Service has a ServiceProfile. As import reads it, its routes are the entries of a group of the Service's name.
	profiledRoutes = mesh.View{
		Side:     mesh.ServerSide,
		Only:     []mesh.Matcher{{Label: "direction", Op: "=", Value: "inbound"}, {Label: "rt_route", Op: "!=", Value: ""}},
		Requests: "route_response_total",
		Failure:  []mesh.Matcher{{Label: "classification", Op: "=", Value: "failure"}},
		Latency:  "route_response_latency_ms", Unit: time.Millisecond,
		Server: append([]mesh.Name{{Kind: "Service", Composed: authority}}, self...),
		Route: &mesh.RouteName{Labels: []string{authority.Label, "rt_route"}, Parse: func(v []string) (string, string, bool) {
			of := authority.Parse(v[0])
			if len(of) == 0 {
				return "", "", false
			}
			return of[0].Name, v[1], true
		}},
	}

	self = slices.Concat(mesh.Labelled("namespace", map[string]string{"Deployment": "deployment", "DaemonSet": "daemonset", "StatefulSet": "statefulset",
		"ReplicaSet": "replicaset", "ReplicationController": "replicationcontroller", "Job": "k8s_job", "CronJob": "cronjob"}),
		[]mesh.Name{{Kind: "Pod", Namespace: "namespace", Name: "pod"}, {Kind: "Namespace", Name: "namespace"}})
)

// callerID is the DNS name in a caller's certificate, account.namespace.serviceaccount.identity.…, of which the namespace is told here.
var callerID = &mesh.Composed{
	Label: "client_id",
	Parse: func(id string) []mesh.Named {
		part := strings.SplitN(id, ".", 4)
		if len(part) < 4 || part[2] != "serviceaccount" {
			return nil
		}
		return []mesh.Named{{Name: part[1]}}
	},
	Build: func(n mesh.Named) string { return `[^.]+\.` + n.Name + `\.serviceaccount\..+` }, // a namespace has no letter that means anything to RE2
	Any:   `[^.]+\.[^.]+\.serviceaccount\..+`,
}

// authority is the host that was called, service.namespace.svc.…
var authority = &mesh.Composed{
	Label: "dst",
	Parse: func(v string) []mesh.Named {
		part := strings.SplitN(v, ".", 4)
		if len(part) < 3 || part[2] != "svc" {
			return nil
		}
		return []mesh.Named{{Namespace: part[1], Name: part[0]}}
	},
	Build: func(n mesh.Named) string {
		return regexp.QuoteMeta(n.Name) + `\.` + regexp.QuoteMeta(n.Namespace) + `\.svc\..+`
	},
	Any: `[^.]+\.[^.]+\.svc\..+`,
}
