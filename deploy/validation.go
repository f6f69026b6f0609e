// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"slices"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/deploy/schema"
)

// ValidatePath is where the webhook answers about admission.
const ValidatePath = "/validate"

// Validation makes the configuration by which the API server asks the webhook about SMI objects, in the words of their authors. It is the
// caller's own; it names the default Service and no CA. An API server goes on without an answer: docs/decisions says why.
func Validation() *admission.ValidatingWebhookConfiguration {
	var groups, resources []string
	for _, d := range CRDs() {
		if d.Spec.Names.Categories[0] == "smi" {
			groups, resources = append(groups, d.Spec.Group), append(resources, d.Spec.Names.Plural)
		}
	}
	slices.Sort(groups)
	ignore, equivalent, none := admission.Ignore, admission.Equivalent, admission.SideEffectClassNone
	namespaced, patience, path, port := admission.NamespacedScope, int32(5), ValidatePath, int32(schema.Port)
	return &admission.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "anymesh", Labels: map[string]string{"app.kubernetes.io/part-of": "anymesh"}},
		Webhooks: []admission.ValidatingWebhook{{
			Name:         "smi.anymesh.dev",
			ClientConfig: admission.WebhookClientConfig{Service: &admission.ServiceReference{Namespace: schema.Namespace, Name: schema.Service, Path: &path, Port: &port}},
			Rules: []admission.RuleWithOperations{{
				Operations: []admission.OperationType{admission.Create, admission.Update},
				// Every version, and not an equivalent one: findings name fields as the author wrote them.
				Rule: admission.Rule{APIGroups: slices.Compact(groups), APIVersions: []string{"*"}, Resources: resources, Scope: &namespaced},
			}},
			FailurePolicy: &ignore, MatchPolicy: &equivalent, SideEffects: &none, TimeoutSeconds: &patience,
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}
