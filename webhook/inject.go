// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Injector puts a proxy into a pod.
type Injector interface {
	// Patch is what is to be changed (RFC 6902), nil where nothing is; an error is why the pod is refused.
	Patch(pod []byte) (patch []byte, warnings []string, err error)
}

// mutation is the response of an AdmissionReview that changes something.
type mutation struct {
	response
	PatchType string `json:"patchType,omitempty"`
	Patch     []byte `json:"patch,omitempty"` // base64 in JSON
}

// inject answers an admission review of a pod that is created.
func (h *Handler) inject(_ context.Context, body []byte) ([]byte, error) {
	r, err := readAdmission(body)
	if err != nil {
		return nil, err
	}
	m := mutation{response: response{UID: r.uid, Allowed: true}}
	answer := "allowed"
	if h.options.Inject != nil && r.operation == "CREATE" {
		patch, warn, err := h.options.Inject.Patch(r.object)
		for _, s := range warn {
			m.Warnings = append(m.Warnings, flat("anymesh: "+s))
		}
		switch {
		case err != nil:
			answer, m.Allowed = "denied", false
			m.Status = &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: "no proxy can be put beside it: " + err.Error()}
		case patch != nil:
			answer, m.PatchType, m.Patch = "injected", "JSONPatch", patch
		}
	}
	h.metrics.reviewed("Pod", answer)
	return json.Marshal(struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Response   mutation `json:"response"`
	}{"admission.k8s.io/v1", "AdmissionReview", m})
}
