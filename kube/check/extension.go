// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/metrics/traffic"
)

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// extension looks whether TrafficMetrics are answered. One that is registered and not answered holds up more than itself.
func (c *Checker) extension(ctx context.Context) {
	for _, v := range traffic.Versions() {
		check := "TrafficMetrics " + v.Version + " are served"
		a, err := c.cluster.Dynamic.Resource(apiServices).Get(ctx, v.Version+"."+traffic.Group, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue // nobody has asked for them
		case err != nil:
			c.failed(check, err)
			continue
		}
		ns, _, _ := unstructured.NestedString(a.Object, "spec", "service", "namespace")
		name, _, _ := unstructured.NestedString(a.Object, "spec", "service", "name")
		if ns != c.Installation.Values.Namespace || name != manifest.WebhookName {
			c.say(check, Warning, "by somebody else: the Service "+ns+"/"+name, "Delete the APIService "+a.GetName()+" and install again, if anymesh is to answer.")
			continue
		}
		if status, message := available(a); status != "True" {
			c.say(check, Error, message, "Look at the controller's log. While nobody answers, the cluster deletes no namespace to its end; kubectl delete apiservice "+a.GetName()+" ends that.")
			continue
		}
		c.ok(check, "")
	}
}

// available reads the condition by which the aggregator says that it reaches an extension.
func available(a *unstructured.Unstructured) (status, message string) {
	all, _, _ := unstructured.NestedSlice(a.Object, "status", "conditions")
	for _, x := range all {
		if m, _ := x.(map[string]any); m["type"] == "Available" {
			status, _ = m["status"].(string)
			message, _ = m["message"].(string)
			return status, message
		}
	}
	return "", "the API server has not said yet whether it reaches it"
}
