// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/smi/version"
)

// admissionRequest is what is read of admission.k8s.io/v1 AdmissionReview.
type admissionRequest struct {
	uid, operation, namespace string
	object, old               []byte
}

func readAdmission(body []byte) (*admissionRequest, error) {
	r := &admissionRequest{}
	err := request(body, func(s *scan, name []byte) (err error) {
		switch string(name) {
		case "uid":
			return s.into(&r.uid)
		case "operation":
			return s.into(&r.operation)
		case "namespace":
			return s.into(&r.namespace)
		case "object":
			r.object, err = s.value()
			return err
		case "oldObject":
			r.old, err = s.value()
			return err
		}
		return s.skip()
	})
	if err != nil {
		return nil, fmt.Errorf("not an AdmissionReview: %w", err)
	}
	return r, nil
}

// admissionAnswer is the response of an AdmissionReview.
type admissionAnswer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID      string         `json:"uid"`
	Allowed  bool           `json:"allowed"`
	Status   *metav1.Status `json:"status,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`
}

// validate answers an admission review.
func (h *Handler) validate(ctx context.Context, body []byte) ([]byte, error) {
	r, err := readAdmission(body)
	if err != nil {
		return nil, err
	}
	v := h.review(ctx, r)
	a := admissionAnswer{"admission.k8s.io/v1", "AdmissionReview", response{UID: r.uid, Allowed: len(v.refused) == 0, Warnings: warnings(v.doubts)}}
	answer := "allowed"
	if len(v.refused) > 0 {
		answer, a.Response.Status = "denied", denial(v.refused)
	} else if len(v.doubts) > 0 {
		answer = "warned"
	}
	h.metrics.reviewed(string(v.kind), answer)
	return json.Marshal(&a)
}

// verdict is what was found of an object, with paths as its own version writes them.
type verdict struct {
	kind    model.Kind      // one of SMI's, or empty
	refused []model.Finding // for which the object is not taken
	doubts  []model.Finding // of which its author is told
}

// review looks at the object that is to be created or updated.
func (h *Handler) review(ctx context.Context, r *admissionRequest) (v verdict) {
	if r.operation != "CREATE" && r.operation != "UPDATE" {
		return v
	}
	now := look(r.object, r.namespace)
	if now.leaving {
		return v // nothing may stand in the way of an end
	}
	var old reading
	if r.operation == "UPDATE" && (now.unsound() || bytes.Contains(r.old, []byte(smi.Preserved))) {
		old = look(r.old, r.namespace)
	}
	v.kind = now.kind
	for _, f := range now.findings {
		switch known := slices.ContainsFunc(old.findings, func(o model.Finding) bool { return same(f, o) }); {
		case f.Level != model.Invalid || known: // what was wrong already is no reason to refuse a change of something else
			v.doubts = append(v.doubts, f)
		default:
			v.refused = append(v.refused, f)
		}
	}
	v.doubts = append(v.doubts, dropped(&old, &now)...)
	if len(v.refused) == 0 && now.object != nil {
		for _, f := range h.judge(ctx, now.object) {
			f.Path = smi.Path(now.object.APIVersion, now.kind, f.Path)
			if !slices.ContainsFunc(v.doubts, func(d model.Finding) bool { return same(f, d) }) {
				v.doubts = append(v.doubts, f)
			}
		}
	}
	return v
}

func same(a, b model.Finding) bool {
	return a.Code == b.Code && a.Path == b.Path && a.Message == b.Message
}

// reading is an object as admission is given it.
type reading struct {
	object   *object.Object // nil where it is none
	kind     model.Kind     // one of SMI's, or empty
	leaving  bool           // it is being deleted
	findings []model.Finding
}

// unsound says whether there is something for which the object might be refused.
func (r *reading) unsound() bool {
	return slices.ContainsFunc(r.findings, func(f model.Finding) bool { return f.Level == model.Invalid })
}

func look(raw []byte, namespace string) (r reading) {
	raw, _ = slim(raw)
	root, err := object.ReadJSON(raw)
	if err != nil {
		r.findings = []model.Finding{{Level: model.Invalid, Code: model.CodeSyntax, Message: err.Error(), Hint: "SMI objects are not nested deep."}}
		return r
	}
	o, problems := object.Of("", root)
	for _, p := range problems {
		r.findings = append(r.findings, model.Finding{Level: model.Invalid, Code: p.Code, Path: p.Path, Message: p.Message, Hint: p.Hint})
	}
	if o == nil {
		return r
	}
	if o.Namespace == "" {
		o.Namespace = namespace
	}
	if version.Of(model.Kind(o.Kind)) != nil {
		r.kind = model.Kind(o.Kind)
	}
	r.object = o
	r.leaving = object.Field(object.Field(root, "metadata"), "deletionTimestamp") != nil
	_, findings := smi.Decode(o)
	for _, f := range findings {
		f.Path = smi.Path(o.APIVersion, r.kind, f.Path)
		r.findings = append(r.findings, f)
	}
	return r
}

// dropped finds what an old version's annotation carried and its writer left out: the object then says less than before, and where that
// was a restriction, allows more.
func dropped(old, now *reading) (list []model.Finding) {
	if old.object == nil || now.object == nil {
		return nil
	}
	before := version.Carries(old.object.Node())
	if len(before) == 0 {
		return nil
	}
	after := version.Carries(now.object.Node())
	for _, c := range before {
		if slices.Contains(after, c) || now.object.APIVersion != old.object.APIVersion {
			continue
		}
		what := c.Field
		if c.Key != "" {
			what += " of " + c.Key
		}
		list = append(list, model.Finding{
			Level: model.Notice, Code: model.CodeDiscarded, Path: "metadata.annotations[" + smi.Preserved + "]",
			Message: what + " is lost: " + now.object.APIVersion + " has no such field, and this update leaves out the annotation that carried it",
			Hint:    "Write " + smi.Newest(now.kind) + ", or keep the annotation.",
		})
	}
	return list
}
