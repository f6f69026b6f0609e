// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/schema"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/prometheus/client_golang/prometheus"
)

func TestPathsAreThoseOfTheInstallation(t *testing.T) {
	if schema.Path != ConvertPath || deploy.ValidatePath != ValidatePath {
		t.Errorf("installed are %s and %s, served are %s and %s", schema.Path, deploy.ValidatePath, ConvertPath, ValidatePath)
	}
}

// TestConversionKeepsOrder converts a list whose items have several versions, and back.
func TestConversionKeepsOrder(t *testing.T) {
	h := handler(t, Options{})
	in := []string{
		asJSON(t, wrote(specs4, "HTTPRouteGroup", "spec: {matches: [{name: z, headers: [{b: '1'}, {a: '2'}, {b: '3'}]}, {name: a, headers: {x: y}}]}\nstatus: {observedGeneration: 2}")),
		asJSON(t, wrote("specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", "matches: [{name: m}]")),
		asJSON(t, wrote(specs4, "TCPRoute", "spec: {matches: {ports: [3, 1, 2], name: n}}")),
	}
	old, failure := converted(t, h, specs1, in...)
	if failure != "" || len(old) != 3 {
		t.Fatalf("%q %s", old, failure)
	}
	if !strings.Contains(old[0], `"matches":[{"name":"z"},{"name":"a"}]`) || !strings.Contains(old[0], `"observedGeneration":2`) || !strings.Contains(old[1], `"name":"m"`) || !strings.Contains(old[2], "TCPRoute") {
		t.Errorf("got %q", old)
	}
	back, failure := converted(t, h, specs4, old...)
	if failure != "" || len(back) != 3 {
		t.Fatalf("%q %s", back, failure)
	}
	for _, i := range []int{0, 2} {
		if !reflect.DeepEqual(plain(t, back[i]), plain(t, in[i])) {
			t.Errorf("came back as\n%s\nand was\n%s", back[i], in[i])
		}
	}
	if none, failure := converted(t, h, specs1); failure != "" || len(none) != 0 {
		t.Errorf("no objects: %q %s", none, failure)
	}
}

func plain(t *testing.T, raw string) any {
	t.Helper()
	n, err := object.ReadJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return object.Value(n)
}

// TestStoredObjectsNeverFail converts what no admission would have taken.
func TestStoredObjectsNeverFail(t *testing.T) {
	h := handler(t, Options{})
	deep := `{"apiVersion":"` + specs4 + `","kind":"TCPRoute","metadata":{"name":"x","uid":"u"},"spec":{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}`
	for _, raw := range []string{
		`{"apiVersion":"` + specs4 + `","kind":"TCPRoute","metadata":{"name":"x","annotations":null},"spec":7}`,
		`{"apiVersion":"` + specs4 + `","kind":"HTTPRouteGroup","metadata":{"name":"x"},"spec":{"matches":{"a":[null]}}}`,
		`{"apiVersion":"` + specs4 + `","kind":"HTTPRouteGroup","metadata":{"name":"x","annotations":{"` + smi.Preserved + `":"{"}}}`,
		deep,
	} {
		out, failure := converted(t, h, specs1, raw)
		if failure != "" || len(out) != 1 || !strings.Contains(out[0], `"apiVersion":"`+specs1+`"`) {
			t.Fatalf("%.200s: %.200q %s", raw, out, failure)
		}
		if back, failure := converted(t, h, specs4, out[0]); failure != "" || len(back) != 1 {
			t.Errorf("%.200s and back: %s", raw, failure)
		}
	}
	for _, c := range [][2]string{{specs1, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}`}, {"specs.smi-spec.io/v9", deep}, {"example.org/v1", `{"apiVersion":"` + specs4 + `","kind":"TCPRoute"}`}} {
		if out, failure := converted(t, h, c[0], c[1]); failure == "" || len(out) > 0 || !strings.HasPrefix(failure, "object 1 of 1: ") {
			t.Errorf("%s: %q %s", c[0], out, failure)
		}
	}
}

// TestRequestsThatAreNone are answered in HTTP's words.
func TestRequestsThatAreNone(t *testing.T) {
	h := handler(t, Options{})
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", ConvertPath, "x", 400}, {"POST", ConvertPath, "{}", 400}, {"POST", ValidatePath, "[]", 400}, {"POST", ValidatePath, "{}", 400},
		{"GET", ConvertPath, "", 405}, {"POST", "/", "", 404}, {"GET", "/healthz", "", 200}, {"GET", "/readyz", "", 200},
		{"POST", ValidatePath, strings.Repeat(" ", maxReview+1), 413},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	twice := prometheus.NewRegistry()
	if _, err := New(Options{Metrics: twice}); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Metrics: twice}); err == nil {
		t.Error("two handlers count in one registry")
	}
}

// FuzzConvert asks that an answer always is one, whatever an object holds.
func FuzzConvert(f *testing.F) {
	f.Add(`{"apiVersion":"` + specs4 + `","kind":"TCPRoute","metadata":{"name":"x"},"spec":{"matches":{"ports":[1]}}}`)
	f.Add(`{"apiVersion":"` + split1 + `","kind":"TrafficSplit","metadata":{},"spec":{"backends":[{"weight":"1m"}]}}`)
	h := handler(f, Options{})
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := object.ReadJSON([]byte(raw)); err != nil {
			return
		}
		for _, to := range []string{specs1, split1, access1, split4} {
			if out, failure := converted(t, h, to, raw); failure == "" && len(out) != 1 {
				t.Errorf("%q", out)
			}
		}
	})
}
