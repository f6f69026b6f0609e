// SPDX-License-Identifier: Apache-2.0

package inject_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/webhook/inject"
)

func injector(change ...func(*inject.Options)) *inject.Injector {
	o := inject.Options{Image: "anymesh/anymesh:1", Version: "1", ControlPlane: "cp:15010", Mesh: func() (string, []byte) { return "cluster.local", []byte("PEM") }}
	for _, f := range change {
		f(&o)
	}
	return inject.New(o)
}

// apply makes the changes of a patch that only adds.
func apply(t *testing.T, raw, patch []byte) []byte {
	t.Helper()
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var ops []struct {
		Op, Path string
		Value    any
	}
	if err := json.Unmarshal(patch, &ops); err != nil {
		t.Fatal(err)
	}
	for _, o := range ops {
		if o.Op != "add" {
			t.Fatalf("the patch does more than to add: %s %s", o.Op, o.Path)
		}
		doc = add(t, doc, strings.Split(o.Path, "/")[1:], o.Value)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func add(t *testing.T, doc any, path []string, value any) any {
	t.Helper()
	key := strings.ReplaceAll(path[0], "~1", "/")
	switch d := doc.(type) {
	case map[string]any:
		if len(path) > 1 {
			value = add(t, d[key], path[1:], value)
		} else if _, there := d[key]; there {
			t.Fatalf("%s is there already and would be lost", key)
		}
		d[key] = value
		return d
	case []any:
		if key == "-" {
			return append(d, value)
		}
		i, err := strconv.Atoi(key)
		if err != nil || i > len(d) {
			t.Fatalf("%q is no place in a list of %d", key, len(d))
		}
		if len(path) > 1 {
			d[i] = add(t, d[i], path[1:], value)
			return d
		}
		return slices.Insert(d, i, value)
	}
	t.Fatalf("nothing to add %q to", key)
	return nil
}

const pod = `{"metadata": {"name": "web", "annotations": {"a": "b"}}, "spec": {"futureField": {"x": 1}, "volumes": [{"name": "v"}], "initContainers": [{"name": "migrate"}],
  "containers": [{"name": "app", "env": [{"name": "A", "value": "b"}], "ports": [{"containerPort": 8080}]}, {"name": "agent", "env": [{"name": "HTTP_PROXY", "value": "mine"}, {"name": "http_proxy", "value": "mine"}]}]}}`

func TestPatch(t *testing.T) {
	patch, warnings, err := injector().Patch([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], "agent") {
		t.Errorf("%q", warnings)
	}
	now := apply(t, []byte(pod), patch)
	if !strings.Contains(string(now), `"futureField":{"x":1}`) {
		t.Error("a field that is not known here is lost")
	}
	var p corev1.Pod
	if err := json.Unmarshal(now, &p); err != nil {
		t.Fatal(err)
	}
	if n := p.Spec.InitContainers; len(n) != 2 || n[0].Name != inject.Proxy || n[1].Name != "migrate" || *n[0].RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Fatalf("%+v", n)
	}
	env := func(c corev1.Container) string { return fmt.Sprint(c.Env) }
	if app := p.Spec.Containers[0]; app.Env[0].Name != "A" || !strings.Contains(env(app), "http://$(ANYMESH_POD_IP):15001") {
		t.Error(env(app))
	}
	if agent := p.Spec.Containers[1]; len(agent.Env) != 2 {
		t.Errorf("its author said where it asks: %s", env(agent))
	}
	if v := p.Spec.Volumes; len(v) != 2 || v[0].Name != "v" || v[1].Projected.Sources[0].ServiceAccountToken.Audience != issue.Audience {
		t.Errorf("%+v", v)
	}
	x := p.Spec.InitContainers[0]
	if !slices.Contains(x.Args, "--control-plane=cp:15010") || x.Resources.Limits.Memory().IsZero() || x.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%+v", x)
	}
	if s := x.SecurityContext; !*s.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("%+v", s)
	}
	if p.Annotations["a"] != "b" || p.Annotations[inject.Injected] != "1" {
		t.Errorf("%v", p.Annotations)
	}
	if again, _, err := injector().Patch(now); again != nil || err != nil {
		t.Errorf("a second time: %s %v", again, err)
	}
}

func TestAnnotations(t *testing.T) {
	patch, _, err := injector().Patch([]byte(`{"metadata": {"annotations": {"anymesh.dev/cpu": "2", "anymesh.dev/memory": "1Gi"}}, "spec": {"containers": [{"name": "app"}]}}`))
	if err != nil || strings.Count(string(patch), `"1Gi"`) != 2 || !strings.Contains(string(patch), `"cpu":"2"`) {
		t.Errorf("%s %v", patch, err)
	}
}

func TestRefused(t *testing.T) {
	for what, x := range map[string]struct{ pod, says string }{
		"the node's network": {`{"spec": {"hostNetwork": true}}`, "hostNetwork"},
		"Windows":            {`{"spec": {"os": {"name": "windows"}}}`, "Linux"},
		"a port of ours":     {`{"spec": {"containers": [{"name": "app", "ports": [{"containerPort": 15006}]}]}}`, "port 15006"},
		"a strange mode":     {`{"metadata": {"annotations": {"anymesh.dev/mode": "magic"}}}`, "magic"},
		"a strange amount":   {`{"metadata": {"annotations": {"anymesh.dev/memory": "much"}}}`, "much"},
		"no pod":             {`[`, "not a pod"},
	} {
		if patch, _, err := injector().Patch([]byte(x.pod)); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %s %v", what, patch, err)
		}
	}
	none := injector(func(o *inject.Options) { o.Mesh = func() (string, []byte) { return "", nil } })
	if _, _, err := none.Patch([]byte(pod)); err == nil {
		t.Error("a proxy without roots, which would never come up")
	}
	if patch, _, err := none.Patch([]byte(`{"metadata": {"labels": {"anymesh.dev/inject": "disabled"}}}`)); patch != nil || err != nil {
		t.Errorf("a pod that declines: %s %v", patch, err)
	}
}

// TestWords holds that the same things are called the same in packages that do not know each other.
func TestWords(t *testing.T) {
	if inject.Audience != issue.Audience || inject.Label != deploy.InjectLabel {
		t.Error("two words for one thing")
	}
}
