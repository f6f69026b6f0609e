// SPDX-License-Identifier: Apache-2.0

package metrics

import "time"

// World knows which resources there are: a cluster's informers, or the store of the mesh on one machine. It answers from memory and is safe
// for concurrent use.
type World interface {
	// Ready says why nothing is known yet; nil: it is.
	Ready() error
	// List gives the resources of a kind, in one namespace or, where it is empty, in all, by namespace and name.
	List(kind Kind, namespace string) []Resource
	// Find gives one.
	Find(Ref) (Resource, bool)
	// Pods gives the pods that a resource stands for: a workload's, a service's, a namespace's, a node's.
	Pods(Ref) []Ref
	// Owner gives the resource of a kind that a pod belongs to: its Deployment (past the ReplicaSet), Node, Namespace.
	Owner(pod Ref, kind Kind) (Ref, bool)
	// Split gives the root and the backends of a TrafficSplit, with the weights in force.
	Split(Ref) (Split, bool)
	// Mesh gives the name of the mesh that a namespace is in; empty: none.
	Mesh(namespace string) string
}

// Resource is one resource that is there.
type Resource struct {
	Ref
	Labels  map[string]string
	Created time.Time
}

// Split is what metrics need of a TrafficSplit.
type Split struct {
	Apex     string // root service, in the split's namespace
	Backends []Backend
}
