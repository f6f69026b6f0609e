// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/apply"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/mesh"
	list "github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// tally counts the objects of one kind.
type tally struct {
	all, stale int
	bad        map[string][]string // by condition that is not true: namespace/name
}

// objects counts SMI objects by what became of them, and finds what was written for a Mesh that is no more.
func (c *Checker) objects(ctx context.Context) {
	for _, k := range smi.Kinds() {
		t := tally{bad: map[string][]string{}}
		err := outcome.Each(ctx, c.cluster, k, "", func(u *unstructured.Unstructured) error {
			o, err := outcome.Of(u)
			if err != nil {
				t.bad["a status of somebody else"] = append(t.bad["a status of somebody else"], o.Namespace+"/"+o.Name)
				return nil
			}
			t.add(&o)
			return nil
		})
		switch {
		case err != nil:
			c.failed(string(k), err)
		case t.all > 0:
			c.tell(string(k), &t)
		}
	}
	c.orphans(ctx)
}

func (t *tally) add(o *outcome.Object) {
	t.all++
	if o.Stale() {
		t.stale++
		return
	}
	for _, kind := range []string{api.Accepted, api.ResolvedRefs, api.Programmed} {
		if x := outcome.Condition(o.Status.Conditions, kind); x != nil && x.Status != metav1.ConditionTrue {
			t.bad["not "+kind] = append(t.bad["not "+kind], o.Namespace+"/"+o.Name)
			return // the first says why
		}
	}
}

func (c *Checker) tell(kind string, t *tally) {
	message := fmt.Sprintf("%d objects", t.all)
	worst := OK
	for _, what := range slices.Sorted(keys(t.bad)) {
		worst = Warning
		message += fmt.Sprintf("; %d %s: %s", len(t.bad[what]), what, all(t.bad[what]))
	}
	if t.stale > 0 {
		worst = Warning
		message += fmt.Sprintf("; %d not looked at since their last change", t.stale)
	}
	hint := ""
	if worst != OK {
		hint = "anymesh status " + kind + " -A says why."
	}
	c.say(kind, worst, message, hint)
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// orphans finds objects of ours in meshes for which no Mesh stands any more.
func (c *Checker) orphans(ctx context.Context) {
	said, err := outcome.Meshes(ctx, c.cluster)
	if err != nil || len(said) == 0 { // without a Mesh every driver is its own
		return
	}
	names := map[string]bool{}
	for _, m := range said {
		names[m.Name] = true
	}
	lost, seen := map[string]int{}, map[string]bool{}
	for _, d := range list.Drivers() {
		for _, k := range d.Kinds {
			at := k.APIVersion
			if smi.Speaks(at, k.Kind) { // the stored version needs no webhook
				at = cmp.Or(smi.Newest(model.Kind(k.Kind)), at)
			}
			gv, err := schema.ParseGroupVersion(at)
			if err != nil || k.Resource == "" || seen[gv.Group+k.Resource] {
				continue
			}
			err = c.ours(ctx, gv.WithResource(k.Resource), func(u *unstructured.Unstructured) {
				if m := u.GetLabels()[apply.Target]; !names[m] {
					lost[m]++
				}
			})
			if err == nil {
				seen[gv.Group+k.Resource] = true
			} else if !apierrors.IsNotFound(err) {
				c.failed("nothing is left behind", err)
				return
			}
		}
	}
	if len(lost) == 0 {
		c.ok("nothing is left behind", "")
		return
	}
	for _, m := range slices.Sorted(keys(lost)) {
		c.say("nothing is left behind", Warning, fmt.Sprintf("%d objects were written for Mesh %q, which is no more", lost[m], m),
			"kubectl delete with -l "+apply.Target+"="+m+", or make the Mesh again; they still say what is allowed.")
	}
}

// ours calls f with each object of a resource that we wrote into a mesh.
func (c *Checker) ours(ctx context.Context, r schema.GroupVersionResource, f func(*unstructured.Unstructured)) error {
	for next, first := "", true; first || next != ""; first = false {
		l, err := c.cluster.Dynamic.Resource(r).List(ctx, metav1.ListOptions{LabelSelector: mesh.ManagedBy + "=" + mesh.Us + "," + apply.Target, Limit: 500, Continue: next})
		if err != nil {
			return err
		}
		for i := range l.Items {
			f(&l.Items[i])
		}
		next = l.GetContinue()
	}
	return nil
}
