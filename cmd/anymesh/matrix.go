// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
)

func matrixCommand() *cobra.Command {
	var in input
	c := &cobra.Command{
		Use: "matrix [MESH...]", Short: "Say what each mesh can say", GroupID: "ask",
		Long:      "matrix prints, for every feature of SMI, whether a mesh can say it exactly, approximately or not at all. It comes from the claims that the drivers' tests prove.",
		ValidArgs: names(),
		RunE: func(c *cobra.Command, args []string) error {
			drivers := all.Drivers()
			for _, a := range args {
				if _, err := driver(a); err != nil {
					return err
				}
			}
			if len(args) > 0 {
				drivers = slices.DeleteFunc(drivers, func(d *mesh.Driver) bool { return !slices.Contains(args, d.Name) })
			}
			switch in.output {
			case "table":
				return matrixTable(c.OutOrStdout(), drivers)
			case "markdown":
				_, err := io.WriteString(c.OutOrStdout(), matrixMarkdown(drivers))
				return err
			}
			return write(c.OutOrStdout(), in.output, matrixRows(drivers))
		},
	}
	in.outputFlag(c, "table", "markdown", "json", "yaml")
	return c
}

func names() (out []string) {
	for _, d := range all.Drivers() {
		out = append(out, d.Name)
	}
	return out
}

type matrixRow struct {
	Feature string                `json:"feature"`
	Title   string                `json:"title"`
	Meshes  map[string]matrixCell `json:"meshes"`
}

type matrixCell struct {
	Level string `json:"level"`
	Note  string `json:"note,omitempty"`
}

func matrixRows(drivers []*mesh.Driver) []matrixRow {
	rows := make([]matrixRow, model.NumFeatures)
	for f := range rows {
		x := model.Feature(f)
		rows[f] = matrixRow{x.String(), x.Title(), map[string]matrixCell{}}
		for _, d := range drivers {
			c := d.Claim(x)
			rows[f].Meshes[d.Name] = matrixCell{c.Level.String(), c.Note}
		}
	}
	return rows
}

func matrixTable(w io.Writer, drivers []*mesh.Driver) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "FEATURE\tWHAT")
	for _, d := range drivers {
		fmt.Fprint(t, "\t", strings.ToUpper(d.Name))
	}
	fmt.Fprintln(t)
	for f := range model.Feature(model.NumFeatures) {
		fmt.Fprintf(t, "%s\t%s", f, f.Title())
		for _, d := range drivers {
			l := d.Claim(f).Level
			fmt.Fprintf(t, "\t%s %s", marks[l], l)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// matrixMarkdown is the page docs/matrix.md: the table, then the notes.
func matrixMarkdown(drivers []*mesh.Driver) string {
	var b, notes strings.Builder
	b.WriteString("| what SMI says |")
	for _, d := range drivers {
		b.WriteString(" " + d.Title + " |")
	}
	b.WriteString("\n|---" + strings.Repeat("|:-:", len(drivers)) + "|\n")
	n := 0
	for f := range model.Feature(model.NumFeatures) {
		b.WriteString("| " + f.Title() + " (`" + f.String() + "`) |")
		for _, d := range drivers {
			c := d.Claim(f)
			b.WriteString(" " + marks[c.Level] + " " + c.Level.String())
			if c.Note != "" {
				n++
				fmt.Fprintf(&b, " [%d](#n%d)", n, n)
				fmt.Fprintf(&notes, "%d. <a id=\"n%d\"></a>%s, `%s`: %s\n", n, n, d.Title, f, c.Note)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String() + "\n" + notes.String()
}
