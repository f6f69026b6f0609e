// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/test/kubetest"
)

const splitName = "trafficsplits.split.smi-spec.io"

// only leaves one definition wanted.
func (w *world) only(name string) *CRD {
	w.t.Helper()
	w.a.Wanted = slices.DeleteFunc(w.a.Wanted, func(c *CRD) bool { return c.Name != name })
	if len(w.a.Wanted) != 1 {
		w.t.Fatalf("no definition %s", name)
	}
	return w.a.Wanted[0]
}

// TestInterrupted stops the run when it tells something, later each time, and goes on with a new plan, until one run comes to its end:
// every object is whole, and in the meantime each could be read as it was stored.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", "properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}", "v1alpha1"))
	w.create(splits1[:strings.LastIndex(splits1, "---")])
	for i := range 4 {
		w.create(fmt.Sprintf("{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: more-%d}, spec: {service: web, backends: [{service: a, weight: %dm}]}}", i, i))
	}
	w.only(splitName)
	before := w.all()
	stop := errors.New("stopped")
	seen := map[string]bool{}
	for last := 1; ; last++ {
		if last > 40 {
			t.Fatal("it never comes to its end")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		count := 0
		w.a.Tell = func(_, what string) {
			seen[strings.Trim(what, "0123456789")] = true
			if count++; count == last {
				cancel(stop)
			}
		}
		plan, err := w.a.Plan(ctx)
		if err == nil {
			err = w.a.Do(ctx, plan)
		}
		cancel(nil)
		for key := range before {
			if !strings.HasPrefix(key, "v1alpha1 ") {
				t.Fatalf("the definition serves %s", key)
			}
		}
		after := w.all()
		for key, o := range before {
			if fmt.Sprint(after[key]) != fmt.Sprint(o) {
				t.Fatalf("stopped at %d, %s is\n%v, was\n%v", last, key, after[key], o)
			}
		}
		if err == nil && len(w.plan()[0].Steps) == 0 {
			break
		}
		if err != nil && !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", last, err)
		}
	}
	w.whole(before, map[string]string{"TrafficSplit": "v1alpha1"})
	resumed := false
	for what := range seen {
		resumed = resumed || strings.HasPrefix(what, "going on after ")
	}
	if !resumed {
		t.Errorf("no run went on in the middle of the objects: %v", sorted(seen))
	}
}

// TestRefused lists every object that would not survive, with field and advice, and changes nothing.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", "properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}", "v1alpha2"))
	w.create(splits2)
	w.create(`
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: half}, spec: {service: web, backends: [{service: a, weight: 0.5}]}}
---
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: nothing}, spec: {}}
---
{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: below}, spec: {service: web, backends: [{service: a, weight: -1}]}}`)
	was := w.crd(splitName)
	plan := w.plan()
	err := w.a.Do(t.Context(), plan)
	var r *Refused
	if !errors.As(err, &r) || len(r.Definitions) != 1 {
		t.Fatalf("not refused: %v", err)
	}
	for _, want := range [][2]string{{"half", "spec.backends[0].weight"}, {"nothing", "spec.backends"}, {"below", "spec.backends[0].weight"}} {
		if !slices.ContainsFunc(r.Definitions[0].Faults, func(f Fault) bool {
			return f.Object.Name == want[0] && strings.HasPrefix(f.Path, want[1]) && f.What != "" && f.Do != ""
		}) {
			t.Errorf("%v is not among\n%v", want, err)
		}
	}
	for _, f := range r.Definitions[0].Faults {
		if slices.Contains([]string{"one", "two", "zero"}, f.Object.Name) {
			t.Errorf("a sound object is refused: %v", f)
		}
	}
	if is := w.crd(splitName); is.ResourceVersion != was.ResourceVersion {
		t.Error("the definition was changed")
	}
	for _, d := range plan {
		if d.Name == splitName {
			continue
		}
		if _, err := w.a.Read(t.Context(), d.Name); !apierrors.IsNotFound(err) {
			t.Errorf("%s was made although another definition is refused: %v", d.Name, err)
		}
	}
}

// TestUnknownVersion refuses a definition in which objects are stored in a version that SMI never had.
func TestUnknownVersion(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", "x-kubernetes-preserve-unknown-fields: true", "v1beta1"))
	w.only(splitName)
	err := w.a.Do(t.Context(), w.plan())
	if err == nil || !strings.Contains(err.Error(), "v1beta1") || w.crd(splitName).Annotations[Adopted] != "" {
		t.Errorf("a definition with version v1beta1 is taken over: %v", err)
	}
}

// TestNoAnswer takes a definition back to what it was where the webhook does not answer.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", "x-kubernetes-preserve-unknown-fields: true", "v1alpha2"))
	w.create(splits2)
	w.only(splitName)
	was, before := w.crd(splitName), w.all()
	w.hook.down.Store(true)
	w.a.Limit = 3 * time.Second
	if err := w.a.Do(t.Context(), w.plan()); err == nil || !strings.Contains(err.Error(), "conversion webhook") {
		t.Errorf("done without a webhook: %v", err)
	}
	if is := w.crd(splitName); !same(is, was) {
		t.Errorf("the definition is not what it was: %v", is.Spec)
	}
	if fmt.Sprint(w.all()) != fmt.Sprint(before) {
		t.Error("the objects are not what they were")
	}
	w.hook.down.Store(false)
	w.a.Limit = time.Minute
	if err := w.a.Do(t.Context(), w.plan()); err != nil {
		t.Fatal(err)
	}
	w.whole(before, map[string]string{"TrafficSplit": "v1alpha2"})
}

// TestRelease lets definitions go: what conversion alone can serve goes only where that is agreed to, and every object stays.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", "x-kubernetes-preserve-unknown-fields: true", "v1alpha1"))
	w.create(splits1[:strings.LastIndex(splits1, "---")])
	w.only(splitName)
	if err := w.a.Do(t.Context(), w.plan()); err != nil {
		t.Fatal(err)
	}
	before := w.all()
	list, err := w.a.Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Objects != 3 || !slices.Equal(list[0].Keeps, []string{"v1alpha4", "v1alpha3"}) || !slices.Equal(list[0].Loses, []string{"v1alpha2", "v1alpha1"}) {
		t.Fatalf("%+v", list[0])
	}
	err = w.a.Let(t.Context(), list, false)
	var r *Refused
	if !errors.As(err, &r) || !strings.Contains(err.Error(), "v1alpha1 by ") || !strings.Contains(err.Error(), "--drop-versions") {
		t.Fatalf("versions would go without a word: %v", err)
	}
	if c := w.crd(splitName); !Converts(c) {
		t.Fatal("refused, and done nevertheless")
	}
	if err := w.a.Let(t.Context(), list, true); err != nil {
		t.Fatal(err)
	}
	w.hook.down.Store(true)
	defer w.hook.down.Store(false)
	if c := w.crd(splitName); c.Spec.Conversion.Strategy != v1.NoneConverter || !slices.Equal(Served(c), []string{"v1alpha4", "v1alpha3"}) {
		t.Errorf("it still converts, or serves %v", Served(c))
	}
	for key, o := range w.all() {
		if fmt.Sprint(before[key]) != fmt.Sprint(o) {
			t.Errorf("%s is\n%v, was\n%v", key, o, before[key])
		}
	}
	if err := w.a.Delete(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, func() error {
		if _, err := w.a.Read(t.Context(), splitName); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the deleted definition is answered with %v", err)
		}
		return nil
	})
}

// TestUnmigrated does not let go what only conversion can read.
func TestUnmigrated(t *testing.T) {
	w := newWorld(t)
	w.Apply(t, definition("split.smi-spec.io", "trafficsplits", "TrafficSplit", "x-kubernetes-preserve-unknown-fields: true", "v1alpha1"))
	w.create(splits1[:strings.LastIndex(splits1, "---")])
	w.only(splitName)
	plan := w.plan()
	plan[0].Steps = plan[0].Steps[:slices.Index(plan[0].Steps, Migrate)]
	if err := w.a.Do(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	list, err := w.a.Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.a.Let(t.Context(), list, true); err == nil || !strings.Contains(err.Error(), "install once more") {
		t.Errorf("let go with objects in two versions: %v", err)
	}
}

// top is a TrafficTarget as v1alpha1 has it: without a spec.
const top = `{apiVersion: access.smi-spec.io/v1alpha1, kind: TrafficTarget, metadata: {name: NAME}, destination: {kind: ServiceAccount, name: web, namespace: x}, specs: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: c, namespace: x}]}`

const targetName = "traffictargets.access.smi-spec.io"

// flip changes the stored version of TrafficTargets, and returns when the API server has taken notice: a write that changes nothing is
// then one nevertheless.
func (w *world) flip(definition string) {
	w.t.Helper()
	w.create(strings.ReplaceAll(top, "NAME", "probe"))
	r := w.Dynamic.Resource(at("access.smi-spec.io", "v1alpha1", "traffictargets")).Namespace(w.ns)
	w.Apply(w.t, definition)
	kubetest.Eventually(w.t, func() error {
		old, err := r.Get(w.t.Context(), "probe", metav1.GetOptions{})
		if err != nil {
			return err
		}
		now, err := r.Update(w.t.Context(), old, metav1.UpdateOptions{})
		if err == nil && now.GetResourceVersion() == old.GetResourceVersion() {
			err = errors.New("it is still stored as before")
		}
		return err
	})
	if err := r.Delete(w.t.Context(), "probe", metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// TestHistory takes over a definition whose stored version changed once, as that of the SDK did: without conversion its older objects
// are shown in a shape that they do not have, and with it they come back.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	with := func(versions ...string) string {
		return definition("access.smi-spec.io", "traffictargets", "TrafficTarget", "x-kubernetes-preserve-unknown-fields: true", versions...)
	}
	w.Apply(t, with("v1alpha1", "v1alpha2"))
	w.create(strings.ReplaceAll(top, "NAME", "old"))
	w.flip(with("v1alpha2", "v1alpha1"))
	w.create(access2)
	w.only(targetName)
	if s := w.crd(targetName).Status.StoredVersions; !slices.Equal(s, []string{"v1alpha1", "v1alpha2"}) {
		t.Fatalf("stored are %v", s)
	}
	before := w.all()
	if err := w.a.Do(t.Context(), w.plan()); err != nil {
		t.Fatal(err)
	}
	after := w.all()
	for _, key := range []string{"v1alpha1 TrafficTarget old", "v1alpha2 TrafficTarget port", "v1alpha2 TrafficTarget rest"} {
		if fmt.Sprint(after[key]) != fmt.Sprint(before[key]) {
			t.Errorf("%s is\n%v, was\n%v", key, after[key], before[key])
		}
	}
	if got := fmt.Sprint(after["v1alpha4 TrafficTarget old"]["spec"]); !strings.Contains(got, "name:web") {
		t.Errorf("what was written before is now %s", got)
	}
	if s := w.crd(targetName).Status.StoredVersions; !slices.Equal(s, []string{"v1alpha4"}) {
		t.Errorf("stored are %v", s)
	}
}

// TestMislabelled refuses, before it is stored otherwise, what was written in one version and stored as another: nobody can tell any more.
func TestMislabelled(t *testing.T) {
	w := newWorld(t)
	with := func(versions ...string) string {
		return definition("access.smi-spec.io", "traffictargets", "TrafficTarget", "x-kubernetes-preserve-unknown-fields: true", versions...)
	}
	w.Apply(t, with("v1alpha1", "v1alpha2"))
	w.create(strings.ReplaceAll(top, "NAME", "old"))
	w.flip(with("v1alpha2", "v1alpha1"))
	w.only(targetName)
	w.create(strings.ReplaceAll(top, "NAME", "wrong"))
	err := w.a.Do(t.Context(), w.plan())
	var r *Refused
	if !errors.As(err, &r) || len(r.Definitions[0].Faults) != 1 || r.Definitions[0].Faults[0].Object.Name != "wrong" {
		t.Fatalf("not refused: %v", err)
	}
	if s := storage(w.crd(targetName)); s != "v1alpha2" {
		t.Errorf("refused, and stored as %s", s)
	}
}

// TestOldForm takes a definition of the first API for definitions out of its form, in which nothing is ever dropped or checked.
func TestOldForm(t *testing.T) {
	want := deploy.CRDs()[slices.IndexFunc(deploy.CRDs(), func(c *CRD) bool { return c.Name == splitName })]
	live := want.DeepCopy()
	live.Spec.PreserveUnknownFields = true
	live.Spec.Conversion = nil
	live.Labels, live.Annotations = nil, nil
	live.Spec.Versions = []v1.CustomResourceDefinitionVersion{{Name: "v1alpha2", Served: true, Storage: true}}
	live.Status.StoredVersions = []string{"v1alpha2"}
	next := extended(live, want, []byte("x"))
	if next.Spec.PreserveUnknownFields || storage(next) != "v1alpha2" || len(Served(next)) != 4 || version(next, "v1alpha2").Schema == nil {
		t.Errorf("it becomes %+v", next.Spec)
	}
	if got := steps(live, want); !slices.Equal(got, []Step{Extend, Answer, Verify, Flip, Migrate, Trim}) {
		t.Errorf("the steps are %v", got)
	}
}
