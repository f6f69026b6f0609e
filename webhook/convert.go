// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// conversionRequest is what is read of apiextensions.k8s.io/v1 ConversionReview.
type conversionRequest struct {
	uid, to string
	objects [][]byte
}

func readConversion(body []byte) (*conversionRequest, error) {
	r := &conversionRequest{}
	err := request(body, func(s *scan, name []byte) error {
		switch string(name) {
		case "uid":
			return s.into(&r.uid)
		case "desiredAPIVersion":
			return s.into(&r.to)
		case "objects":
			r.objects = nil
			return s.items(func() error {
				o, err := s.value()
				r.objects = append(r.objects, o)
				return err
			})
		}
		return s.skip()
	})
	if err != nil {
		return nil, fmt.Errorf("not a ConversionReview: %w", err)
	}
	return r, nil
}

// convert answers a conversion review.
func (h *Handler) convert(_ context.Context, body []byte) ([]byte, error) {
	r, err := readConversion(body)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(body)+len(body)/4+256)
	out = append(out, `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":{"uid":`...)
	out = object.AppendString(out, r.uid)
	start := len(out)
	out = append(out, `,"convertedObjects":[`...)
	for i, raw := range r.objects {
		one, err := h.convertOne(raw, r.to)
		if err != nil {
			out = append(out[:start], `,"result":{"status":"Failure","message":`...)
			out = object.AppendString(out, fmt.Sprintf("object %d of %d: %v", i+1, len(r.objects), err))
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
	rest, status := slim(raw)
	one, _, err := smi.ConvertJSON(rest, to)
	if err == nil {
		if status != nil {
			one = append(appendField(one[:len(one)-1], []byte("status"), status), '}')
		}
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
