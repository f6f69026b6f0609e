// SPDX-License-Identifier: Apache-2.0

package smi_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// note is the annotation of an object.
func note(o *object.Object) string { return o.Annotations[smi.Preserved] }

// edit is an object with a part of its text replaced, as one who writes it through its version would.
func edit(t testing.TB, o *object.Object, pairs ...string) *object.Object {
	t.Helper()
	text := string(object.AppendYAML(nil, o))
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return read(t, text)
}

func TestConversionKeepsEverything(t *testing.T) {
	for _, c := range []struct{ apiVersion, kind, body string }{
		{split1, "TrafficSplit", shares("{service: a, weight: 1}, {service: b, weight: 500m}, {service: c}, {service: a, weight: 1e3}, {service: d, weight: '7'}, {service: e, weight: 0.5}")},
		{split4, "TrafficSplit", shares("{service: a, weight: 1}, {service: b, weight: 500}") + "  matches: [{apiGroup: null, kind: HTTPRouteGroup, name: g}]\n"},
		{target1, "TrafficTarget", "destination: {kind: ServiceAccount, port: 80, name: b}\nspecs: [{kind: UDPRoute, name: g}, {kind: HTTPRouteGroup, name: g, matches: []}]\nsources: [{kind: ServiceAccount, name: a}]\n"},
		{target2, "TrafficTarget", permit(", port: 80", "", "")},
		{target4, "TrafficTarget", permit("", "", ", {kind: IdentityBinding, group: access.smi-spec.io, name: i}, {kind: IdentityBinding, name: j}")},
		{specs2, "HTTPRouteGroup", "matches: [{name: a, headers: [{a: b}, {a: c}, {d: e, f: g}]}, {name: b, headers: {x: y}}, {name: c}]\n"},
		{specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, headers: {a: b}, pathRegex: /x}, {name: a, headers: {c: d}}]}\n"},
		{specs4, "TCPRoute", "spec: {matches: {name: n, ports: [80, 443]}}\n"},
		{specs4, "TCPRoute", "spec: {matches: {ports: []}}\n"},
		{specs4, "TCPRoute", "spec: {}\nstatus: {x: 1}\n"},
		{specs1, "TCPRoute", ""},
		{specs4, "UDPRoute", "spec: {matches: {ports: [80]}}\n"},
	} {
		o := read(t, write(c.apiVersion, c.kind, c.body))
		there(t, c.apiVersion+" "+c.body, o)
		for _, v := range smi.Versions(model.Kind(c.kind)) { // and by way of a third
			for _, w := range smi.Versions(model.Kind(c.kind)) {
				one, _ := smi.Convert(o, v)
				two, _ := smi.Convert(one, w)
				back, findings := smi.Convert(two, c.apiVersion)
				if got, want := plain(t, back), plain(t, o); !reflect.DeepEqual(got, want) {
					t.Errorf("%s %s to %s, %s and back: it is\n%v\nand not\n%v\n%+v", c.apiVersion, c.body, v, w, got, want, findings)
				}
			}
		}
	}
}

func TestAnnotationIsThereOnlyWhereSomethingIsLost(t *testing.T) {
	for _, c := range []struct {
		apiVersion, to, kind, body string
		carried                    []string // paths
	}{
		{split4, "v1alpha1", "TrafficSplit", shares("{service: a, weight: 90}"), nil},
		{split1, "v1alpha4", "TrafficSplit", shares(`{service: a, weight: "90"}`), nil},
		{split1, "v1alpha4", "TrafficSplit", shares("{service: a, weight: 900m}"), []string{"spec.backends"}},
		{split4, "v1alpha2", "TrafficSplit", shares("{service: a}") + "  matches: [{kind: HTTPRouteGroup, name: g}]\n", []string{"spec.matches"}},
		{target1, "v1alpha2", "TrafficTarget", "destination: {kind: ServiceAccount, port: 80, name: b}\n", nil},
		{target1, "v1alpha3", "TrafficTarget", "destination: {kind: ServiceAccount, port: 80, name: b}\n", []string{"spec.destination.port"}},
		{target4, "v1alpha1", "TrafficTarget", permit("", "", ", {kind: IdentityBinding, group: access.smi-spec.io, name: i}"), []string{"spec.sources[1].group"}},
		{specs4, "v1alpha2", "HTTPRouteGroup", group(", headers: {a: b}"), nil},
		{specs4, "v1alpha1", "HTTPRouteGroup", group(", headers: {a: b}"), []string{"spec.matches[0].headers"}},
		{specs4, "v1alpha3", "TCPRoute", "spec: {matches: {ports: [80]}}\n", []string{"spec.matches"}},
		{specs4, "v1alpha3", "TCPRoute", "spec: {}\n", nil},
	} {
		o, findings := smi.Convert(read(t, write(c.apiVersion, c.kind, c.body)), c.to)
		var got []string
		for _, f := range findings {
			if f.Code != model.CodeCarried || f.Level != model.Notice {
				t.Errorf("%s: %+v", c.body, f)
			}
			got = append(got, f.Path)
		}
		if !reflect.DeepEqual(got, c.carried) || (note(o) != "") != (c.carried != nil) {
			t.Errorf("%s: carried %q in %q, want %q", c.body, got, note(o), c.carried)
		}
	}
}

func TestWeightsThatAnOldVersionChanged(t *testing.T) {
	old := read(t, write(split1, "TrafficSplit", shares("{service: a, weight: 1}, {service: b, weight: 500m}")))
	hub, _ := smi.Convert(old, split4)
	f := facts(t, hub)[0].(*model.Split)
	if f.Backends[0].Weight != 10 || f.Backends[1].Weight != 5 {
		t.Fatalf("1 and 500m are %+v", f.Backends)
	}
	back, _ := smi.Convert(edit(t, hub, "weight: 5\n", "weight: 7\n"), split1)
	if text := string(object.AppendYAML(nil, back)); !strings.Contains(text, "weight: 1\n") || !strings.Contains(text, "weight: 700m\n") || note(back) != "" {
		t.Errorf("got\n%s", text)
	}
	forged := edit(t, hub, `\"was\":\"500m\"`, `\"was\":\"5\"`)
	if back, _ := smi.Convert(forged, split1); facts(t, back)[0].(*model.Split).Backends[1].Weight != 5 {
		t.Errorf("a forged annotation changed a weight: %s", object.AppendYAML(nil, back))
	}
	mid, _ := smi.Convert(edit(t, hub, "weight: 5\n", "weight: 20\n"), split2)
	if f := facts(t, mid)[0].(*model.Split); f.Backends[0].Weight != 10 || f.Backends[1].Weight != 20 {
		t.Errorf("what v1alpha4 wrote reads in v1alpha2 as %+v", f.Backends)
	}
}

func TestMatchesSurviveAWriterThatDoesNotKnowThem(t *testing.T) {
	hub := read(t, write(split4, "TrafficSplit", shares("{service: a, weight: 100}, {service: b, weight: 0}")+"  matches: [{kind: HTTPRouteGroup, name: g}]\n"))
	old, findings := smi.Convert(hub, split1)
	if len(findings) != 1 || len(facts(t, old)[0].(*model.Split).Groups) != 1 {
		t.Errorf("%+v", findings)
	}
	back, findings := smi.Convert(edit(t, old, `"100"`, `"50"`, `"0"`, `"50"`), split4)
	f := facts(t, back)[0].(*model.Split)
	if len(f.Groups) != 1 || f.Backends[0].Weight != 50 || note(back) != "" || len(findings) > 0 {
		t.Errorf("got\n%s\n%+v", object.AppendYAML(nil, back), findings)
	}
}

func TestHeadersFollowTheirMatch(t *testing.T) {
	hub := read(t, write(specs4, "HTTPRouteGroup", "spec:\n  matches:\n  - {name: a, headers: {x: 'one'}}\n  - {name: b, headers: {x: 'two'}}\n"))
	old, _ := smi.Convert(hub, specs1)
	back, findings := smi.Convert(edit(t, old, "- name: a\n", "", "- name: b\n", "- name: c\n- name: b\n  pathRegex: /b\n"), specs4)
	f := facts(t, back)[0].(*model.RouteGroup)
	if len(f.Matches) != 2 || f.Matches[1].Path != "/b" || len(f.Matches[1].Headers) != 1 || f.Matches[1].Headers[0].Value != "two" || note(back) != "" {
		t.Errorf("got\n%s", object.AppendYAML(nil, back))
	}
	if len(findings) != 1 || findings[0].Code != model.CodeDiscarded || !strings.Contains(findings[0].Message, "headers of a") {
		t.Errorf("%+v", findings)
	}
}

func TestPortsFollowTheirRoute(t *testing.T) {
	hub := read(t, write(specs4, "TCPRoute", "spec: {matches: {ports: [80]}}\n"))
	old, _ := smi.Convert(hub, specs2)
	if f := facts(t, old)[0].(*model.PortRoute); f.Ports.Any {
		t.Error("an old version widens the route")
	}
	back, _ := smi.Convert(edit(t, old, "namespace: shop", "namespace: shop\n  labels: {a: b}"), specs4)
	if f := facts(t, back)[0].(*model.PortRoute); f.Ports.Any || !f.Ports.Has(80) {
		t.Errorf("got\n%s", object.AppendYAML(nil, back))
	}
	target := read(t, write(target1, "TrafficTarget", "destination: {kind: ServiceAccount, port: 80, name: b}\nspecs: [{kind: HTTPRouteGroup, name: g}]\nsources: [{kind: ServiceAccount, name: a}]\n"))
	hub, _ = smi.Convert(target, target4)
	changed := edit(t, hub, "name: b", "name: c")
	if p := facts(t, changed)[0].(*model.Permission); p.Port != 80 || p.Destination.Name != "c" {
		t.Errorf("the port is lost in the newest version: %+v", p)
	}
	back, _ = smi.Convert(changed, target1)
	if p := facts(t, back)[0].(*model.Permission); p.Port != 80 || note(back) != "" {
		t.Errorf("the port is lost on the way back: %+v", p)
	}
}

func TestWhatIsWrittenWinsOverWhatIsCarried(t *testing.T) {
	hub := read(t, write(specs4, "TCPRoute", "spec: {matches: {ports: [80]}}\n"))
	old, _ := smi.Convert(hub, specs3)
	both := edit(t, old, "specs.smi-spec.io/v1alpha3", "specs.smi-spec.io/v1alpha4", "spec: {}", "spec: {matches: {ports: [443]}}")
	it, findings := smi.Decode(both)
	if p := it.Facts("")[0].(*model.PortRoute).Ports; !p.Has(443) || p.Has(80) || len(findings) != 1 || findings[0].Code != model.CodeDiscarded {
		t.Errorf("%+v, %+v", p, findings)
	}
	garbage := edit(t, old, `preserved: "{`, `preserved: "x{`)
	it, findings = smi.Decode(garbage)
	if !idle(it.Facts("")[0]) || len(findings) != 1 {
		t.Errorf("an annotation that nobody can read has no effect: %+v", findings)
	}
	if back, findings := smi.Convert(garbage, specs4); len(findings) != 1 || note(back) == "" || !idle(facts(t, back)[0]) {
		t.Errorf("%+v", findings)
	}
}

// TestStrayFields asserts that a field which means nothing in its version does not begin to mean something in another.
func TestStrayFields(t *testing.T) {
	for _, c := range []struct{ apiVersion, to, kind, body string }{
		{specs4, specs2, "HTTPRouteGroup", "spec: {}\nmatches: [{name: a}]\n"},
		{specs2, specs4, "HTTPRouteGroup", "spec: {matches: [{name: a}]}\n"},
		{target2, target1, "TrafficTarget", "spec: {}\nsources: [{kind: ServiceAccount, name: evil}]\ndestination: {kind: ServiceAccount, name: b}\nspecs: [{kind: TCPRoute, name: t}]\n"},
		{target1, target4, "TrafficTarget", "spec: {sources: [{kind: ServiceAccount, name: evil}]}\ndestination: {kind: ServiceAccount, name: b}\nspecs: [{kind: TCPRoute, name: t}]\n"},
	} {
		o, findings := smi.Convert(read(t, write(c.apiVersion, c.kind, c.body)), c.to)
		text := string(object.AppendYAML(nil, o))
		if len(findings) == 0 || strings.Contains(text, "name: evil\n") || strings.Contains(text, "name: a\n") {
			t.Errorf("%+v\n%s", findings, text)
		}
		if f := facts(t, o)[0]; !idle(f) {
			t.Errorf("it has an effect: %s", show([]model.Fact{f}))
		}
		there(t, c.body, read(t, write(c.apiVersion, c.kind, c.body)))
	}
}

func TestConvertJSON(t *testing.T) {
	raw := `{"apiVersion":"specs.smi-spec.io/v1alpha4","kind":"HTTPRouteGroup","metadata":{"name":"Not_A_Name","uid":"1","managedFields":[{"a":1.0}]},"spec":{"matches":[{"name":"a","headers":{"x":1},"other":null},7],"extra":[1]},"status":{"ok":true}}`
	out, findings, err := smi.ConvertJSON([]byte(raw), specs1)
	if err != nil || len(findings) != 1 {
		t.Fatalf("%v, %+v", err, findings)
	}
	want := `{"apiVersion":"specs.smi-spec.io/v1alpha1","kind":"HTTPRouteGroup","metadata":{"name":"Not_A_Name","uid":"1","managedFields":[{"a":1.0}],"annotations":{"anymesh.dev/preserved":"{\"hash\":\"HASH\",\"pieces\":[{\"in\":\"matches\",\"key\":\"a\",\"field\":\"headers\",\"value\":{\"x\":1}}]}"}},"spec":{"extra":[1]},"matches":[{"name":"a","other":null},7],"status":{"ok":true}}`
	at := strings.Index(string(out), `hash\":\"`) + len(`hash\":\"`)
	if got := string(out[:at]) + "HASH" + string(out[at+16:]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	back, _, err := smi.ConvertJSON(out, "v1alpha4")
	if err != nil || !same(t, back, []byte(raw)) {
		t.Errorf("%v\n%s", err, back)
	}
	for _, bad := range []string{`{`, `[]`, `{}`, `{"kind":"TrafficSplit"}`, `{"kind":"TrafficSplit","apiVersion":"split.smi-spec.io/v1alpha9"}`, `{"kind":"UDPRoute","apiVersion":"specs.smi-spec.io/v1alpha4"}`} {
		if _, _, err := smi.ConvertJSON([]byte(bad), "v1alpha3"); err == nil {
			t.Errorf("no error for %s", bad)
		}
	}
}

func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("not JSON: %s, %s", a, b)
	}
	return reflect.DeepEqual(x, y)
}

func TestNoSuchVersion(t *testing.T) {
	o := read(t, write(specs4, "UDPRoute", "spec: {}\n"))
	for _, to := range []string{"v1alpha3", "v1", split4} {
		if out, findings := smi.Convert(o, to); out != o || len(findings) != 1 || findings[0].Code != model.CodeNoVersion {
			t.Errorf("%s: %+v", to, findings)
		}
	}
	it, _ := smi.Decode(o)
	if out, findings := smi.Encode(it, "v1alpha1"); out != nil || len(findings) != 1 {
		t.Errorf("%+v", findings)
	}
}

func TestFromFactsLeavesOutWhatHasNoEffect(t *testing.T) {
	name := model.Name{Namespace: "shop", Name: "x"}
	items := smi.FromFacts([]model.Fact{
		&model.Split{Name: name, Broken: true},
		&model.PortRoute{Kind: model.KindTCPRoute, Name: name},
		&model.Binding{Name: name, Broken: true},
		&model.Service{Name: name},
		&model.RouteGroup{Name: name, FullPath: true, Matches: []model.Match{{Name: "a", Never: true}, {Name: "b"}}},
		&model.Permission{Name: name, Port: 80, Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: "b"}, Broken: true, Rules: []model.Rule{{Kind: model.KindTCPRoute, Name: "t", All: true}}},
	})
	var got []byte
	for _, it := range items {
		o, _ := smi.Encode(it, "")
		got = object.AppendYAML(got, o)
	}
	want := `apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata:
  name: x
  namespace: shop
  annotations:
    anymesh.dev/path-regex: full
spec:
  matches:
  - name: b
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata:
  name: x
  namespace: shop
  annotations:
    anymesh.dev/preserved: "{\"hash\":\"HASH\",\"pieces\":[{\"in\":\"destination\",\"field\":\"port\",\"value\":80}]}"
spec:
  destination:
    kind: ServiceAccount
    name: b
    namespace: shop
  rules: []
  sources: []
`
	text := string(got)
	at := strings.Index(text, `hash\":\"`) + len(`hash\":\"`)
	if text = text[:at] + "HASH" + text[at+16:]; text != want {
		t.Errorf("got\n%s", text)
	}
}
