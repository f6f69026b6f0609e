// SPDX-License-Identifier: Apache-2.0

// Package api is the extension API server of TrafficMetrics: metrics.smi-spec.io behind a cluster's own API server.
//
// It stands on k8s.io/apiserver, which gives it discovery, OpenAPI, tables, status errors and delegated authentication and authorization as
// kubectl expects them. What is here is the group itself: a storage for each kind that asks a [metrics.Source], the same with edges and
// routes, and the query parameters that SMI adds.
//
// Discovery and health answer from memory: a Prometheus that is gone makes numbers unavailable (503) and nothing else slow.
package api
