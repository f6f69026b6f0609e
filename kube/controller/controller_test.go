// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh/istio"
	"github.com/anymesh/anymesh/test/kubetest"
)

// translated is what `translate` makes of the same text, by kind and name.
func translated(t testing.TB, text string) map[string]string {
	t.Helper()
	e := engine.New(engine.Target{Driver: istio.Driver})
	e.Set(file.Parse("shop.yaml", []byte(text), file.Options{}).Events...)
	out := map[string]string{}
	for _, c := range e.Flush()[0].Changes {
		text, err := json.Marshal(c.Object)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(text); err != nil {
			t.Fatal(err)
		}
		out[c.Key.Kind+"/"+c.Key.Name.Name] = spec(u)
	}
	return out
}

// TestProgram runs a namespace through a life: what is written is what translate prints, edits follow, what others do is undone, what is not
// ours is left alone, and at the end nothing is left over.
func TestProgram(t *testing.T) {
	c := shared.Cluster(t)
	install(t, c)
	ns := c.Namespace(t)
	c.Apply(t, in(ns, shop))
	r := start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}})
	programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	programmed(t, c, targets, ns, "catalog", "True", "Programmed")

	want := translated(t, in(ns, shop))
	for name, content := range want {
		kind, name, _ := strings.Cut(name, "/")
		res := virtualServices
		if kind == "AuthorizationPolicy" {
			res = policies
		}
		u, err := get(t, c, res, ns, name)
		if err != nil {
			t.Fatal(err)
		}
		if spec(u) != content {
			t.Errorf("%s %s\n is  %s\n not %s", kind, name, spec(u), content)
		}
	}

	t.Run("edit", func(t *testing.T) {
		patch(t, c, ns, `{"spec":{"backends":[{"service":"catalog-v1","weight":10},{"service":"catalog-v2","weight":90}]}}`)
		programmed(t, c, splits, ns, "catalog", "True", "Programmed")
		u, err := get(t, c, virtualServices, ns, "catalog")
		if err != nil || !strings.Contains(spec(u), `"weight":9`) {
			t.Errorf("%v: %s", err, spec(u))
		}
	})
	t.Run("drift", func(t *testing.T) { drift(t, c, ns) })
	t.Run("contended", func(t *testing.T) { contended(t, c, ns) })
	t.Run("removed by another", func(t *testing.T) {
		before, err := get(t, c, virtualServices, ns, "catalog")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Dynamic.Resource(virtualServices).Namespace(ns).Delete(t.Context(), "catalog", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		kubetest.Eventually(t, func() error {
			u, err := get(t, c, virtualServices, ns, "catalog")
			if err == nil && u.GetUID() == before.GetUID() {
				err = errors.New("it is the old one")
			}
			return err
		})
	})
	t.Run("cannot be said", func(t *testing.T) { unsaid(t, c, ns) })
	t.Run("judge", func(t *testing.T) { judge(t, r, ns) })
	t.Run("gone", func(t *testing.T) {
		c.Kubectl(t, "-n", ns, "delete", "trafficsplits.split.smi-spec.io", "--all")
		kubetest.Eventually(t, func() error {
			if _, err := get(t, c, virtualServices, ns, "catalog"); !apierrors.IsNotFound(err) {
				return fmt.Errorf("the VirtualService is still there: %v", err)
			}
			return nil
		})
	})
}

func patch(t testing.TB, c *kubetest.Cluster, ns, text string) {
	t.Helper()
	if _, err := c.Dynamic.Resource(splits).Namespace(ns).Patch(t.Context(), "catalog", types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: "flagger"}); err != nil {
		t.Fatal(err)
	}
}

// drift changes an object of ours in three ways: each is undone, whole.
func drift(t *testing.T, c *kubetest.Cluster, ns string) {
	want, err := get(t, c, virtualServices, ns, "catalog")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a value":      `{"spec":{"hosts":["elsewhere"]}}`,
		"a new field":  `{"spec":{"exportTo":["."]}}`,
		"a new rule":   `{"spec":{"tcp":[{"route":[{"destination":{"host":"elsewhere"}}]}]}}`,
		"our own mark": `{"metadata":{"annotations":{"anymesh.dev/wish":"x"}}}`,
	} {
		if _, err := c.Dynamic.Resource(virtualServices).Namespace(ns).Patch(t.Context(), "catalog", types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: "someone"}); err != nil {
			t.Fatal(err)
		}
		kubetest.Eventually(t, func() error {
			u, err := get(t, c, virtualServices, ns, "catalog")
			if err != nil {
				return err
			}
			if spec(u) != spec(want) || u.GetAnnotations()["anymesh.dev/wish"] != want.GetAnnotations()["anymesh.dev/wish"] {
				return fmt.Errorf("%s: it is %s", name, spec(u))
			}
			for _, f := range u.GetManagedFields() {
				if f.Manager != "anymesh" && strings.Contains(f.FieldsV1.GetRawString(), `"f:spec"`) {
					return fmt.Errorf("%s: %s still says a part of it", name, f.Manager)
				}
			}
			return nil
		})
	}
}

// contended edits a split while someone else edits what is written for it: at the end it is as the split says, and nobody else says a part.
func contended(t *testing.T, c *kubetest.Cluster, ns string) {
	var other sync.WaitGroup
	other.Go(func() {
		for i := range 60 {
			text := fmt.Sprintf(`{"spec":{"exportTo":["%s"]}}`, []string{".", "*"}[i%2])
			if _, err := c.Dynamic.Resource(virtualServices).Namespace(ns).Patch(t.Context(), "catalog", types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: "someone"}); err != nil {
				t.Error(err)
			}
		}
	})
	for w := range 30 {
		patch(t, c, ns, fmt.Sprintf(`{"spec":{"backends":[{"service":"catalog-v1","weight":%d},{"service":"catalog-v2","weight":31}]}}`, w+1))
	}
	other.Wait()
	kubetest.Eventually(t, func() error {
		u, err := get(t, c, virtualServices, ns, "catalog")
		if err == nil && (strings.Contains(spec(u), "exportTo") || !strings.Contains(spec(u), `"weight":30`) || !strings.Contains(spec(u), `"weight":31`)) {
			err = fmt.Errorf("it is %s", spec(u))
		}
		return err
	})
}

// unsaid asks for what Istio cannot say: the status says so, an Event says so once, and what can be said again is programmed again.
func unsaid(t *testing.T, c *kubetest.Cluster, ns string) {
	const group = `
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: api, namespace: NS}
spec: {matches: [{name: read, pathRegex: "%s", methods: [GET]}]}
`
	c.Apply(t, in(ns, fmt.Sprintf(group, "/a(b|c)+d")))
	s := programmed(t, c, targets, ns, "catalog", "False", "Unsupported")
	if g := programmed(t, c, groups, ns, "api", "False", "Unsupported"); !strings.Contains(g.Meshes[0].Conditions[0].Message, "/a(b|c)+d") {
		t.Errorf("the group does not say which expression it is: %+v", g.Meshes)
	}
	if u, err := get(t, c, policies, ns, "catalog"); err == nil && strings.Contains(spec(u), "paths") {
		t.Errorf("the path was said otherwise: %s", spec(u))
	}
	if len(s.Meshes) != 1 || s.Meshes[0].Name != ns || s.Meshes[0].Driver != "istio" || s.Meshes[0].Conditions[0].Reason != "Unsupported" {
		t.Errorf("the mesh's view is %+v", s.Meshes)
	}
	kubetest.Eventually(t, func() error {
		list, err := c.Dynamic.Resource(events).Namespace(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		n := 0
		for _, e := range list.Items {
			if e.Object["reason"] == "Unsupported" && strings.Contains(fmt.Sprint(e.Object["involvedObject"]), "catalog") {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%d events of %d", n, len(list.Items))
		}
		return nil
	})
	c.Apply(t, in(ns, fmt.Sprintf(group, "/products")))
	programmed(t, c, targets, ns, "catalog", "True", "Programmed")
}

// TestForeign meets an object of someone else's: it is left as it is, and the split says so, until the object is gone; or it is taken over, where
// that was asked for.
func TestForeign(t *testing.T) {
	c := shared.Cluster(t)
	install(t, c)
	theirs := `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: NS}
spec: {hosts: [mine], http: [{route: [{destination: {host: mine}}], timeout: 5s}]}
`
	t.Run("left", func(t *testing.T) {
		ns := c.Namespace(t)
		c.Apply(t, in(ns, theirs), in(ns, shop))
		start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}})
		programmed(t, c, splits, ns, "catalog", "False", "Conflicted")
		programmed(t, c, targets, ns, "catalog", "True", "Programmed")
		u, err := get(t, c, virtualServices, ns, "catalog")
		if err != nil || !strings.Contains(spec(u), `"hosts":["mine"]`) {
			t.Errorf("%v: it was changed: %s", err, spec(u))
		}
		c.Kubectl(t, "-n", ns, "delete", "virtualservice", "catalog")
		programmed(t, c, splits, ns, "catalog", "True", "Programmed")
	})
	t.Run("adopted", func(t *testing.T) {
		ns := c.Namespace(t)
		c.Apply(t, in(ns, theirs), in(ns, shop))
		m := only(ns)
		m.Spec.Options = map[string]string{"adopt": "true"}
		r := start(t, c, controller.Options{Meshes: []*api.Mesh{m}})
		programmed(t, c, splits, ns, "catalog", "True", "Programmed")
		u, err := get(t, c, virtualServices, ns, "catalog")
		if want := translated(t, in(ns, shop))["VirtualService/catalog"]; err != nil || spec(u) != want {
			t.Errorf("%v\n is  %s\n not %s", err, spec(u), want)
		}
		r.stop()
		before := versions(t, c, ns)
		start(t, c, controller.Options{Meshes: []*api.Mesh{m}}).settled(t)
		same(t, before, versions(t, c, ns))
	})
}

// versions are the resource versions of all that we write in a namespace, the statuses included.
func versions(t testing.TB, c *kubetest.Cluster, ns string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range []struct{ name string }{{"virtualservices"}, {"authorizationpolicies"}, {"trafficsplits.split.smi-spec.io"}, {"traffictargets"}, {"httproutegroups"}} {
		var list unstructured.UnstructuredList
		if err := json.Unmarshal([]byte(c.Kubectl(t, "-n", ns, "get", r.name, "-o", "json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			out[u.GetKind()+"/"+u.GetName()] = u.GetResourceVersion()
		}
	}
	return out
}

func same(t testing.TB, before, after map[string]string) {
	t.Helper()
	if len(before) == 0 {
		t.Error("there is nothing to compare")
	}
	for k, v := range before {
		if after[k] != v {
			t.Errorf("%s was written again", k)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d objects have become %d", len(before), len(after))
	}
}
