// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// world is an inventory of a cluster with our definition of TrafficSplit.
func world(t *testing.T) (*kubetest.Cluster, *Inventory) {
	t.Helper()
	c := shared.Cluster(t)
	text, err := os.ReadFile("../../deploy/crds/trafficsplits.split.smi-spec.io.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(text))
	k, err := kube.Connect(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	i := New(k, Options{Mesh: func(ns string) string { return "of-" + ns }})
	if i.Ready() == nil {
		t.Error("it is ready before it has read anything")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := i.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	v, err := k.Discover()
	if err != nil {
		t.Fatal(err)
	}
	i.Serve(v)
	kubetest.Eventually(t, i.Ready)
	return c, i
}

const shop = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: NS, labels: {app: web}}, spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {nodeName: local, containers: [{name: c, image: none}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: alone, namespace: NS, labels: {app: web}}, spec: {containers: [{name: c, image: none}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: NS}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: outside, namespace: NS}, spec: {ports: [{port: 80}]}}
---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: web, namespace: NS}, spec: {service: web, backends: [{service: web-1, weight: 90}, {service: web-2, weight: 10}]}}
`

// TestCluster follows what a cluster's own controllers make of a Deployment, and what becomes of it.
func TestCluster(t *testing.T) {
	c, i := world(t)
	ns := c.Namespace(t)
	c.Apply(t, strings.ReplaceAll(shop, "NS", ns))
	ref := func(kind, name string) metrics.Ref { return metrics.Ref{Kind: kind, Namespace: ns, Name: name} }
	count := func(r metrics.Ref, want int) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			if got := i.Pods(r); len(got) != want {
				return fmt.Errorf("%s %s has the pods %v, not %d", r.Kind, r.Name, got, want)
			}
			return nil
		})
	}
	count(ref("Deployment", "web"), 2)
	count(ref("Service", "web"), 3)
	count(ref("Service", "outside"), 0)
	count(ref("Pod", "alone"), 1)
	count(ref("Pod", "none"), 0)
	count(metrics.Ref{Kind: "Namespace", Name: ns}, 3)
	count(metrics.Ref{Kind: "Node", Name: "local"}, 2)

	deployment, _ := metrics.KindOf("deploy")
	pod := i.Pods(ref("Deployment", "web"))[0]
	if o, ok := i.Owner(pod, deployment); !ok || o != ref("Deployment", "web") {
		t.Errorf("%v belongs to %v", pod, o)
	}
	for kind, want := range map[string]string{"Namespace": ns, "Node": "local", "Pod": pod.Name} {
		k, _ := metrics.KindOf(kind)
		if o, ok := i.Owner(pod, k); !ok || o.Name != want {
			t.Errorf("%v belongs to the %s %v", pod, kind, o)
		}
	}
	if o, ok := i.Owner(ref("Pod", "alone"), deployment); ok {
		t.Errorf("a pod of no controller belongs to %v", o)
	}
	if l := i.List(deployment, ns); len(l) != 1 || l[0].Labels["app"] != "web" || l[0].Created.IsZero() {
		t.Errorf("the deployments are %+v", l)
	}
	if i.Mesh(ns) != "of-"+ns {
		t.Errorf("the namespace is in %s", i.Mesh(ns))
	}

	var s metrics.Split
	kubetest.Eventually(t, func() error {
		var ok bool
		if s, ok = i.Split(ref("TrafficSplit", "web")); !ok {
			return fmt.Errorf("the split is not known")
		}
		return nil
	})
	if want := []metrics.Backend{{Apex: "web", Name: "web-1", Weight: 90}, {Apex: "web", Name: "web-2", Weight: 10}}; s.Apex != "web" || !slices.Equal(s.Backends, want) {
		t.Errorf("the split is %+v", s)
	}

	c.Kubectl(t, "-n", ns, "scale", "deployment", "web", "--replicas=1")
	c.Kubectl(t, "-n", ns, "patch", "trafficsplits.v1alpha4.split.smi-spec.io", "web", "--type=json", "-p", `[{"op":"replace","path":"/spec/backends/1/weight","value":60}]`)
	c.Kubectl(t, "-n", ns, "delete", "pod", "alone", "--force", "--grace-period=0")
	kubetest.Eventually(t, func() error {
		if s, _ := i.Split(ref("TrafficSplit", "web")); len(s.Backends) != 2 || s.Backends[1].Weight != 60 {
			return fmt.Errorf("the split is %+v", s)
		}
		return nil
	})
	kubetest.Eventually(t, func() error {
		if _, ok := i.Find(ref("Pod", "alone")); ok {
			return fmt.Errorf("a pod that is gone is known")
		}
		return nil
	})
}
