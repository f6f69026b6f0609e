// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"
	"strings"

	"github.com/anymesh/anymesh/deploy/schema"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/metrics/traffic"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// Names of what is in the cluster.
const (
	Name          = "anymesh" // of the Deployment, its account, its roles and its lease
	WebhookName   = schema.Service
	CertName      = "anymesh-webhook-cert"
	AuthorityName = "anymesh-ca" // Secret of the built-in mesh's CA
	Configuration = "anymesh"    // ValidatingWebhookConfiguration
)

// Verbs.
var (
	reads  = list{"get", "list", "watch"}
	writes = list{"get", "list", "watch", "create", "patch", "delete"}
)

// rule is one rule of a role.
func rule(group string, resources, verbs list) dict {
	return dict{f("apiGroups", list{group}), f("resources", resources), f("verbs", verbs)}
}

// named is a rule for some objects alone.
func named(group string, resources, names, verbs list) dict {
	return dict{f("apiGroups", list{group}), f("resources", resources), f("resourceNames", names), f("verbs", verbs)}
}

// known are Kubernetes' own kinds from which facts come, by group.
var known = []struct {
	group     string
	resources list
}{
	{"", list{"namespaces", "pods", "serviceaccounts", "services"}},
	{"apps", list{"daemonsets", "deployments", "replicasets", "statefulsets"}},
	{"argoproj.io", list{"rollouts"}},
	{"batch", list{"cronjobs", "jobs"}},
	{"discovery.k8s.io", list{"endpointslices"}},
}

// plural is the resource of an SMI kind.
func plural(k model.Kind) string {
	s := strings.ToLower(string(k))
	return s + "s"
}

// spoken are SMI's kinds by group, in its own order.
func spoken() (groups []string, of map[string]list) {
	of = map[string]list{}
	for _, k := range smi.Kinds() {
		g, _, _ := strings.Cut(smi.Newest(k), "/")
		if of[g] == nil {
			groups = append(groups, g)
		}
		of[g] = append(of[g], plural(k))
	}
	slices.Sort(groups)
	return groups, of
}

// definitions lists the names of all CustomResourceDefinitions of ours.
func definitions() (out list) {
	for _, d := range schema.All() {
		out = append(out, d.Name)
	}
	return out
}

// permits says whether a mesh has objects in a cluster for which permission is needed.
func permits(d *mesh.Driver) bool { return len(kinds(d)) > 0 }

// speaks says whether a mesh is written to in SMI itself: whoever may do that may change users' own objects, so that it is not granted
// unasked.
func speaks(d *mesh.Driver) bool {
	for group := range kinds(d) {
		if strings.HasSuffix(group, ".smi-spec.io") {
			return true
		}
	}
	return false
}

// kinds are the kinds that a mesh is written in, with its earlier releases, by group.
func kinds(d *mesh.Driver) map[string]list {
	out := map[string]list{}
	for _, d := range append([]*mesh.Driver{d}, d.Older...) {
		if !d.Writes() {
			continue
		}
		for _, k := range d.Kinds {
			group, _, ok := strings.Cut(k.APIVersion, "/")
			if !ok {
				group = ""
			}
			if k.Resource != "" && !slices.Contains(out[group], any(k.Resource)) {
				out[group] = append(out[group], k.Resource)
			}
		}
	}
	return out
}

// clusterRules is all that the controller may do in all namespaces.
func clusterRules() (out list) {
	for _, k := range known {
		out = append(out, rule(k.group, k.resources, reads))
	}
	groups, of := spoken()
	for _, g := range groups {
		var status list
		for _, r := range of[g] {
			status = append(status, r.(string)+"/status")
		}
		out = append(out, rule(g, of[g], reads), rule(g, status, list{"get", "patch"}))
	}
	out = append(out,
		rule("anymesh.dev", list{"meshes"}, reads), rule("anymesh.dev", list{"meshes/status"}, list{"patch"}),
		rule("", list{"events"}, list{"create", "patch"}),
		rule("apiextensions.k8s.io", list{"customresourcedefinitions"}, reads))
	out = append(out, named("apiextensions.k8s.io", list{"customresourcedefinitions"}, definitions(), list{"patch"}),
		named("admissionregistration.k8s.io", list{"validatingwebhookconfigurations"}, list{Configuration}, list{"get", "patch"}))
	for _, r := range answering() {
		out = append(out, item{r, &extension})
	}
	out = append(out, item{rule("authentication.k8s.io", list{"tokenreviews"}, list{"create"}), &builtinMesh},
		item{named("admissionregistration.k8s.io", list{"mutatingwebhookconfigurations"}, list{Configuration}, list{"get", "patch"}), &builtinMesh})
	for _, d := range all.Meshes() {
		of := kinds(d)
		when := has("meshes", d.Name)
		for _, g := range sortedKeys(of) {
			out = append(out, item{rule(g, of[g], writes), &when})
		}
	}
	return out
}

// answering is what an extension of the API needs besides: to know what there is, who asks and who may, and to write by what it is proved.
func answering() list {
	var names list
	for _, v := range traffic.Versions() {
		names = append(names, v.Version+"."+traffic.Group)
	}
	return list{
		rule("", list{"nodes", "replicationcontrollers"}, reads),
		named("", list{"configmaps"}, list{"extension-apiserver-authentication"}, reads),
		rule("authentication.k8s.io", list{"tokenreviews"}, list{"create"}),
		rule("authorization.k8s.io", list{"subjectaccessreviews"}, list{"create"}),
		named("apiregistration.k8s.io", list{"apiservices"}, names, list{"get", "patch"}),
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// localRules is what it may do in its own namespace besides.
func localRules() list {
	return list{
		rule("coordination.k8s.io", list{"leases"}, list{"create"}),
		named("coordination.k8s.io", list{"leases"}, list{Name}, list{"get", "update"}),
		rule("", list{"secrets"}, list{"create"}),
		named("", list{"secrets"}, list{CertName}, list{"get", "update"}),
		item{named("", list{"secrets"}, list{AuthorityName}, list{"get", "update"}), &builtinMesh},
	}
}

// shared are roles by which the cluster's own roles reach SMI objects.
func shared(name string, verbs list, into ...string) Object {
	groups, of := spoken()
	var rules list
	for _, g := range groups {
		rules = append(rules, rule(g, of[g], verbs))
	}
	if name == "view" {
		rules = append(rules, rule("anymesh.dev", list{"meshes"}, verbs))
	}
	labels := common()
	for _, r := range into {
		labels = append(labels, f("rbac.authorization.k8s.io/aggregate-to-"+r, "true"))
	}
	when := on("aggregateRoles")
	return Object{file: "roles", when: &when, body: dict{f("apiVersion", "rbac.authorization.k8s.io/v1"), f("kind", "ClusterRole"),
		f("metadata", dict{f("name", Name+"-"+name), f("labels", labels)}), f("rules", rules)}}
}
