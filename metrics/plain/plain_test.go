// SPDX-License-Identifier: Apache-2.0

package plain_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/plain"
	"github.com/anymesh/anymesh/metrics/traffic"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up/world"
)

// counts answers each question with what was asked, so that a test sees what arrived.
type counts func(metrics.Question) (metrics.Answer, error)

func (c counts) Measure(_ context.Context, q metrics.Question) (metrics.Answer, error) { return c(q) }

func TestHandler(t *testing.T) {
	w := world.New("builtin")
	var last metrics.Question
	var fail error
	h := plain.Handler(plain.Options{World: w, Source: counts(func(q metrics.Question) (metrics.Answer, error) {
		last = q
		a := metrics.Answer{At: q.At, Window: q.Window, Notes: []string{"nodes are\nnot known"}}
		for _, r := range q.Of {
			a.Measures = append(a.Measures, metrics.Measure{Of: r, Counts: metrics.Counts{Success: 3, P50: 1500 * time.Microsecond}, Mesh: "builtin"})
		}
		return a, fail
	})})
	get := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
		return r
	}
	const v = "/apis/metrics.smi-spec.io/v1alpha2/"
	if r := get(v + "pods"); r.Code != http.StatusServiceUnavailable {
		t.Errorf("before it knows what there is: %d %s", r.Code, r.Body)
	}
	at := func(ns, n string) model.Name { return model.Name{Namespace: ns, Name: n} }
	w.Tell(slices.Values([]model.Fact{
		&model.Workload{Kind: model.KindDeployment, Name: at("shop", "web"), Labels: map[string]string{"tier": "front"}},
		&model.Workload{Kind: model.KindDeployment, Name: at("shop", "db")},
		&model.Workload{Kind: model.KindDeployment, Name: at("bank", "web")},
		&model.Split{Name: at("shop", "web"), Root: "web"},
	}), "cluster.local")
	for _, c := range []struct {
		path  string
		code  int
		of    string // what was asked of, in order
		check func(metrics.Question) bool
	}{
		{"deployments", 200, "bank/web shop/db shop/web", func(q metrics.Question) bool { return q.Window == 30*time.Second && !q.Edges }},
		{"namespaces/shop/deployments?window=1m", 200, "shop/db shop/web", func(q metrics.Question) bool { return q.Window == time.Minute }},
		{"namespaces/shop/deployments?labelSelector=tier%3Dfront&t=5s", 200, "shop/web", func(q metrics.Question) bool { return q.Window == 5*time.Second }},
		{"namespaces/shop/deployments/web", 200, "shop/web", func(q metrics.Question) bool { return !q.Edges && !q.Routes }},
		{"namespaces/shop/deployments/web/edges?edge-kind=pods", 200, "shop/web", func(q metrics.Question) bool { return q.Edges && q.Peer.Name == "Pod" }},
		{"namespaces/shop/deployments/web/routes", 200, "shop/web", func(q metrics.Question) bool { return q.Routes }},
		{"namespaces/shop", 200, "/shop", func(q metrics.Question) bool { return q.Kind.Name == "Namespace" }},
		{"namespaces/shop/edges", 200, "/shop", func(q metrics.Question) bool { return q.Kind.Name == "Namespace" && q.Edges }},
		{"namespaces", 200, "/bank /shop", nil},
		{"namespaces/shop/trafficsplits/web", 200, "shop/web", nil},
		{"namespaces/none/deployments", 200, "", nil},
		{"namespaces/shop/deployments/gone", 404, "", nil},
		{"namespaces/shop/deployments/web/other", 404, "", nil},
		{"namespaces/shop/namespaces", 404, "", nil},
		{"deployments/web", 404, "", nil},
		{"deploy", 404, "", nil},
		{"", 404, "", nil},
		{"deployments?window=soon", 400, "", nil},
		{"deployments?window=1ms", 400, "", nil},
		{"deployments?unit=days", 400, "", nil},
		{"deployments?edge-kind=x", 400, "", nil},
		{"deployments?labelSelector=%3D%3D", 400, "", nil},
	} {
		last = metrics.Question{}
		r := get(v + c.path)
		var of []string
		for _, o := range last.Of {
			of = append(of, o.Namespace+"/"+o.Name)
		}
		if r.Code != c.code || strings.Join(of, " ") != c.of || c.check != nil && !c.check(last) {
			t.Errorf("%s: %d, asked %+v: %s", c.path, r.Code, last, r.Body)
		}
		if c.code != 200 {
			var s metav1.Status
			if err := json.Unmarshal(r.Body.Bytes(), &s); err != nil || s.Kind != "Status" || int(s.Code) != c.code || s.Message == "" {
				t.Errorf("%s: %s", c.path, r.Body)
			}
		}
	}
	r := get("/apis/metrics.smi-spec.io/v1alpha1/namespaces/shop/deployments/web?unit=s")
	var one traffic.TrafficMetrics
	if err := json.Unmarshal(r.Body.Bytes(), &one); err != nil || one.APIVersion != "metrics.smi-spec.io/v1alpha1" || one.Kind != "TrafficMetrics" || one.Read() != (metrics.Counts{Success: 3, P50: 1500 * time.Microsecond}) {
		t.Errorf("%v %s", err, r.Body)
	}
	if one.Metrics[0].Unit != "seconds" || r.Header().Get("Warning") != `299 - "nodes are not known"` {
		t.Errorf("%s %v", r.Body, r.Header())
	}
	var list traffic.TrafficMetricsList
	if err := json.Unmarshal(get(v+"namespaces/shop/trafficsplits/web").Body.Bytes(), &list); err != nil || list.Kind != "TrafficMetricsList" || len(list.Items) != 1 {
		t.Errorf("%v %+v", err, list)
	}
	fail = &metrics.Unavailable{Mesh: "builtin", Err: context.DeadlineExceeded}
	if r := get(v + "pods"); r.Code != 200 {
		t.Errorf("nothing was to be asked: %d %s", r.Code, r.Body)
	}
	if r := get(v + "deployments"); r.Code != 503 || !strings.Contains(r.Body.String(), "cannot be read") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	fail = errors.New("a fault of ours")
	if r := get(v + "deployments"); r.Code != 500 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	post := httptest.NewRecorder()
	h.ServeHTTP(post, httptest.NewRequest(http.MethodPost, v+"pods", nil))
	if post.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d %s", post.Code, post.Body)
	}
}
