// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/deploy/manifest"
)

// controller looks at the Deployment, its leader and its release.
func (c *Checker) controller(ctx context.Context) {
	ns := c.Installation.Values.Namespace
	d, err := c.cluster.Core.AppsV1().Deployments(ns).Get(ctx, manifest.Name, metav1.GetOptions{})
	const check = "the Deployment is ready"
	switch {
	case apierrors.IsNotFound(err):
		c.say(check, Error, "there is no Deployment "+ns+"/"+manifest.Name, "Run anymesh install, or name its namespace.")
		return
	case err != nil:
		c.failed(check, err)
		return
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	message := fmt.Sprintf("%d of %d replicas are available", d.Status.AvailableReplicas, want)
	switch {
	case d.Status.AvailableReplicas == 0:
		c.say(check, Error, message, "kubectl describe pods -n "+ns+" -l app.kubernetes.io/name="+manifest.Name)
	case d.Status.AvailableReplicas < want || d.Status.UpdatedReplicas < want || d.Status.ObservedGeneration < d.Generation:
		c.say(check, Warning, message, "kubectl rollout status -n "+ns+" deployment/"+manifest.Name)
	default:
		c.ok(check, message)
	}
	c.leader(ctx, ns)
	image := ""
	for _, x := range d.Spec.Template.Spec.Containers {
		if x.Name == "controller" {
			image = x.Image
		}
	}
	_, tag, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	const skew = "it is of this program's release"
	switch mine := strings.TrimPrefix(c.Version, "v"); {
	case mine == "" || mine == "dev" || tag == "":
		c.say(skew, Skipped, fmt.Sprintf("the cluster runs %s, this is %s", tag, c.Version), "")
	case strings.TrimPrefix(tag, "v") != mine:
		c.say(skew, Warning, fmt.Sprintf("the cluster runs %s, this is %s", tag, c.Version), "Upgrade the one or the other: anymesh install brings the cluster to this release.")
	default:
		c.ok(skew, tag)
	}
}

// leader looks whether one of the replicas leads.
func (c *Checker) leader(ctx context.Context, ns string) {
	const check = "one replica leads"
	l, err := c.cluster.Core.CoordinationV1().Leases(ns).Get(ctx, manifest.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		c.say(check, Error, "nobody has ever led", "Look at the controller's log.")
		return
	case err != nil:
		c.failed(check, err)
		return
	}
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" || l.Spec.RenewTime == nil {
		c.say(check, Error, "nobody leads: nothing is written to the meshes", "Look at the controller's log.")
		return
	}
	life := 15 * time.Second
	if l.Spec.LeaseDurationSeconds != nil {
		life = time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
	}
	if age := time.Since(l.Spec.RenewTime.Time); age > 2*life {
		c.say(check, Error, fmt.Sprintf("%s led last, %s ago", *l.Spec.HolderIdentity, age.Round(time.Second)), "Look at the controller's log.")
		return
	}
	c.ok(check, *l.Spec.HolderIdentity)
}
