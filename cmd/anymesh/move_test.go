// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// beside are the Services and workloads that identities are found by.
var beside = []string{"-f", shop + "/services.yaml", "-f", shop + "/pods.yaml"}

// questions are requests of the shop, and whether they are admitted.
var questions = []string{"shop/web shop/catalog GET /products", "shop/web shop/catalog POST /products", "shop/web shop/catalog GET /admin",
	"shop/intruder shop/catalog GET /products", "nobody shop/catalog GET /products", "shop/web shop/payments", "shop/intruder shop/payments"}

// asked answers the questions from SMI objects with the shop's services beside.
func asked(t *testing.T, smi string) (out []string) {
	t.Helper()
	for _, q := range questions {
		f := strings.Fields(q)
		args := append([]string{"why", "-o", "json", "--from", f[0], "--to", f[1], "-f", "-"}, append(f[2:], beside...)...)
		r := anymesh(t, smi, args...)
		v := parsed[answer](t, r.out)
		line := fmt.Sprintf("%s: %t", q, v.Allowed)
		for _, b := range v.Backends {
			line += fmt.Sprintf(" %s %.3f", b.Service, b.Share)
		}
		out = append(out, line)
	}
	return out
}

// TestImportBack holds that what was translated reads back as what it meant, and translates to the same again.
func TestImportBack(t *testing.T) {
	written := anymesh(t, "", "translate", "--to", "istio", "-f", shop).wants(t, exitOK).out
	back := anymesh(t, written, append([]string{"import", "--from", "istio", "-f", "-"}, beside...)...).wants(t, exitOK)
	has(t, back.errs, "Istio: 4 of 4 objects understood whole; SMI: 7 objects\n")
	same(t, asked(t, back.out), asked(t, load(t, shop+"/split.yaml")+"---\n"+load(t, shop+"/access.yaml")))
	again := anymesh(t, back.out, append([]string{"translate", "--to", "istio", "-f", "-"}, beside...)...).wants(t, exitOK)
	same(t, asked(t, anymesh(t, again.out, append([]string{"import", "--from", "istio", "-f", "-"}, beside...)...).wants(t, exitOK).out), asked(t, back.out))
	// The pipe of the help: everything comes through one stream.
	stream := anymesh(t, back.out, append([]string{"translate", "--to", "builtin", "-f", "-"}, beside...)...).wants(t, exitOK)
	if !strings.Contains(stream.out, "\nkind: Listener\n") {
		t.Error("import | translate says nothing")
	}
}

// TestImportForeign holds that what is not understood is named and kept, and that nothing is admitted for it.
func TestImportForeign(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep.yaml")
	args := append([]string{"import", "--from", "istio", "-f", "testdata/foreign.yaml"}, beside...)
	r := anymesh(t, "", append(args, "--keep", keep)...).wants(t, exitUnsupported)
	same(t, kinds(t, load(t, keep)), []string{"Gateway shop/g", "VirtualService shop/v", "AuthorizationPolicy shop/d"})
	has(t, r.errs, "spec.http[0].fault\n", "Istio: 0 of 3 objects understood whole", "1 object of other APIs passed over", "testdata/foreign.yaml:20:3 spec.action")
	for _, q := range []string{"shop/web", "shop/intruder", "nobody"} {
		anymesh(t, r.out, append([]string{"why", "--from", q, "--to", "shop/catalog", "GET", "/products", "-f", "-"}, beside...)...).wants(t, exitDenied)
	}
	b := parsed[bundle](t, anymesh(t, "", append(args, "-o", "json")...).wants(t, exitUnsupported).out)
	if len(b.Objects) != len(kinds(t, r.out)) || len(b.Findings) != 3 {
		t.Errorf("%d objects, %d findings", len(b.Objects), len(b.Findings))
	}
	if kept, err := os.ReadFile(keep); err != nil || !strings.Contains(string(kept), "fixedDelay: 1s") {
		t.Errorf("kept: %s %v", kept, err)
	}
	has(t, anymesh(t, "", "import", "--from", "istio", "-f", shop).wants(t, exitOK).errs, "Istio: the input holds no object of its APIs")
}

// TestConvertAll holds that every pair of versions of every kind converts there and back without loss.
func TestConvertAll(t *testing.T) {
	sample := load(t, shop+"/split.yaml") + "---\n" + load(t, shop+"/access.yaml")
	pairs := 0
	for _, kind := range smi.Kinds() {
		for _, from := range smi.Versions(kind) {
			start := anymesh(t, sample, "convert", "--to", from, "-f", "-")
			if start.code != exitOK {
				continue // a kind that came later
			}
			for _, to := range smi.Versions(kind) {
				there := anymesh(t, start.out, "convert", "--to", to, "-f", "-").wants(t, exitOK)
				has(t, there.out, "apiVersion: "+to+"\n")
				back := anymesh(t, there.out, "convert", "--to", from, "-f", "-").wants(t, exitOK)
				same(t, documents(t, back.out), documents(t, start.out))
				same(t, asked(t, there.out), asked(t, sample))
				pairs++
			}
		}
	}
	if pairs < 48 {
		t.Errorf("only %d pairs were converted", pairs)
	}
}

// documents reads a stream as JSON, with the fields in one order.
func documents(t *testing.T, text string) (out []string) {
	t.Helper()
	list, problems := object.Parse("stdout", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range list {
		b, err := json.Marshal(object.Value(o.Node()))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

func TestConvert(t *testing.T) {
	r := anymesh(t, "", "convert", "--to", "split.smi-spec.io/v1alpha1", "-f", shop).wants(t, exitOK)
	has(t, r.errs, "notice AM0501 ", "split.smi-spec.io/v1alpha1: 2 objects in this version, of 16 read; 1 notice\n")
	if n := len(kinds(t, r.out)); n != 16 {
		t.Errorf("%d objects came through", n)
	}
	b := parsed[bundle](t, anymesh(t, "", "convert", "--to", "split.smi-spec.io/v1alpha1", "-o", "json", "-f", shop).wants(t, exitOK).out)
	if len(b.Objects) != 16 || len(b.Findings) != 1 {
		t.Errorf("%d objects, %d findings", len(b.Objects), len(b.Findings))
	}
	// A fault of what is converted is told: it would be as wrong in any version.
	has(t, anymesh(t, "", "convert", "--to", "split.smi-spec.io/v1alpha4", "-f", "testdata/broken.yaml").wants(t, exitInvalid).errs, "AM0201", "AM0101")
}

func TestDiff(t *testing.T) {
	there := t.TempDir()
	args := []string{"diff", "--to", "istio", "--against", there, "-f", shop}
	has(t, anymesh(t, "", args...).wants(t, exitDifferent).out, "+ create VirtualService shop/catalog\n    + apiVersion: networking.istio.io/v1\n", "4 to create, 0 to change, 0 to delete, 0 in conflict\n")

	put := func(text string) {
		if err := os.WriteFile(filepath.Join(there, "mesh.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written := anymesh(t, "", "translate", "--to", "istio", "-f", shop).wants(t, exitOK).out
	put(written)
	has(t, anymesh(t, "", args...).wants(t, exitOK).out, "✔ nothing would change\n")
	if r := anymesh(t, "", append(args, "-o", "json")...).wants(t, exitOK); r.out != "[]\n" {
		t.Errorf("%q", r.out)
	}
	// What an API server adds is no difference.
	put(strings.ReplaceAll(written, "metadata:\n", "metadata:\n  uid: x\n  resourceVersion: \"1\"\n  annotations: {kubectl.kubernetes.io/last-applied-configuration: x}\n"))
	anymesh(t, "", args...).wants(t, exitOK)

	mine := "    app.kubernetes.io/managed-by: anymesh\n"
	old := strings.Replace(written, "weight: 9\n", "weight: 8\n", 1)
	old = strings.Replace(old, "name: payments-pod", "name: left-behind", 1)
	parts := strings.Split(old, "---\n")
	parts[1] = strings.Replace(parts[1], mine, "    app: theirs\n", 1)
	parts = append(parts, strings.Replace(strings.Replace(parts[1], "catalog-v1-pod", "theirs", 1), mine, "", 1))
	put(strings.Join(parts, "---\n"))
	table := anymesh(t, "", args...).wants(t, exitDifferent).out
	has(t, table, "~ change VirtualService shop/catalog  ("+there+"/mesh.yaml:1)\n", "    -       weight: 8\n    +       weight: 9\n", "! conflict AuthorizationPolicy shop/catalog-v1-pod",
		"+ create AuthorizationPolicy shop/payments-pod\n", "- delete AuthorizationPolicy shop/left-behind  (", "1 to create, 1 to change, 1 to delete, 1 in conflict\n")
	lacks(t, table, "shop/theirs", "hosts:")
	type step struct {
		Action, APIVersion, Kind, Namespace, Name, File string
		Line                                            int
		Before, After                                   map[string]any
	}
	steps := parsed[[]step](t, anymesh(t, "", append(args, "-o", "json")...).wants(t, exitDifferent).out)
	var got []string
	for _, s := range steps {
		got = append(got, fmt.Sprintf("%s %s/%s %t %t", s.Action, s.Namespace, s.Name, s.Before != nil, s.After != nil))
	}
	same(t, got, []string{"change shop/catalog true true", "conflict shop/catalog-v1-pod true true", "create shop/payments-pod false true", "delete shop/left-behind true false"})
	has(t, anymesh(t, "", append(args, "-o", "yaml")...).wants(t, exitDifferent).out, "- action: change\n")

	// Broken input is not a wish to delete.
	r := anymesh(t, "", "diff", "--to", "istio", "--against", there, "-f", "testdata/broken.yaml").wants(t, exitInvalid)
	has(t, r.errs, "AM0101")
	put("a: [\n")
	has(t, anymesh(t, "", args...).wants(t, exitFailure).errs, "mesh.yaml")
}
