// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

const (
	split4  = "split.smi-spec.io/v1alpha4"
	split1  = "split.smi-spec.io/v1alpha1"
	access3 = "access.smi-spec.io/v1alpha3"
	access1 = "access.smi-spec.io/v1alpha1"
	specs4  = "specs.smi-spec.io/v1alpha4"
	specs1  = "specs.smi-spec.io/v1alpha1"
	specs3  = "specs.smi-spec.io/v1alpha3"
)

// TestAllFaultsAtOnce asks for every fault in one answer, with its code, its place in the author's version, and what to do.
func TestAllFaultsAtOnce(t *testing.T) {
	h := handler(t, Options{})
	for _, c := range []struct {
		apiVersion, kind, body string
		want                   []string // parts of the lines, in order
	}{
		{split4, "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}]}", nil},
		{access3, "TrafficTarget", "spec: {destination: {kind: ServiceAccount, name: a, port: 80}, rules: [], sources: [{kind: Group, name: b}]}",
			[]string{"AM0211 spec.destination.port: access.smi-spec.io/v1alpha3 has no field port. Name the port in a TCPRoute", "AM0203 spec.rules: ", "AM0210 spec.sources[0].kind: "}},
		{access1, "TrafficTarget", "destination: {kind: ServiceAccount, name: a}\nspecs: [{kind: TCP, name: x}]\nsources: [{kind: ServiceAccount}]",
			[]string{"AM0210 specs[0].kind: ", "AM0203 sources[0].name: "}},
		{specs1, "HTTPRouteGroup", "matches: [{name: a, headers: {x: y}}, {name: b, methods: [get], pathRegex: '(?=x)'}]",
			[]string{"AM0211 matches[0].headers: ", "AM0204 matches[1].pathRegex: ", "AM0208 matches[1].methods: "}},
		{specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegexp: /admin}]}", []string{"AM0201 spec.matches[0].pathRegexp: there is no field pathRegexp here. Did you mean pathRegex?"}},
		{"split.smi-spec.io/v1", "TrafficSplit", "spec: {}", []string{"AM0104 apiVersion: "}},
	} {
		r := review(t, h, asJSON(t, wrote(c.apiVersion, c.kind, c.body)), "")
		lines := strings.Split(r.message(), "\n")
		if r.Allowed != (c.want == nil) || !r.Allowed && len(lines) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.body, lines, c.want)
			continue
		}
		for i, w := range c.want {
			if !strings.HasPrefix(lines[i], w) {
				t.Errorf("%s: line %d is\n%s\nand not\n%s", c.body, i, lines[i], w)
			}
			if cause := r.Status.Details.Causes[i]; cause.Field == "" || !strings.HasPrefix(cause.Message, w[:6]) {
				t.Errorf("%s: cause %d is %+v", c.body, i, cause)
			}
		}
	}
}

func TestManyFaultsAreCut(t *testing.T) {
	h := handler(t, Options{})
	body := "spec: {matches: [" + strings.Repeat("{pathRegex: '('},", 200) + "]}"
	r := review(t, h, asJSON(t, wrote(specs4, "HTTPRouteGroup", body)), "")
	if lines := strings.Split(r.message(), "\n"); len(lines) != maxFaults+1 || lines[maxFaults] != "and 350 more" {
		t.Errorf("%d lines, the last: %s", len(lines), lines[len(lines)-1])
	}
}

// TestDoubtsWarn asks that what is legal passes, with a word about it.
func TestDoubtsWarn(t *testing.T) {
	h := handler(t, Options{})
	for body, want := range map[string]string{
		"spec: {service: a, backends: []}":                          "AM0305 spec.backends: ",
		"spec: {service: a, backends: [{service: b, weight: '5'}]}": "AM0207 spec.backends[0].weight: ",
	} {
		r := review(t, h, asJSON(t, wrote(split4, "TrafficSplit", body)), "")
		if !r.Allowed || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], want) {
			t.Errorf("%s: %+v", body, r)
		}
	}
	if got := warnings([]model.Finding{{Code: model.CodeSelf, Path: "p", Message: "a\nb\x7f\xff"}}); got[0] != "AM0308 p: a b \ufffd" {
		t.Errorf("got %q", got)
	}
	long := strings.Repeat("é", 300)
	var many []model.Finding
	for i := range 15 {
		many = append(many, model.Finding{Level: model.Notice, Code: model.CodeSelf, Path: fmt.Sprint("p", i), Message: long})
	}
	many[14].Level = model.Unsupported
	list := warnings(many)
	if len(list) != maxWarnings+1 || !strings.HasPrefix(list[0], "AM0308 p14: ") || list[maxWarnings] != "and 5 more: anymesh check says all" {
		t.Errorf("got %q", list)
	}
	for _, w := range list {
		if len(w) > maxWarning {
			t.Errorf("%d bytes: %s", len(w), w)
		}
	}
}

// TestOldFaultsDoNotStandInTheWay changes something else of an object that is unsound already.
func TestOldFaultsDoNotStandInTheWay(t *testing.T) {
	h := handler(t, Options{})
	bad := wrote(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegex: '('}]}")
	old := asJSON(t, bad)
	r := review(t, h, asJSON(t, strings.Replace(bad, "uid: u", "uid: u, labels: {a: b}", 1)), old)
	if !r.Allowed || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], "AM0204 spec.matches[0].pathRegex") {
		t.Errorf("a label is refused: %+v", r)
	}
	if r := review(t, h, asJSON(t, strings.Replace(bad, "'('", "'(('", 1)), old); r.Allowed {
		t.Error("another fault in its place passes")
	}
	if r := review(t, h, asJSON(t, strings.Replace(bad, "uid: u", "uid: u, deletionTimestamp: '2026-01-01T00:00:00Z'", 1)), ""); !r.Allowed {
		t.Error("an object that is being deleted is held")
	}
	if r := review(t, h, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{}}`, ""); !r.Allowed || r.Warnings != nil {
		t.Errorf("an object of another kind: %+v", r)
	}
	deep := `{"apiVersion":"` + specs4 + `","kind":"TCPRoute","metadata":{"name":"x"},"spec":{"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}}`
	if r := review(t, h, deep, ""); r.Allowed {
		t.Error("an object that nobody can read passes")
	}
}

// TestLostRestrictionsAreSaid updates an object through a version that has no field for a part of it.
func TestLostRestrictionsAreSaid(t *testing.T) {
	h := handler(t, Options{})
	for _, c := range []struct{ from, to, kind, body, want string }{
		{specs4, specs3, "TCPRoute", "spec: {matches: {ports: [80]}}", "matches is lost"},
		{split4, split1, "TrafficSplit", "spec: {service: a, backends: [{service: b, weight: 1}], matches: [{kind: HTTPRouteGroup, name: g}]}", "matches is lost"},
		{access1, access3, "TrafficTarget", "destination: {kind: ServiceAccount, name: a, port: 80}\nspecs: [{kind: TCPRoute, name: t}]\nsources: [{kind: ServiceAccount, name: b}]", "port is lost"},
		{specs4, specs1, "HTTPRouteGroup", "spec: {matches: [{name: m, headers: {a: b}}]}", "headers of m is lost"},
	} {
		out, failure := converted(t, h, c.to, asJSON(t, wrote(c.from, c.kind, c.body)))
		if failure != "" {
			t.Fatal(failure)
		}
		old := out[0]
		if r := review(t, h, old, old); !r.Allowed || len(r.Warnings) > 0 {
			t.Errorf("%s with its annotation: %+v", c.kind, r)
		}
		r := review(t, h, without(t, old), old)
		if !r.Allowed || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], "AM0502 ") || !strings.Contains(r.Warnings[0], c.want) {
			t.Errorf("%s without its annotation: %+v", c.kind, r)
		}
	}
}

// without is an object whose writer left out the annotations.
func without(t *testing.T, raw string) string {
	t.Helper()
	o := plain(t, raw).(map[string]any)
	meta := o["metadata"].(map[string]any)
	if meta["annotations"] == nil {
		t.Fatalf("no annotation in %s", raw)
	}
	delete(meta, "annotations")
	out, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestJudgeIsAskedAndNotWaitedFor lets the mesh speak, in time and late, and fail.
func TestJudgeIsAskedAndNotWaitedFor(t *testing.T) {
	body := asJSON(t, wrote(access1, "TrafficTarget", "destination: {kind: ServiceAccount, name: a}\nspecs: [{kind: TCPRoute, name: t}]\nsources: [{kind: ServiceAccount, name: b}]"))
	fresh := prometheus.NewRegistry()
	h := handler(t, Options{Metrics: fresh, Judge: func(_ context.Context, o *object.Object) []model.Finding {
		return []model.Finding{
			{Level: model.Exact, Code: model.CodeApproximate, Path: "spec.rules[0]"},
			{Level: model.Invalid, Code: model.CodeNoRoute, Path: "spec.rules[0].name", Message: "there is no TCPRoute t in " + o.Namespace},
		}
	}})
	if r := review(t, h, body, ""); !r.Allowed || !slices.Equal(r.Warnings, []string{"AM0403 specs[0].name: there is no TCPRoute t in shop"}) {
		t.Errorf("got %+v", r)
	}
	unsound := asJSON(t, wrote(access1, "TrafficTarget", "destination: {kind: ServiceAccount, name: ''}\nspecs: []"))
	if r := review(t, h, unsound, ""); r.Allowed || len(r.Warnings) > 0 {
		t.Errorf("an unsound object: %+v", r)
	}
	if n := testutil.ToFloat64(h.metrics.judgements.WithLabelValues("done")); n != 1 {
		t.Errorf("the judge was asked %v times", n)
	}
	if n, err := testutil.GatherAndCount(fresh, "anymesh_webhook_reviews_total", "anymesh_webhook_seconds"); err != nil || n != 3 {
		t.Errorf("%d series: %v", n, err)
	}

	slow := handler(t, Options{Patience: 1, Judge: func(ctx context.Context, _ *object.Object) []model.Finding {
		<-ctx.Done()
		return nil
	}})
	if r := review(t, slow, body, ""); !r.Allowed || len(r.Warnings) > 0 {
		t.Errorf("a late judge: %+v", r)
	}
	for range cap(slow.judges) {
		slow.judges <- struct{}{} // once the late one has gone
	}
	if r := review(t, slow, body, ""); !r.Allowed || testutil.ToFloat64(slow.metrics.judgements.WithLabelValues("busy")) != 1 {
		t.Errorf("a busy judge: %+v", r)
	}
	defer func() {
		if recover() == nil {
			t.Error("a judge's fault is hidden")
		}
	}()
	review(t, handler(t, Options{Judge: func(context.Context, *object.Object) []model.Finding { panic("fault") }}), body, "")
}
