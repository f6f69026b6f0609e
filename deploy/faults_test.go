// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"strings"
	"testing"

	"github.com/anymesh/anymesh/object"
)

// Who answers for an object. A schema's answer comes first; what it accepts admission judges.
const (
	bySchema    = "schema"
	byAdmission = "admission"
	accepted    = "accepted"
)

// faults are inputs that the definitions which SMI published answer wrongly, with who answers here, and a part of the answer.
var faults = []struct {
	number                 int
	apiVersion, kind, body string
	by, answer             string
}{
	{1, "split.smi-spec.io/v1alpha2", "TrafficSplit", "", bySchema, "spec: Required"},
	{1, "access.smi-spec.io/v1alpha3", "TrafficTarget", "", bySchema, "spec: Required"},
	{1, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "", bySchema, "spec: Required"},
	{1, "access.smi-spec.io/v1alpha4", "IdentityBinding", "", bySchema, "spec: Required"},
	{1, "access.smi-spec.io/v1alpha1", "TrafficTarget", "", bySchema, "destination: Required"},
	{1, "specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", "", bySchema, "matches: Required"},
	{2, "split.smi-spec.io/v1alpha2", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 0.5}]}", bySchema, "weight: Invalid value"},
	{2, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: -3}]}", bySchema, "greater than or equal to 0"},
	{2, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: '50'}]}", bySchema, "must be of type integer"},
	{2, "split.smi-spec.io/v1alpha1", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: -500m}]}", byAdmission, "AM0207"},
	{2, "split.smi-spec.io/v1alpha1", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: {}}]}", byAdmission, "AM0207"},
	{2, "split.smi-spec.io/v1alpha1", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 0.5}, {service: c, weight: 500m}, {service: d, weight: 1}, {service: e}]}", accepted, ""},
	{3, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: '', backends: [{service: b, weight: 1}]}", bySchema, "at least 1 chars"},
	{3, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: '', weight: 1}]}", bySchema, "at least 1 chars"},
	{3, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: []}", accepted, ""}, // with a warning
	{4, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}], matches: [{apiGroup: specs.smi-spec.io, kind: HTTPRouteGroup, name: g}, {apiGroup: null, kind: HTTPRouteGroup, name: h}]}", accepted, ""},
	{4, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}], matches: [{apiGroup: example.org, kind: HTTPRouteGroup, name: g}]}", byAdmission, "AM0210"},
	{5, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}]}\nstatus: {observedGeneration: 3}", accepted, ""},
	{5, "specs.smi-spec.io/v1alpha1", "TCPRoute", "status: {observedGeneration: 3}", accepted, ""},
	{6, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, headers: {a: b, c: d}}]}", accepted, ""},
	{6, "specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", "matches: [{name: m, headers: [{a: b}, {a: c}]}]", accepted, ""},
	{7, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, headers: {x-debug: 1}}]}", byAdmission, "AM0202"},
	{7, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, headers: text}]}", byAdmission, "AM0202"},
	{8, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, methods: [PROPFIND, GET, '*']}]}", accepted, ""},
	{8, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, methods: [get]}]}", byAdmission, "AM0208"},
	{8, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, methods: ['GET POST']}]}", bySchema, "should match"},
	{9, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m}, {name: m}]}", bySchema, "Duplicate value"},
	{9, "specs.smi-spec.io/v1alpha1", "HTTPRouteGroup", "matches: [{name: m}, {name: m}]", bySchema, "Duplicate value"},
	{9, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, pathRegex: '(['}]}", byAdmission, "AM0204"},
	{9, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, methods: [GET]}]}", accepted, ""}, // pathRegex is not required
	{10, "specs.smi-spec.io/v1alpha1", "HTTPRouteGroup", "matches: [{name: m, headers: {a: b}}]", byAdmission, "AM0211"},
	{11, "specs.smi-spec.io/v1alpha4", "TCPRoute", "spec: {matches: {ports: [0]}}", bySchema, "greater than or equal to 1"},
	{11, "specs.smi-spec.io/v1alpha4", "UDPRoute", "spec: {matches: {ports: [-1]}}", bySchema, "greater than or equal to 1"},
	{11, "specs.smi-spec.io/v1alpha4", "TCPRoute", "spec: {matches: {ports: [70000]}}", bySchema, "less than or equal to 65535"},
	{11, "specs.smi-spec.io/v1alpha4", "TCPRoute", "spec: {matches: {ports: [80, 80]}}", bySchema, "Duplicate value"},
	{12, "specs.smi-spec.io/v1alpha4", "TCPRoute", "spec: {}", accepted, ""},
	{12, "specs.smi-spec.io/v1alpha4", "UDPRoute", "spec: {matches: {}}", accepted, ""},
	{12, "specs.smi-spec.io/v1alpha4", "TCPRoute", "", accepted, ""},
	{13, "specs.smi-spec.io/v1alpha4", "TCPRoute", "spec: {matches: {name: n, ports: [80]}}", accepted, ""},
	{14, "access.smi-spec.io/v1alpha1", "TrafficTarget", "destination: {kind: ServiceAccount, name: a}\nspecs: [{kind: TCPRoute, name: t}]\nsources: [{kind: ServiceAccount, name: b}]", accepted, ""},
	{15, "access.smi-spec.io/v1alpha2", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a, port: 99999}}", bySchema, "less than or equal to 65535"},
	{15, "access.smi-spec.io/v1alpha1", "TrafficTarget", "destination: {kind: ServiceAccount, name: a, port: 80.5}", bySchema, "must be of type integer"},
	{16, "access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: Foo, name: a}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: b}]}", bySchema, "Unsupported value"},
	{16, "access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: Group, name: b}]}", bySchema, "Unsupported value"},
	{17, "access.smi-spec.io/v1alpha3", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [], sources: [{kind: ServiceAccount, name: b}]}", bySchema, "at least 1 items"},
	{17, "access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [{kind: TCPRoute, name: t}], sources: []}", bySchema, "at least 1 items"},
	{17, "access.smi-spec.io/v1alpha2", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}}", accepted, ""},
	{18, "access.smi-spec.io/v1alpha3", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a, port: 80}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: b}]}", byAdmission, "AM0211"},
	{18, "access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a, port: '80'}, rules: [{kind: TCPRoute, name: t}], sources: [{kind: ServiceAccount, name: b}]}", byAdmission, "AM0211"},
	{18, "split.smi-spec.io/v1alpha1", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}], matches: [{kind: HTTPRouteGroup, name: g}]}", byAdmission, "AM0211"},
	{18, "specs.smi-spec.io/v1alpha3", "TCPRoute", "spec: {matches: {ports: [80]}}", byAdmission, "AM0211"},
	{19, "access.smi-spec.io/v1alpha1", "TrafficTarget", "destination: {kind: ServiceAccount, name: a}\nspecs: [{kind: UDPRoute, name: t}]\nsources: [{kind: IdentityBinding, name: b}]", accepted, ""},
	{19, "access.smi-spec.io/v1alpha2", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [{kind: UDPRoute, name: t}]}", accepted, ""},
	{20, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "matches: [{name: m}]", bySchema, "spec: Required"},
	{20, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "matches: [{name: m}]\nspec: {matches: [{name: n}]}", byAdmission, "AM0211"},
	{20, "specs.smi-spec.io/v1alpha1", "HTTPRouteGroup", "matches: [{name: m}]\nspec: {matches: [{name: n}]}", byAdmission, "AM0211"},

	// What the published definitions drop in silence, and with it a restriction.
	{0, "specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "spec: {matches: [{name: m, pathRegexp: /admin}]}", byAdmission, "AM0201"},
	{0, "specs.smi-spec.io/v1alpha4", "TCPRoute", "spec: {ports: [80]}", byAdmission, "AM0201"},
	{0, "access.smi-spec.io/v1alpha4", "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a}, rules: [{kind: HTTPRouteGroup, name: g, match: [m]}], sources: [{kind: ServiceAccount, name: b}]}", byAdmission, "AM0201"},
	{0, "split.smi-spec.io/v1alpha4", "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}], match: [{kind: HTTPRouteGroup, name: g}]}", byAdmission, "AM0201"},
	// IdentityBinding, which has no published definition.
	{0, "access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {}}", bySchema, "at least 1 properties"},
	{0, "access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {serviceAccount: a, podLabelSelector: {matchLabels: {a: b}}}}", bySchema, "AM0213"},
	{0, "access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {podLabelSelector: {matchLabels: {}}}}", bySchema, "at least 1 properties"},
	{0, "access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {spiffeIdentities: ['https://a/b']}}", bySchema, "should match"},
	{0, "access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {spiffeIdentities: [a/../b]}}", byAdmission, "AM0212"},
	{0, "access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {serviceAccount: '', podLabelSelector: {matchLabels: {a: b}}, spiffeIdentities: [cluster.local/ns/a/sa/b, 'spiffe://a.b/c']}}", accepted, ""},
}

// TestFaults asks first the schema and then what admission asks. Nothing is dropped on the way from one to the other.
func TestFaults(t *testing.T) {
	s, seen := schemas(t), map[int]bool{}
	for _, f := range faults {
		seen[f.number] = true
		objects, problems := object.Parse("", []byte("apiVersion: "+f.apiVersion+"\nkind: "+f.kind+"\nmetadata: {name: x, namespace: shop}\n"+f.body+"\n"))
		if len(objects) != 1 || len(problems) > 0 {
			t.Fatalf("%d: %s: %+v", f.number, f.body, problems)
		}
		raw, err := objects[0].MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		by, answer := bySchema, strings.Join(s.Check(raw), "; ")
		if answer == "" {
			by, answer = byAdmission, invalid(objects[0])
		}
		if answer == "" {
			by = accepted
		}
		if by != f.by || !strings.Contains(answer, f.answer) {
			t.Errorf("%d: %s %s %s\n\tis answered by %s: %s\n\tand should be by %s: %s", f.number, f.apiVersion, f.kind, f.body, by, answer, f.by, f.answer)
		}
	}
	for n := 1; n <= 20; n++ {
		if !seen[n] {
			t.Errorf("fault %d is not asked", n)
		}
	}
}
