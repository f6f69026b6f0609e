// SPDX-License-Identifier: Apache-2.0

package source

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// kind is a kind that is read.
type kind struct {
	name     string   // Service, TrafficSplit
	versions []string // apiVersions in which it may be served, best first
	client   func(*kube.Cluster) rest.Interface
}

// at is where the kind is served best.
func (k *kind) at(v kube.Served) (kube.Resource, bool) {
	for _, version := range k.versions {
		if r, ok := v.Find(version, k.name); ok {
			return r, true
		}
	}
	return kube.Resource{}, false
}

// watch lists and watches the kind: Kubernetes' own as typed objects, others as they are.
func (k *kind) watch(c *kube.Cluster, where kube.Resource) cache.ListerWatcher {
	if k.client != nil {
		return cache.NewListWatchFromClient(k.client(c), where.Resource, metav1.NamespaceAll, fields.Everything())
	}
	return kube.ListWatch(c.Dynamic.Resource(where.GroupVersionResource))
}

func coreV1(c *kube.Cluster) rest.Interface  { return c.Core.CoreV1().RESTClient() }
func appsV1(c *kube.Cluster) rest.Interface  { return c.Core.AppsV1().RESTClient() }
func batchV1(c *kube.Cluster) rest.Interface { return c.Core.BatchV1().RESTClient() }
func slicesV1(c *kube.Cluster) rest.Interface {
	return c.Core.DiscoveryV1().RESTClient()
}

// kinds lists all that is read. Namespaces come first: where a target applies is decided by their labels.
var kinds = append([]kind{
	{"Namespace", []string{"v1"}, coreV1},
	{"Service", []string{"v1"}, coreV1},
	{"ServiceAccount", []string{"v1"}, coreV1},
	{"Pod", []string{"v1"}, coreV1},
	{"EndpointSlice", []string{"discovery.k8s.io/v1"}, slicesV1},
	{"Deployment", []string{"apps/v1"}, appsV1},
	{"StatefulSet", []string{"apps/v1"}, appsV1},
	{"DaemonSet", []string{"apps/v1"}, appsV1},
	{"ReplicaSet", []string{"apps/v1"}, appsV1},
	{"Job", []string{"batch/v1"}, batchV1},
	{"CronJob", []string{"batch/v1"}, batchV1},
	{"Rollout", []string{"argoproj.io/v1alpha1"}, nil},
}, speaks()...)

// speaks lists SMI's kinds.
func speaks() (out []kind) {
	for _, k := range smi.Kinds() {
		newest := slices.Clone(smi.Versions(k))
		slices.Reverse(newest)
		out = append(out, kind{string(k), newest, nil})
	}
	return out
}

// Access is a kind that a source reads.
type Access struct{ Group, Kind string }

// Reads lists the kinds that a source reads, for the permissions that it needs.
func Reads() (out []Access) {
	for i := range kinds {
		gv, _, _ := cut(kinds[i].versions[0])
		out = append(out, Access{gv, kinds[i].name})
	}
	return out
}

func cut(apiVersion string) (group, version string, ok bool) {
	for i := range apiVersion {
		if apiVersion[i] == '/' {
			return apiVersion[:i], apiVersion[i+1:], true
		}
	}
	return "", apiVersion, false
}

func ours(name string) bool { return slices.Contains(smi.Kinds(), model.Kind(name)) }
