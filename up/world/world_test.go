// SPDX-License-Identifier: Apache-2.0

package world_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up/world"
)

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

func kind(t *testing.T, word string) metrics.Kind {
	t.Helper()
	k, ok := metrics.KindOf(word)
	if !ok {
		t.Fatalf("no kind %s", word)
	}
	return k
}

func TestWorld(t *testing.T) {
	w := world.New("builtin")
	if w.Ready() == nil {
		t.Error("it is ready and knows nothing")
	}
	if got := w.List(kind(t, "pods"), ""); len(got) != 0 {
		t.Error(got)
	}
	web := model.Ref{Kind: model.KindDeployment, Name: name("web")}
	red := map[string]string{"app": "web", "color": "red"}
	facts := []model.Fact{
		&model.Workload{Kind: model.KindDeployment, Name: web.Name, Labels: map[string]string{"app": "web"}},
		&model.Workload{Kind: model.KindPod, Name: name("bare"), Labels: map[string]string{"app": "bare"}},
		&model.Workload{Kind: model.KindRollout, Name: name("roll")},
		&model.Pod{Name: name("web-2"), Labels: red, Workload: web},
		&model.Pod{Name: name("web-1"), Labels: map[string]string{"app": "web"}, Workload: web},
		&model.Pod{Name: name("bare"), Labels: map[string]string{"app": "bare"}, Workload: model.Ref{Kind: model.KindPod, Name: name("bare")}},
		&model.Pod{Name: model.Name{Namespace: "other", Name: "web-1"}, Labels: red},
		&model.Service{Name: name("web"), Selector: map[string]string{"app": "web"}},
		&model.Service{Name: name("red"), Selector: red},
		&model.Service{Name: name("none")},
		&model.Split{Name: name("web"), Root: "web.shop.svc.cluster.local", Backends: []model.Backend{{Service: "red", Weight: 1}, {Service: "web", Weight: 5}, {Service: "red.shop.svc", Weight: 2}}},
	}
	w.Tell(slices.Values(facts), "cluster.local")
	if err := w.Ready(); err != nil {
		t.Error(err)
	}
	names := func(list []metrics.Resource) (out []string) {
		for _, r := range list {
			out = append(out, r.Namespace+"/"+r.Name)
		}
		return out
	}
	for k, want := range map[string]string{
		"deployments": "[shop/web]", "pods": "[other/web-1 shop/bare shop/web-1 shop/web-2]", "services": "[shop/none shop/red shop/web]", "trafficsplits": "[shop/web]",
		"namespaces": "[/other /shop]", "nodes": "[]", "statefulsets": "[]",
	} {
		if got := fmt.Sprint(names(w.List(kind(t, k), ""))); got != want {
			t.Errorf("%s: %s", k, got)
		}
	}
	if got := fmt.Sprint(names(w.List(kind(t, "pods"), "other"))); got != "[other/web-1]" {
		t.Error(got)
	}
	pod := metrics.Ref{Kind: "Pod", Namespace: "shop", Name: "web-2"}
	for of, want := range map[metrics.Ref]string{
		{Kind: "Deployment", Namespace: "shop", Name: "web"}: "[web-1 web-2]",
		{Kind: "Service", Namespace: "shop", Name: "web"}:    "[web-1 web-2]",
		{Kind: "Service", Namespace: "shop", Name: "red"}:    "[web-2]",
		{Kind: "Service", Namespace: "shop", Name: "none"}:   "[]",
		{Kind: "Service", Namespace: "shop", Name: "gone"}:   "[]",
		{Kind: "Namespace", Name: "shop"}:                    "[bare web-1 web-2]",
		pod:                                                  "[web-2]",
		{Kind: "Pod", Namespace: "shop", Name: "gone"}:       "[]",
	} {
		got := []string{}
		for _, p := range w.Pods(of) {
			got = append(got, p.Name)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v: %v", of, got)
		}
	}
	for k, want := range map[string]metrics.Ref{"deployments": {Kind: "Deployment", Namespace: "shop", Name: "web"}, "namespaces": {Kind: "Namespace", Name: "shop"}, "pods": pod, "statefulsets": {}} {
		got, ok := w.Owner(pod, kind(t, k))
		if ok != (want != metrics.Ref{}) || ok && got != want {
			t.Errorf("%s: %v", k, got)
		}
	}
	s, ok := w.Split(metrics.Ref{Kind: "TrafficSplit", Namespace: "shop", Name: "web"})
	if fmt.Sprint(s) != "{web [{web red 3} {web web 5}]}" || !ok {
		t.Error(s)
	}
	w.Tell(slices.Values(facts[:1]), "cluster.local")
	if _, ok := w.Find(pod); ok {
		t.Error("a pod that is gone is found")
	}
	if _, ok := w.Split(metrics.Ref{Kind: "TrafficSplit", Namespace: "shop", Name: "web"}); ok {
		t.Error("a split that is gone is found")
	}
}
