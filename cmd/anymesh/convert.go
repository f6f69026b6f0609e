// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

func convertCommand() *cobra.Command {
	var in input
	var to string
	c := &cobra.Command{
		Use: "convert --to GROUP/VERSION -f FILE|DIR|-", Short: "Convert SMI objects to another version of their API", GroupID: "move", Args: cobra.NoArgs,
		Long: `convert writes the objects of the group in the version, and every other object as it is. What an older version cannot hold travels in the
annotation anymesh.dev/preserved, from which the way back restores it: nothing is lost, and nothing is allowed that was not.`,
		Example: "  anymesh convert --to split.smi-spec.io/v1alpha2 -f shop/",
		RunE: func(c *cobra.Command, _ []string) error {
			group, _, _ := strings.Cut(to, "/")
			if known := versions(); !slices.Contains(known, to) {
				return fmt.Errorf("--to %s: the versions are %s", to, strings.Join(known, ", "))
			}
			got, _, err := in.read(c, false)
			if err != nil {
				return err
			}
			var findings []model.Finding
			items := make([]any, 0, len(got.Objects))
			for _, o := range got.Objects {
				if g, _, _ := strings.Cut(o.APIVersion, "/"); g != group {
					items = append(items, o)
					continue
				}
				v, found := smi.Convert(o, to)
				findings = append(findings, found...)
				items = append(items, v)
			}
			findings = engine.Sort(append(findings, got.Findings...))
			if in.output == "json" {
				err = write(c.OutOrStdout(), "json", map[string]any{"objects": items, "findings": entries(findings, got.Positions)})
			} else {
				err = documents(c, items)
				print(c.ErrOrStderr(), findings, got.Positions)
			}
			if err != nil {
				return err
			}
			return worst(findings)
		},
	}
	in.flags(c, "yaml", "json")
	c.Flags().StringVar(&to, "to", "", "the `GROUP/VERSION`")
	complete(c, "to", versions()...)
	_ = c.MarkFlagRequired("to")
	return c
}

// versions lists every version of every group of SMI.
func versions() []string {
	var out []string
	for _, k := range smi.Kinds() {
		out = append(out, smi.Versions(k)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
