// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/test/kubetest"
)

// roots is how many shops the scale is measured with: ANYMESH_SCALE=10000 is the size of the benchmarks' table.
func roots(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("ANYMESH_SCALE"))
	if err != nil {
		n = 60
	}
	return n
}

// TestScale starts a controller over many shops that another one wrote: it writes nothing. Then a burst of edits of one split costs few writes. The
// figures are logged: CPU of this process, which holds the controller and little else.
func TestScale(t *testing.T) {
	c := kubetest.Start(t)
	install(t, c)
	ns := c.Namespace(t)
	n := roots(t)
	fill(t, c, ns, n)
	first := start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}, Rate: 2000})
	last := fmt.Sprintf("catalog-%d", n-1)
	programmed(t, c, splits, ns, last, "True", "Programmed")
	first.settled(t)
	waitFor(t, c, ns, n)
	first.stop()
	before := versions(t, c, ns)
	if len(before) < 4*n {
		t.Fatalf("of %d shops there are %d objects", n, len(before))
	}

	cpu := used()
	second := start(t, c, controller.Options{Meshes: []*api.Mesh{only(ns)}, Rate: 2000})
	second.settled(t)
	cold := used() - cpu
	same(t, before, versions(t, c, ns))
	if w := writes(t, second); w != 0 {
		t.Errorf("%v writes with nothing to change", w)
	}

	generation := func() int64 {
		u, err := get(t, c, virtualServices, ns, last)
		if err != nil {
			t.Fatal(err)
		}
		return u.GetGeneration()
	}
	was, edits := generation(), 100
	cpu = used()
	for w := range edits {
		edit(t, c, ns, last, w+1)
	}
	kubetest.Eventually(t, func() error {
		u, err := get(t, c, virtualServices, ns, last)
		if err == nil && !strings.Contains(spec(u), fmt.Sprintf(`"weight":%d`, edits)) {
			err = fmt.Errorf("it is %s", spec(u))
		}
		return err
	})
	burst := used() - cpu
	if made := generation() - was; made > int64(edits) || made < 1 {
		t.Errorf("%d edits of one split were %d writes", edits, made)
	} else {
		t.Logf("%d shops: cold start with nothing to write %v CPU, 0 writes; %d edits of one split: %d writes, %v CPU of client and controller an edit",
			n, cold.Round(time.Millisecond), edits, made, (burst / time.Duration(edits)).Round(10*time.Microsecond))
	}
}

// used is the CPU that this process has used.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writes counts what a controller has written.
func writes(t testing.TB, r *run) (n float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.Collector())
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "anymesh_applies_total" {
			for _, m := range f.Metric {
				n += m.Counter.GetValue()
			}
		}
	}
	return n
}

var plurals = map[string]schema.GroupVersionResource{
	"Service": {Version: "v1", Resource: "services"}, "ServiceAccount": {Version: "v1", Resource: "serviceaccounts"},
	"Deployment":     {Group: "apps", Version: "v1", Resource: "deployments"},
	"HTTPRouteGroup": groups, "TrafficSplit": splits, "TrafficTarget": targets,
}

// fill creates many shops in one namespace.
func fill(t *testing.T, c *kubetest.Cluster, ns string, n int) {
	t.Helper()
	work := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range work {
				text := strings.NewReplacer("NS", ns, "catalog", fmt.Sprintf("catalog-%d", i), "name: api", fmt.Sprintf("name: api-%d", i)).Replace(shop)
				for _, d := range strings.Split(text, "\n---\n") {
					u := &unstructured.Unstructured{}
					if err := yaml.Unmarshal([]byte(d), &u.Object); err != nil {
						t.Error(err)
						return
					}
					if _, err := c.Dynamic.Resource(plurals[u.GetKind()]).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// waitFor waits until every split, permission and group has its status.
func waitFor(t *testing.T, c *kubetest.Cluster, ns string, n int) {
	t.Helper()
	end := time.Now().Add(10*time.Minute + time.Duration(n)*100*time.Millisecond)
	for _, r := range []schema.GroupVersionResource{splits, targets, groups} {
		for {
			list, err := c.Dynamic.Resource(r).Namespace(ns).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			done := 0
			for i := range list.Items {
				if g, _, _ := unstructured.NestedInt64(list.Items[i].Object, "status", "observedGeneration"); g == list.Items[i].GetGeneration() {
					done++
				}
			}
			if done == n {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("of %d %s %d have a status", n, r.Resource, done)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// edit gives a split another weight.
func edit(t testing.TB, c *kubetest.Cluster, ns, name string, w int) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit",
		"metadata": map[string]any{"name": name, "namespace": ns},
		"spec": map[string]any{"service": name, "backends": []any{map[string]any{"service": name + "-v1", "weight": int64(w)},
			map[string]any{"service": name + "-v2", "weight": int64(101)}}}}}
	if _, err := c.Dynamic.Resource(splits).Namespace(ns).Apply(t.Context(), name, u, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		t.Fatal(err)
	}
}
