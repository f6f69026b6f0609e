// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/matrix"
	"github.com/anymesh/anymesh/mesh"
)

func matrixCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "matrix [MESH...]", Short: "Say what each mesh can say", GroupID: "ask",
		Long: `matrix prints, for every feature of SMI, whether a mesh can say it exactly, approximately or not at
all. It comes from the claims that the drivers' tests prove.`,
		Example:   "  anymesh matrix\n  anymesh matrix istio -o json",
		ValidArgs: names(),
		RunE: func(c *cobra.Command, args []string) error {
			drivers := writers()
			for _, a := range args {
				if _, err := writer(a); err != nil {
					return err
				}
			}
			if len(args) > 0 {
				drivers = slices.DeleteFunc(drivers, func(d *mesh.Driver) bool { return !slices.Contains(args, d.Name) })
			}
			if format == "markdown" {
				_, err := io.WriteString(c.OutOrStdout(), matrix.Markdown(drivers))
				return err
			}
			return result(c, format, matrix.Rows(drivers), func() error { return matrix.Table(c.OutOrStdout(), drivers) })
		},
	}
	formatFlag(c, &format, "table", "markdown", "json", "yaml")
	return c
}
