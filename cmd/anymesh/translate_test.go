// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// finding is a finding as JSON shows it.
type finding struct {
	Level, Code, Mesh, Kind, Namespace, Name, Path, File, Feature, Message, Hint string
	Line, Column                                                                 int
}

// bundle is what -o json prints of objects.
type bundle struct {
	Objects  []json.RawMessage `json:"objects"`
	Findings []finding         `json:"findings"`
}

func TestTranslate(t *testing.T) {
	r := anymesh(t, "", "translate", "--to", "istio", "-f", shop).wants(t, exitOK)
	same(t, kinds(t, r.out), []string{"VirtualService shop/catalog", "AuthorizationPolicy shop/catalog-v1-pod", "AuthorizationPolicy shop/catalog-v2-pod",
		"AuthorizationPolicy shop/payments-pod"})
	has(t, r.errs, "Istio: 4 objects; 11 exact\n")
	lacks(t, r.errs, "TrafficSplit")
	all := anymesh(t, "", "translate", "--to", "istio", "--all", "-f", shop).wants(t, exitOK)
	has(t, all.errs, "TrafficSplit shop/catalog\n", "✔ exact [istio] ../../examples/shop/split.yaml:9:5 spec.backends[0].weight (split.weight)")
	if all.out != r.out {
		t.Error("--all changes the objects")
	}
	has(t, anymesh(t, "", "translate", "--to", "builtin", "-f", shop).wants(t, exitOK).out, "\nkind: Listener\n", "\n---\n")
}

// TestTranslateOnce holds that the same input gives the same bytes, in whatever order and from wherever it is read.
func TestTranslateOnce(t *testing.T) {
	var files []string
	entries, err := os.ReadDir(shop)
	if err != nil {
		t.Fatal(err)
	}
	stream := ""
	for _, e := range entries {
		files = append(files, filepath.Join(shop, e.Name()))
		stream = load(t, filepath.Join(shop, e.Name())) + "\n---\n" + stream
	}
	for _, d := range writers() {
		to := d.Name
		want := anymesh(t, "", "translate", "--to", to, "-f", shop)
		if want.out == "" || want.code == exitFailure {
			t.Fatalf("%s says nothing of the shop (exit %d): %s", to, want.code, want.errs)
		}
		for range 4 {
			if again := anymesh(t, "", "translate", "--to", to, "-f", shop); again != want {
				t.Fatalf("%s: two runs differ:\n%s\n%s", to, want.out, again.out)
			}
		}
		args := []string{"translate", "--to", to}
		for _, f := range slices.Backward(files) {
			args = append(args, "-f", f)
		}
		if r := anymesh(t, "", args...); r != want {
			t.Errorf("%s: the order of files counts:\n%s", to, r.out)
		}
		if r := anymesh(t, stream, "translate", "--to", to, "-f", "-"); r.out != want.out || r.code != want.code { // places are other ones
			t.Errorf("%s: standard input is read otherwise:\n%s%s", to, r.out, r.errs)
		}
	}
}

func TestTranslateJSON(t *testing.T) {
	r := anymesh(t, "", "translate", "--to", "istio", "-o", "json", "-f", shop).wants(t, exitOK)
	b := parsed[bundle](t, r.out)
	if len(b.Objects) != 4 || len(b.Findings) != 11 || r.errs != "" {
		t.Errorf("%d objects, %d findings, on standard error %q", len(b.Objects), len(b.Findings), r.errs)
	}
	if !strings.HasPrefix(r.out, "{\n  \"objects\": [") {
		t.Error("objects do not come first")
	}
	f := b.Findings[slices.IndexFunc(b.Findings, func(f finding) bool { return f.Feature == "access.path" })]
	want := finding{Level: "exact", Mesh: "istio", Kind: "HTTPRouteGroup", Namespace: "shop", Name: "catalog", Path: "spec.matches[0].pathRegex",
		File: "../../examples/shop/access.yaml", Line: 33, Column: 5, Feature: "access.path"}
	if f != want {
		t.Errorf("%+v", f)
	}
	none := anymesh(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n", "translate", "--to", "istio", "-o", "json", "-f", "-").wants(t, exitOK)
	has(t, none.out, `"objects": []`, `"findings": []`)
}

func TestTranslateReport(t *testing.T) {
	dir := t.TempDir()
	said := anymesh(t, "", "translate", "--to", "istio", "-f", "testdata/broken.yaml").wants(t, exitInvalid)
	text := filepath.Join(dir, "report.txt")
	r := anymesh(t, "", "translate", "--to", "istio", "--report", text, "-f", "testdata/broken.yaml").wants(t, exitInvalid)
	if r.errs != "" || r.out != said.out || load(t, text) != said.errs {
		t.Errorf("on standard error %q, in the file\n%s", r.errs, load(t, text))
	}
	for _, c := range [][]string{{"report.json"}, {"report", "-o", "json"}} {
		path := filepath.Join(dir, c[0])
		anymesh(t, "", append([]string{"translate", "--to", "istio", "-f", "testdata/broken.yaml", "--report", path}, c[1:]...)...).wants(t, exitInvalid)
		if list := parsed[[]finding](t, load(t, path)); len(list) < 5 {
			t.Errorf("%v has %d findings", c, len(list))
		}
	}
}

// TestTranslateExit holds that the exit code is that of the worst finding.
func TestTranslateExit(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: %}\nspec: {ports: [{name: http, port: 80}]}\n---\n"
	services := strings.ReplaceAll(service, "%", "a") + strings.ReplaceAll(service, "%", "b")
	const split = "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {name: s}\nspec:\n  service: %\n  backends: [{service: a, weight: 1}, {service: b, weight: 1}]\n"
	for _, c := range []struct {
		root, to string
		code     int
		says     string
	}{
		{"a", "istio", exitOK, "exact"},
		{"api.example.com", "istio", exitApproximate, "≈ approximate"},
		{"api.example.com", "builtin", exitUnsupported, "✘ unsupported"},
		{"missing", "istio", exitInvalid, "‼ invalid"},
	} {
		r := anymesh(t, services+strings.ReplaceAll(split, "%", c.root), "translate", "--to", c.to, "-f", "-").wants(t, c.code)
		has(t, r.errs, c.says)
	}
}
