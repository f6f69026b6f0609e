// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/deploy/schema"
)

// ControlPlane is the name of the Service by which proxies of the built-in mesh find its control plane.
const ControlPlane = "anymesh-control-plane"

// InjectPath is where the webhook puts proxies into pods.
const InjectPath = "/inject"

// InjectLabel is by what a namespace or a pod asks for a proxy, with the value "enabled", or a pod declines it, with "disabled".
const InjectLabel = "anymesh.dev/inject"

// Injection makes the configuration by which the API server has proxies put into pods whose namespace asks for it, or that ask for it themselves.
// It is the caller's own; it names the default Service and no CA. Without an answer no such pod is made: one without its proxy would be outside of
// the mesh, and nobody would see it.
func Injection() *admission.MutatingWebhookConfiguration {
	is := func(op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: InjectLabel, Operator: op, Values: values}
	}
	own := metav1.LabelSelectorRequirement{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system", schema.Namespace}}
	all := func(r ...metav1.LabelSelectorRequirement) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: r}
	}
	return &admission.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "anymesh", Labels: map[string]string{"app.kubernetes.io/part-of": "anymesh"}},
		Webhooks: []admission.MutatingWebhook{
			injects("namespace.inject.anymesh.dev", all(is(metav1.LabelSelectorOpIn, "enabled"), own), all(is(metav1.LabelSelectorOpNotIn, "disabled"))),
			injects("pod.inject.anymesh.dev", all(is(metav1.LabelSelectorOpNotIn, "enabled"), own), all(is(metav1.LabelSelectorOpIn, "enabled"))),
		},
	}
}

func injects(name string, namespaces, pods *metav1.LabelSelector) admission.MutatingWebhook {
	fail, equivalent, none, again := admission.Fail, admission.Equivalent, admission.SideEffectClassNone, admission.IfNeededReinvocationPolicy
	namespaced, patience, path, port := admission.NamespacedScope, int32(5), InjectPath, int32(schema.Port)
	return admission.MutatingWebhook{
		Name:         name,
		ClientConfig: admission.WebhookClientConfig{Service: &admission.ServiceReference{Namespace: schema.Namespace, Name: schema.Service, Path: &path, Port: &port}},
		Rules: []admission.RuleWithOperations{{Operations: []admission.OperationType{admission.Create},
			Rule: admission.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: &namespaced}}},
		FailurePolicy: &fail, MatchPolicy: &equivalent, SideEffects: &none, TimeoutSeconds: &patience, NamespaceSelector: namespaces, ObjectSelector: pods,
		ReinvocationPolicy: &again, AdmissionReviewVersions: []string{"v1"},
	}
}
