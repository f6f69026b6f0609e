// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/mesh"
	list "github.com/anymesh/anymesh/mesh/all"
)

// found are the meshes that a cluster shows, each with the driver that fits it; nil where none does.
func (c *Checker) found() (served kube.Served, drivers map[string]*mesh.Driver, err error) {
	served, err = c.cluster.Discover()
	if err != nil {
		return nil, nil, err
	}
	drivers = map[string]*mesh.Driver{}
	for _, d := range list.Meshes() {
		if served.Any(d.Marks) {
			drivers[d.Name] = d.For(served.Has)
		}
	}
	return served, drivers, nil
}

// detected says which meshes a cluster has.
func (c *Checker) detected(context.Context) {
	served, drivers, err := c.found()
	if err != nil {
		c.failed("meshes are known", err)
		return
	}
	for _, d := range list.Meshes() {
		if _, here := drivers[d.Name]; here {
			c.fits(d, drivers[d.Name], served)
		}
	}
	if len(drivers) == 0 {
		c.say("a mesh is here", Warning, "the cluster serves the kinds of no mesh that anymesh speaks", "Install a mesh, or use the built-in one: anymesh up.")
	}
}

// fits says which driver serves a mesh of the cluster.
func (c *Checker) fits(d, fit *mesh.Driver, served kube.Served) bool {
	if fit != nil {
		c.ok(d.Title+" is here", strings.TrimSpace("driver "+fit.Name+" "+fit.Version))
		return true
	}
	var lacks []string
	for _, k := range d.Kinds {
		if k.Resource != "" && !served.Has(k) {
			lacks = append(lacks, k.Kind+" "+k.APIVersion)
		}
	}
	c.say(d.Title+" is here", Warning, "no driver fits it: the cluster does not serve "+all(lacks), "Upgrade the mesh; anymesh matrix lists the releases.")
	return false
}

// meshes looks at the meshes of the cluster and at the Mesh objects, which say how they are spoken to.
func (c *Checker) meshes(ctx context.Context) {
	served, drivers, err := c.found()
	if err != nil {
		c.failed("meshes are known", err)
		return
	}
	said, err := outcome.Meshes(ctx, c.cluster)
	if err != nil {
		c.failed("Mesh objects can be read", err)
		return
	}
	for _, d := range list.Meshes() {
		fit, here := drivers[d.Name]
		spoken := len(said) == 0 || slices.ContainsFunc(said, func(m api.Mesh) bool { return m.Spec.Kind == d.Name || fit != nil && m.Spec.Kind == fit.Name })
		switch {
		case !here:
		case !spoken:
			c.say(d.Title+" is here", Warning, "no Mesh speaks for it: nothing is written to it",
				"kubectl apply -f: {apiVersion: "+api.Group+"/"+api.Version+", kind: Mesh, metadata: {name: "+d.Name+"}, spec: {kind: "+d.Name+"}}")
		case c.fits(d, fit, served):
			c.permitted(ctx, fit)
		}
	}
	if len(drivers) == 0 && len(said) == 0 {
		c.say("a mesh is here", Warning, "the cluster serves the kinds of no mesh that anymesh speaks", "Install a mesh: what SMI says is done by nobody.")
	}
	for i := range said {
		c.mesh(&said[i])
	}
}

// mesh looks at one Mesh object.
func (c *Checker) mesh(m *api.Mesh) {
	name := "Mesh " + m.Name
	ready := outcome.Condition(m.Status.Conditions, api.Ready)
	switch {
	case ready == nil || m.Status.ObservedGeneration < m.Generation:
		c.say(name, Warning, "the controller has not looked at it yet", "Look at the group controller above.")
	case ready.Status != metav1.ConditionTrue:
		c.say(name, Error, ready.Reason+": "+ready.Message, "kubectl describe mesh "+m.Name)
	default:
		n := int64(0)
		for _, x := range m.Status.Objects {
			n += x
		}
		c.ok(name, strings.TrimSpace(fmt.Sprintf("%s %s, %d objects", m.Status.Driver, m.Status.Version, n)))
	}
}

// permitted asks whether the controller may write the kinds of a driver.
func (c *Checker) permitted(ctx context.Context, d *mesh.Driver) {
	check := "the controller may write to " + d.Title
	var lacks []string
	for _, k := range d.Kinds {
		group, _, ok := strings.Cut(k.APIVersion, "/")
		if !ok {
			group = ""
		}
		if k.Resource == "" {
			continue
		}
		a, err := c.cluster.Core.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorization.SubjectAccessReview{Spec: authorization.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + c.Installation.Values.Namespace + ":" + manifest.Name,
			ResourceAttributes: &authorization.ResourceAttributes{Group: group, Resource: k.Resource, Verb: "patch"},
		}}, metav1.CreateOptions{})
		if err != nil {
			c.failed(check, err)
			return
		}
		if !a.Status.Allowed {
			lacks = append(lacks, k.Resource+"."+group)
		}
	}
	if len(lacks) > 0 {
		c.say(check, Error, "it may not write "+all(lacks), "Install with the mesh among --set meshes=...")
		return
	}
	c.ok(check, "")
}
