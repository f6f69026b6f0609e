// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// answer is what scripts rely on.
type answer struct {
	Allowed  bool `json:"allowed"`
	Backends []struct {
		Service string  `json:"service"`
		Port    int     `json:"port"`
		Share   float64 `json:"share"`
		Allowed bool    `json:"allowed"`
		Reason  string  `json:"reason"`
	} `json:"backends"`
	DecidedBy []struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Path      string `json:"path"`
		File      string `json:"file"`
		Line      int    `json:"line"`
	} `json:"decidedBy"`
	Reason string `json:"reason"`
}

func ask(t *testing.T, code int, args ...string) answer {
	t.Helper()
	return parsed[answer](t, anymesh(t, "", append([]string{"why", "-o", "json"}, args...)...).wants(t, code).out)
}

// TestWhyContract holds the keys that -o json promises, in an answer that is yes and in one that is no.
func TestWhyContract(t *testing.T) {
	for caller, code := range map[string]int{"shop/web": exitOK, "shop/intruder": exitDenied} {
		v := parsed[map[string]any](t, anymesh(t, "", "why", "--from", caller, "--to", "shop/catalog:8080", "GET", "/products", "-f", shop, "-o", "json").wants(t, code).out)
		same(t, slices.Sorted(maps.Keys(v)), []string{"allowed", "backends", "decidedBy", "reason"})
		for _, b := range v["backends"].([]any) {
			for _, key := range []string{"service", "port", "share", "allowed"} {
				if b.(map[string]any)[key] == nil {
					t.Errorf("a backend without %s: %v", key, b)
				}
			}
		}
		for _, d := range v["decidedBy"].([]any) {
			for _, key := range []string{"kind", "namespace", "name", "path"} {
				if d.(map[string]any)[key] == nil {
					t.Errorf("a decision without %s: %v", key, d)
				}
			}
		}
	}
}

func TestWhySplit(t *testing.T) {
	v := ask(t, exitOK, "--from", "shop/web", "--to", "shop/catalog:8080", "GET", "/products", "-f", shop)
	if !v.Allowed || len(v.Backends) != 2 {
		t.Fatalf("%+v", v)
	}
	for i, want := range []struct {
		service string
		share   float64
	}{{"shop/catalog-v1", 0.9}, {"shop/catalog-v2", 0.1}} {
		if b := v.Backends[i]; b.Service != want.service || math.Abs(b.Share-want.share) > 1e-9 || b.Port != 8080 || !b.Allowed {
			t.Errorf("backend %d is %+v", i, b)
		}
	}
	d := v.DecidedBy
	if len(d) != 3 || d[0].Kind != "TrafficSplit" || d[0].Path != "spec.backends" || d[1].Kind != "TrafficTarget" || d[1].Path != "spec.rules[0]" ||
		d[2].Kind != "HTTPRouteGroup" || d[2].Path != "spec.matches[0]" {
		t.Errorf("decided by %+v", d)
	}
	if line := strings.Split(load(t, d[1].File), "\n")[d[1].Line-1]; !strings.Contains(line, "kind: HTTPRouteGroup") {
		t.Errorf("line %d of %s is %q", d[1].Line, d[1].File, line)
	}
}

// TestWhyPartly holds that a request which some backends refuse is not allowed, and says which and why.
func TestWhyPartly(t *testing.T) {
	args := []string{"--from", "shop/web", "--to", "shop/front", "GET", "/", "-f", "testdata/parts.yaml"}
	v := ask(t, exitDenied, args...)
	if v.Allowed || len(v.Backends) != 2 || !v.Backends[0].Allowed || v.Backends[1].Allowed {
		t.Fatalf("%+v", v)
	}
	has(t, v.Reason, "shop/two: refused")
	r := anymesh(t, "", append([]string{"why"}, args...)...).wants(t, exitDenied)
	has(t, r.out, "✘ partly refused: 90% admitted\n", "   90.0%  shop/one:80  ✔ admitted by", "   10.0%  shop/two:80  ✘ refused: no", "TrafficTarget shop/two spec.sources  (testdata/parts.yaml:")
}

// TestWhyQuestions holds what the many ways to put a question mean.
func TestWhyQuestions(t *testing.T) {
	for _, c := range []struct {
		name, args, backend string
		code                int
	}{
		{"long form", "--from shop/web --to shop/catalog:8080 GET /products", "shop/catalog-v1", exitOK},
		{"default port", "--from shop/web --to shop/catalog GET /products", "shop/catalog-v1", exitOK},
		{"default namespace", "--from web --to catalog -n shop GET /products", "shop/catalog-v1", exitOK},
		{"DNS name", "--from shop/web --to catalog.shop.svc.cluster.local:8080 GET /products", "shop/catalog-v1", exitOK},
		{"SPIFFE ID", "--from spiffe://cluster.local/ns/shop/sa/web --to shop/catalog GET /products", "shop/catalog-v1", exitOK},
		{"principal", "--from cluster.local/ns/shop/sa/web --to shop/catalog GET /products", "shop/catalog-v1", exitOK},
		{"own trust domain", "--trust-domain td --from spiffe://td/ns/shop/sa/web --to shop/catalog GET /products", "shop/catalog-v1", exitOK},
		{"foreign SPIFFE ID", "--from spiffe://other/ns/shop/sa/web --to shop/catalog GET /products", "shop/catalog-v1", exitDenied},
		{"header", "--from shop/web --to shop/catalog GET /products -H X-User:beta-7", "shop/catalog-v2", exitOK},
		{"header of no match", "--from shop/web --to shop/catalog GET /products -H X-User:alpha", "shop/catalog-v1", exitOK},
		{"no request is GET /", "--from shop/web --to shop/catalog", "shop/catalog-v1", exitDenied},
		{"method", "--from shop/web --to shop/catalog POST /products", "shop/catalog-v1", exitDenied},
		{"nobody", "--from nobody --to shop/catalog GET /products", "shop/catalog-v1", exitDenied},
		{"TCP port", "--from shop/web --to shop/payments:9000", "shop/payments", exitOK},
		{"TCP asked for", "--from shop/web --to shop/payments --tcp", "shop/payments", exitOK},
		{"TCP refused", "--from shop/intruder --to shop/payments:9000 --tcp", "shop/payments", exitDenied},
		{"nothing enforced", "--from shop/intruder --to shop/payments --access-default allow", "shop/payments", exitOK},
		{"all closed", "--from shop/web --to shop/catalog GET /admin --access-default deny", "shop/catalog-v1", exitDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := ask(t, c.code, append(strings.Fields(c.args), "-f", shop)...)
			if v.Backends[0].Service != c.backend || v.Allowed != (c.code == exitOK) || v.Reason == "" {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestWhyBadQuestions holds that a question which cannot be answered is a failure that says what was meant.
func TestWhyBadQuestions(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--from shop/web --to shop/catalog GET", "a request is METHOD and PATH"},
		{"--to shop/catalog", "needs --from NS/ACCOUNT"},
		{"--from web --to catalog GET /", "there is no Service default/catalog in the input; did you mean shop/catalog?"},
		{"--from shop/web --to shop/cat GET /", "there are shop/catalog, shop/catalog-v1, shop/catalog-v2, shop/payments"},
		{"--from shop/web --to shop/catalog:80x", `"80x" is not a port`},
		{"--from shop/web --to shop/catalog:0", "ports are 1 to 65535"},
		{"--from shop/web --to shop/catalog:1 GET /", "it has 8080 (http)"},
		{"--from shop/web --to shop/payments GET /", "--tcp asks for a raw connection"},
		{"--from a/b/c --to shop/catalog", "a caller is NAMESPACE/ACCOUNT"},
		{"--from /web --to shop/catalog", "a caller is NAMESPACE/ACCOUNT"},
		{"--from shop/web --to shop/", "NAMESPACE/SERVICE:PORT"},
		{"--from shop/web --to shop/catalog GET products", "write /products"},
		{"--from shop/web --to shop/catalog GET / -H nonsense", "'name: value'"},
		{"--from shop/web --to shop/payments --tcp GET /", "leave them out"},
		{"--from shop/web --to shop/payments --tcp --udp", "none of the others can be"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := anymesh(t, "", append(append([]string{"why"}, strings.Fields(c.args)...), "-f", shop)...).wants(t, exitFailure)
			has(t, r.errs, c.says)
		})
	}
	r := anymesh(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n", "why", "--from", "a", "--to", "b", "-f", "-").wants(t, exitFailure)
	has(t, r.errs, "holds no Service at all")
}

// TestWhyNotes holds that what makes an answer less than it seems is said beside it.
func TestWhyNotes(t *testing.T) {
	r := anymesh(t, "", "why", "--from", "shop/wbe", "--to", "shop/catalog", "GET", "/products", "-f", shop).wants(t, exitDenied)
	has(t, r.errs, "note: nothing in the input runs as shop/wbe\n")
	r = anymesh(t, "", "why", "--from", "shop/web", "--to", "shop/catalog", "get", "/products", "-f", shop).wants(t, exitDenied)
	has(t, r.errs, "note: methods are case-sensitive: get is not GET\n")
	split := "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {name: s}\nspec: {service: s, backends: [{service: a, weight: 9}, {service: b, weight: 1}]}\n"
	r = anymesh(t, split, "why", "--from", "web", "--to", "s", "-f", "-").wants(t, exitDenied)
	has(t, r.out, "   90.0%  default/a  ✘ no workload is known behind the Service", "TrafficSplit default/s spec.backends  (<stdin>:4)")
	has(t, r.errs, "those that splits name are assumed")
	lacks(t, r.errs, "runs as")
	r = anymesh(t, "a: [\n", "why", "--from", "shop/web", "--to", "shop/catalog", "GET", "/products", "-f", shop, "-f", "-").wants(t, exitOK)
	has(t, r.errs, "1 fault in the input")
}

// TestWhyTable holds the look of the answer that the README shows.
func TestWhyTable(t *testing.T) {
	r := anymesh(t, "", "why", "--from", "shop/intruder", "--to", "shop/payments", "-f", shop).wants(t, exitDenied)
	want := `✘ refused
  100.0%  shop/payments:9000  ✘ refused: no TrafficTarget admits shop/intruder to shop/payments with this request
decided by
  TrafficTarget shop/payments spec.sources  (../../examples/shop/access.yaml:23)
`
	if r.out != want || r.errs != "" {
		t.Errorf("got\n%s%s\nwant\n%s", r.out, r.errs, want)
	}
	open := anymesh(t, "", "why", "--from", "shop/web", "--to", "shop/catalog", "--access-default", "allow", "-f", shop, "-o", "yaml").wants(t, exitOK)
	has(t, open.out, "allowed: true\n", "share: 0.9\n")
}
