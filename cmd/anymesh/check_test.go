// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/codes"
	"github.com/anymesh/anymesh/model"
)

func TestCheckClean(t *testing.T) {
	r := anymesh(t, "", "check", "-f", shop).wants(t, exitOK)
	if r.out != "✔ 16 objects in 4 files: nothing is wrong\n" || r.errs != "" {
		t.Errorf("%q %q", r.out, r.errs)
	}
	if r := anymesh(t, "", "check", "-f", shop, "--mesh", "istio,builtin", "--strict", "-o", "json").wants(t, exitOK); r.out != "[]\n" {
		t.Errorf("%q", r.out)
	}
	has(t, anymesh(t, "", "check", "-f", "testdata/foreign.yaml").wants(t, exitOK).out,
		"4 objects in 1 file: nothing is wrong; 4 objects of other kinds not looked at (AuthorizationPolicy.security.istio.io, ConfigMap, Gateway.")
}

// TestCheckBroken holds that each fault has its code, its place and what to do, for people and for programs alike.
func TestCheckBroken(t *testing.T) {
	const name = "testdata/broken.yaml"
	lines := strings.Split(load(t, name), "\n")
	table := anymesh(t, "", "check", "-f", name).wants(t, exitInvalid).out
	list := parsed[[]finding](t, anymesh(t, "", "check", "-f", name, "-o", "json").wants(t, exitInvalid).out)
	for _, c := range []struct{ code, path, on, hint string }{
		{"AM0102", "apiVersion", "foo: bar", "apiVersion and kind"},
		{"AM0201", "spec.backends[0].wieght", "    wieght: 1", "Did you mean weight?"},
		{"AM0204", "spec.matches[0].pathRegex", `    pathRegex: "(a"`, "RE2"},
		{"AM0205", "spec.matches[1].name", "  - name: m", "name of its own"},
		{"AM0207", "spec.backends[1].weight", "    weight: x", "whole number"},
		{"AM0208", "spec.matches[1].methods", "    methods: [get]", "Write GET."},
		{"AM0203", "spec.sources", "spec: {}", "at least one"},
	} {
		i := slices.IndexFunc(list, func(f finding) bool { return f.Code == c.code && f.Path == c.path })
		if i < 0 {
			t.Errorf("%s %s is not found in\n%s", c.code, c.path, table)
			continue
		}
		f := list[i]
		if f.File != name || f.Line == 0 || f.Column == 0 || lines[f.Line-1] != c.on {
			t.Errorf("%s stands at %s:%d:%d: %q", c.code, f.File, f.Line, f.Column, lines[f.Line-1])
		}
		has(t, f.Hint, c.hint)
		has(t, table, fmt.Sprintf("  ‼ invalid %s %s:%d:%d %s\n      %s\n      → %s\n", f.Code, f.File, f.Line, f.Column, f.Path, f.Message, f.Hint))
	}
	has(t, table, "TrafficSplit shop/s\n", "Document "+name+":23\n", fmt.Sprintf("3 objects in 1 file: %d invalid\n", len(list)))
	for _, f := range list {
		if _, ok := codes.Find(model.Code(f.Code)); !ok {
			t.Errorf("%s is not explained", f.Code)
		}
		if f.Kind == "Document" && (f.Namespace != "" || f.Name != "") {
			t.Errorf("a document has a name: %+v", f)
		}
	}
	has(t, anymesh(t, "", "check", "-f", name, "-o", "yaml").wants(t, exitInvalid).out, "- level: invalid\n", "code: AM0201\n")
}

// TestCheckDocuments holds how a text that is no object is named, wherever it stands.
func TestCheckDocuments(t *testing.T) {
	r := anymesh(t, "a: [", "check", "-f", "-").wants(t, exitInvalid)
	has(t, r.out, "Document <stdin>:2\n", "AM0101 <stdin>:2:1\n", "0 objects in 1 file: 1 invalid")
	r = anymesh(t, "", "check", "-f", save(t, "x.yaml", "a: [\n")).wants(t, exitInvalid)
	has(t, r.out, "/x.yaml:2\n")
	t.Chdir(filepath.Dir(save(t, "here.yaml", "kind: Service\n")))
	has(t, anymesh(t, "", "check", "-f", "here.yaml").wants(t, exitInvalid).out, "Document here.yaml:1\n")
}

func TestCheckStrict(t *testing.T) {
	const split = "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {name: s}\nspec: {service: s, backends: [{service: a, weight: 9}]}\n"
	has(t, anymesh(t, split, "check", "-f", "-").wants(t, exitOK).out, "• notice AM0312 <stdin>:4:", ": 1 notice\n")
	anymesh(t, split, "check", "--strict", "-f", "-").wants(t, exitApproximate)
	foreign := strings.Replace(split, "service: s,", "service: api.example.com,", 1)
	anymesh(t, foreign, "check", "--mesh", "istio", "-f", "-").wants(t, exitApproximate)
	has(t, anymesh(t, foreign, "check", "--mesh", "builtin", "-f", "-").wants(t, exitUnsupported).out, "[builtin]")
}
