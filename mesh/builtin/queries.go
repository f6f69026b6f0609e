// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"regexp"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are the proxy's own (package proxy/stats).
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "anymesh proxies",
		Views: []mesh.View{
			view(mesh.ServerSide, self, []mesh.Name{{Kind: "Namespace", Name: "source_namespace"}}, nil),
			view(mesh.ClientSide, []mesh.Name{{Kind: "Service", Composed: host("backend")}}, self, &mesh.Name{Kind: "Service", Composed: host("service")}),
		},
	}},
	Notes: []string{"the callee's proxy knows its callers by certificate, which names the account: it tells their namespace, and their proxies tell the rest"},
}

func view(side mesh.Side, server, client []mesh.Name, root *mesh.Name) mesh.View {
	return mesh.View{
		Side:     side,
		Only:     []mesh.Matcher{{Label: "side", Op: "=", Value: string(side)}},
		Requests: "anymesh_http_requests_total",
		Failure:  []mesh.Matcher{mesh.HTTPFailure("code"), mesh.GRPCFailure("grpc_status")},
		Latency:  "anymesh_http_request_duration_seconds", Unit: time.Second,
		Server: server, Client: client, Root: root,
	}
}

// self is the workload whose proxy it is.
var self = []mesh.Name{
	{Kind: mesh.Workload, Namespace: "workload_namespace", Name: "workload", KindLabel: "workload_kind"},
	{Kind: "Pod", Namespace: "workload_namespace", Name: "workload_pod"},
	{Kind: "Namespace", Name: "workload_namespace"},
}

// host is a label with a Service's host and port.
func host(label string) *mesh.Composed {
	return &mesh.Composed{
		Label: label,
		Parse: func(v string) []mesh.Named {
			part := strings.SplitN(v, ".", 3)
			if len(part) < 3 || part[0] == "" || part[1] == "" || part[2] != "svc" && !strings.HasPrefix(part[2], "svc.") && !strings.HasPrefix(part[2], "svc:") {
				return nil
			}
			return []mesh.Named{{Namespace: part[1], Name: part[0]}}
		},
		Build: func(n mesh.Named) string {
			return regexp.QuoteMeta(n.Name) + `\.` + regexp.QuoteMeta(n.Namespace) + `\.svc([.:].*)?`
		},
		Any: `[^.]+\.[^.]+\.svc([.:].*)?`,
	}
}
