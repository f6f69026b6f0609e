// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/test/kubetest"
)

const canary = "spec: {service: web, backends: [{service: web-canary, weight: 0}, {service: web-primary, weight: 100}], matches: [{kind: HTTPRouteGroup, name: insiders}]}"

// weights and matches of a split, as the newest version says them.
func (i *installation) split(t *testing.T, o *unstructured.Unstructured) (weights []int64, matches []string) {
	t.Helper()
	f := facts(t, i.get(t, split4, o))[0].(*model.Split)
	for _, b := range f.Backends {
		weights = append(weights, b.Weight)
	}
	return weights, f.Groups
}

// TestRolloutsThroughOldVersions shifts weights as progressive delivery tools do, through versions that do not know matches.
func TestRolloutsThroughOldVersions(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	o := i.written(t, parsed(t, wrote(split4, "TrafficSplit", canary), ns))
	stay := func(how string, want ...int64) {
		t.Helper()
		weights, matches := i.split(t, o)
		if !reflect.DeepEqual(weights, want) || !reflect.DeepEqual(matches, []string{"insiders"}) {
			t.Errorf("after %s: weights %v, matches %v", how, weights, matches)
		}
	}
	for _, v := range []string{split1, "split.smi-spec.io/v1alpha2"} {
		// Flagger reads the object, gives it another spec, and writes it whole.
		read := i.get(t, v, o)
		read.Object["spec"] = map[string]any{"service": "web", "backends": []any{
			map[string]any{"service": "web-canary", "weight": weight(v, 10)}, map[string]any{"service": "web-primary", "weight": weight(v, 90)}}}
		if _, err := i.of(v, model.KindSplit, ns).Update(t.Context(), read, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		stay("an update through "+v, 10, 90)

		// Argo Rollouts merges a patch of the spec.
		patch := `{"spec":{"service":"web","backends":[{"service":"web-canary","weight":"30"},{"service":"web-primary","weight":"70"}]}}`
		if v != split1 {
			patch = strings.NewReplacer(`"30"`, "30", `"70"`, "70").Replace(patch)
		}
		if _, err := i.of(v, model.KindSplit, ns).Patch(t.Context(), "x", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		stay("a patch through "+v, 30, 70)

		// Server-side apply, as GitOps does.
		apply := parsed(t, wrote(v, "TrafficSplit", "spec: {service: web, backends: [{service: web-canary, weight: 50}, {service: web-primary, weight: 50}]}"), ns)
		if _, err := i.of(v, model.KindSplit, ns).Apply(t.Context(), "x", apply, metav1.ApplyOptions{FieldManager: "gitops", Force: true}); err != nil {
			t.Fatal(err)
		}
		stay("an apply through "+v, 50, 50)
	}
	if w := i.warnings.take(); len(w) > 0 {
		t.Errorf("there are warnings: %q", w)
	}
}

// TestApplyThroughVersionsThatLackAField applies objects server-side, through versions that do not know a part of them that restricts.
func TestApplyThroughVersionsThatLackAField(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	i.warnings.take()
	apply := func(apiVersion, kind, body, manager string) *unstructured.Unstructured {
		t.Helper()
		o, err := i.of(apiVersion, model.Kind(kind), ns).Apply(t.Context(), "x", parsed(t, wrote(apiVersion, kind, body), ns), metav1.ApplyOptions{FieldManager: manager, Force: true})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	apply(specs4, "HTTPRouteGroup", "spec: {matches: [{name: b, pathRegex: /b, headers: [{x: '1'}, {x: '2'}]}, {name: a, headers: {y: z}}]}", "one")
	apply(specs1, "HTTPRouteGroup", "matches: [{name: a, methods: [GET]}, {name: c}]", "two")
	group := facts(t, i.get(t, specs4, parsed(t, wrote(specs4, "HTTPRouteGroup", ""), ns)))[0].(*model.RouteGroup)
	got := map[string]int{}
	for _, m := range group.Matches {
		got[m.Name] = 10*len(m.Methods) + len(m.Headers)
	}
	if want := map[string]int{"b": 2, "a": 11, "c": 0}; !reflect.DeepEqual(got, want) {
		t.Errorf("methods and headers are %v, not %v", got, want)
	}

	apply("access.smi-spec.io/v1alpha2", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a, port: 80}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: b}]}", "one")
	o := apply("access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: c}]}", "two")
	if p := facts(t, o)[0].(*model.Permission); p.Port != 80 || p.Sources[0].Name != "c" {
		t.Errorf("the permission is %+v", p)
	}
	if w := i.warnings.take(); len(w) > 0 {
		t.Errorf("there are warnings: %q", w)
	}
	// Whoever wrote the port may take it back, and is told.
	o = apply("access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: c}]}", "one")
	if p := facts(t, o)[0].(*model.Permission); p.Port != 0 {
		t.Errorf("the port cannot be taken back: %+v", p)
	}
	if w := i.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "port is lost") {
		t.Errorf("there are warnings: %q", w)
	}
}

func weight(apiVersion string, n int64) any {
	if apiVersion == split1 {
		return map[int64]string{10: "10", 90: "90"}[n]
	}
	return n
}

// TestZeroWeightThatIsOmitted is what older tools wrote for 0.
func TestZeroWeightThatIsOmitted(t *testing.T) {
	i := install(t)
	o := i.written(t, parsed(t, wrote(split1, "TrafficSplit", "spec: {service: web, backends: [{service: a}, {service: b, weight: '100'}]}"), i.Namespace(t)))
	if weights, _ := i.split(t, o); !reflect.DeepEqual(weights, []int64{0, 100}) {
		t.Errorf("weights are %v", weights)
	}
}

// TestStatusThroughEveryVersion writes a status through each version of an object that versions cannot say whole, and through the newest of
// one that it would not accept anew.
func TestStatusThroughEveryVersion(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	objects := []*unstructured.Unstructured{
		i.written(t, parsed(t, wrote(split4, "TrafficSplit", canary), ns)),
		i.written(t, parsed(t, wrote(specs4, "TCPRoute", "spec: {matches: {ports: [80]}}"), ns)),
		i.written(t, parsed(t, wrote("access.smi-spec.io/v1alpha2", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a, port: 80}}"), ns)),
		i.written(t, parsed(t, wrote(specs4, "HTTPRouteGroup", "spec: {matches: [{name: m, headers: [{a: b}, {a: c}]}]}"), ns)),
	}
	for _, o := range objects {
		k := model.Kind(o.GetKind())
		want := said(o)
		for n, v := range smi.Versions(k) {
			read := i.get(t, v, o)
			read.Object["status"] = map[string]any{"observedGeneration": int64(n), "conditions": []any{map[string]any{
				"type": "Accepted", "status": "True", "reason": "Sound", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}}
			if _, err := i.of(v, k, ns).UpdateStatus(t.Context(), read, metav1.UpdateOptions{}); err != nil {
				t.Fatalf("%s through %s: %v", k, v, err)
			}
			back := i.get(t, o.GetAPIVersion(), o)
			if got, _, _ := unstructured.NestedInt64(back.Object, "status", "observedGeneration"); got != int64(n) {
				t.Errorf("%s through %s: the status is %v", k, v, back.Object["status"])
			}
			delete(back.Object, "status")
			if got := said(back); !reflect.DeepEqual(got, want) {
				t.Errorf("%s through %s: it is %v and was %v", k, v, got, want)
			}
			if back.GetGeneration() != o.GetGeneration() {
				t.Errorf("%s through %s: the status made generation %d of %d", k, v, back.GetGeneration(), o.GetGeneration())
			}
		}
	}
	i.warnings.take()
}

// TestClientsHearDoubts asks what a client is told.
func TestClientsHearDoubts(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	i.warnings.take()
	i.written(t, parsed(t, wrote(split4, "TrafficSplit", "spec: {service: a, backends: []}"), ns))
	if w := i.warnings.take(); len(w) != 1 || !strings.HasPrefix(w[0], "AM0305 spec.backends: ") {
		t.Errorf("a split without backends: %q", w)
	}
	// A writer that replaces an object through an old version, without the annotation, opens every port.
	o := i.written(t, parsed(t, wrote(specs4, "TCPRoute", "spec: {matches: {ports: [80]}}"), ns))
	old := i.get(t, specs3, o)
	old.SetAnnotations(nil)
	if _, err := i.of(specs3, model.KindTCPRoute, ns).Update(t.Context(), old, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if w := i.warnings.take(); len(w) != 1 || !strings.HasPrefix(w[0], "AM0502 ") || !strings.Contains(w[0], "matches is lost") {
		t.Errorf("a lost restriction: %q", w)
	}
	out := i.Kubectl(t, "-n", ns, "get", "ts,tr", "-o", "wide")
	t.Log("\n" + out)
	for _, want := range []string{"SERVICE", "BACKENDS", "PROGRAMMED", "PORTS", "ACCEPTED", "AGE"} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl does not show %s:\n%s", want, out)
		}
	}
	if out := i.Kubectl(t, "get", "smi", "-n", ns, "-o", "name"); !strings.Contains(out, "trafficsplit") || !strings.Contains(out, "tcproute") {
		t.Errorf("the category smi shows %q", out)
	}
}

// TestDeadWebhook stops the webhook: what is stored stays readable, the versions that are not stored do not, and objects are taken unseen.
func TestDeadWebhook(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	o := i.written(t, parsed(t, wrote(split4, "TrafficSplit", canary), ns))
	i.stop()
	running := false
	defer func() {
		if !running {
			i.start(t)
		}
	}()
	if got := said(i.get(t, split4, o)); !reflect.DeepEqual(got, said(o)) {
		t.Errorf("the stored version is read as %v", got)
	}
	if _, err := i.of(split1, model.KindSplit, ns).Get(t.Context(), "x", metav1.GetOptions{}); err == nil || !strings.Contains(err.Error(), "conversion webhook") {
		t.Errorf("another version is answered with %v", err)
	}
	bad := parsed(t, wrote(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegexp: /admin}]}"), ns)
	stored := i.written(t, bad)
	if !reflect.DeepEqual(said(stored), said(bad)) {
		t.Errorf("what was mistyped is not kept: %v", stored.Object)
	}
	deep := bad.DeepCopy() // beyond what our reader takes for an object
	deep.SetName("deep")
	if err := unstructured.SetNestedField(deep.Object, nested(300), "spec", "nonsense"); err != nil {
		t.Fatal(err)
	}
	i.written(t, deep)
	worse := bad.DeepCopy()
	worse.SetName("y")
	worse.Object["spec"] = map[string]any{"matches": "text"}
	if _, err := i.write(t, worse); err == nil {
		t.Error("the schema does not judge alone")
	}
	i.start(t)
	running = true
	kubetest.Eventually(t, func() error {
		_, err := i.of(split1, model.KindSplit, ns).Get(t.Context(), "x", metav1.GetOptions{})
		return err
	})
	if list, err := i.of(specs1, model.KindGroup, ns).List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 2 {
		t.Errorf("an object that nobody can read hides those beside it: %v", err)
	}
	// A label may be given to what came in unseen; its fault is said again.
	i.warnings.take()
	stored.SetLabels(map[string]string{"a": "b"})
	if _, err := i.of(specs4, model.KindGroup, ns).Update(t.Context(), stored, metav1.UpdateOptions{}); err != nil {
		t.Errorf("it cannot be labelled: %v", err)
	}
	if w := i.warnings.take(); len(w) != 1 || !strings.HasPrefix(w[0], "AM0201 ") {
		t.Errorf("warnings are %q", w)
	}
}

func nested(n int) any {
	if n == 0 {
		return "x"
	}
	return []any{nested(n - 1)}
}
