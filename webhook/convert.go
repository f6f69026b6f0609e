// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// conversionReview is the request of apiextensions.k8s.io/v1 ConversionReview.
type conversionReview struct {
	Request *struct {
		UID     string            `json:"uid"`
		To      string            `json:"desiredAPIVersion"`
		Objects []json.RawMessage `json:"objects"`
	} `json:"request"`
}

// convert answers a conversion review.
func (h *Handler) convert(_ context.Context, body []byte) ([]byte, error) {
	var review conversionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, fmt.Errorf("not a ConversionReview: %w", err)
	}
	r := review.Request
	if r == nil {
		return nil, errors.New("a ConversionReview without a request")
	}
	out := make([]byte, 0, len(body)+len(body)/4+256)
	out = append(out, `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":{"uid":`...)
	out = object.AppendString(out, r.UID)
	start := len(out)
	out = append(out, `,"convertedObjects":[`...)
	for i, raw := range r.Objects {
		one, err := h.convertOne(raw, r.To)
		if err != nil {
			out = append(out[:start], `,"result":{"status":"Failure","message":`...)
			out = object.AppendString(out, fmt.Sprintf("object %d of %d: %v", i+1, len(r.Objects), err))
			return append(out, `}}}`...), nil
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, one...)
	}
	return append(out, `],"result":{"status":"Success"}}}`...), nil
}

func (h *Handler) convertOne(raw []byte, to string) ([]byte, error) {
	one, _, err := smi.ConvertJSON(raw, to)
	if err == nil {
		h.metrics.converted(to, "done")
		return one, nil
	}
	if one, ok := rename(raw, to); ok {
		h.metrics.converted(to, "renamed")
		return one, nil
	}
	h.metrics.converted(to, "failed")
	return nil, err
}

// rename gives an object that our reader takes for none (so deep that it is no SMI) another apiVersion and leaves the rest as it is. It is
// as unreadable in every version, and means nothing to anyone; but if its conversion failed, nobody could list the objects beside it.
func rename(raw []byte, to string) ([]byte, bool) {
	if _, err := object.ReadJSON(raw); err == nil {
		return nil, false
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil || !known(to) {
		return nil, false
	}
	o["apiVersion"] = object.AppendString(nil, to)
	out, err := json.Marshal(o)
	return out, err == nil
}

// known says whether there is such a version of a kind of SMI.
func known(apiVersion string) bool {
	for _, k := range smi.Kinds() {
		for _, v := range smi.Versions(k) {
			if v == apiVersion {
				return true
			}
		}
	}
	return false
}
