// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/test/kubetest"
)

// TestRestart starts a controller over what another wrote: nothing is written, neither to the mesh nor as a status.
func TestRestart(t *testing.T) {
	c := shared.Cluster(t)
	install(t, c)
	ns := c.Namespace(t)
	c.Apply(t, in(ns, shop))
	r := start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}})
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	programmed(t, c, targets, ns, "catalog", "True", "Programmed")
	r.settled(t)
	kubetest.Eventually(t, func() error { _, err := get(t, c, groups, ns, "api"); return err })
	programmed(t, c, groups, ns, "api", "True", "Programmed")
	r.stop()
	before := versions(t, c, ns)
	again := start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}})
	again.settled(t)
	patch(t, c, ns, `{"metadata":{"labels":{"seen":"yes"}}}`) // which no generation counts; when its news is through, all that was before is
	again.settled(t)
	delete(before, "TrafficSplit/catalog")
	after := versions(t, c, ns)
	delete(after, "TrafficSplit/catalog")
	same(t, before, after)
}

// TestTwoReplicas stops the one that writes in the middle of edits: the other takes over, and no edit is lost.
func TestTwoReplicas(t *testing.T) {
	c := shared.Cluster(t)
	install(t, c)
	ns := c.Namespace(t)
	c.Apply(t, in(ns, shop))
	replica := func(name string) *run {
		return start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}, Elect: true, Namespace: ns, Name: name})
	}
	first := replica("first")
	kubetest.Eventually(t, func() error {
		if !first.Leading() {
			return errors.New("nobody leads")
		}
		return nil
	})
	second := replica("second")
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	kubetest.Eventually(t, second.Ready)
	if second.Leading() {
		t.Fatal("both lead")
	}
	weigh := func(w int) {
		patch(t, c, ns, fmt.Sprintf(`{"spec":{"backends":[{"service":"catalog-v1","weight":%d},{"service":"catalog-v2","weight":101}]}}`, w))
	}
	for w := range 20 {
		weigh(w + 1)
		if w == 10 {
			go first.stop()
		}
	}
	kubetest.Eventually(t, func() error {
		u, err := get(t, c, virtualServices, ns, "catalog")
		if err == nil && !strings.Contains(spec(u), `"weight":20`) {
			err = fmt.Errorf("it is %s", spec(u))
		}
		return err
	})
	kubetest.Eventually(t, func() error {
		if !second.Leading() {
			return errors.New("the second does not lead")
		}
		return nil
	})
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")
}

// TestOutage stops the API server for a while, with an edit before and one after: nothing is lost, and nothing is written that was written.
func TestOutage(t *testing.T) {
	c := kubetest.Start(t)
	install(t, c)
	ns := c.Namespace(t)
	c.Apply(t, in(ns, shop), in(ns, strings.ReplaceAll(shop, "catalog", "other")))
	r := start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}})
	for _, name := range []string{"catalog", "other"} {
		programmed(t, c, splits, ns, name, "True", "Programmed")
		programmed(t, c, targets, ns, name, "True", "Programmed")
	}
	programmed(t, c, groups, ns, "api", "True", "Programmed")
	r.settled(t)
	before := versions(t, c, ns)
	c.Stop(t)
	time.Sleep(outage) // the outage itself is what is tested
	c.Restart(t)
	patch(t, c, ns, `{"spec":{"backends":[{"service":"catalog-v1","weight":3},{"service":"catalog-v2","weight":4}]}}`)
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	u, err := get(t, c, virtualServices, ns, "catalog")
	if err != nil || !strings.Contains(spec(u), `"weight":3`) {
		t.Errorf("%v: the edit was lost: %s", err, spec(u))
	}
	r.settled(t)
	after := versions(t, c, ns)
	for _, edited := range []string{"TrafficSplit/catalog", "VirtualService/catalog"} {
		delete(before, edited)
		delete(after, edited)
	}
	same(t, before, after)
}

// outage is how long the API server is away.
const outage = 30 * time.Second

// TestMeshes runs without a file: what the cluster shows is spoken to; then by objects of the kind Mesh, which come, move and go.
func TestMeshes(t *testing.T) {
	c := kubetest.Start(t)
	c.Apply(t, smiCRDs(t))
	ns := c.Namespace(t)
	c.Apply(t, in(ns, shop))
	start(t, c, controller.Options{})
	programmed(t, c, splits, ns, "catalog", "False", "NoMesh")

	theirs, err := istioCRDs()
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, theirs) // Istio is installed
	s := programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	if len(s.Meshes) != 1 || s.Meshes[0].Name != "istio" {
		t.Errorf("the views are %+v", s.Meshes)
	}

	c.Apply(t, "apiVersion: anymesh.dev/v1alpha1\nkind: Mesh\nmetadata: {name: east}\nspec: {kind: istio, accessDefault: deny, namespaces: {matchLabels: {in: east}}}")
	programmed(t, c, splits, ns, "catalog", "False", "NoMesh")
	gone(t, c, ns)
	ready(t, c, "east", "True", "Served")

	label(t, c, ns, "east") // the namespace moves into the mesh
	s = programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	if len(s.Meshes) != 1 || s.Meshes[0].Name != "east" {
		t.Errorf("the views are %+v", s.Meshes)
	}
	label(t, c, ns, "west") // and out of it
	gone(t, c, ns)
	label(t, c, ns, "east")
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")

	c.Apply(t, "apiVersion: anymesh.dev/v1alpha1\nkind: Mesh\nmetadata: {name: odd}\nspec: {kind: itsio}")
	ready(t, c, "odd", "False", "UnknownKind")
	c.Kubectl(t, "delete", "mesh.anymesh.dev", "east")
	gone(t, c, ns)
}

func label(t testing.TB, c *kubetest.Cluster, ns, value string) {
	t.Helper()
	c.Kubectl(t, "label", "--overwrite", "namespace", ns, "in="+value)
}

// gone waits until nothing of ours is left in a namespace.
func gone(t testing.TB, c *kubetest.Cluster, ns string) {
	t.Helper()
	kubetest.Eventually(t, func() error {
		out := c.Kubectl(t, "-n", ns, "get", "virtualservices,authorizationpolicies", "-o", "name")
		if strings.TrimSpace(out) != "" {
			return fmt.Errorf("there still are %q", out)
		}
		return nil
	})
}

// ready waits for the condition of a Mesh.
func ready(t testing.TB, c *kubetest.Cluster, name, status, reason string) {
	t.Helper()
	kubetest.Eventually(t, func() error {
		u, err := c.Dynamic.Resource(meshes).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		text, _ := json.Marshal(u.Object["status"])
		var s api.MeshStatus
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		if len(s.Conditions) == 1 && string(s.Conditions[0].Status) == status && s.Conditions[0].Reason == reason {
			return nil
		}
		return fmt.Errorf("its status is %s", text)
	})
}
