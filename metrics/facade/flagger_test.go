// SPDX-License-Identifier: Apache-2.0

package facade_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

// observers reads the queries out of Flagger's sources, as they are released: by mesh, then by metric.
func observers(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := exec.Command("go", "mod", "download", "-json", "github.com/fluxcd/flagger@v1.43.0").Output()
	var module struct{ Dir string }
	if err != nil || json.Unmarshal(text, &module) != nil || module.Dir == "" {
		t.Skipf("Flagger's sources are not to be had: %v %s", err, text)
	}
	out := map[string]map[string]string{}
	for _, mesh := range []string{"istio", "linkerd", "osm", "appmesh", "kuma"} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(module.Dir, "pkg/metrics/observers", mesh+".go"), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		out[mesh] = map[string]string{}
		ast.Inspect(file, func(n ast.Node) bool {
			if kv, ok := n.(*ast.KeyValueExpr); ok {
				key, isText := kv.Key.(*ast.BasicLit)
				value, isToo := kv.Value.(*ast.BasicLit)
				if isText && isToo {
					k, _ := strconv.Unquote(key.Value)
					v, _ := strconv.Unquote(value.Value)
					out[mesh][k] = v
				}
			}
			return true
		})
		if len(out[mesh]) != 2 {
			t.Fatalf("Flagger's queries for %s are not where they were: %v", mesh, out[mesh])
		}
	}
	return out
}

// render fills in a query as Flagger does.
func render(t *testing.T, query, namespace, target, interval string) string {
	t.Helper()
	say := func(s string) func() string { return func() string { return s } }
	var b strings.Builder
	tmpl, err := template.New("").Funcs(template.FuncMap{"namespace": say(namespace), "target": say(target), "interval": say(interval)}).Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`\s+`).ReplaceAllString(b.String(), " ")
}
