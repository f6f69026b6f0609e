// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gvr "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/anymesh/anymesh/kube/connect"
)

// Adoption is one run over the definitions of a cluster.
type Adoption struct {
	Cluster *connect.Cluster
	Wanted  []*CRD
	// Bundle is the CA by which the conversion webhook is known; it may wait for it. Nil leaves the bundle to the webhook itself.
	Bundle func(context.Context) ([]byte, error)
	Page   int64                         // objects in one answer; 0: 500
	Limit  time.Duration                 // for the webhook to answer
	Settle time.Duration                 // after which every API server is sure to know a changed definition
	Tell   func(definition, what string) // of progress; nil: nobody
}

// Step is one thing to do for a definition.
type Step string

// The steps, in their order.
const (
	Create  Step = "create"  // the definition, which is not there
	Extend  Step = "extend"  // all versions and the webhook; stored as before
	Answer  Step = "answer"  // wait until the webhook converts
	Verify  Step = "verify"  // try every object: read in the newest version, written without effect
	Flip    Step = "flip"    // store the newest version
	Migrate Step = "migrate" // write every object anew
	Trim    Step = "trim"    // strike the old versions off the stored ones
)

var says = map[Step]string{
	Create: "create it", Extend: "add %s and the conversion webhook; go on storing %s", Answer: "wait until the webhook converts",
	Verify: "try each object: read as %s, write without effect", Flip: "store %s", Migrate: "write each object anew, as %s",
	Trim: "strike all but %s off the stored versions",
}

// Definition is what is to be done for one definition.
type Definition struct {
	Name    string   `json:"name"`
	Whose   string   `json:"whose,omitempty"` // where it was there: who made it
	Stored  []string `json:"stored,omitempty"`
	Objects int      `json:"objects"`
	Steps   []Step   `json:"steps"`
	Notes   []string `json:"notes,omitempty"`
	Faults  []Fault  `json:"faults,omitempty"` // with any of them nothing is done

	live, want *CRD
}

// Say is a step in words.
func (d *Definition) Say(s Step) string {
	newest := storage(d.want)
	switch s {
	case Extend:
		return fmt.Sprintf(says[s], strings.Join(d.added(), ", "), storage(d.live))
	case Verify, Flip, Migrate, Trim:
		return fmt.Sprintf(says[s], newest)
	}
	return says[s]
}

// added are the versions that the definition does not serve yet.
func (d *Definition) added() (out []string) {
	for _, v := range d.want.Spec.Versions {
		if old := version(d.live, v.Name); old == nil || !old.Served {
			out = append(out, v.Name)
		}
	}
	if len(out) == 0 {
		return []string{"our schemas"}
	}
	return out
}

// Plan says what is to be done, and what stands in the way. It changes nothing.
func (a *Adoption) Plan(ctx context.Context) (out []*Definition, err error) {
	for _, want := range a.Wanted {
		d, err := a.plan(ctx, want)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", want.Name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (a *Adoption) plan(ctx context.Context, want *CRD) (*Definition, error) {
	d := &Definition{Name: want.Name, want: want}
	live, err := a.Read(ctx, want.Name)
	if apierrors.IsNotFound(err) {
		d.Steps = []Step{Create}
		return d, nil
	} else if err != nil {
		return nil, err
	}
	d.live, d.Whose, d.Stored = live, Whose(live), live.Status.StoredVersions
	if d.Faults = unfit(live, want); len(d.Faults) > 0 {
		return d, nil
	}
	d.Steps = steps(live, want)
	d.Notes = notes(live, want)
	if slices.Contains(d.Steps, Flip) || len(d.Steps) > 0 && !ours(live) {
		return d, a.inspect(ctx, d)
	}
	return d, nil
}

// steps follow from what a definition says now.
func steps(live, want *CRD) (out []Step) {
	newest := storage(want)
	if !same(live, extended(live, want, nil)) {
		out = append(out, Extend)
	}
	moved := storage(live) == newest
	done := moved && slices.Equal(live.Status.StoredVersions, []string{newest})
	if Converts(want) && (!done || len(out) > 0) {
		out = append(out, Answer)
	}
	if !moved {
		out = append(out, Verify, Flip)
	}
	if !done {
		out = append(out, Migrate, Trim)
	}
	return out
}

// unfit says why a definition cannot become the wanted one at all.
func unfit(live, want *CRD) (out []Fault) {
	say := func(path, what, do string) { out = append(out, Fault{Path: path, What: what, Do: do}) }
	if live.DeletionTimestamp != nil {
		say("metadata.deletionTimestamp", "the definition is being deleted, and its objects with it", "Wait until it is gone; then install again.")
	}
	if live.Spec.Scope != want.Spec.Scope {
		say("spec.scope", fmt.Sprintf("it is %s, and SMI's kind is %s", live.Spec.Scope, want.Spec.Scope), "Save its objects, delete the definition, install again.")
	}
	if live.Spec.Names.Kind != want.Spec.Names.Kind {
		say("spec.names.kind", fmt.Sprintf("it is %s, and SMI's kind is %s", live.Spec.Names.Kind, want.Spec.Names.Kind), "Save its objects, delete the definition, install again.")
	}
	for _, v := range live.Spec.Versions {
		if version(want, v.Name) != nil || !v.Served && !v.Storage && !slices.Contains(live.Status.StoredVersions, v.Name) {
			continue
		}
		say("spec.versions", "it has a version "+v.Name+" that SMI never had: nobody knows how to convert it",
			"Rewrite its objects in a version of SMI, take "+v.Name+" out of the definition and of its status.storedVersions, and install again.")
	}
	return out
}

// notes are what a user should know of a definition that was there.
func notes(live, want *CRD) (out []string) {
	for _, k := range Keepers(live) {
		out = append(out, k+" may write this definition back, or delete it with every object: take it out of there first")
	}
	for _, h := range handles {
		if live.Labels[h] != "" || live.Annotations[h] != "" {
			out = append(out, "loses the mark "+h+", by which another program would delete or overwrite it")
		}
	}
	if live.Spec.Conversion != nil && live.Spec.Conversion.Strategy == v1.WebhookConverter && !sameService(live, want) && Converts(want) {
		out = append(out, "another conversion webhook serves it now; ours takes its place")
	}
	for _, v := range live.Spec.Versions {
		if version(want, v.Name) == nil {
			out = append(out, "version "+v.Name+", which SMI never had and nobody can read, goes")
		}
	}
	return out
}

// inspect judges every object as it is stored.
func (a *Adoption) inspect(ctx context.Context, d *Definition) error {
	j, err := newJudge(d.want)
	if err != nil {
		return err
	}
	from := readable(d.live)
	return a.each(ctx, d.want, from, func(page []unstructured.Unstructured, first bool) error {
		if first {
			d.Objects, d.Faults = 0, nil
		}
		d.Objects += len(page)
		for i := range page {
			d.Faults = append(d.Faults, j.any(page[i].Object, written(d.live, from))...)
		}
		return nil
	})
}

// written are the versions in which an object may have been written, that first in which it is read: conversion None shows what is stored
// in one version as if it were another.
func written(c *CRD, first string) []string {
	out := []string{first}
	for _, v := range c.Status.StoredVersions {
		if v != first {
			out = append(out, v)
		}
	}
	return out
}

// readable is the version in which objects are read as they are stored: the stored one, where it is served.
func readable(c *CRD) string {
	if v := version(c, storage(c)); v != nil && v.Served {
		return v.Name
	}
	if all := Served(c); len(all) > 0 {
		return all[0]
	}
	return storage(c)
}

// each calls f with every object of a definition, page by page, in the order of their names. It begins again, with first set, where the
// API server no longer keeps what it had begun to list.
func (a *Adoption) each(ctx context.Context, c *CRD, version string, f func(page []unstructured.Unstructured, first bool) error) error {
	for next, first := "", true; first || next != ""; {
		list, err := a.objects(c, version).List(ctx, metav1.ListOptions{Limit: a.page(), Continue: next})
		if apierrors.IsResourceExpired(err) && !first {
			next, first = "", true
			continue
		} else if err != nil {
			return fmt.Errorf("list as %s: %w", version, err)
		}
		if err := f(list.Items, first); err != nil {
			return err
		}
		next, first = list.GetContinue(), false
	}
	return nil
}

func (a *Adoption) objects(c *CRD, version string) dynamic.NamespaceableResourceInterface {
	return a.Cluster.Dynamic.Resource(gvr.GroupVersionResource{Group: c.Spec.Group, Version: version, Resource: c.Spec.Names.Plural})
}

func (a *Adoption) page() int64 {
	if a.Page > 0 {
		return a.Page
	}
	return 500
}
