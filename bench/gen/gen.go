// SPDX-License-Identifier: Apache-2.0

// Package gen makes the workload of the benchmarks: n roots, each with two backends, a workload, a route group, a split 90/10 with a match,
// and a permission with two sources; fifty roots a namespace; three endpoints a service. The same n makes the same workload.
package gen

import (
	"fmt"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// Name is the i-th root.
func Name(i int) model.Name {
	return model.Name{Namespace: fmt.Sprintf("ns-%d", i/50), Name: fmt.Sprintf("svc-%d", i)}
}

func beside(n model.Name, suffix string) model.Name {
	return model.Name{Namespace: n.Namespace, Name: n.Name + suffix}
}

// Split is the i-th root's split, the first backend of which has the weight.
func Split(i int, weight int64) *model.Split {
	n := Name(i)
	return &model.Split{Name: n, Root: n.Name, Groups: []string{n.Name},
		Backends: []model.Backend{{Service: n.Name + "-v1", Weight: weight}, {Service: n.Name + "-v2", Weight: 100 - weight}}}
}

// Group is the i-th root's route group.
func Group(i int, path string) *model.RouteGroup {
	return &model.RouteGroup{Name: Name(i), Matches: []model.Match{{
		Name: "api", Path: path, Methods: []string{"GET", "POST"}, Headers: []model.Header{{Name: "x-canary", Value: "true"}},
	}}}
}

// Permission is the i-th root's permission, from the account client and another.
func Permission(i int, other string) *model.Permission {
	n := Name(i)
	return &model.Permission{
		Name:        n,
		Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: n.Namespace, Name: n.Name},
		Sources:     []model.Subject{{Kind: model.KindServiceAccount, Namespace: n.Namespace, Name: "client"}, {Kind: model.KindServiceAccount, Namespace: n.Namespace, Name: other}},
		Rules:       []model.Rule{{Kind: model.KindGroup, Name: n.Name, All: true}},
	}
}

// Workload is the i-th root's workload.
func Workload(i int, port uint16) *model.Workload {
	n := Name(i)
	labels := map[string]string{"app": n.Name}
	return &model.Workload{Kind: model.KindDeployment, Name: n, Labels: labels, Selector: labels, Account: n.Name, Ports: []model.ContainerPort{{Name: "http", Number: port}}}
}

// Slice is one of the i-th root's three endpoint slices, with its last address.
func Slice(i int, suffix string, last byte) *model.EndpointSlice {
	n := beside(Name(i), suffix)
	s := &model.EndpointSlice{Name: n, Service: n, Ports: []model.EndpointPort{{Name: "http", Number: 8080}}}
	for k := range byte(3) {
		s.Endpoints = append(s.Endpoints, model.Endpoint{Address: fmt.Sprintf("10.%d.%d.%d", i>>8&255, i&255, last+k), Ready: true})
	}
	return s
}

// Suffixes are those of a root's three Services.
var Suffixes = [...]string{"", "-v1", "-v2"}

// Service is one of the i-th root's three Services.
func Service(i int, suffix string) *model.Service {
	n := beside(Name(i), suffix)
	return &model.Service{Name: n, Selector: map[string]string{"app": n.Name}, Ports: []model.ServicePort{{Name: "http", Number: 80, Target: 8080, Protocol: model.HTTP}}}
}

// Root gives the facts of the i-th root; with endpoints or without.
func Root(i int, endpoints bool, yield func(model.Fact)) {
	for _, s := range Suffixes {
		yield(Service(i, s))
		if endpoints {
			yield(Slice(i, s, 1))
		}
	}
	yield(Workload(i, 8080))
	yield(Group(i, "/api/.*"))
	yield(Split(i, 90))
	yield(Permission(i, "other"))
}

// YAML is the i-th root as seven documents.
func YAML(i int) string {
	n := Name(i)
	var b strings.Builder
	for _, s := range Suffixes {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata:\n  name: %s%s\n  namespace: %s\nspec:\n  selector:\n    app: %s%s\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n---\n", n.Name, s, n.Namespace, n.Name, s)
	}
	fmt.Fprintf(&b, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: %[1]s\n  namespace: %[2]s\nspec:\n  selector:\n    matchLabels:\n      app: %[1]s\n  template:\n    metadata:\n      labels:\n        app: %[1]s\n    spec:\n      serviceAccountName: %[1]s\n      containers:\n      - name: app\n        image: app\n        ports:\n        - name: http\n          containerPort: 8080\n---\n", n.Name, n.Namespace)
	fmt.Fprintf(&b, "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  matches:\n  - name: api\n    pathRegex: /api/.*\n    methods: [GET, POST]\n    headers:\n      x-canary: \"true\"\n---\n", n.Name, n.Namespace)
	fmt.Fprintf(&b, "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata:\n  name: %[1]s\n  namespace: %[2]s\nspec:\n  service: %[1]s\n  matches:\n  - kind: HTTPRouteGroup\n    name: %[1]s\n  backends:\n  - service: %[1]s-v1\n    weight: 90\n  - service: %[1]s-v2\n    weight: 10\n---\n", n.Name, n.Namespace)
	fmt.Fprintf(&b, "apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata:\n  name: %[1]s\n  namespace: %[2]s\nspec:\n  destination:\n    kind: ServiceAccount\n    name: %[1]s\n  rules:\n  - kind: HTTPRouteGroup\n    name: %[1]s\n  sources:\n  - kind: ServiceAccount\n    name: client\n  - kind: ServiceAccount\n    name: other\n---\n", n.Name, n.Namespace)
	return b.String()
}

// Documents is the number of documents that YAML writes for a root.
const Documents = 7
