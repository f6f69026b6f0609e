// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/kube/adopt"
	"github.com/anymesh/anymesh/kube/connect"
)

// adoptable says, before an installation, what it would do to the definitions that are there.
func (c *Checker) adoptable(ctx context.Context) {
	plan, err := c.Installation.Adoption().Plan(ctx)
	if err != nil {
		c.failed("definitions can be taken over", err)
		return
	}
	fresh := 0
	for _, d := range plan {
		switch {
		case len(d.Faults) > 0:
			var faults []string
			for _, f := range d.Faults {
				faults = append(faults, f.String())
			}
			c.say(d.Name, Error, fmt.Sprintf("%s's, and cannot be taken over: %s", d.Whose, all(faults)), "anymesh install --dry-run lists every object and what to do.")
		case slices.Equal(d.Steps, []adopt.Step{adopt.Create}):
			fresh++
		case len(d.Steps) > 0 && len(d.Notes) > 0:
			c.say(d.Name, Warning, strings.Join(d.Notes, "; "), "It can be taken over: anymesh install --dry-run shows the steps.")
		case len(d.Steps) > 0:
			c.ok(d.Name, fmt.Sprintf("%s's, stored as %s, %d objects: it can be taken over", d.Whose, strings.Join(d.Stored, ", "), d.Objects))
		default:
			c.ok(d.Name, "ready")
		}
	}
	if fresh > 0 {
		c.ok("definitions that are not there", fmt.Sprintf("%d will be made", fresh))
	}
}

// definitions looks at each definition: all versions served, the newest stored, conversion by our webhook.
func (c *Checker) definitions(ctx context.Context) {
	a := c.Installation.Adoption()
	for _, want := range a.Wanted {
		live, err := a.Read(ctx, want.Name)
		switch {
		case apierrors.IsNotFound(err):
			c.say(want.Name, Error, "it is not there", "Run anymesh install.")
			continue
		case err != nil:
			c.failed(want.Name, err)
			continue
		}
		c.live[want.Name] = live
		if wrong := adopt.Wrong(live, want); len(wrong) > 0 {
			c.say(want.Name, Error, strings.Join(wrong, "; "), "Run anymesh install: it goes on where it was interrupted.")
			continue
		}
		if err := a.Probe(ctx, live); err != nil {
			c.say(want.Name, Error, "no object is converted: "+plain(err), "Look at the group webhook below.")
			continue
		}
		if k := adopt.Keepers(live); len(k) > 0 {
			c.say(want.Name, Warning, strings.Join(k, ", ")+" may write it back, or delete it with every object", "Take the definition out of there.")
			continue
		}
		message := fmt.Sprintf("serves %s, stores %s", strings.Join(adopt.Served(live), ", "), live.Status.StoredVersions[0])
		if adopt.Converts(live) {
			message += ", converts"
		}
		c.ok(want.Name, message)
	}
	list, err := c.cluster.Dynamic.Resource(connect.CRDs).List(ctx, metav1.ListOptions{})
	if err != nil {
		c.failed("misspelt groups", err)
		return
	}
	for _, d := range list.Items {
		if strings.HasSuffix(d.GetName(), ".spec.smi-spec.io") {
			c.say(d.GetName(), Warning, "early tools misspelt the group specs.smi-spec.io: nobody reads its objects",
				"Move them: kubectl get "+d.GetName()+" -A -o yaml | anymesh convert --to specs.smi-spec.io/v1alpha4 -f -")
		}
	}
}
