// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/cmd/anymesh/move"
	"github.com/anymesh/anymesh/migrate"
	"github.com/anymesh/anymesh/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMigratePlans holds whole plans, as a person reads them.
func TestMigratePlans(t *testing.T) {
	native := func(mesh string) string {
		return anymesh(t, "", "translate", "--to", mesh, "-f", shop).out
	}
	profile := load(t, "testdata/migrate/linkerd-smi.yaml")
	for _, c := range []struct {
		from, to, text string
		code           int
	}{
		{"istio", "builtin", native("istio"), exitOK},
		{"istio", "linkerd", native("istio"), exitOK},
		{"linkerd", "istio", native("linkerd"), exitOK},
		{"linkerd-2.11", "linkerd", profile, exitOK}, // the profile overrides the route
		{"linkerd-2.11", "istio", profile, exitOK},
		{"linkerd-2.11", "gamma", profile, exitOK}, // the proxies stay
		{"istio", "ambient", native("istio"), exitApproximate},
		{"appmesh", "istio", native("appmesh"), exitOK},
		{"osm", "linkerd", native("osm"), exitOK},
		{"traefik", "istio", native("traefik"), exitOK},
	} {
		t.Run(c.from+"-"+c.to, func(t *testing.T) {
			r := anymesh(t, c.text, append([]string{"migrate", "--from", c.from, "--to", c.to, "-f", "-"}, beside...)...).wants(t, c.code)
			path := "testdata/migrate/" + c.from + "-" + c.to + ".golden"
			if *update {
				if err := os.WriteFile(path, []byte(r.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if r.out != load(t, path) {
				t.Errorf("%s is otherwise now; run the test with -update and read the difference. Got:\n%s", path, r.out)
			}
		})
	}
}

// istioShop is the shop in Istio's language.
func istioShop(t *testing.T) string {
	t.Helper()
	return save(t, "istio.yaml", anymesh(t, "", "translate", "--to", "istio", "-f", shop).wants(t, exitOK).out)
}

func TestMigrate(t *testing.T) {
	native := istioShop(t)
	out := filepath.Join(t.TempDir(), "plan")
	args := append([]string{"migrate", "--from", "istio", "--to", "builtin", "-f", native, "--out", out}, beside...)
	r := anymesh(t, "", args...).wants(t, exitOK)
	has(t, r.out, "Istio → the built-in mesh: 1 namespace, 4 objects understood whole, 0 objects kept\n", "\nNamespace shop\n  1 prepare: nothing changes yet\n", "    + TrafficSplit shop/catalog (SMI)\n",
		"    $ kubectl apply -f "+out+"/01-prepare/shop/apply.yaml\n", "  2 switch: all of it together\n", "kubectl label namespace shop --overwrite istio-injection- istio.io/rev-", "      ↻ Pod shop/web\n",
		"  4 clean: at the very end\n", "      - VirtualService shop/catalog (Istio)\n", "THE WAY BACK\n", "--overwrite istio-injection=enabled", "✔ nothing: all that was moved is said exactly\n", "! not asked: the built-in mesh has no importer")
	same(t, []string{load(t, filepath.Join(out, "plan.txt"))}, []string{r.out})

	// The files are what the plan says, and its commands can be run.
	same(t, kinds(t, load(t, filepath.Join(out, "01-prepare/shop/apply.yaml"))), kinds(t, load(t, filepath.Join(out, "smi.yaml"))))
	same(t, kinds(t, load(t, filepath.Join(out, "04-clean/shop/remove.yaml"))), kinds(t, load(t, native)))
	same(t, documents(t, load(t, filepath.Join(out, "back/01-prepare/shop/apply.yaml"))), documents(t, load(t, native)))
	ran := 0
	for _, l := range strings.Split(r.out, "\n") {
		command, ok := strings.CutPrefix(strings.TrimSpace(l), "$ anymesh ")
		if !ok {
			continue
		}
		want := exitOK
		if strings.Contains(command, "stranger") {
			want = exitDenied
		}
		anymesh(t, "", strings.Fields(command)...).wants(t, want)
		ran++
	}
	if ran != 3 {
		t.Errorf("%d commands were run", ran)
	}
	has(t, anymesh(t, "", args...).wants(t, exitFailure).errs, "is not empty: name a new folder")
}

// TestMigrateKept holds that what was not understood is kept, and stays in the plan.
func TestMigrateKept(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep.yaml")
	args := append([]string{"migrate", "--from", "istio", "--to", "builtin", "-f", istioShop(t), "-f", "testdata/foreign.yaml", "--keep", keep, "-o", "json"}, beside...)
	s := parsed[move.Shape](t, anymesh(t, "", args...).wants(t, exitUnsupported).out)
	kept := 0
	for _, step := range s.Plan[0].Steps {
		for _, a := range step.Actions {
			if a.Do == "keep" {
				kept++
			}
			if a.Do == "remove" && (a.Name == "g" || a.Name == "v" || a.Name == "d") {
				t.Errorf("%+v", a)
			}
		}
	}
	if n := len(kinds(t, load(t, keep))); kept != n || n < 3 || len(s.Findings) == 0 || s.Check.Asked || s.From != "istio" || len(s.Back) != 1 {
		t.Errorf("%d kept, %d in the file: %+v", kept, n, s.Check)
	}
	has(t, anymesh(t, "", append(args[:len(args)-len(beside)-1], append([]string{"yaml"}, beside...)...)...).wants(t, exitUnsupported).out, "from: istio\n", "namespace: shop\n")
}

// TestMigrateNamespace holds that one namespace is moved alone.
func TestMigrateNamespace(t *testing.T) {
	two := save(t, "two.yaml", load(t, istioShop(t))+"---\n"+strings.NewReplacer("namespace: shop", "namespace: lab", ".shop.", ".lab.", "/ns/shop/", "/ns/lab/").Replace(load(t, istioShop(t))))
	args := append([]string{"migrate", "--from", "istio", "--to", "builtin", "-f", two, "-o", "json"}, beside...)
	both := parsed[move.Shape](t, anymesh(t, "", args...).out)
	one := parsed[move.Shape](t, anymesh(t, "", append(args, "-n", "shop")...).wants(t, exitOK).out)
	if len(both.Plan) != 2 || len(one.Plan) != 1 || one.Plan[0].Namespace != "shop" {
		t.Errorf("%d and %d namespaces", len(both.Plan), len(one.Plan))
	}
}

// TestMigrateOutcome holds that the worst that was found counts.
func TestMigrateOutcome(t *testing.T) {
	found := func(l model.Level, effects ...migrate.Effect) *migrate.Result {
		r := &migrate.Result{Findings: []model.Finding{{Level: l}}}
		for _, e := range effects {
			r.Check.Differences = append(r.Check.Differences, migrate.Difference{Effect: e})
		}
		return r
	}
	for _, c := range []struct {
		r    *migrate.Result
		want error
	}{
		{found(model.Notice), nil},
		{found(model.Approximate), exit(exitApproximate)},
		{found(model.Unsupported), exit(exitUnsupported)},
		{found(model.Unsupported, migrate.Narrows), exit(exitDifferent)},
		{found(model.Invalid, migrate.Moves), exit(exitInvalid)},
	} {
		if err := moved(c.r); err != c.want {
			t.Errorf("%v: %v, want %v", c.r, err, c.want)
		}
	}
	if err := moved(found(model.Invalid, migrate.Widens)); err == nil || !strings.Contains(err.Error(), "fault of anymesh: do not switch") {
		t.Error(err)
	}
	broken := anymesh(t, "", "migrate", "--from", "istio", "--to", "linkerd", "-f", istioShop(t), "-f", "testdata/broken.yaml").wants(t, exitInvalid)
	has(t, broken.out, "AM0101")
}

func TestMigrateMisuse(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	for args, says := range map[string]string{
		"--from istio --to builtin":                            "migrate needs -f FILE|DIR|-, or a cluster",
		"--from istio --to builtin --context x -f " + shop:     "leave out -f, or --context and --kubeconfig",
		"--from istio --to istio -f " + shop:                   "that is one mesh",
		"--from builtin --to istio -f " + shop:                 "no configuration of its own",
		"--from istio -f " + shop:                              "migrate needs --to MESH",
		"--from istio --to builtin -o table -f " + shop:        "the formats are text, json, yaml",
		"--from istio --to builtin --kubeconfig /nowhere/conf": "/nowhere/conf",
	} {
		r := anymesh(t, "", append([]string{"migrate"}, strings.Fields(args)...)...).wants(t, exitFailure)
		has(t, r.errs, says)
		if r.out != "" {
			t.Errorf("%s: %s", args, r.out)
		}
	}
}
