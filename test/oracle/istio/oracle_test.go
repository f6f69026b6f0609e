// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/test/util/retry"
	"sigs.k8s.io/gateway-api/pkg/consts"
)

// The story as the driver's test writes it.

type named struct{ Namespace, Name string }

type port struct {
	Name           string
	Number, Target uint16
	Protocol       uint8
}

const tls = 5

type service struct {
	Name     named
	Ports    []port
	Selector map[string]string
}

type workload struct {
	Name    named
	Labels  map[string]string
	Account string
}

type request struct {
	Service      named
	Layer        uint8
	Method, Path string
	Headers      map[string][]string
	Host         string
}

type admit struct {
	Port        uint16
	Admit, Sure bool
}

type ask struct {
	Request request
	Caller  string
	Port    port
	Shares  map[string]float64
	Admits  []admit
}

type world struct {
	Name      string
	Services  []service
	Workloads []workload
	Objects   []json.RawMessage
	Asks      []ask

	network string // of the workloads; empty: one that is nowhere
}

// story has a driver's test write what it says now.
func story(t *testing.T, driver, test string) (worlds []world) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "story.json")
	cmd := exec.Command("go", "test", "./mesh/"+driver, "-count=1", "-run", "^"+test+"$", "-story", path)
	cmd.Dir = filepath.Join("..", "..", "..")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the driver's test does not write the story: %v\n%s", err, text)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &worlds)
	}
	if err != nil {
		t.Fatal(err)
	}
	return worlds
}

func TestIstio(t *testing.T) {
	var c count
	for _, w := range story(t, "istio", "TestStory") {
		t.Run(w.Name, func(t *testing.T) { ask1(t, &w, &c) })
	}
	t.Logf("%+v", c)
	if c.Routed < 500 || c.Admitted < 500 || c.Refused < 500 {
		t.Errorf("too few questions were asked: %+v", c)
	}
}

// TestGateway asks Istio about routes of the Gateway API whose parents are Services. They come to Istio as a cluster holds them, and its own
// controller makes of them what its proxies are told.
func TestGateway(t *testing.T) {
	routed := 0
	for _, w := range story(t, "gamma", "TestStory") {
		t.Run(w.Name, func(t *testing.T) {
			docs := w.kube()
			for _, o := range w.Objects {
				docs += string(o) + "\n---\n"
			}
			s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{KubernetesObjectString: docs})
			serve(t, s, strings.Count(docs, `"kind":"TCPRoute"`))
			client := newView(t, s, s.SetupProxy(&model.Proxy{ConfigNamespace: "shop", IPAddresses: []string{"10.9.9.9"}, Metadata: &model.NodeMetadata{Namespace: "shop"}}))
			for i := range w.Asks {
				a := &w.Asks[i]
				routed++
				if got := client.shares(&w, a); !near(got, a.Shares) {
					t.Fatalf("%+v is sent to %v, and should to %v\n%s", a.Request, got, a.Shares, docs)
				}
			}
		})
	}
	if t.Logf("%d requests were routed", routed); routed < 500 {
		t.Error("too few questions were asked")
	}
}

// serve makes the cluster one that serves TCPRoute as Gateway API 1.6 does: Istio takes no notice of earlier ones, nor of one that does not say.
func serve(t *testing.T, s *xds.FakeDiscoveryServer, routes int) {
	t.Helper()
	clienttest.MakeCRDWithAnnotations(t, s.KubeClient(), gvr.TCPRoute, map[string]string{consts.BundleVersionAnnotation: "v1.6.1"})
	retry.UntilOrFail(t, func() bool {
		found := 0
		for _, c := range s.PushContext().VirtualServicesForGateway("shop", "mesh") {
			found += len(c.Spec.(*networking.VirtualService).Tcp)
		}
		return found == routes
	})
}

type count struct{ Routed, Admitted, Refused, Narrowed int }

// ask1 puts the questions of one world to Istio.
func ask1(t *testing.T, w *world, c *count) {
	configs := w.configs(t)
	s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{KubernetesObjectString: w.kube(), ConfigString: configs})
	client := newView(t, s, s.SetupProxy(&model.Proxy{ConfigNamespace: "shop", IPAddresses: []string{"10.9.9.9"}, Metadata: &model.NodeMetadata{Namespace: "shop"}}))
	servers := make([]*view, len(w.Workloads))
	for i, wl := range w.Workloads {
		servers[i] = newView(t, s, s.SetupProxy(&model.Proxy{ConfigNamespace: wl.Name.Namespace, IPAddresses: []string{w.address(i)}, Labels: wl.Labels,
			Metadata: &model.NodeMetadata{Namespace: wl.Name.Namespace, Labels: wl.Labels, ServiceAccount: wl.Account}}))
	}
	for i := range w.Asks {
		a := &w.Asks[i]
		if a.Shares != nil {
			c.Routed++
			if got := client.shares(w, a); !near(got, a.Shares) {
				t.Errorf("%+v is sent to %v, and should to %v\n%s", a.Request, got, a.Shares, configs)
			}
		}
		for k, want := range a.Admits {
			got := servers[k].admits(a, want.Port)
			switch {
			case got && !want.Admit, !got && want.Admit && want.Sure:
				t.Errorf("%s at port %d, %+v from %s: admitted is %v, and should be %v\n%s", w.Workloads[k].Name, want.Port, a.Request, a.Caller, got, want.Admit, configs)
			case got:
				c.Admitted++
			case want.Admit:
				c.Narrowed++
			default:
				c.Refused++
			}
		}
		if t.Failed() {
			return
		}
	}
}

func near(a, b map[string]float64) bool {
	same := len(a) == len(b)
	for k, v := range a {
		same = same && math.Abs(b[k]-v) < 1e-9
	}
	return same
}

// configs are the driver's objects, after Istio's own validation has seen them.
func (w *world) configs(t *testing.T) string {
	var docs []string
	for _, o := range w.Objects {
		docs = append(docs, string(o))
	}
	text := strings.Join(docs, "\n---\n")
	list, rest, err := crd.ParseInputs(text)
	if err != nil || len(rest) > 0 {
		t.Fatalf("Istio does not read the objects: %v %v", err, rest)
	}
	for _, c := range list {
		schema, ok := collections.Pilot.FindByGroupVersionAliasesKind(c.GroupVersionKind)
		if !ok {
			t.Fatalf("Istio does not know %s", c.GroupVersionKind)
		}
		warning, err := schema.ValidateConfig(c)
		if err != nil || warning != nil && !strings.Contains(warning.Error(), "not used") && !strings.Contains(warning.Error(), "EnvoyFilter") {
			t.Errorf("Istio refuses %s %s: %v %v\n%s", c.GroupVersionKind.Kind, c.Name, err, warning, text)
		}
	}
	return text
}

func (w *world) address(workload int) string {
	return fmt.Sprintf("%s.%d", cmp.Or(w.network, "10.1.0"), workload+1)
}

func virtual(service int) string { return fmt.Sprintf("10.96.0.%d", service+1) }

// kube is the world as Kubernetes would hold it.
func (w *world) kube() string {
	var b strings.Builder
	doc := func(v map[string]any) {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		b.WriteString(string(text) + "\n---\n")
	}
	for i, wl := range w.Workloads {
		doc(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": wl.Name.Name, "namespace": wl.Name.Namespace, "labels": wl.Labels},
			"spec":   map[string]any{"serviceAccountName": wl.Account, "containers": []any{map[string]any{"name": "app", "image": "app"}}},
			"status": map[string]any{"podIP": w.address(i), "podIPs": []any{map[string]any{"ip": w.address(i)}}, "phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}})
	}
	for i, s := range w.Services {
		meta := map[string]any{"name": s.Name.Name, "namespace": s.Name.Namespace}
		var ports, targets, ends []any
		for _, p := range s.Ports {
			ports = append(ports, map[string]any{"name": p.Name, "port": p.Number, "targetPort": p.Target, "protocol": "TCP"})
			targets = append(targets, map[string]any{"name": p.Name, "port": p.Target, "protocol": "TCP"})
		}
		for k, wl := range w.Workloads {
			if selects(s.Selector, wl.Labels) {
				ends = append(ends, map[string]any{"addresses": []any{w.address(k)}, "conditions": map[string]any{"ready": true},
					"targetRef": map[string]any{"kind": "Pod", "name": wl.Name.Name, "namespace": wl.Name.Namespace}})
			}
		}
		doc(map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": map[string]any{"clusterIP": virtual(i), "clusterIPs": []any{virtual(i)}, "ports": ports, "selector": s.Selector}})
		doc(map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": targets, "endpoints": ends,
			"metadata": map[string]any{"name": s.Name.Name, "namespace": s.Name.Namespace, "labels": map[string]any{"kubernetes.io/service-name": s.Name.Name}}})
	}
	return b.String()
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}
