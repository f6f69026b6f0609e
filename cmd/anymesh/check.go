// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
)

func checkCommand() *cobra.Command {
	var in input
	var meshes []string
	var strict bool
	c := &cobra.Command{
		Use: "check -f FILE|DIR|-", Short: "Find what is wrong with SMI objects, offline", GroupID: "ask", Args: cobra.NoArgs,
		Long: `check reads SMI objects as strictly as the admission webhook does, joins them with the Services and workloads beside them, and says
what is wrong: with a stable code, file, line and field, and what to do. 'anymesh explain CODE' tells more of a code.

With --mesh it also says what that mesh could not do.`,
		Example: "  anymesh check -f shop/\n  anymesh check -f shop/ --mesh istio -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			var targets []engine.Target
			for _, m := range meshes {
				d, err := driver(m)
				if err != nil {
					return err
				}
				targets = append(targets, engine.Target{Driver: d})
			}
			got, events, err := in.read(c, true)
			if err != nil {
				return err
			}
			e := engine.New(targets...)
			e.Set(events...)
			e.Flush()
			findings := engine.Sort(append(e.Findings(), got.Findings...))
			if in.output != "table" {
				if err := write(c.OutOrStdout(), in.output, entries(findings, got.Positions)); err != nil {
					return err
				}
				return failed(findings, strict)
			}
			print(c.OutOrStdout(), findings, got.Positions)
			if len(findings) == 0 {
				fmt.Fprintf(c.OutOrStdout(), "%s %d objects, nothing to find\n", marks[model.Exact], len(got.Objects))
			}
			return failed(findings, strict)
		},
	}
	in.flags(c, "table", "json", "yaml")
	c.Flags().StringSliceVar(&meshes, "mesh", nil, "also say what this mesh could not do; may be repeated")
	c.Flags().BoolVar(&strict, "strict", false, "notices fail too, with exit code 3")
	return c
}

func failed(list []model.Finding, strict bool) error {
	err := worst(list)
	if err == nil && strict && len(list) > 0 {
		return exit(exitApproximate)
	}
	return err
}
