// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The labels by which Cilium knows whose a pod is. It has them from the pod's spec, whatever the pod's own labels say; k8s: tells them
// from those of other sources.
const (
	source         = "k8s:"
	accountLabel   = source + "io.cilium.k8s.policy.serviceaccount"
	namespaceLabel = source + "io.kubernetes.pod.namespace"
)

// The native fields that we say, and those that are read alone.

// policy is the spec of a CiliumNetworkPolicy. It closes the endpoints that it selects, as soon as it has any ingress rule.
type policy struct {
	Endpoints *selector `json:"endpointSelector,omitempty"`
	Ingress   []ingress `json:"ingress"`
}

// selector finds endpoints by their labels; one that is empty finds all.
type selector struct {
	Labels      map[string]string `json:"matchLabels,omitempty"`
	Expressions []requirement     `json:"matchExpressions,omitempty"`
}

type requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// ingress admits callers to ports. One that says nothing admits nobody; one of ports alone admits everybody to them, and one of callers
// alone admits these to everything, in any protocol.
type ingress struct {
	From           []selector      `json:"fromEndpoints,omitempty"`
	Ports          []portRule      `json:"toPorts,omitempty"`
	Authentication *authentication `json:"authentication,omitempty"` // read alone
}

type authentication struct {
	Mode string `json:"mode"`
}

// portRule is a set of ports, and of requests where it has rules.
type portRule struct {
	Ports []port `json:"ports"`
	Rules *rules `json:"rules,omitempty"`
}

// port is one, or a range of them; "0" is any, where there are no rules on requests.
type port struct {
	Port     string `json:"port"`
	EndPort  uint16 `json:"endPort,omitempty"`
	Protocol string `json:"protocol,omitempty"`
}

type rules struct {
	HTTP []request `json:"http,omitempty"`
}

// request admits those that meet all of its conditions; one without any admits every request. The texts are RE2 expressions that have to
// cover the whole: of the path with its query.
type request struct {
	Path    string        `json:"path,omitempty"`
	Method  string        `json:"method,omitempty"`
	Host    string        `json:"host,omitempty"`
	Names   []string      `json:"headers,omitempty"` // read alone
	Headers []headerMatch `json:"headerMatches,omitempty"`
}

// headerMatch is a header that has to be there, with exactly the value where there is one.
type headerMatch struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// mostPorts is how many a portRule takes.
const mostPorts = 40

// unseen says whether Cilium leaves a label out of what it knows a pod by, as it is installed (its labels filter): a selector that names
// one finds nothing.
func unseen(key string) bool {
	if strings.HasPrefix(key, "app.kubernetes.io") {
		return false
	}
	begins := func(text string) bool { return strings.HasPrefix(key, text) }
	return slices.ContainsFunc([]string{"io.kubernetes", "io.cilium.", "kubernetes.io", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
		"batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/controller-uid", "k8s.io", "pod-template-generation", "pod-template-hash",
		"controller-revision-hash", "controller-uid", "annotation", "etcd_node"}, begins) || strings.Contains(key, "beta.kubernetes.io")
}

// longestLabel is how long the value of a label is at most.
const longestLabel = 63

// account selects the pods of one; ok is false where its name is none that a label can have.
func account(id model.Identity) (labels map[string]string, ok bool) {
	return map[string]string{namespaceLabel: id.Namespace, accountLabel: id.ServiceAccount}, len(id.ServiceAccount) <= longestLabel
}

// own are labels of pods in Cilium's words, without those that it does not see.
func own(labels map[string]string) (out map[string]string, all bool) {
	out, all = map[string]string{}, true
	for k, v := range labels {
		if unseen(k) {
			all = false
			continue
		}
		out[source+k] = v
	}
	return out, all
}

func portText(n uint16) string { return fmt.Sprintf("port %d", n) }

// written says whether a route was written for a port.
func written(o *mesh.Output, n uint16) bool {
	return slices.ContainsFunc(o.Objects, func(x mesh.Object) bool {
		_, rest, _ := strings.Cut(x.Name.Name, ".")
		at, _, _ := strings.Cut(rest, ".")
		return at == fmt.Sprint(n)
	})
}

// weight is the wish for a backend's share.
func weight(a *model.Arm, s model.Share) model.Intent {
	return model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}
}

// labelText writes labels for messages.
func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// short is a name of no more letters than Kubernetes takes, which no other name shares.
func short(name string) string {
	const longest = 253
	if len(name) > longest {
		h := fnv.New32a()
		h.Write([]byte(name))
		name = fmt.Sprintf("%s-%08x", strings.TrimRight(name[:longest-9], "-."), h.Sum32())
	}
	return name
}
