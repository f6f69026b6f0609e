// SPDX-License-Identifier: Apache-2.0

package metrics

import "slices"

// Kind is a kind of resource that traffic is measured for.
type Kind struct {
	Name       string // Deployment
	Plural     string // deployments: the name in URLs
	Short      string // deploy; empty: none
	APIVersion string // apps/v1
	Cluster    bool   // it has no namespace
}

// Kinds are all of the SMI page's, and cronjobs, in the order of their plurals.
func Kinds() []Kind { return slices.Clone(kinds) }

var kinds = []Kind{
	{"CronJob", "cronjobs", "cj", "batch/v1", false},
	{"DaemonSet", "daemonsets", "ds", "apps/v1", false},
	{"Deployment", "deployments", "deploy", "apps/v1", false},
	{"Job", "jobs", "", "batch/v1", false},
	{"Namespace", "namespaces", "ns", "v1", true},
	{"Node", "nodes", "no", "v1", true},
	{"Pod", "pods", "po", "v1", false},
	{"ReplicaSet", "replicasets", "rs", "apps/v1", false},
	{"ReplicationController", "replicationcontrollers", "rc", "v1", false},
	{"Service", "services", "svc", "v1", false},
	{"StatefulSet", "statefulsets", "sts", "apps/v1", false},
	{"TrafficSplit", "trafficsplits", "ts", "split.smi-spec.io/v1alpha4", false},
}

// KindOf finds a kind by its name, its plural, its short name or its name in lower case.
func KindOf(word string) (Kind, bool) {
	for _, k := range kinds {
		if word == k.Plural || word == k.Name || word == k.Short && word != "" || word == lower(k.Name) {
			return k, true
		}
	}
	return Kind{}, false
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Workload says whether it is a kind that pods belong to by its controller.
func (k Kind) Workload() bool {
	switch k.Name {
	case "CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet":
		return true
	}
	return false
}
