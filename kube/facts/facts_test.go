// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/anymesh/anymesh/file/core"
	"github.com/anymesh/anymesh/kube/facts"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

var kinds = map[string]func() any{
	"v1/Service":                        func() any { return new(corev1.Service) },
	"v1/Pod":                            func() any { return new(corev1.Pod) },
	"v1/ServiceAccount":                 func() any { return new(corev1.ServiceAccount) },
	"discovery.k8s.io/v1/EndpointSlice": func() any { return new(discoveryv1.EndpointSlice) },
	"apps/v1/Deployment":                func() any { return new(appsv1.Deployment) },
	"apps/v1/StatefulSet":               func() any { return new(appsv1.StatefulSet) },
	"apps/v1/DaemonSet":                 func() any { return new(appsv1.DaemonSet) },
	"apps/v1/ReplicaSet":                func() any { return new(appsv1.ReplicaSet) },
	"batch/v1/Job":                      func() any { return new(batchv1.Job) },
	"batch/v1/CronJob":                  func() any { return new(batchv1.CronJob) },
}

// TestSame reads every sound object of the corpus as text and as the API's own type: both say the same.
func TestSame(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/cases/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	paths = append(paths, "testdata/more.yaml")
	compared := map[string]int{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		objects, _ := object.Parse(p, text)
		for _, o := range objects {
			fresh := kinds[o.APIVersion+"/"+o.Kind]
			if fresh == nil || o.Faulty {
				continue
			}
			if o.Namespace == "" {
				o.Namespace = "default"
			}
			want, findings := core.Decode(o)
			raw, _ := json.Marshal(o)
			typed := fresh()
			if len(findings) > 0 || json.Unmarshal(raw, typed) != nil {
				continue // not as an API server would have taken it
			}
			if m, ok := typed.(interface {
				GetNamespace() string
				SetNamespace(string)
			}); ok && m.GetNamespace() == "" {
				m.SetNamespace("default")
			}
			compared[o.Kind]++
			if got := facts.Of(typed); !same(got, want) {
				t.Errorf("%s:%d: %s %s\n typed: %s\n text:  %s", p, o.Line, o.Kind, o.Name, show(got), show(want))
			}
		}
	}
	for k := range kinds {
		if kind := filepath.Base(k); compared[kind] == 0 {
			t.Errorf("no %s was compared", kind)
		}
	}
}

// same compares lists of facts, of which an absent list and an empty one are the same.
func same(a, b []model.Fact) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b) || show(a) == show(b))
}

func show(list []model.Fact) string {
	text, _ := json.Marshal(list)
	return string(text)
}
