// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gvr "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

func at(group, version, resource string) gvr.GroupVersionResource {
	return gvr.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

const (
	splits1 = `
{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: quantities, annotations: {team: a}}, spec: {service: web, backends: [{service: a, weight: 100m}, {service: b, weight: "1"}]}}
---
{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: numbers}, spec: {service: web, backends: [{service: a, weight: 5}, {service: b, weight: "95"}]}}
---
{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: exponent}, spec: {service: web, backends: [{service: a, weight: 1e3}]}}
---
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: of-2}, spec: {service: web, backends: [{service: a, weight: 1}, {service: b, weight: 2}]}}
`
	splits2 = `
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: one}, spec: {service: web, backends: [{service: a, weight: 1}]}}
---
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: two}, spec: {service: web, backends: [{service: a, weight: 10}, {service: b, weight: 0}]}}
---
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: zero}, spec: {service: web, backends: [{service: a, weight: 0}]}}
`
	splits3 = `
{apiVersion: split.smi-spec.io/v1alpha3, kind: TrafficSplit, metadata: {name: matched}, spec: {service: web, backends: [{service: a, weight: 1}], matches: [{kind: HTTPRouteGroup, name: g}]}}
`
	splits4 = `
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: matched}, spec: {service: web, backends: [{service: a, weight: 1}], matches: [{kind: HTTPRouteGroup, name: g}]}}
`
	access2 = `
{apiVersion: access.smi-spec.io/v1alpha2, kind: TrafficTarget, metadata: {name: port}, spec: {destination: {kind: ServiceAccount, name: web, namespace: x, port: 8080}, rules: [{kind: HTTPRouteGroup, name: g, matches: [m]}], sources: [{kind: ServiceAccount, name: c, namespace: x}]}}
---
{apiVersion: access.smi-spec.io/v1alpha2, kind: TrafficTarget, metadata: {name: rest}, spec: {destination: {kind: ServiceAccount, name: web, namespace: x}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: c, namespace: x}]}}
`
	access3 = `
{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {name: udp}, spec: {destination: {kind: ServiceAccount, name: web, namespace: x}, rules: [{kind: TCPRoute, name: t}, {kind: HTTPRouteGroup, name: g}], sources: [{kind: ServiceAccount, name: c, namespace: x}]}}
`
	groupList = `
{apiVersion: specs.smi-spec.io/VERSION, kind: HTTPRouteGroup, metadata: {name: g}, spec: {matches: [{name: m, pathRegex: "/a", methods: ["*"], headers: [{user-agent: ".*x.*"}, {cookie: "a"}, {cookie: "b"}]}, {name: second, pathRegex: "/", methods: [GET]}]}}
`
	groupMap = `
{apiVersion: specs.smi-spec.io/VERSION, kind: HTTPRouteGroup, metadata: {name: g}, spec: {matches: [{name: m, pathRegex: "/a", methods: ["*"], headers: {user-agent: ".*x.*", cookie: "a"}}]}}
`
	tcp3 = `{apiVersion: specs.smi-spec.io/v1alpha3, kind: TCPRoute, metadata: {name: t}, spec: {}}`
	tcp4 = `{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: t}, spec: {matches: {ports: [8300, 8301]}}}`
	udp4 = `{apiVersion: specs.smi-spec.io/v1alpha4, kind: UDPRoute, metadata: {name: u}, spec: {matches: {ports: [8301]}}}`
)

func in(version, text string) string { return strings.ReplaceAll(text, "VERSION", version) }

func join(texts ...string) string { return strings.Join(texts, "\n---\n") }

// foreign are definitions that clusters hold, with objects as their users wrote them, and the versions in which they are stored.
var foreign = []struct {
	name        string
	definitions func(*world) []string
	objects     string
	stored      map[string]string // kind: version
}{
	{"linkerd-smi", func(w *world) []string { return w.folder("crds", "smi-linkerd-smi-v0.2.7") }, splits1, map[string]string{"TrafficSplit": "v1alpha1"}},
	{"Open Service Mesh", func(w *world) []string { return w.folder("crds", "smi-osm-v1.2.4") },
		join(splits2, access3, in("v1alpha4", groupList), tcp4),
		map[string]string{"TrafficSplit": "v1alpha2", "TrafficTarget": "v1alpha3", "HTTPRouteGroup": "v1alpha4", "TCPRoute": "v1alpha4"}},
	{"Traefik Mesh", func(w *world) []string { return w.folder("crds", "smi-traefik-mesh-v1.4.8") },
		join(splits3, access2, in("v1alpha3", groupList), tcp3),
		map[string]string{"TrafficSplit": "v1alpha3", "TrafficTarget": "v1alpha2", "HTTPRouteGroup": "v1alpha3", "TCPRoute": "v1alpha3"}},
	{"Traefik Mesh, early", func(w *world) []string { return w.folder("examples", "other-crds", "traefik-mesh") },
		join(splits3, access2, in("v1alpha3", groupList), tcp3),
		map[string]string{"TrafficSplit": "v1alpha3", "TrafficTarget": "v1alpha2", "HTTPRouteGroup": "v1alpha3", "TCPRoute": "v1alpha3"}},
	{"NGINX Service Mesh", func(*world) []string { return nginx() },
		join(splits3, access2, in("v1alpha3", groupMap), tcp3),
		map[string]string{"TrafficSplit": "v1alpha3", "TrafficTarget": "v1alpha2", "HTTPRouteGroup": "v1alpha3", "TCPRoute": "v1alpha3"}},
	{"the SDK", func(w *world) []string { return w.folder("crds", "smi") },
		join(splits4, access3, in("v1alpha4", groupList), tcp4, udp4),
		map[string]string{"TrafficSplit": "v1alpha4", "TrafficTarget": "v1alpha3", "HTTPRouteGroup": "v1alpha4", "TCPRoute": "v1alpha4", "UDPRoute": "v1alpha4"}},
	{"Argo Rollouts' tests", func(w *world) []string { return w.folder("examples", "other-crds", "argo-rollouts") }, splits4, map[string]string{"TrafficSplit": "v1alpha4"}},
	{"schema-less", func(*world) []string { return loose1() },
		`{apiVersion: access.smi-spec.io/v1alpha1, kind: TrafficTarget, metadata: {name: top}, destination: {kind: ServiceAccount, name: web, namespace: x, port: 80}, specs: [{kind: HTTPRouteGroup, name: g, matches: [m]}], sources: [{kind: ServiceAccount, name: c, namespace: x}]}`,
		map[string]string{"TrafficTarget": "v1alpha1"}},
}

// definition writes a definition with schemas of their own making.
func definition(group, plural, kind, spec string, versions ...string) string {
	s := fmt.Sprintf(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %s.%s}, spec: {group: %s, scope: Namespaced,
  names: {kind: %s, plural: %s, singular: %s, listKind: %sList}, versions: [`, plural, group, group, kind, plural, strings.ToLower(kind), kind)
	for i, v := range versions {
		s += fmt.Sprintf("{name: %s, served: true, storage: %t, schema: {openAPIV3Schema: {type: object, %s}}},", v, i == 0, spec)
	}
	return s + "]}}"
}

// loose1 is a definition that v1beta1 once made: nothing in it is checked or dropped.
func loose1() []string {
	return []string{definition("access.smi-spec.io", "traffictargets", "TrafficTarget", "x-kubernetes-preserve-unknown-fields: true", "v1alpha1")}
}

// nginx are definitions in the shape of NGINX Service Mesh: headers are a map.
func nginx() []string {
	any := "properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}"
	return []string{
		definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", any, "v1alpha3"),
		definition("access.smi-spec.io", "traffictargets", "TrafficTarget", any, "v1alpha2"),
		definition("specs.smi-spec.io", "tcproutes", "TCPRoute", any, "v1alpha3"),
		definition("specs.smi-spec.io", "httproutegroups", "HTTPRouteGroup", `properties: {spec: {type: object, required: [matches], properties: {matches: {type: array,
      items: {type: object, required: [name], properties: {name: {type: string}, pathRegex: {type: string}, methods: {type: array, items: {type: string}},
        headers: {type: object, additionalProperties: {type: string}}}}}}}}`, "v1alpha3"),
	}
}

// TestAdopt takes over what other projects made, with objects in it: each object comes back in the version it was written in as it was,
// and in every other as the conversion says.
func TestAdopt(t *testing.T) {
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			w.Apply(t, f.definitions(w)...)
			w.create(f.objects)
			before := w.all()
			if len(before) < len(f.stored) {
				t.Fatalf("only %d objects are there", len(before))
			}
			plan := w.plan()
			for _, d := range plan {
				if len(d.Faults) > 0 {
					t.Fatalf("%s: %v", d.Name, d.Faults)
				}
				if s := f.stored[d.want.Spec.Names.Kind]; (s == "") != slices.Equal(d.Steps, []Step{Create}) || (s != "" && s != "v1alpha4") != slices.Contains(d.Steps, Flip) {
					t.Errorf("%s, stored as %q: the steps are %v", d.Name, s, d.Steps)
				}
			}
			if err := w.a.Do(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			w.whole(before, f.stored)
			for _, d := range w.plan() {
				if len(d.Steps) > 0 {
					t.Errorf("%s: there is still to do: %v", d.Name, d.Steps)
				}
			}
		})
	}
}

// whole holds that everything is stored in the newest version and every object is as it was.
func (w *world) whole(before map[string]map[string]any, stored map[string]string) {
	w.t.Helper()
	after := w.all()
	for key, o := range before {
		kind := o["kind"].(string)
		if v := stored[kind]; !strings.HasPrefix(key, v+" ") {
			continue // a version in which a definition without conversion only pretended to serve it
		}
		text, err := json.Marshal(o)
		if err != nil {
			w.t.Fatal(err)
		}
		name := o["metadata"].(map[string]any)["name"].(string)
		for _, to := range smi.Versions(model.Kind(kind)) {
			want, _, err := smi.ConvertJSON(text, to)
			if err != nil {
				w.t.Fatal(err)
			}
			var m map[string]any
			if err := json.Unmarshal(want, &m); err != nil {
				w.t.Fatal(err)
			}
			_, v, _ := strings.Cut(to, "/")
			if got := after[v+" "+kind+" "+name]; !reflect.DeepEqual(got, m) {
				w.t.Errorf("%s %s as %s is\n%v, was\n%v", kind, name, v, got, m)
			}
		}
	}
	for _, d := range w.a.Wanted {
		c := w.crd(d.Name)
		if n := storage(d); storage(c) != n || !slices.Equal(c.Status.StoredVersions, []string{n}) || c.Annotations[Progress] != "" || !ours(c) {
			w.t.Errorf("%s stores %s, has stored %v, %v", d.Name, storage(c), c.Status.StoredVersions, c.Annotations)
		}
		if got, want := Served(c), Served(d); !slices.Equal(got, want) {
			w.t.Errorf("%s serves %v, not %v", d.Name, got, want)
		}
	}
	// Nothing is stored in an old version any more: the newest is read without the webhook.
	w.hook.down.Store(true)
	defer w.hook.down.Store(false)
	for _, d := range w.a.Wanted {
		if _, err := w.a.objects(d, storage(d)).List(w.t.Context(), metav1.ListOptions{}); err != nil {
			w.t.Errorf("%s: an object is still stored in an old version: %v", d.Name, err)
		}
	}
}
