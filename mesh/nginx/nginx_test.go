// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

func imported(t *testing.T, text string) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for _, n := range []string{"target", "target-v1"} {
		labels := map[string]string{"app": n}
		set(&model.Service{Name: model.Name{Namespace: "shop", Name: n}, Selector: labels, Ports: []model.ServicePort{{Number: 80, Target: 8080, Protocol: model.HTTP}}})
		set(&model.Workload{Kind: model.KindDeployment, Name: model.Name{Namespace: "shop", Name: n}, Account: n, Labels: labels, Selector: labels})
	}
	objects, problems := object.Parse("native.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range objects {
		o.Namespace = "shop"
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "nginx"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

func said(list []model.Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.Level.String()+" "+string(f.Object.Kind)+" "+f.Path)
	}
	slices.Sort(out)
	return out
}

// TestReadsAlone holds that nobody is moved to a mesh that is no more.
func TestReadsAlone(t *testing.T) {
	if Driver.Writes() || len(Driver.Kinds) > 0 || Driver.Import == nil {
		t.Error("NGINX Service Mesh is written for")
	}
}

const guide = `apiVersion: access.smi-spec.io/v1alpha2
kind: TrafficTarget
metadata: {name: t}
spec:
  destination: {kind: ServiceAccount, name: target, port: 8080}
  rules: [{kind: HTTPRouteGroup, name: g, matches: [m]}]
  sources: [{kind: ServiceAccount, name: web}]
---
apiVersion: specs.smi-spec.io/v1alpha3
kind: HTTPRouteGroup
metadata: {name: g}
spec:
  matches:
  - {name: m, methods: [GET], pathRegex: %q, headers: [{X-Demo-1: %q}]}
---
apiVersion: split.smi-spec.io/v1alpha3
kind: TrafficSplit
metadata: {name: s}
spec:
  service: target
  backends: [{service: target, weight: 1}, {service: target-v1, weight: 1}]
  matches: [{kind: HTTPRouteGroup, name: g}]
`

// TestMeaning holds that what is read permits what the guide says of headers, and no path that only one reading of it would take.
func TestMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	admitted, refused := 0, 0
	for _, header := range []string{"^demo-1$", "demo", "a|b", ".*", "^x"} {
		for _, path := range []string{"/echo", "^/echo$", "/a|/b", ".*css"} {
			in, back := imported(t, fmt.Sprintf(guide, path, header))
			if len(in.Kept) > 0 {
				t.Fatalf("%+v", in.Findings)
			}
			wl := back.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "target"})[0]
			for range 60 {
				q := &model.Request{Service: wl.Name, Port: 80, Method: []string{"GET", "POST"}[r.IntN(2)], Path: []string{"/echo", "/echo/x", "/x/echo", "/a", "/b", "/x.css"}[r.IntN(6)],
					Headers: map[string][]string{"x-demo-1": {[]string{"demo-1", "xdemo-1x", "a", "cab", "x"}[r.IntN(5)]}}, From: model.Identity{Namespace: "shop", ServiceAccount: "web"}}
				anywhere := q.Method == "GET" && regexp.MustCompile(path).MatchString(q.Path) && regexp.MustCompile(header).MatchString(q.Headers["x-demo-1"][0])
				begins := anywhere && regexp.MustCompile("^(?:"+path+")").MatchString(q.Path)
				a, _ := model.JoinAccess(back, wl.Identity())
				ok, _, why := a.Admit(wl, 8080, q, "")
				v, err := model.Evaluate(back, q)
				if err != nil {
					t.Fatal(err)
				}
				if ok != begins || len(v.Backends) == 2 != begins {
					t.Fatalf("path %s, header %s: %+v is admitted: %v (%s), split %d", path, header, q, ok, why, len(v.Backends))
				}
				if ok {
					admitted++
				} else {
					refused++
				}
			}
		}
	}
	if admitted < 50 || refused < 50 {
		t.Errorf("the test tests too little: %d %d", admitted, refused)
	}
}

// TestReports holds what is said of all that SMI does not know, or may know otherwise.
func TestReports(t *testing.T) {
	text := fmt.Sprintf(guide, "/echo", "x") + `---
apiVersion: specs.smi.nginx.com/v1alpha2
kind: RateLimit
metadata: {name: r}
spec: {}
---
apiVersion: specs.smi.nginx.com/v1alpha1
kind: CircuitBreaker
metadata: {name: c}
spec: {}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: later}
spec: {service: target, backends: []}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
`
	text = strings.Replace(text, "matches: [m]}]", "matches: [m]}, {kind: TCPRoute, name: p}]", 1)
	in, _ := imported(t, text)
	want := []string{"notice HTTPRouteGroup spec.matches[0].pathRegex", "notice Settings accessDefault", "notice TrafficTarget spec.rules", "unsupported CircuitBreaker spec", "unsupported RateLimit spec", "unsupported TrafficSplit apiVersion"}
	if got := said(in.Findings); !slices.Equal(got, want) || len(in.Kept) != 3 {
		t.Errorf("%v, kept %d", got, len(in.Kept))
	}
}
