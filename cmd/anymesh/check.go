// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
)

func checkCommand() *cobra.Command {
	in := input{optional: true}
	var format string
	var meshes []string
	var strict bool
	var k looking
	var m measuring
	c := &cobra.Command{
		Use: "check [-f FILE|DIR|-]", Short: "Find what is wrong with SMI objects in files, or with anymesh in a cluster", GroupID: "ask", Args: files,
		Long: `check -f reads SMI objects as strictly as an admission webhook, joins them with the Services and
workloads beside them, and says what is wrong: with a stable code, file, line and field, and what to
do. 'anymesh explain CODE' tells more of a code. With --mesh it also says what that mesh could not do.
No cluster is asked.

` + exitLevels + `
With --strict a notice counts as approximate.

Without -f check looks at the cluster of the kubeconfig: the API server, the definitions of SMI's kinds,
the webhook and its certificate, the controller, the meshes, and what became of the objects; with --pre
at whether anymesh could be installed. ✔ is sound, ‼ wants a look, ✘ is wrong, – could not be looked at.

With --metrics it looks why there are no metrics: whether a Prometheus answers, scrapes, has the series
of the mesh's proxies, often enough for the window, and whether there is traffic at all.

Exit codes: 0 nothing is wrong, 1 something is; with --strict 3 where something wants a look.`,
		Example: `  anymesh check -f shop/
  anymesh check -f shop/ --mesh istio --strict
  kustomize build overlays/live | anymesh check -f - -o json
  anymesh check --pre
  anymesh check --context live --wait 2m
  anymesh check --metrics --prometheus http://prometheus:9090 --mesh istio`,
		RunE: func(c *cobra.Command, _ []string) error {
			if m.why {
				return m.diagnose(c, meshes, format, strict)
			} else if !c.Flags().Changed("file") {
				return k.run(c, format, strict)
			}
			findings, got, err := in.check(c, meshes)
			if err != nil {
				return err
			}
			err = result(c, format, report.Entries(findings, got.Positions), func() error {
				_, err := io.WriteString(c.OutOrStdout(), report.Text(findings, got.Positions, false)+looked(got, findings)+"\n")
				return err
			})
			if err != nil {
				return err
			}
			return failed(findings, strict)
		},
	}
	in.flags(c)
	k.flags(c)
	formatFlag(c, &format, "table", "json", "yaml")
	c.Flags().StringSliceVar(&meshes, "mesh", nil, "also say what `MESH` could not do: "+strings.Join(names(), ", ")+"; may be repeated")
	complete(c, "mesh", names()...)
	m.whyFlags(c)
	c.Flags().BoolVar(&strict, "strict", false, "a notice, or what wants a look, fails too, with exit code 3")
	return c
}

// check finds what is wrong with the input, and what meshes could not do of it.
func (in *input) check(c *cobra.Command, meshes []string) ([]model.Finding, *file.Input, error) {
	var targets []engine.Target
	for _, m := range meshes {
		d, err := driver(m)
		if err != nil {
			return nil, nil, err
		}
		targets = append(targets, engine.Target{Driver: d})
	}
	got, events, err := in.read(c, true)
	if err != nil {
		return nil, nil, err
	}
	e := engine.New(targets...)
	e.Set(events...)
	e.Flush()
	return engine.Sort(append(e.Findings(), got.Findings...)), got, nil
}

// failed is the exit code of a check.
func failed(list []model.Finding, strict bool) error {
	err := worst(list)
	if err == nil && strict && slices.ContainsFunc(list, func(f model.Finding) bool { return f.Level == model.Notice }) {
		return exit(exitApproximate)
	}
	return err
}

// looked is the last line: what was looked at, and what came of it. What was not read is named: a kind that was mistyped would
// otherwise look clean.
func looked(got *file.Input, findings []model.Finding) string {
	texts, kinds := map[string]bool{}, []string{}
	for _, o := range got.Objects {
		texts[o.File] = true
	}
	for _, f := range got.Findings { // a text may be nothing but faults
		if name, _, _ := got.Positions.Find(f.Object, f.Path); name != "" {
			texts[name] = true
		}
	}
	for _, o := range got.Native {
		if k := strings.TrimSuffix(o.Kind+"."+group(o.APIVersion), "."); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	s := fmt.Sprintf("%s in %s: ", report.Count(len(got.Objects), "object"), report.Count(len(texts), "file"))
	if sum := report.Summary(findings); sum == "" {
		s = report.Mark(model.Exact) + " " + s + "nothing is wrong"
	} else {
		s += sum
	}
	if n := len(got.Native); n > 0 {
		slices.Sort(kinds)
		s += fmt.Sprintf("; %s of other kinds not looked at (%s)", report.Count(n, "object"), strings.Join(kinds[:min(len(kinds), 5)], ", "))
	}
	return s
}
