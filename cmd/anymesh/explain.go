// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/codes"
	"github.com/anymesh/anymesh/model"
)

func explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "explain [CODE]", Short: "Explain a code of a finding", GroupID: "ask", Args: count(0, 1, "one code, such as AM0303, or none to list them"),
		Long:    "explain says what a code means, what follows from it and what to do. Without a code it lists them all.",
		Example: "  anymesh explain AM0303\n  anymesh explain",
		RunE: func(c *cobra.Command, args []string) error {
			var b strings.Builder
			if len(args) == 0 {
				for _, e := range codes.All() {
					fmt.Fprintf(&b, "%s  %s\n", e.Code, e.Title)
				}
			} else {
				e, ok := codes.Find(model.Code(strings.ToUpper(args[0])))
				if !ok {
					return fmt.Errorf("there is no code %s; 'anymesh explain' lists them", args[0])
				}
				b.WriteString(e.Text())
			}
			_, err := io.WriteString(c.OutOrStdout(), b.String())
			return err
		},
	}
	for _, e := range codes.All() {
		c.ValidArgs = append(c.ValidArgs, string(e.Code)+"\t"+e.Title)
	}
	return c
}
