// SPDX-License-Identifier: Apache-2.0

// Package matrix sets side by side what each mesh can say, from the claims that the drivers' own tests prove.
package matrix

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// Row is one feature of SMI.
type Row struct {
	Feature string          `json:"feature"`
	Title   string          `json:"title"`
	Meshes  map[string]Cell `json:"meshes"` // by the mesh's name
}

// Cell is what one mesh makes of a feature.
type Cell struct {
	Level string `json:"level"`
	Note  string `json:"note,omitempty"`
}

// Rows lists every feature, in the order of the model.
func Rows(drivers []*mesh.Driver) []Row {
	rows := make([]Row, model.NumFeatures)
	for i := range rows {
		f := model.Feature(i)
		rows[i] = Row{f.String(), f.Title(), map[string]Cell{}}
		for _, d := range drivers {
			c := d.Claim(f)
			rows[i].Meshes[d.Name] = Cell{c.Level.String(), c.Note}
		}
	}
	return rows
}

// notes numbers the notes of claims in the order in which they are met; one text has one number.
type notes struct {
	number map[string]int
	list   []string
}

func (n *notes) of(d *mesh.Driver, note string) int {
	if note == "" {
		return 0
	}
	text := d.Title + ": " + note
	if n.number == nil {
		n.number = map[string]int{}
	}
	if n.number[text] == 0 {
		n.list = append(n.list, text)
		n.number[text] = len(n.list)
	}
	return n.number[text]
}

// Table writes the matrix for a terminal: the levels, then the notes.
func Table(w io.Writer, drivers []*mesh.Driver) error {
	var n notes
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "FEATURE\tWHAT")
	for _, d := range drivers {
		fmt.Fprint(t, "\t", strings.ToUpper(d.Name))
	}
	fmt.Fprintln(t)
	for f := range model.Feature(model.NumFeatures) {
		fmt.Fprintf(t, "%s\t%s", f, f.Title())
		for _, d := range drivers {
			c := d.Claim(f)
			fmt.Fprintf(t, "\t%s %s", report.Mark(c.Level), c.Level)
			if i := n.of(d, c.Note); i > 0 {
				fmt.Fprintf(t, " [%d]", i)
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	for i, text := range n.list {
		fmt.Fprintf(&b, "\n[%d] %s", i+1, text)
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown is the matrix as a table with footnotes.
func Markdown(drivers []*mesh.Driver) string {
	var b strings.Builder
	var n notes
	b.WriteString("| what SMI says |")
	for _, d := range drivers {
		b.WriteString(" " + d.Title + " |")
	}
	b.WriteString("\n|---" + strings.Repeat("|:-:", len(drivers)) + "|\n")
	for f := range model.Feature(model.NumFeatures) {
		b.WriteString("| " + f.Title() + " (`" + f.String() + "`) |")
		for _, d := range drivers {
			c := d.Claim(f)
			b.WriteString(" " + report.Mark(c.Level) + " " + c.Level.String())
			if i := n.of(d, c.Note); i > 0 {
				fmt.Fprintf(&b, " [%d](#n%d)", i, i)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for i, text := range n.list {
		fmt.Fprintf(&b, "%d. <a id=\"n%d\"></a>%s\n", i+1, i+1, text)
	}
	return b.String()
}
