// SPDX-License-Identifier: Apache-2.0

// Package chart holds that the Helm chart says what the manifests say, by Helm's own engine. It is a module of its own: nothing of
// the project needs Helm.
package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"

	"github.com/anymesh/anymesh/deploy/manifest"
)

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load("../../deploy/chart/anymesh")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart as helm install does.
func render(t *testing.T, namespace string, set map[string]any) []map[string]any {
	t.Helper()
	c := load(t)
	values, err := util.ToRenderValues(c, set, common.ReleaseOptions{Name: "anymesh", Namespace: namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, values)
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		out = append(out, documents(t, files[name])...)
	}
	return out
}

func documents(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o map[string]any
		if err := dec.Decode(&o); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if o != nil {
			out = append(out, plain(t, o))
		}
	}
}

// plain is an object with the numbers of JSON.
func plain(t *testing.T, o any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// managed takes out who manages an object: Helm, or the command that applies the manifests.
func managed(t *testing.T, o map[string]any, want string) {
	t.Helper()
	labels := o["metadata"].(map[string]any)["labels"].(map[string]any)
	if got := labels["app.kubernetes.io/managed-by"]; got != want {
		t.Errorf("%v %v is managed by %v, not by %s", o["kind"], o["metadata"], got, want)
	}
	delete(labels, "app.kubernetes.io/managed-by")
}

// choices are the values of a user, as Helm has them and as --set says them.
var choices = []struct {
	name      string
	namespace string
	helm      map[string]any
	set       []string
}{
	{"defaults", "anymesh-system", nil, nil},
	{"elsewhere", "mesh", nil, nil},
	{"all that is off", "anymesh-system", map[string]any{"podDisruptionBudget": map[string]any{"enabled": false}, "networkPolicy": map[string]any{"enabled": false},
		"aggregateRoles": false, "priorityClassName": "", "meshes": []any{}}, []string{"podDisruptionBudget.enabled=false", "networkPolicy.enabled=false",
		"aggregateRoles=false", "priorityClassName=", "meshes="}},
	{"all that is on", "anymesh-system", map[string]any{"serviceMonitor": map[string]any{"enabled": true, "interval": "10s", "labels": map[string]any{"release": "prometheus"}},
		"extraArgs": []any{"--pprof-addr=127.0.0.1:6060", "-v"}, "replicas": 3, "image": map[string]any{"tag": "1.0", "repository": "here:5000/x"},
		"podAnnotations": map[string]any{"example.com/a": "true"}, "nodeSelector": map[string]any{"kubernetes.io/os": "linux", "disk": "ssd"}},
		[]string{"serviceMonitor.enabled=true", "serviceMonitor.interval=10s", "serviceMonitor.labels.release=prometheus", "extraArgs=--pprof-addr=127.0.0.1:6060,-v",
			"replicas=3", "image.tag=1.0", "image.repository=here:5000/x", `podAnnotations.example\.com/a=true`, "nodeSelector.disk=ssd"}},
	{"the built-in mesh", "mesh", map[string]any{"builtin": map[string]any{"enabled": true}, "image": map[string]any{"tag": "2"}}, []string{"builtin.enabled=true", "image.tag=2"}},
	{"one mesh", "anymesh-system", map[string]any{"meshes": []any{"istio"}, "webhook": map[string]any{"failurePolicy": "Fail"}}, []string{"meshes=istio", "webhook.failurePolicy=Fail"}},
}

// TestChartIsManifests renders chart and description for the same wishes: they are the same objects.
func TestChartIsManifests(t *testing.T) {
	for _, c := range choices {
		t.Run(c.name, func(t *testing.T) {
			v := manifest.Defaults()
			v.Namespace = c.namespace
			for _, s := range c.set {
				if err := v.Set(s); err != nil {
					t.Fatal(err)
				}
			}
			want := map[string]map[string]any{}
			for _, o := range manifest.Objects(v) {
				if o["kind"] == "Namespace" { // which Helm makes itself
					continue
				}
				o = plain(t, o)
				managed(t, o, "anymesh")
				want[key(o)] = o
			}
			got := map[string]map[string]any{}
			for _, o := range render(t, c.namespace, c.helm) {
				managed(t, o, "Helm")
				got[key(o)] = o
			}
			if len(want) < 8 {
				t.Fatalf("only %d objects", len(want))
			}
			for k := range want {
				if !reflect.DeepEqual(got[k], want[k]) {
					t.Errorf("%s: Helm says\n%s\nthe manifests\n%s", k, text(got[k]), text(want[k]))
				}
			}
			for k := range got {
				if want[k] == nil {
					t.Errorf("only Helm has %s", k)
				}
			}
		})
	}
}

func key(o map[string]any) string {
	return fmt.Sprint(o["kind"], " ", o["metadata"].(map[string]any)["name"])
}

func text(o any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	_ = enc.Encode(o)
	return b.String()
}

// TestManifestsAreDefaults holds that the file of manifests is what the defaults make, and the chart's definitions are those of the manifests.
func TestManifestsAreDefaults(t *testing.T) {
	file, err := os.ReadFile("../../deploy/manifests/anymesh.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string]any
	for _, o := range manifest.Objects(manifest.Defaults()) {
		want = append(want, plain(t, o))
	}
	if got := documents(t, string(file)); !reflect.DeepEqual(got, want) {
		t.Error("deploy/manifests/anymesh.yaml is not what the defaults make")
	}
	all, err := os.ReadFile("../../deploy/manifests/crds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, o := range documents(t, string(all)) {
		found[key(o)] = true
	}
	crds := load(t).CRDObjects()
	if len(crds) != len(found) {
		t.Errorf("the chart has %d definitions, the manifests %d", len(crds), len(found))
	}
	for _, c := range crds {
		if o := documents(t, string(c.File.Data))[0]; !found[key(o)] {
			t.Errorf("the manifests lack %s of %s", key(o), filepath.Base(c.Filename))
		}
	}
}

// TestNotes holds that the notes are rendered, and warn where definitions name another namespace.
func TestNotes(t *testing.T) {
	c := load(t)
	for ns, warns := range map[string]bool{"anymesh-system": false, "mesh": true} {
		values, err := util.ToRenderValues(c, nil, common.ReleaseOptions{Name: "a", Namespace: ns, IsInstall: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		files, err := engine.Render(c, values)
		if err != nil {
			t.Fatal(err)
		}
		if notes := files["anymesh/templates/NOTES.txt"]; !strings.Contains(notes, "anymesh check") || strings.Contains(notes, "--only-crds") != warns {
			t.Errorf("in %s the notes are %q", ns, notes)
		}
	}
}
