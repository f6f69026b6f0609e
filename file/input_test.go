// SPDX-License-Identifier: Apache-2.0

package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

const shop = `apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports:
  - {name: http, port: 80, targetPort: 8080}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata:
  name: catalog
  namespace: shop
spec:
  service: catalog
  backends:
  - service: catalog-v1
    weight: 90
  - service: catalog-v2
    weight: 10
---
apiVersion: specs.smi-spec.io/v1alpha2
kind: HTTPRouteGroup
metadata: {name: reads, namespace: shop}
matches:
- name: get
  methods: [GET]
  pathRegex: "/items"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other, namespace: shop}
spec: {hosts: [x]}
`

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fact[F model.Fact](t testing.TB, events []store.Event) F {
	t.Helper()
	for _, e := range events {
		for _, f := range e.Facts {
			if f, ok := f.(F); ok {
				return f
			}
		}
	}
	t.Fatalf("no %T in %v", *new(F), events)
	return *new(F)
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b", "shop.yaml"), shop)
	write(t, filepath.Join(dir, "a.yml"), "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n")
	write(t, filepath.Join(dir, "c.json"), `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{}}`)
	for _, junk := range []string{".hidden.yaml", "a.yaml~", "#a.yaml#", ".git/x.yaml", "~a.yaml", "a.yaml.swp", "notes.txt"} {
		write(t, filepath.Join(dir, junk), "]")
	}
	if err := os.Symlink(dir, filepath.Join(dir, "b", "loop")); err != nil {
		t.Fatal(err)
	}
	in, err := Read([]string{dir, "-", filepath.Join(dir, "a.yml")}, strings.NewReader("apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"), Options{Namespace: "here"})
	if err != nil || len(in.Findings) > 0 {
		t.Fatal(err, in.Findings)
	}
	var got []string
	for _, e := range in.Events {
		got = append(got, fmt.Sprint(e.Object, len(e.Facts), len(e.Findings)))
	}
	want := "[ServiceAccount here/a 1 0 Service shop/catalog 1 0 TrafficSplit shop/catalog 1 0 HTTPRouteGroup shop/reads 1 0 Pod here/p 2 0]"
	if s := fmt.Sprint(got); s != want {
		t.Errorf("events are\n%s, want\n%s", s, want)
	}
	if len(in.Objects) != 7 || len(in.Native) != 1 || in.Native[0].Kind != "VirtualService" {
		t.Errorf("%d objects, native %v", len(in.Objects), in.Native)
	}
	where := func(k model.Kind, name, path string) string {
		f, l, c := in.Positions.Find(model.Ref{Kind: k, Name: model.Name{Namespace: "shop", Name: name}}, path)
		return fmt.Sprintf("%s:%d:%d", filepath.Base(f), l, c)
	}
	for _, c := range []struct {
		k          model.Kind
		name, path string
		want       string
	}{
		{model.KindSplit, "catalog", "spec.backends[1].weight", "shop.yaml:20:5"},
		{model.KindGroup, "reads", "spec.matches[0].pathRegex", "shop.yaml:28:3"}, // v1alpha2 has no spec
		{"VirtualService", "other", "spec.hosts", "shop.yaml:33:8"},
		{model.KindSplit, "nobody", "spec", ".:0:0"},
	} {
		if got := where(c.k, c.name, c.path); got != c.want {
			t.Errorf("%s %s %s stands at %s, want %s", c.k, c.name, c.path, got, c.want)
		}
	}
}

func TestReadWorldFaults(t *testing.T) {
	_, err := Read([]string{filepath.Join(t.TempDir(), "none.yaml")}, nil, Options{})
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestTwice(t *testing.T) {
	split := "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {name: s}\nspec:\n  service: %s\n  backends: [{service: a, weight: 1}]\n"
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1.yaml"), filepath.Join(dir, "2.yaml")
	for _, c := range []struct {
		second string
		level  model.Level
	}{{"root", model.Notice}, {"other", model.Invalid}} {
		write(t, one, fmt.Sprintf(split, "root"))
		write(t, two, "---\n"+fmt.Sprintf(split, c.second))
		in, err := Read([]string{dir}, nil, Options{})
		if err != nil || len(in.Events) != 1 || len(in.Objects) != 2 {
			t.Fatal(err, in.Events)
		}
		if s := fact[*model.Split](t, in.Events); s.Root != "root" {
			t.Errorf("the second text counts: %s", s.Root)
		}
		f := in.Events[0].Findings
		if len(f) != 1 || f[0].Code != model.CodeTwice || f[0].Level != c.level || !strings.Contains(f[0].Message, one+":1") || !strings.Contains(f[0].Message, two+":2") {
			t.Errorf("findings are %v", f)
		}
	}
}

// TestBroken holds that a text which cannot be understood allows less, and that each fault has its line.
func TestBroken(t *testing.T) {
	const text = `apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: t}
spec:
  destination: {kind: ServiceAccount, name: server}
  rules: [{kind: TCPRoute, name: r}]
  rules: []
  sources: [{kind: ServiceAccount, name: client}]
---
foo: [
---
kind: Service
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: s}
  spec:
    ports: [{port: 70000}]
`
	in := Parse("shop/in.yaml", []byte(text), Options{})
	if p := fact[*model.Permission](t, in.Events); !p.Broken || p.Destination.Name != "server" {
		t.Errorf("a broken permission is %+v", p)
	}
	var got []string
	all := in.Findings
	for _, e := range in.Events {
		all = append(all, e.Findings...)
	}
	for _, f := range all {
		file, line, _ := in.Positions.Find(f.Object, f.Path)
		got = append(got, fmt.Sprintf("%s %s %s:%d", f.Code, f.Object, file, line))
	}
	want := []string{"AM0101 Document shop/in.yaml:11 shop/in.yaml:11", "AM0102 Document shop/in.yaml:12 shop/in.yaml:12",
		"AM0203 TrafficTarget default/t shop/in.yaml:6", "AM0101 TrafficTarget default/t shop/in.yaml:6",
		"AM0206 Service default/s shop/in.yaml:21"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("findings are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAssume(t *testing.T) {
	text := strings.Split(shop, "---\n")[1]
	in := Parse("x", []byte(text), Options{Assume: true})
	s := store.New()
	for _, e := range in.Events {
		s.Set(e)
	}
	for _, n := range []string{"catalog", "catalog-v1", "catalog-v2"} {
		if v := s.Service(model.Name{Namespace: "shop", Name: n}); v == nil || !v.Assumed {
			t.Errorf("%s is %v", n, v)
		}
	}
	if f := in.Events[0].Findings; len(f) != 1 || f[0].Code != model.CodeAssumed {
		t.Errorf("findings are %v", f)
	}
	if in = Parse("x", []byte(shop), Options{Assume: true}); len(in.Events) != 3 || len(in.Events[1].Findings) > 0 {
		t.Errorf("a namespace with a Service got others assumed: %v", in.Events)
	}
}

func TestIgnored(t *testing.T) {
	in := Parse("x", []byte(shop), Options{Ignored: true})
	if len(in.Findings) != 1 || in.Findings[0].Code != model.CodeIgnored || in.Findings[0].Level != model.Notice {
		t.Errorf("findings are %v", in.Findings)
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	const files = 200
	for i := range files {
		write(b, filepath.Join(dir, fmt.Sprintf("%03d.yaml", i)), strings.ReplaceAll(shop, "catalog", fmt.Sprintf("catalog%d", i)))
	}
	for b.Loop() {
		if _, err := Read([]string{dir}, nil, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(files*4), "ns/document")
}
