// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/schema"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/object"
)

// Release is the version that the chart and the manifests are of, and the tag of its image.
const Release = "0.1.0"

// Namespace is where anymesh lives where nobody says otherwise.
const Namespace = schema.Namespace

// Values are what a user chooses.
type Values struct {
	Namespace string
	manager   string // label of who manages the objects
	tree      map[string]any
}

// option is one value with what is to be said of it.
type option struct {
	key, comment string
	value        any // or []option
}

// options are all values with their defaults.
func options() []option {
	var meshes []any
	for _, d := range all.Meshes() {
		if permits(d) && !speaks(d) {
			meshes = append(meshes, d.Name)
		}
	}
	return []option{
		{"meshes", "the meshes that anymesh may write to: permissions are granted for their kinds and no others; one that reads SMI itself must be named", meshes},
		{"replicas", "one of them leads; all of them convert and check", 2},
		{"image", "", []option{
			{"repository", "", "anymesh/anymesh"},
			{"tag", "the chart's appVersion where it is empty", ""},
			{"pullPolicy", "", "IfNotPresent"},
			{"pullSecrets", "", []any{}},
		}},
		{"resources", "", map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "128Mi"}, "limits": map[string]any{"memory": "512Mi"}}},
		{"priorityClassName", "without its webhook nobody can read old versions of SMI", "system-cluster-critical"},
		{"nodeSelector", "", map[string]any{"kubernetes.io/os": "linux"}},
		{"tolerations", "", []any{}},
		{"affinity", "", map[string]any{}},
		{"podAnnotations", "", map[string]any{}},
		{"extraArgs", "more flags of anymesh controller", []any{}},
		{"webhook", "", []option{
			{"failurePolicy", "while the webhook is away: Ignore takes objects unchecked, of which the controller does nothing that is broken; Fail takes none", string(*deploy.Validation().Webhooks[0].FailurePolicy)},
		}},
		{"metricsAPI", "TrafficMetrics behind the cluster's own API: kubectl get deployments.metrics.smi-spec.io", []option{
			{"enabled", "while nobody answers it, namespaces are not deleted to the end, as with every extension of the API", false},
			{"facade", "Prometheus' API at the Service anymesh-prometheus for tools such as Flagger, whatever mesh they ask for: in the clear, and to whoever reaches it", false},
			{"secret", "Secret that Meshes may name as spec.metrics.credentials: ca.crt, tls.crt and tls.key, token, or username and password", ""},
			{"prometheus", "URL of the Prometheus that scrapes the meshes, for those that do not name their own in spec.metrics", ""},
		}},
		{"builtin", "the built-in mesh: its control plane, and proxies in pods that ask for one by the label anymesh.dev/inject", []option{{"enabled", "", false}}},
		{"podDisruptionBudget", "", []option{{"enabled", "", true}}},
		{"networkPolicy", "lets in webhook calls, probes and scrapes, and nothing else", []option{{"enabled", "", true}}},
		{"serviceMonitor", "for the Prometheus operator, whose kind the cluster must serve", []option{
			{"enabled", "", false},
			{"interval", "", "30s"},
			{"labels", "", map[string]any{}},
		}},
		{"aggregateRoles", "let the cluster's roles view, edit and admin reach SMI objects", true},
	}
}

// Defaults are the values of a user who chooses nothing.
func Defaults() *Values {
	return &Values{Namespace, "anymesh", tree(options())}
}

func tree(list []option) map[string]any {
	out := map[string]any{}
	for _, o := range list {
		switch x := o.value.(type) {
		case []option:
			out[o.key] = tree(x)
		case int:
			out[o.key] = int64(x)
		default:
			out[o.key] = x
		}
	}
	return out
}

// at is the value at a path: image.tag. There must be one.
func (v *Values) at(path string) any {
	var x any = v.tree
	for _, key := range strings.Split(path, ".") {
		m, _ := x.(map[string]any)
		y, ok := m[key]
		if !ok {
			panic("manifest: no value " + path)
		}
		x = y
	}
	return x
}

// Set changes one value as --set writes it: replicas=3, image.tag=1.2, meshes=istio,kuma. Maps that are free may take any key; a dot within
// a key is written \. .
func (v *Values) Set(assignment string) error {
	path, text, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("--set %s: write NAME=VALUE", assignment)
	}
	keys := strings.Split(strings.ReplaceAll(path, `\.`, "\x00"), ".")
	m, free := v.tree, false
	for i, key := range keys {
		key = strings.ReplaceAll(key, "\x00", ".")
		old, known := m[key]
		if !known && !free {
			return fmt.Errorf("--set %s: there is no value %s; %s", assignment, key, object.Suggest(key, slices.Sorted(maps.Keys(m))))
		}
		if i == len(keys)-1 {
			x, err := value(text, old)
			if err != nil {
				return fmt.Errorf("--set %s: %w", assignment, err)
			}
			m[key] = x
			return v.check()
		}
		next, isMap := old.(map[string]any)
		if known && !isMap {
			return fmt.Errorf("--set %s: %s has nothing beneath it", assignment, key)
		}
		if next == nil {
			next = map[string]any{}
			m[key] = next
		}
		free = free || open(keys[:i+1])
		m = next
	}
	return nil
}

// open says whether a map takes any key.
func open(path []string) bool {
	list := options()
	for _, key := range path {
		i := slices.IndexFunc(list, func(o option) bool { return o.key == key })
		if i < 0 {
			return true
		}
		next, fixed := list[i].value.([]option)
		if !fixed {
			return true
		}
		list = next
	}
	return false
}

// value reads a text as the type of the value that it replaces.
func value(text string, old any) (any, error) {
	switch old.(type) {
	case bool:
		return strconv.ParseBool(text)
	case int64:
		return strconv.ParseInt(text, 10, 32)
	case []any:
		out := []any{}
		for _, s := range strings.Split(strings.Trim(text, "{}"), ",") {
			if s != "" {
				out = append(out, s)
			}
		}
		return out, nil
	case map[string]any:
		return nil, fmt.Errorf("it is a map: name one of its keys")
	}
	return text, nil
}

// check refuses meshes that there are not: their permissions would silently be missing.
func (v *Values) check() error {
	known := Meshes()
	for _, m := range v.at("meshes").([]any) {
		if name, _ := m.(string); !slices.Contains(known, name) {
			return fmt.Errorf("there is no mesh %q; there are %s", m, strings.Join(known, ", "))
		}
	}
	return nil
}

// Meshes lists the meshes whose objects live in a cluster.
func Meshes() (out []string) {
	for _, d := range all.Meshes() {
		if permits(d) {
			out = append(out, d.Name)
		}
	}
	return out
}

// scalar is a value within a text.
func scalar(x any) string { return fmt.Sprint(x) }
