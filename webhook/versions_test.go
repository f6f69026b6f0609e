// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// hard are objects that converters before corrupted: weights scaled one by one, ports, matches and headers dropped, order and duplicates of
// headers lost, null and absence confused, routes of a kind that older versions do not know.
var hard = []struct{ apiVersion, kind, body string }{
	{split1, "TrafficSplit", "spec: {service: a, backends: [{service: a, weight: 1}, {service: b, weight: 500m}, {service: c}, {service: a, weight: '1e3'}, {service: d, weight: '7'}, {service: e, weight: 0.5}]}"},
	{split1, "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: '1'}, {service: c, weight: 500m}]}"},
	{split1, "TrafficSplit", "spec: {service: a.example.org, backends: [{service: b, weight: '0'}, {service: c, weight: '100'}]}"},
	{split4, "TrafficSplit", "spec: {service: a, backends: [{service: z, weight: 1}, {service: b, weight: 500}, {service: c}], matches: [{apiGroup: null, kind: HTTPRouteGroup, name: z}, {apiGroup: specs.smi-spec.io, kind: HTTPRouteGroup, name: a}]}"},
	{"split.smi-spec.io/v1alpha3", "TrafficSplit", "spec: {service: a, backends: [{service: z, weight: 0}, {service: b, weight: 1000000000}], matches: [{kind: HTTPRouteGroup, name: g}]}"},
	{"split.smi-spec.io/v1alpha2", "TrafficSplit", "spec: {service: a, backends: []}"},
	{access1, "TrafficTarget", "destination: {kind: ServiceAccount, port: 80, name: b}\nspecs: [{kind: UDPRoute, name: g}, {kind: HTTPRouteGroup, name: g, matches: [z, a]}]\nsources: [{kind: ServiceAccount, name: a, namespace: other}]"},
	{"access.smi-spec.io/v1alpha2", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, port: 8080, name: b}, rules: [{kind: TCPRoute, name: t}]}"},
	{access3, "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: b}, rules: [{kind: HTTPRouteGroup, name: g, matches: []}], sources: [{kind: ServiceAccount, name: a}]}"},
	{"access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: b}, rules: [{kind: UDPRoute, name: u}], sources: [{kind: IdentityBinding, group: access.smi-spec.io, name: i}, {kind: IdentityBinding, name: j}]}"},
	{"access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {spiffeIdentities: [cluster.local/ns/a/sa/b, 'spiffe://c/d'], podLabelSelector: {matchLabels: {a: b}}}}"},
	{specs1, "HTTPRouteGroup", "matches: [{name: m, pathRegex: /x, methods: ['*']}]"},
	{"specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", "matches: [{name: b, headers: [{b: '1'}, {a: '2'}, {b: '3'}, {c: '4', d: '5'}]}, {name: a, headers: {x: y}}, {name: c}]"},
	{specs4, "HTTPRouteGroup", "spec: {matches: [{name: b, headers: {a: '1', B: '2'}, pathRegex: '/é\\d+', methods: [GET, PROPFIND]}, {name: a, headers: [{q: '.*'}]}]}"},
	{specs4, "TCPRoute", "spec: {matches: {name: n, ports: [443, 80]}}"},
	{specs4, "TCPRoute", "spec: {matches: {ports: []}}"},
	{specs4, "TCPRoute", "spec: {}"},
	{specs1, "TCPRoute", ""},
	{specs3, "TCPRoute", "spec: {}"},
	{specs4, "UDPRoute", "spec: {matches: {ports: [53]}}"},
}

// TestEveryVersionThroughEveryOther writes each object in its version, reads it in every other, writes it back from there, and asks each
// time that it says what it said and means what it meant.
func TestEveryVersionThroughEveryOther(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	for n, h := range hard {
		text := strings.Replace(wrote(h.apiVersion, h.kind, h.body), "name: x", fmt.Sprintf("name: x%d", n), 1)
		o := parsed(t, text, ns)
		want := said(i.written(t, o))
		if !reflect.DeepEqual(want, said(o)) {
			t.Errorf("%s: it was stored as %v", h.body, want)
		}
		meant := facts(t, i.get(t, h.apiVersion, o))
		for _, v := range smi.Versions(model.Kind(h.kind)) {
			other := i.get(t, v, o)
			grants := !weak(h.body) || v < access3
			if grants {
				means(t, h.body+" in "+v, facts(t, other), meant)
			}
			other.SetLabels(map[string]string{"through": v[len(v)-1:]})
			if _, err := i.of(v, model.Kind(h.kind), ns).Update(t.Context(), other, metav1.UpdateOptions{}); err != nil {
				t.Errorf("%s back from %s: %v", h.body, v, err)
			}
			back := i.get(t, h.apiVersion, o)
			if got := said(back); !reflect.DeepEqual(got, want) {
				t.Errorf("%s through %s: it came back as\n%v\nand was\n%v", h.body, v, got, want)
			}
			means(t, h.body+" through "+v, facts(t, back), meant)
			if notes := i.get(t, smi.Newest(model.Kind(h.kind)), o).GetAnnotations(); v == smi.Newest(model.Kind(h.kind)) && h.apiVersion == v && notes[smi.Preserved] != "" {
				t.Errorf("%s: the newest version carries %s", h.body, notes[smi.Preserved])
			}
		}
	}
}

// weak says whether a permission has no sources, which only older versions call sound.
func weak(body string) bool { return strings.Contains(body, "kind: TCPRoute, name: t}]}") }

func means(t *testing.T, what string, got, want []model.Fact) {
	t.Helper()
	a, b := got, want
	if s, ok := a[0].(*model.Split); ok { // weights are relative: those of v1alpha1 are whole in no other
		a, b = []model.Fact{reduced(s)}, []model.Fact{reduced(b[0].(*model.Split))}
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s: it means\n%+v\nand meant\n%+v", what, a[0], b[0])
	}
}

// reduced is a split with its weights in lowest terms.
func reduced(s *model.Split) *model.Split {
	c := *s
	c.Backends = append([]model.Backend(nil), s.Backends...)
	var all int64
	for _, b := range c.Backends {
		for x, y := all, b.Weight; ; x, y = y, x%y {
			if y == 0 {
				all = x
				break
			}
		}
	}
	for i := range c.Backends {
		if all > 0 {
			c.Backends[i].Weight /= all
		}
	}
	return &c
}

// TestFaultsAreAnsweredByTheServer sends the faults that the published definitions let through.
func TestFaultsAreAnsweredByTheServer(t *testing.T) {
	i := install(t)
	ns := i.Namespace(t)
	text, err := os.ReadFile("../testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var faults []struct {
		Fault  int
		By     string
		Answer string
		Object yaml.Node
	}
	if err := yaml.Unmarshal(text, &faults); err != nil || len(faults) < 50 {
		t.Fatal(len(faults), err)
	}
	for _, f := range faults {
		raw := object.AppendJSON(nil, &f.Object)
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		o.SetNamespace(ns)
		_, err := i.write(t, o, metav1.DryRunAll)
		by := "accepted"
		if err != nil {
			by = "schema"
			if strings.Contains(err.Error(), "denied the request") {
				by = "admission"
			}
			if !apierrors.IsInvalid(err) {
				t.Errorf("%s: it is not said to be invalid: %v", raw, err)
			}
		}
		if by != f.By || err != nil && !strings.Contains(err.Error(), f.Answer) {
			t.Errorf("fault %d: %s\n\tis answered by %s: %v\n\tand should be by %s: %s", f.Fault, raw, by, err, f.By, f.Answer)
		}
	}
}
