// SPDX-License-Identifier: Apache-2.0

// Package inventory knows which resources a cluster has, as TrafficMetrics needs them: their names, labels and owners, on which node a pod
// runs, whom a Service selects, how a TrafficSplit shares out.
//
// It keeps a few words of each object and no objects. Answers come from memory.
package inventory
