// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/mesh"
)

// oldest is the first release of Kubernetes that has all that is asked of it.
const oldest = "1.27.0"

func (c *Checker) api(context.Context) {
	v, err := c.cluster.Discovery.ServerVersion()
	if err != nil {
		c.say("the API server answers", Error, err.Error(), "Look at the cluster that the kubeconfig names: kubectl cluster-info.")
		return
	}
	c.ok("the API server answers", c.cluster.Config.Host)
	have, err := version.ParseGeneric(v.GitVersion)
	if err != nil || have.LessThan(version.MustParseGeneric(oldest)) {
		c.say("Kubernetes is new enough", Error, v.GitVersion, "anymesh needs Kubernetes "+oldest+" or later.")
		return
	}
	c.ok("Kubernetes is new enough", v.GitVersion)
}

// rights says whether we may do what an installation does.
func (c *Checker) rights(ctx context.Context) {
	ns := c.Installation.Values.Namespace
	var lacks []string
	for _, r := range []authorization.ResourceAttributes{
		{Group: "", Resource: "namespaces", Verb: "create"}, {Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Verb: "create"},
		{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Verb: "update"},
		{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Subresource: "status", Verb: "update"},
		{Group: "rbac.authorization.k8s.io", Resource: "clusterroles", Verb: "create"}, {Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings", Verb: "create"},
		{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations", Verb: "create"},
		{Group: "apps", Resource: "deployments", Verb: "create", Namespace: ns}, {Group: "", Resource: "services", Verb: "create", Namespace: ns},
		{Group: "", Resource: "serviceaccounts", Verb: "create", Namespace: ns}, {Group: "", Resource: "secrets", Verb: "get", Namespace: ns},
	} {
		a, err := c.cluster.Core.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
			&authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &r}}, metav1.CreateOptions{})
		if err != nil {
			c.failed("you may install", err)
			return
		}
		if !a.Status.Allowed {
			lacks = append(lacks, strings.TrimSuffix(r.Verb+" "+r.Resource+"/"+r.Subresource, "/"))
		}
	}
	if len(lacks) > 0 {
		c.say("you may install", Error, "you may not "+all(lacks), "Install with an account that may, such as cluster-admin.")
		return
	}
	c.ok("you may install", "")
}

// free says whether the names that an installation takes are free, or ours.
func (c *Checker) free(ctx context.Context) {
	d, err := c.cluster.Core.AppsV1().Deployments(c.Installation.Values.Namespace).Get(ctx, manifest.Name, metav1.GetOptions{})
	const check = "the place is free"
	switch {
	case apierrors.IsNotFound(err):
		c.ok(check, c.Installation.Values.Namespace+"/"+manifest.Name)
	case err != nil:
		c.failed(check, err)
	case d.Labels[mesh.ManagedBy] == mesh.Us:
		c.say(check, Warning, "anymesh is installed already", "anymesh install upgrades it; anymesh check looks at it.")
	case d.Labels[mesh.ManagedBy] == "Helm":
		c.say(check, Error, "anymesh was installed by Helm", "Go on with helm upgrade, and anymesh install --only-crds.")
	default:
		c.say(check, Error, fmt.Sprintf("a Deployment %s/%s is there and not ours", d.Namespace, d.Name), "Install with --namespace elsewhere.")
	}
}
