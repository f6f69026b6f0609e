// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"io"
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

// BenchmarkServer reviews over TLS, as many at once as there are CPUs times eight.
func BenchmarkServer(b *testing.B) {
	url, client, _ := serving(b, handler(b, Options{}), nil)
	split := shop(b, 1)[0]
	body := asked(split, split)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := client.Post(url+ValidatePath, "application/json", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			if r.StatusCode != 200 {
				b.Error(r.Status)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
}

// TestCostIsASlope counts what answers allocate: for each object the same in short lists and in long ones.
func TestCostIsASlope(t *testing.T) {
	h := handler(t, Options{})
	each := func(n int, to string) float64 {
		list := shop(t, n)
		if to == split4 {
			list, _ = converted(t, h, split1, list...)
		}
		body := fmt.Sprintf(`{"request":{"uid":"1","desiredAPIVersion":%q,"objects":[%s]}}`, to, strings.Join(list, ","))
		return testing.AllocsPerRun(3, func() { send(t, h, ConvertPath, body) }) / float64(n)
	}
	for _, to := range []string{split1, split4} {
		short, long := each(50, to), each(1000, to)
		t.Logf("to %s: %.0f allocations for each of 50 objects, %.0f of 1,000", to, short, long)
		if long > short*1.05 || short > 130 {
			t.Errorf("to %s: %.0f allocations for each of 50 objects, %.0f of 1,000", to, short, long)
		}
	}
	split := shop(t, 1)[0]
	body := asked(split, split)
	if n := testing.AllocsPerRun(20, func() { send(t, h, ValidatePath, body) }); n > 250 {
		t.Errorf("%.0f allocations for a review", n)
	}
}

func send(b testing.TB, h *Handler, path, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	if w.Code != 200 || w.Body.Len() == 0 {
		b.Fatal(w.Code, w.Body)
	}
}
