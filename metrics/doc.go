// SPDX-License-Identifier: Apache-2.0

// Package metrics is TrafficMetrics in words of no mesh and no protocol: what can be asked, and what is answered.
//
// A [Question] names resources and a window; a [Source] answers with one [Measure] for each resource, edge or backend. Where the numbers
// come from is below this package's interfaces ([Prometheus] answers PromQL, a [World] knows which resources there are), who asks is
// above them: the extension API server, the commands, the façade of Prometheus.
//
//	metrics/query    a mesh's Queries as PromQL, and what comes back as measures
//	metrics/lens     which resources the names in labels stand for, by what there is
//	metrics/ask      the Source: which mesh answers, all queries of an answer at once
//	metrics/kept     answers for as long as they are good, each asked once
//	metrics/remote   a Prometheus over HTTP
//	metrics/local    Prometheus' own store and engine in this process
//	metrics/api      the extension API server
//	metrics/facade   Prometheus' API for tools that ask for another mesh than is there
//
// Source: SMI Traffic Metrics v1alpha1 and v1alpha2; what it leaves open is decided in docs/semantics.md.
package metrics
