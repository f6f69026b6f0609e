// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/codes"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

const shop = "../../examples/shop"

// ran is what a run of the program left.
type ran struct {
	out, errs string
	code      int
}

// anymesh runs the program with the texts in the standard input.
func anymesh(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	var out, errs strings.Builder
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return ran{out.String(), errs.String(), code}
}

// wants fails where the run did not end with the code.
func (r ran) wants(t *testing.T, code int) ran {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.errs)
	}
	return r
}

// has fails where a text lacks one of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%q is in:\n%s", p, text)
		}
	}
}

// parsed reads JSON strictly: a key that the type lacks is a fault, so that shapes which scripts rely on are pinned.
func parsed[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

// kinds reads a stream of YAML and names its objects.
func kinds(t *testing.T, text string) (out []string) {
	t.Helper()
	list, problems := object.Parse("stdout", []byte(text))
	if len(problems) > 0 {
		t.Fatalf("not YAML: %v in:\n%s", problems, text)
	}
	for _, o := range list {
		out = append(out, o.Kind+" "+o.Namespace+"/"+o.Name)
	}
	return out
}

func same[T comparable](t *testing.T, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// save writes a file into a folder of its own.
func save(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMisuse holds that a fault of the command line exits 1, writes nothing to standard output, and says what to do.
func TestMisuse(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("KUBECONFIG", filepath.Join(empty, "none")) // whatever cluster the reader has is not asked
	texts := filepath.Dir(save(t, "notes.txt", "none"))
	for _, c := range []struct {
		args string
		says string
	}{
		{"tranlate", `no command "tranlate"; did you mean translate?`},
		{"frobnicate", "Run 'anymesh --help'"},
		{"check", "check needs -f FILE|DIR|-, or a cluster: no cluster is configured"},
		{"check shop/", "name files and folders with -f shop/"},
		{"check -f nope", "-f nope: no such file"},
		{"check --file=", "-f '': the name is empty"},
		{"check -f " + empty, "nothing to read: there is no object in " + empty},
		{"translate --to istio -f " + texts, "*.yaml, *.yml and *.json are read"},
		{"check -f -", "standard input holds no object"},
		{"check --bogus -f -", "unknown flag: --bogus\nRun 'anymesh check --help'"},
		{"check -o xml -f -", "-o xml: the formats are table, json, yaml"},
		{"check --access-default=open -f " + shop, "targeted, deny or allow"},
		{"check --mesh istoi -f " + shop, "Did you mean istio?"},
		{"translate --to linkerd9 -f " + shop, `no mesh "linkerd9"; there are ` + strings.Join(names(), ", ")},
		{"translate -f " + shop, "translate needs --to MESH"},
		{"translate --to istio -o table -f " + shop, "the formats are yaml, json"},
		{"translate --to istio --report /nowhere/x -f " + shop, "write the report: open /nowhere/x"},
		{"import --from builtin -f " + shop, "no configuration of its own"},
		{"import --from istio --keep /nowhere/x -f " + shop, "--keep /nowhere/x: no such file"},
		{"convert -f " + shop, "convert needs --to GROUP/VERSION"},
		{"convert --to split.smi-spec.io/v1alpha7 -f " + shop, "\n  split.smi-spec.io/v1alpha4"},
		{"diff --to istio -f " + shop, "diff needs --against DIR"},
		{"diff --to istio --against nope -f " + shop, "--against nope: no such file"},
		{"matrix consul9", "there is no mesh"},
		{"matrix nginx", "read alone"},
		{"translate --to nginx -f " + shop, "anymesh import --from nginx"},
		{"explain AM9999", "'anymesh explain' lists them"},
		{"explain AM0101 AM0102", "explain takes one code"},
		{"version now", "version takes no arguments"},
		{"up", "up takes one folder"},
		{"up nope", "folder nope: no such file"},
		{"up main.go", "main.go is a file"},
		{"demo a b", "at most one folder"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := anymesh(t, "", strings.Fields(c.args)...).wants(t, exitFailure)
			has(t, r.errs, "anymesh: ", c.says)
			if r.out != "" {
				t.Errorf("standard output has %q", r.out)
			}
		})
	}
}

// TestHelp holds that every command says what it does, shows an example and tells of its exit codes, in lines that fit a screen.
func TestHelp(t *testing.T) {
	judges := []string{"check", "convert", "diff", "import", "translate", "why"}
	for _, c := range root().Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		text := anymesh(t, "", c.Name(), "--help").wants(t, exitOK).out
		has(t, text, "Usage:\n  anymesh "+c.Name(), "Examples:\n  anymesh ")
		if slices.Contains(judges, c.Name()) {
			has(t, text, "Exit codes: 0 ", "1 failure")
		}
		for line := range strings.Lines(c.Long) {
			if n := len([]rune(line)); n > 106 {
				t.Errorf("%s: a line of %d letters: %s", c.Name(), n, line)
			}
		}
	}
	has(t, anymesh(t, "").wants(t, exitOK).out, "Run a mesh:", "Translate and move:", "Ask:", "Exit codes:")
}

func TestVersion(t *testing.T) {
	has(t, anymesh(t, "", "version").wants(t, exitOK).out, build()+" go1.")
	v := parsed[struct{ Version, Go, Platform string }](t, anymesh(t, "", "version", "-o", "json").wants(t, exitOK).out)
	if v.Version != build() || v.Platform == "" {
		t.Errorf("%+v", v)
	}
	has(t, anymesh(t, "", "--version").wants(t, exitOK).out, "anymesh "+build())
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		has(t, anymesh(t, "", "completion", shell).wants(t, exitOK).out, shell+" completion", "anymesh")
	}
	has(t, anymesh(t, "", cobra.ShellCompRequestCmd, "translate", "--to", "").out, "istio\n", "builtin\n")
	has(t, anymesh(t, "", cobra.ShellCompRequestCmd, "import", "--from", "").out, "istio\n")
	lacks(t, anymesh(t, "", cobra.ShellCompRequestCmd, "import", "--from", "").out, "builtin")
	has(t, anymesh(t, "", cobra.ShellCompRequestCmd, "explain", "AM01").out, "AM0101")
	has(t, anymesh(t, "", cobra.ShellCompRequestCmd, "convert", "--to", "split").out, "split.smi-spec.io/v1alpha1\n")
}

func TestExplain(t *testing.T) {
	has(t, anymesh(t, "", "explain", "am0101").wants(t, exitOK).out, "AM0101  ", "What to do: ")
	list := anymesh(t, "", "explain").wants(t, exitOK).out
	for _, e := range codes.All() {
		has(t, list, string(e.Code)+"  "+e.Title)
	}
}

func TestMatrix(t *testing.T) {
	table := anymesh(t, "", "matrix").wants(t, exitOK).out
	rows := strings.Split(table, "\n")
	column := strings.Index(rows[0], "WHAT")
	for f := range model.Feature(model.NumFeatures) {
		if row := rows[f+1]; !strings.HasPrefix(row, f.String()+" ") || strings.Index(row, f.Title()) != column {
			t.Errorf("row %d of %s is not in its column: %s", f, f, row)
		}
	}
	has(t, table, "BUILTIN", "ISTIO", "\n[1] ")

	type row struct {
		Feature, Title string
		Meshes         map[string]struct{ Level, Note string }
	}
	list := parsed[[]row](t, anymesh(t, "", "matrix", "-o", "json").wants(t, exitOK).out)
	if len(list) != int(model.NumFeatures) || list[0].Meshes["istio"].Level != "exact" {
		t.Errorf("%+v", list)
	}
	one := parsed[[]row](t, anymesh(t, "", "matrix", "istio", "-o", "json").wants(t, exitOK).out)
	if _, ok := one[0].Meshes["builtin"]; ok || len(one) != len(list) {
		t.Errorf("matrix istio shows %+v", one[0])
	}
	has(t, anymesh(t, "", "matrix", "-o", "yaml").wants(t, exitOK).out, "- feature: split.weight\n")
	markdown := anymesh(t, "", "matrix", "-o", "markdown").wants(t, exitOK).out
	bars := 0
	for line := range strings.Lines(markdown) {
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "|") && bars != 0 && n != bars {
			t.Errorf("a row of %d cells among rows of %d: %s", n, bars, line)
		} else if strings.HasPrefix(line, "|") {
			bars = n
		}
	}
}

// TestDocs holds that the pages are written, found fresh, and found stale after an edit.
func TestDocs(t *testing.T) {
	dir := t.TempDir()
	has(t, anymesh(t, "", "docs", "--check", dir).wants(t, exitFailure).errs, "make generate")
	anymesh(t, "", "docs", dir).wants(t, exitOK)
	anymesh(t, "", "docs", "--check", dir).wants(t, exitOK)
	cli := load(t, filepath.Join(dir, "cli.md"))
	for _, c := range root().Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			has(t, cli, "\n## "+c.Name()+"\n", "(#"+c.Name()+")")
		}
	}
	if strings.Count(cli, "```")%2 != 0 {
		t.Error("a block of cli.md does not end")
	}
	has(t, load(t, filepath.Join(dir, "codes.md")), "### AM0101")
	has(t, load(t, filepath.Join(dir, "matrix.md")), "`split.weight`")
	if err := os.WriteFile(filepath.Join(dir, "matrix.md"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	has(t, anymesh(t, "", "docs", "--check", dir).wants(t, exitFailure).errs, "matrix.md")
}

// broken takes so many bytes, then fails as a full disk does.
type broken struct{ left int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

// TestFullDisk holds that output which was not written whole never looks like success.
func TestFullDisk(t *testing.T) {
	for _, args := range []string{"translate --to istio -f " + shop, "translate --to istio -o json -f " + shop, "check -f " + shop, "check -o yaml -f testdata/broken.yaml",
		"why --from shop/web --to shop/catalog GET /products -f " + shop, "convert --to split.smi-spec.io/v1alpha1 -f " + shop, "matrix", "matrix -o markdown",
		"explain", "version", "diff --to istio --against " + shop + " -f " + shop} {
		var errs strings.Builder
		if code := run(t.Context(), strings.Fields(args), nil, &broken{20}, &errs); code != exitFailure || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s: exit %d: %s", args, code, errs.String())
		}
	}
}
