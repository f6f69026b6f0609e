// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// shop are objects as an API server stores them, with the metadata that it adds.
func shop(t testing.TB, n int) []string {
	meta := "metadata: {name: x%d, namespace: shop, uid: 8f5b2c1e-7d3a-4a51-9a53-1f0a3c7d9e42, resourceVersion: '12345', generation: 3, creationTimestamp: '2026-01-01T00:00:00Z', labels: {app: shop}, " +
		"managedFields: [{manager: kubectl, operation: Apply, apiVersion: split.smi-spec.io/v1alpha4, time: '2026-01-01T00:00:00Z', fieldsType: FieldsV1, fieldsV1: {'f:spec': {'f:backends': {}, 'f:service': {}, 'f:matches': {}}}}]}\n"
	list := make([]string, n)
	for i := range list {
		list[i] = asJSON(t, fmt.Sprintf("apiVersion: "+split4+"\nkind: TrafficSplit\n"+meta+
			"spec: {service: catalog, backends: [{service: catalog-v1, weight: 90}, {service: catalog-v2, weight: 10}, {service: catalog-v3, weight: 0}], matches: [{kind: HTTPRouteGroup, name: insiders}]}\n"+
			"status: {observedGeneration: 3, conditions: [{type: Accepted, status: 'True', reason: Sound, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}", i))
	}
	return list
}

// BenchmarkConversion converts lists in one request, down to a version that lacks a field and up from it; us/object is what counts.
func BenchmarkConversion(b *testing.B) {
	h := handler(b, Options{})
	for _, n := range []int{1, 1000} {
		down := shop(b, n)
		up, _ := converted(b, h, split1, down...)
		for _, c := range []struct {
			name, to string
			objects  []string
		}{{"down", split1, down}, {"up", split4, up}} {
			body := fmt.Sprintf(`{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{"uid":"1","desiredAPIVersion":%q,"objects":[%s]}}`, c.to, strings.Join(c.objects, ","))
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					send(b, h, ConvertPath, body)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/object")
			})
		}
	}
}

// BenchmarkReview reviews an update of a sound object, and of one with faults.
func BenchmarkReview(b *testing.B) {
	h := handler(b, Options{})
	split := shop(b, 1)[0]
	bad := asJSON(b, wrote(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegexp: /x}, {name: b, pathRegex: '(', methods: [get]}]}"))
	for name, body := range map[string]string{"sound": asked(split, split), "unsound": asked(bad, "")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				send(b, h, ValidatePath, body)
			}
		})
	}
}

func send(b *testing.B, h *Handler, path, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	if w.Code != 200 || w.Body.Len() == 0 {
		b.Fatal(w.Code, w.Body)
	}
}
